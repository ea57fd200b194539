"""Caffe's solvers: SGD, Nesterov and AdaGrad as the fork computes them, on the blobs of a net.

Source: SGDSolver, NesterovSolver and AdaGradSolver of the fork (solver.cpp). Differences from torch.optim: the
learning rate is part of the history, so a drop of the rate does not change the old momentum; gradients are clipped
while they are still the sum over iter_size; every blob of the net has a history, including BN's statistics.
"""

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from converter import caffe_tsn_pb2 as pb
from converter.core_threads import on_all_cores
from converter.errors import PytsnError
from pytsn.training.learning_rate import check_policy, learning_rate, next_step
from pytsn.training.solver_blobs import SolverBlob

CLIP_ON = ("sum", "mean")
REGULARIZATIONS = ("L2", "L1")
#: numbers that several operations of a CPU's update go through before the next, while they are in its cache
_LOT = 1 << 18
Tensors = list[torch.Tensor] | tuple[torch.Tensor, ...]
#: a number of the update: a Python float, or a scalar tensor on the device that a recorded update rereads each time
Number = float | torch.Tensor


class DivergedError(PytsnError):
    """Training cannot continue: a loss, a gradient or a weight is not a finite number."""


@dataclass
class _Group:
    """Blobs that are updated with the same numbers."""

    lr_mult: float
    decay_mult: float
    owned: bool
    lots: list[list[int]] = field(default_factory=list)  # the blobs' indices
    room: float = 0  # numbers that the last lot has room for

    def add(self, index: int, size: int, most: float) -> None:
        """Adds a blob of ``size`` numbers, to lots of at most ``most`` where one blob does not have more."""
        if not self.lots or size > self.room:
            self.lots.append([])
            self.room = most
        self.lots[-1].append(index)
        self.room -= size


def _sgd(history: Tensors, gradients: Tensors, rate: Number, momentum: float, delta: float) -> Tensors:
    """history = momentum * history + rate * gradient, which is also the update."""
    torch._foreach_mul_(history, momentum)
    if isinstance(rate, torch.Tensor):
        torch._foreach_mul_(gradients, rate)
        torch._foreach_add_(history, gradients)
    else:
        torch._foreach_add_(history, gradients, alpha=rate)
    return history


def _nesterov(history: Tensors, gradients: Tensors, rate: Number, momentum: float, delta: float) -> Tensors:
    """History as in SGD; the update is (1 + momentum) * new history - momentum * old history."""
    before = torch._foreach_mul(history, momentum)
    update = torch._foreach_mul(_sgd(history, gradients, rate, momentum, delta), 1 + momentum)
    torch._foreach_sub_(update, before)
    return update


def _adagrad(history: Tensors, gradients: Tensors, rate: Number, momentum: float, delta: float) -> Tensors:
    """history += gradient^2; the update is rate * gradient / (sqrt(history) + delta). There is no momentum."""
    torch._foreach_addcmul_(history, gradients, gradients)
    divisor = torch._foreach_sqrt(history)
    torch._foreach_add_(divisor, delta)
    update = torch._foreach_div(gradients, divisor)
    torch._foreach_mul_(update, rate)
    return update


#: solver type -> update rule: (history, gradients, rate, momentum, delta) -> what is subtracted from the weights;
#: changes history in place
RULES: dict[str, Callable[[Tensors, Tensors, Number, float, float], Tensors]] = {
    "SGD": _sgd,
    "NESTEROV": _nesterov,
    "ADAGRAD": _adagrad,
}


def solver_type(solver: pb.SolverParameter) -> str:
    """The update rule's name: BVLC's ``type`` ("Nesterov") if given, else the fork's ``solver_type``.

    Raises PytsnError for a rule that the fork does not have.
    """
    if not solver.HasField("type"):
        return pb.SolverParameter.SolverType.Name(solver.solver_type)
    name = solver.type.upper()
    if name not in RULES:
        near = difflib.get_close_matches(name, RULES, 1)
        raise PytsnError(f"solver type '{solver.type}': {f'did you mean {near[0]}?' if near else ', '.join(RULES)}")
    return name


