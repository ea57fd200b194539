"""The training loop: when to test, print, update, snapshot and stop, in Caffe's order.

Source: Solver::Solve and Solver::Step of the fork (solver.cpp).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from pytsn.training import log_lines
from pytsn.training.curves import Curves
from pytsn.training.iteration import TrainRunner, make_iteration
from pytsn.training.log_lines import SmoothedLoss
from pytsn.training.solver import CaffeSolver, DivergedError

Print = Callable[[str], None]
Batches = Callable[[int], Iterable[int]]
#: seconds between two drawings of the curves at displayed lines; at tests and snapshots they come sooner
_DRAW_EVERY = 60.0
#: iterations whose loss may be left on the device
_MOST_WAITING = 20


@dataclass(frozen=True)
class Console:
    """The observer of a run. print: prints a log line; signal: number of a signal that asks to stop, else 0; done:
    called with the number of finished iterations; testing: a test pass of N batches iterates over ``testing(N)``, the
    numbers from 0 to N - 1."""

    print: Print = print
    signal: Callable[[], int] = lambda: 0
    done: Callable[[int], None] = lambda iteration: None
    testing: Batches = range


@dataclass(frozen=True)
class _Done:
    """The results of an iteration's passes. ``step``: the multistep step that begins with this iteration, or None."""

    iteration: int
    display: bool
    loss: torch.Tensor
    norm: torch.Tensor
    outputs: dict[str, torch.Tensor]
    rate: float
    step: int | None


class TestRunner(Protocol):
    """The interface of a test net with its data: NetRunner, or a substitute."""

    def test(self, batches: int, numbers: Batches) -> tuple[float, log_lines.Outputs]: ...


