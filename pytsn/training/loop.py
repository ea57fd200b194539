"""The training loop: when to test, print, update, snapshot and stop, in Caffe's order.

Source: Solver::Solve and Solver::Step of the fork (solver.cpp).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from pytsn.runtime.distributed import Processes
from pytsn.training import log_lines
from pytsn.training.curves import Curves
from pytsn.training.log_lines import SmoothedLoss
from pytsn.training.solver import CaffeSolver, DivergedError

Print = Callable[[str], None]


@dataclass(frozen=True)
class Console:
    """Who watches a run. print: takes the lines of the log; signal: number of a signal that asks to stop, else 0;
    done: told how many iterations are done."""

    print: Print = print
    signal: Callable[[], int] = lambda: 0
    done: Callable[[int], None] = lambda iteration: None


class TrainRunner(Protocol):
    """What the loop asks of the training net with its data: NetRunner, or one of the like."""

    @property
    def processes(self) -> Processes: ...
    def forward(self) -> tuple[torch.Tensor, dict[str, torch.Tensor]]: ...
    def printable(self, outputs: dict[str, torch.Tensor]) -> log_lines.Outputs: ...


class TestRunner(Protocol):
    """The same of a test net."""

    def test(self, batches: int) -> tuple[float, log_lines.Outputs]: ...


class TrainLoop:
    """A run: the solver, the training net, the test nets, what is printed and recorded. ``snapshot()`` writes one."""

    def __init__(
        self,
        solver: CaffeSolver,
        train: TrainRunner,
        tests: Sequence[TestRunner],
        curves: Curves,
        console: Console,
        snapshot: Callable[[], None],
    ) -> None:
        self.param, self.solver = solver.param, solver
        self.train, self.tests, self.processes = train, list(tests), train.processes
        self.curves, self.console, self.write_snapshot = curves, console, snapshot
        self.smoothed = SmoothedLoss(self.param.average_loss, solver.iteration)
        self._snapshot_at = -1

    def solve(self) -> int:
        """Trains to max_iter. Returns 0, or the number of the signal that stopped it after a last snapshot.

        Raises DivergedError, before anything is updated or written, when a number is no longer finite.
        """
        while self.solver.iteration < self.param.max_iter:
            self.step()
            if stop := self.processes.max_of(self.console.signal()):
                self._snapshot()
                return stop
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
        """One iteration: test pass and snapshot where they are due, one update."""
        iteration = self.solver.iteration
        if _due(self.param.test_interval, iteration) and (iteration or self.param.test_initialization):
            self._test_all()
        display = _due(self.param.display, iteration)
        objective, outputs = self._forward_backward()
        loss, norm = self._exchange(objective)
        smoothed = self.smoothed.add(iteration, loss)
        self.curves.add("train loss", iteration, loss)
        if display:
            self.console.print(log_lines.loss_line(iteration, smoothed))
            for line in log_lines.output_lines("Train", self.train.printable(outputs)):
                self.console.print(line)
        self._update(norm, display)
        self.console.done(self.solver.iteration)
        if _due(self.param.snapshot, self.solver.iteration):
            self._snapshot()

    def _forward_backward(self) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """iter_size passes, gradients summed; their mean objective and the outputs of the last."""
        total = torch.zeros((), device=self.processes.device)
        for _ in range(self.param.iter_size):
            loss, outputs = self.train.forward()
            if loss.requires_grad:
                loss.backward()
            total += loss.detach()
        return total / self.param.iter_size, outputs

    def _exchange(self, loss: torch.Tensor) -> tuple[float, float]:
        """Gradients and loss become the mean over the processes. Returns the loss, and the norm if it clips."""
        blobs = [blob.tensor.grad for blob in self.solver.blobs if blob.tensor.grad is not None]
        self.processes.mean_([*blobs, loss])
        norm = self.solver.gradient_norm().to(loss.device) if self.solver.clips else torch.zeros_like(loss)
        values = torch.stack([loss, norm]).tolist()  # one wait for the device
        for name, value in zip(("loss", "gradient norm"), values, strict=True):
            if not np.isfinite(value):
                raise DivergedError(
                    f"iteration {self.solver.iteration}: the {name} is {value}: stopped before its update"
                )
        return values[0], values[1]

    def _update(self, norm: float, display: bool) -> None:
        solver, iteration = self.solver, self.solver.iteration
        before = solver.current_step
        rate = solver.next_rate()
        if self.param.lr_policy == "multistep" and solver.current_step != before:
            self.console.print(log_lines.step_line(iteration, solver.current_step))
        if display:
            self.console.print(log_lines.rate_line(iteration, rate))
        scale = solver.clip_scale(norm)
        if scale is not None:
            self.console.print(log_lines.clip_line(norm, self.param.clip_gradients, scale))
        if solver.clips:
            self.curves.add("gradient norm", iteration, norm)
        self.curves.add("lr", iteration, rate)
        solver.apply(rate, norm)
        for blob in solver.blobs:
            blob.tensor.grad = None

    def _last_loss(self) -> None:
        """A forward pass of the training net after the last update, for its loss."""
        with torch.no_grad():
            loss, _ = self.train.forward()
        loss = loss.float().clone()
        self.processes.mean_([loss])
        self.console.print(log_lines.loss_line(self.solver.iteration, float(loss)))

    def _test_all(self) -> None:
        self.processes.broadcast_([blob.tensor for blob in self.solver.blobs])
        iteration = self.solver.iteration
        for index, runner in enumerate(self.tests):
            self.console.print(log_lines.testing_line(iteration, index))
            loss, outputs = runner.test(self.param.test_iter[index])
            if self.param.test_compute_loss:
                self.console.print(f"Test loss: {log_lines.number(loss)}")
            for line in log_lines.output_lines("Test", outputs):
                self.console.print(line)
            self.curves.add_outputs(f"test #{index}", iteration, outputs)

    def _snapshot(self) -> None:
        if self._snapshot_at != self.solver.iteration:
            self.write_snapshot()
            self._snapshot_at = self.solver.iteration


def _due(interval: int, iteration: int) -> bool:
    return interval > 0 and iteration % interval == 0