def check_solver(solver: pb.SolverParameter) -> None:
    """Raises PytsnError for settings that the fork refuses or cannot run with."""
    check_policy(solver)
    solver_type(solver)
    if solver.regularization_type not in REGULARIZATIONS:
        raise PytsnError(f"regularization_type '{solver.regularization_type}': L2 or L1 was expected")
    for name in ("iter_size", "average_loss"):
        if getattr(solver, name) < 1:
            raise PytsnError(f"{name} must be at least 1, found {getattr(solver, name)}")
    if solver_type(solver) == "ADAGRAD" and solver.momentum:
        raise PytsnError(f"AdaGrad has no momentum, found momentum: {solver.momentum:g}: leave it out")


class CaffeSolver:
    """A solver over the blobs of one net.

    An iteration: sum the gradients of iter_size backward passes in ``tensor.grad``, then ``next_rate()``,
    ``gradient_norm()`` and ``apply(rate, norm)``. ``iteration`` counts updates, ``current_step`` learning-rate drops;
    ``history`` holds one float32 tensor per blob, in net order.

    ``clip_on``: "sum", Caffe's rule, compares clip_gradients with the gradient summed over iter_size; "mean" compares
    it with that sum divided by iter_size. Raises PytsnError for settings that cannot run.
    """

    def __init__(self, solver: pb.SolverParameter, blobs: Sequence[SolverBlob], clip_on: str = "sum") -> None:
        check_solver(solver)
        if clip_on not in CLIP_ON:
            raise PytsnError(f"clip_on '{clip_on}': sum or mean was expected")
        self.param, self.blobs = solver, list(blobs)
        self.iteration, self.current_step = 0, 0
        self.history: Tensors = [torch.zeros_like(blob.tensor, requires_grad=False) for blob in self.blobs]
        self._rule = RULES[solver_type(solver)]
        self._adagrad = self._rule is _adagrad
        self.clips = solver.clip_gradients >= 0
        self._norm_divisor = solver.iter_size if clip_on == "mean" else 1
        self._on_cpu = all(blob.tensor.device.type == "cpu" for blob in self.blobs)
        self._groups: list[_Group] | None = None

    def next_rate(self) -> float:
        """The learning rate of this iteration; advances ``current_step``, so call it once per iteration."""
        self.current_step = next_step(self.param, self.iteration, self.current_step)
        return learning_rate(self.param, self.iteration, self.current_step)

    def gradient_norm(self) -> torch.Tensor:
        """The L2 norm used for clipping, a scalar on the gradients' device; blobs not ``owned`` do not count."""
        own = [blob.tensor.grad for blob in self.blobs if blob.owned and blob.tensor.grad is not None]
        if not own:
            return torch.zeros(())
        norms = on_all_cores(torch.linalg.vector_norm, own) if self._on_cpu else torch._foreach_norm(own)
        return torch.linalg.vector_norm(torch.stack(norms)) / self._norm_divisor

    def clip_scale(self, norm: float) -> float | None:
        """The factor by which clipping scales gradients of this norm, None if they are not clipped."""
        if not self.clips or not norm > self.param.clip_gradients:
            return None
        return float(np.float32(self.param.clip_gradients) / np.float32(norm))

    @torch.no_grad()
    def apply(self, rate: float, norm: float = 0.0) -> None:
        """Updates weights and history with the gradients in ``tensor.grad``, and counts the iteration.

        ``norm``: their norm, for clipping. May change the gradients; drop them afterwards.
        """
        scale = self.clip_scale(norm)
        self.update(self.local_rates(rate), (1.0 if scale is None else scale) / self.param.iter_size)
        self.iteration += 1

    def local_rates(self, rate: float) -> list[float]:
        """The learning rate of each group of blobs, in ``update``'s order."""
        return [_product(rate, group.lr_mult) for group in self._live_groups()]

    @torch.no_grad()
    def update(self, rates: Sequence[Number], factor: Number) -> None:
        """Updates weights and history with ``local_rates`` and the gradients' factor from clipping and iter_size; both
        may be scalar tensors on the device. Does not count the iteration."""
        groups = self._live_groups()
        late = not all(group.owned for group in groups)  # then all regularisation must see the old weights first
        jobs = []
        for group, rate in zip(groups, rates, strict=True):
            own_factor = factor if group.owned else 1 / self.param.iter_size
            jobs += [(group, lot, rate, own_factor) for lot in group.lots]

        def run(job: tuple[_Group, list[int], Number, Number]) -> tuple[Tensors, Tensors] | None:
            pair = self._lot_update(*job)
            if late:
                return pair
            torch._foreach_sub_(*pair)
            return None

        done = on_all_cores(run, jobs) if self._on_cpu else [run(job) for job in jobs]
        for weights, update in filter(None, done):
            torch._foreach_sub_(weights, update)

    def _lot_update(self, group: _Group, lot: list[int], rate: Number, factor: Number) -> tuple[Tensors, Tensors]:
        """The weights of these blobs of a group, and what is to be subtracted from them."""
        weights = [self.blobs[index].tensor.data for index in lot]
        gradients = self._gradients(group, lot, weights, factor)
        history = [self.history[index] for index in lot]
        return weights, self._rule(history, gradients, rate, self.param.momentum, self.param.delta)

    def device_factor(self, norm: torch.Tensor) -> Number:
        """``update``'s factor from a norm on the device, with ``apply``'s arithmetic; does not wait for the device."""
        if not self.clips:
            return 1 / self.param.iter_size
        limit = torch.full_like(norm, self.param.clip_gradients)
        scale = torch.where(norm > limit, (limit / norm).double(), 1.0)
        return (scale / self.param.iter_size).float()

    def _gradients(self, group: _Group, lot: list[int], weights: Tensors, factor: Number) -> Tensors:
        """The gradients, clipped, divided by iter_size and regularised."""
        found = [self.blobs[index].tensor.grad for index in lot]
        gradients = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)]
        if isinstance(factor, torch.Tensor) or factor != 1:
            torch._foreach_mul_(gradients, factor)
        decay = _product(self.param.weight_decay, group.decay_mult)
        if decay:
            penalty = weights if self.param.regularization_type == "L2" else torch._foreach_sign(weights)
            torch._foreach_add_(gradients, penalty, alpha=decay)
        return gradients

    def _live_groups(self) -> list[_Group]:
        """Blobs grouped by their factors, without those that no update changes: no gradient, no history, no decay."""
        if self._groups is None:
            most = _LOT if self._on_cpu else math.inf
            groups: dict[tuple, _Group] = {}
            for index, (blob, history) in enumerate(zip(self.blobs, self.history, strict=True)):
                decays = self._adagrad and blob.decay_mult and self.param.weight_decay
                if blob.lr_mult or decays or bool(history.any()):
                    key = (blob.lr_mult, blob.decay_mult, blob.owned)
                    groups.setdefault(key, _Group(*key)).add(index, blob.tensor.numel(), most)
            self._groups = list(groups.values())
        return self._groups

    def load(self, iteration: int, current_step: int, history: Sequence[np.ndarray]) -> None:
        """Restores a saved state: ``history`` as float32 arrays in net order, of any shape with the right size."""
        for own, values in zip(self.history, history, strict=True):
            own.copy_(torch.from_numpy(np.array(values, np.float32)).reshape(own.shape))
        self.iteration, self.current_step, self._groups = iteration, current_step, None

    def history_arrays(self) -> list[np.ndarray]:
        """The history as float32 arrays in net order, in Caffe's shapes."""
        pairs = zip(self.history, self.blobs, strict=True)
        return [tensor.cpu().contiguous().numpy().reshape(blob.caffe_shape) for tensor, blob in pairs]


def _product(one: float, other: float) -> float:
    """The product in float32, as in Caffe."""
    with np.errstate(over="ignore"):
        return float(np.float32(one) * np.float32(other))