class TrainLoop:
    """A run: the solver, the training net, the test nets, console and curves. ``snapshot()`` writes a snapshot.

    ``record``: replays passes and updates from CUDA graphs and reads their numbers every 20 iterations, or when they
    are printed, tested or saved (iteration.py); the printed lines stay the same.
    """

    def __init__(
        self,
        solver: CaffeSolver,
        train: TrainRunner,
        tests: Sequence[TestRunner],
        curves: Curves,
        console: Console,
        snapshot: Callable[[], None],
        record: bool = False,
    ) -> None:
        self.param, self.solver = solver.param, solver
        self.train, self.tests, self.processes = train, list(tests), train.processes
        self.curves, self.console, self.write_snapshot = curves, console, snapshot
        self.smoothed = SmoothedLoss(self.param.average_loss, solver.iteration)
        self.work = make_iteration(train, solver, train.processes, record)
        self._waiting: list[_Done] = []
        self._noted = self._undrawn = False
        self._snapshot_at = -1

    def solve(self) -> int:
        """Trains to max_iter. Returns 0, or the number of the signal that stopped it after a last snapshot.

        Raises DivergedError, before anything is updated or written, if a number is no longer finite.
        """
        while self.solver.iteration < self.param.max_iter:
            self.step()
            if stop := self.processes.max_of(self.console.signal()):
                self._snapshot()
                return stop
        self.settle()
        iteration = self.solver.iteration
        if self.param.snapshot_after_train and not _due(self.param.snapshot, iteration):
            self._snapshot()
        if _due(self.param.display, iteration):
            self._last_loss()
        if _due(self.param.test_interval, iteration):
            self._test_all()
        self.console.print("Optimization Done.")
        return 0

    def step(self) -> None:
        """One iteration: test pass and snapshot if due, then one update."""
        iteration = self.solver.iteration
        if _due(self.param.test_interval, iteration) and (iteration or self.param.test_initialization):
            self._test_all()
        display = _due(self.param.display, iteration)
        loss, outputs = self.work.backward()
        norm = self.work.exchange(loss)
        self._tell_note()
        rate, drops = self._next_rate()
        if self.work.waits:
            self._waiting.append(_Done(iteration, display, loss, norm, outputs, rate, drops))
            self.settle()
            self.work.update(rate, norm)
        else:
            self.work.update(rate, norm)  # the tensor holds the norm from here on
            self._waiting.append(_Done(iteration, display, loss.clone(), norm.clone(), outputs, rate, drops))
            if display or len(self._waiting) >= _MOST_WAITING:
                self.settle()
        self.console.done(self.solver.iteration)
        if _due(self.param.snapshot, self.solver.iteration):
            self._snapshot()

    def _tell_note(self) -> None:
        """Prints the note once, in every process that has one."""
        if self.work.note and not self._noted:
            self.console.print(f"note: {self.work.note}")
            self._noted = True

    def _next_rate(self) -> tuple[float, int | None]:
        """The learning rate, and the multistep step that has just begun, or None."""
        before = self.solver.current_step
        rate = self.solver.next_rate()
        begun = self.param.lr_policy == "multistep" and self.solver.current_step != before
        return rate, self.solver.current_step if begun else None

    def settle(self) -> None:
        """Processes the iterations whose loss and norm are still on the device: curves, lines, checks.

        Raises DivergedError if one of them is not finite.
        """
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        pairs = torch.stack([torch.stack([done.loss, done.norm]) for done in waiting]).tolist()  # a single wait
        for done, (loss, norm) in zip(waiting, pairs, strict=True):
            self._check_finite(done.iteration, loss, norm)
            self._report(done, loss, norm)

    def _check_finite(self, iteration: int, loss: float, norm: float) -> None:
        when = "stopped before its update" if self.work.waits else "stopped, and nothing written since"
        for name, value in (("loss", loss), ("gradient norm", norm)):
            if not np.isfinite(value):
                raise DivergedError(f"iteration {iteration}: the {name} is {value}: {when}")

    def _report(self, done: "_Done", loss: float, norm: float) -> None:
        """Adds to the curves and prints the lines of one iteration, in Caffe's order."""
        iteration, console = done.iteration, self.console
        smoothed = self.smoothed.add(iteration, loss)
        self.curves.add("train loss", iteration, loss)
        if done.display:
            console.print(log_lines.loss_line(iteration, smoothed))
            for line in log_lines.output_lines("Train", self.train.printable(done.outputs)):
                console.print(line)
        if done.step is not None:
            console.print(log_lines.step_line(iteration, done.step))
        if done.display:
            console.print(log_lines.rate_line(iteration, done.rate))
        scale = self.solver.clip_scale(norm)
        if scale is not None:
            console.print(log_lines.clip_line(norm, self.param.clip_gradients, scale))
        if self.solver.clips:
            self.curves.add("gradient norm", iteration, norm)
        self.curves.add("lr", iteration, done.rate)
        if done.display:
            self._draw(_DRAW_EVERY)

    def _draw(self, wait: float = 0.0) -> None:
        """Draws the curves if it is time; that it fails is told once and stops nothing."""
        trouble = self.curves.draw_if_due(wait)
        if trouble and not self._undrawn:
            self.console.print(f"note: the curves cannot be drawn: {trouble}")
            self._undrawn = True

    def _last_loss(self) -> None:
        """Runs the training net forward after the last update, for its loss."""
        with torch.no_grad():
            loss, _ = self.train.forward()
        loss = loss.float().clone()
        self.processes.mean_([loss])
        self.console.print(log_lines.loss_line(self.solver.iteration, float(loss)))

    def _test_all(self) -> None:
        self.settle()
        self.processes.broadcast_([blob.tensor for blob in self.solver.blobs])
        iteration = self.solver.iteration
        for index, runner in enumerate(self.tests):
            self.console.print(log_lines.testing_line(iteration, index))
            loss, outputs = runner.test(self.param.test_iter[index], self.console.testing)
            if self.param.test_compute_loss:
                self.console.print(f"Test loss: {log_lines.number(loss)}")
            for line in log_lines.output_lines("Test", outputs):
                self.console.print(line)
            self.curves.add_outputs(f"test #{index}", iteration, outputs)
        self._draw()

    def _snapshot(self) -> None:
        if self._snapshot_at != self.solver.iteration:
            self.settle()
            self.write_snapshot()
            self._snapshot_at = self.solver.iteration
            self._draw()


def _due(interval: int, iteration: int) -> bool:
    return interval > 0 and iteration % interval == 0
