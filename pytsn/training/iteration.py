"""One training iteration: iter_size passes, the exchange between processes, the update.

Two classes with the same numbers. ``EagerIteration`` runs every operation from Python and lets the loop check the loss
before the update. ``RecordedIteration`` keeps batches, gradients and the update's numbers in fixed memory, so that a
GPU can replay passes and update from CUDA graphs. It leaves loss and norm on the device, so nothing waits for it.
"""

import time
from collections.abc import Callable
from typing import Protocol

import torch

from pytsn.runtime.cuda_graph import Replayed
from pytsn.runtime.distributed import Processes
from pytsn.training.input.data_layers import DataLayers, RawBatch
from pytsn.training.log_lines import Outputs
from pytsn.training.passes import Result
from pytsn.training.solver import CaffeSolver

#: the mean objective of the passes, and the outputs of the last pass
Passes = tuple[torch.Tensor, dict[str, torch.Tensor]]


class TrainRunner(Protocol):
    """The interface of the training net with its data: NetRunner, or a substitute."""

    data_layers: DataLayers
    data_seconds: float

    @property
    def processes(self) -> Processes: ...
    def forward(self) -> Result: ...
    def forward_raw(self, raw: RawBatch) -> Result: ...
    def backward(self, loss: torch.Tensor) -> None: ...
    def printable(self, outputs: dict[str, torch.Tensor]) -> Outputs: ...


class Update:
    """The solver's update from existing gradients, with its numbers on the device if that is a GPU."""

    def __init__(self, solver: CaffeSolver, device: torch.device) -> None:
        self._solver, self._device = solver, device
        self._rates: list[float] | list[torch.Tensor] = []
        self._on_device: list[torch.Tensor] = []
        self._known: list[float] = []

    def set_rate(self, rate: float) -> None:
        """Sets the learning rate of the following updates."""
        rates = self._solver.local_rates(rate)
        if self._device.type != "cuda":
            self._rates = rates
            return
        if not self._on_device:
            self._rates = self._on_device = [torch.full((), value, device=self._device) for value in rates]
        elif rates != self._known:
            for tensor, value in zip(self._on_device, rates, strict=True):
                tensor.fill_(value)
        self._known = rates

    def norm(self) -> torch.Tensor:
        """The gradients' norm on the device, 0 if it is not needed."""
        if not self._solver.clips:
            return torch.zeros((), device=self._device)  # made there: a copy from the host cannot be recorded
        return self._solver.gradient_norm().to(self._device)

    def __call__(self, norm: torch.Tensor) -> None:
        self._solver.update(self._rates, self._solver.device_factor(norm))


class EagerIteration:
    """Runs every operation directly. ``backward`` leaves gradients; ``update`` consumes them."""

    waits = True  # for the device: loss and norm are known before the update
    note = ""

    def __init__(self, train: TrainRunner, solver: CaffeSolver, processes: Processes) -> None:
        self._train, self._solver, self._processes = train, solver, processes
        self._update = Update(solver, processes.device)

    def backward(self) -> Passes:
        """Runs iter_size passes and sums the gradients."""
        total = torch.zeros((), device=self._processes.device)
        for _ in range(self._solver.param.iter_size):
            loss, outputs = self._train.forward()
            if loss.requires_grad:
                self._train.backward(loss)
            total += loss.detach()
            self._train.data_layers.send_ahead(self._processes.device)
        return total / self._solver.param.iter_size, outputs

    def exchange(self, loss: torch.Tensor) -> torch.Tensor:
        """Averages gradients and loss over the processes. Returns the gradients' norm, 0 without clipping."""
        _exchange(self._solver, self._processes, loss)
        return self._update.norm()

    def update(self, rate: float, norm: torch.Tensor) -> None:
        """Updates weights and history, drops the gradients, and counts the iteration."""
        if norm.device.type == "cpu":
            self._solver.apply(rate, float(norm))
        else:
            self._update.set_rate(rate)
            self._update(norm)
            self._solver.iteration += 1
        for blob in self._solver.blobs:
            blob.tensor.grad = None


class RecordedIteration:
    """Records a pass and the update (runtime/cuda_graph.py), and sends batches to the device ahead of their use.

    The mean over several processes is computed between the two, unrecorded. ``note``: why recording failed, or "".
    """

    waits = False

    def __init__(self, train: TrainRunner, solver: CaffeSolver, processes: Processes) -> None:
        self._train, self._solver, self._processes = train, solver, processes
        device = self._device = processes.device
        self._static: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self._total, self._mean = torch.zeros((), device=device), torch.zeros((), device=device)
        self._update, self._norm = Update(solver, device), torch.zeros((), device=device)
        self._one_pass, self._one_update = Replayed(self._pass, device), Replayed(self._apply, device)
        self._learning = [blob.tensor for blob in solver.blobs if blob.tensor.requires_grad]
        self._done: torch.cuda.Event | None = None

    @property
    def note(self) -> str:
        """Why nothing is recorded, or ""."""
        return self._one_pass.note or self._one_update.note

    def backward(self) -> Passes:
        """Runs iter_size passes and sums the gradients in place."""
        for tensor in self._learning:
            if tensor.grad is None:
                tensor.grad = torch.zeros_like(tensor)
        for _ in range(self._solver.param.iter_size):
            self._load_batch()
            _, outputs = self._one_pass()
            self._look_ahead()
        torch.div(self._total, self._solver.param.iter_size, out=self._mean)
        self._total.zero_()
        return self._mean, outputs

    def _load_batch(self) -> None:
        raw = self._timed(lambda: self._train.data_layers.next_raw(self._device))
        if not self._static:
            self._static = {name: (pixels.clone(), labels.clone()) for name, (pixels, labels) in raw.items()}
            return
        for name, pair in raw.items():
            for own, new in zip(self._static[name], pair, strict=True):
                own.copy_(new)

    def _look_ahead(self) -> None:
        """Starts the next batch's copy while the device works on this one."""
        if self._device.type == "cuda":
            self._done = torch.cuda.Event()
            self._done.record()
            self._timed(lambda: self._train.data_layers.send_ahead(self._device))

    def _timed(self, work: Callable):
        """Counts time spent here as waiting for data only if the device had run out of work at the end."""
        start = time.perf_counter()
        result = work()
        if self._done is None or self._done.query():
            self._train.data_seconds += time.perf_counter() - start
        return result

    def _pass(self) -> Result:
        loss, outputs = self._train.forward_raw(self._static)
        if loss.requires_grad:
            self._train.backward(loss)
        self._total += loss.detach()
        return loss.detach(), outputs

    def exchange(self, loss: torch.Tensor) -> torch.Tensor:
        """Like EagerIteration; but ``update`` computes the norm and writes it into this tensor."""
        _exchange(self._solver, self._processes, loss)
        return self._norm

    def update(self, rate: float, norm: torch.Tensor) -> None:
        """Updates weights and history, zeroes the gradients, and counts the iteration."""
        self._update.set_rate(rate)
        self._one_update()
        self._solver.iteration += 1

    def _apply(self) -> None:
        self._norm.copy_(self._update.norm())
        self._update(self._norm)
        grads = [tensor.grad for tensor in self._learning if tensor.grad is not None]
        if grads:
            torch._foreach_zero_(grads)


def _exchange(solver: CaffeSolver, processes: Processes, loss: torch.Tensor) -> None:
    grads = [blob.tensor.grad for blob in solver.blobs if blob.tensor.grad is not None]
    processes.mean_([*grads, loss])


def make_iteration(
    train: TrainRunner, solver: CaffeSolver, processes: Processes, record: bool
) -> EagerIteration | RecordedIteration:
    """Recorded if asked for and possible: a mean image depends on each crop, which a recording cannot follow."""
    recordable = record and train.data_layers.has_raw
    return (RecordedIteration if recordable else EagerIteration)(train, solver, processes)
