"""The work of all cores on one stretch of layers: forward, and backward with the sums of the parts' gradients."""

from collections.abc import Callable, Sequence
from threading import BrokenBarrierError
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from converter.core_filters import Filters, Unit, filters_of, gradients_of, sizes
from converter.core_layers import add_bias, convolve
from converter.core_nodes import Node
from converter.core_norm import Meeting, Norm
from converter.core_stretch import Stretch
from converter.core_threads import CoreThreads
from converter.layers.norm import BN


class Work:
    """What forward and backward of a stretch share: ``given`` are its inputs, then weight and bias of each layer."""

    def __init__(self, stretch: Stretch, parts: int, cores: CoreThreads) -> None:
        self.stretch, self.parts, self.cores = stretch, parts, cores
        self.inputs, self.units = len(stretch.inputs), stretch.units
        self.meeting = Meeting(parts)
        self.needs: list[bool] = []
        self.filters: list[Filters] = []
        self.batch = 0
        self.leaves: list[list[Any]] = []  # of each part: its inputs, then weight and bias of each unit
        self.tops: list[list[torch.Tensor]] = []  # of each part

    def together(self, work: Callable[[int], Any]) -> list:
        """``work(part)`` for all parts at once, a core each; a single one on torch's own threads. Raises what the first
        of them to fail raised."""
        if self.parts == 1:
            return [work(0)]

        def guarded(part: int):
            try:
                return work(part), None
            except Exception as error:
                self.meeting.give_up()
                return None, error

        done = self.cores.map(guarded, range(self.parts))
        errors = [error for _, error in done if error is not None]
        for error in sorted(errors, key=lambda each: isinstance(each, BrokenBarrierError)):
            raise error
        return [result for result, _ in done]

    def forward(self, given: tuple[torch.Tensor, ...], needs: list[bool]) -> list[torch.Tensor]:
        """The outputs; ``needs`` says which of ``given`` need gradients."""
        self.needs, self.batch = needs, len(given[0])
        inputs = [each.tensor_split(self.parts) for each in given[: self.inputs]]
        self.filters = self.cores.share(filters_of, self.units)
        weights = [value for filters in self.filters for value in (filters.weight, filters.bias)]
        needed = [*needs[: self.inputs], *self._unit_needs()]
        self.leaves = [[*(each[part] for each in inputs), *weights] for part in range(self.parts)]
        self.leaves = [[_leaf(*pair) for pair in zip(leaves, needed, strict=True)] for leaves in self.leaves]
        self.tops = self.together(self._forward)
        return [torch.cat([top.detach() for top in tops]) for tops in zip(*self.tops, strict=True)]

    def _unit_needs(self) -> list[bool]:
        """Whether weight and bias of each unit need gradients: if one of its layers does."""
        own = iter(zip(self.needs[self.inputs :: 2], self.needs[self.inputs + 1 :: 2], strict=True))
        pairs = [zip(*(next(own) for _ in unit), strict=True) for unit in self.units]
        return [any(each) for pair in pairs for each in pair]

    def _forward(self, part: int) -> list[torch.Tensor]:
        """The outputs of one part."""
        with torch.set_grad_enabled(any(self.needs)):
            return self._run(part)

    def _run(self, part: int) -> list[torch.Tensor]:
        leaves = self.leaves[part]
        values: dict[str, Any] = dict(zip(self.stretch.inputs, leaves, strict=False))
        pairs = zip(leaves[self.inputs :: 2], leaves[self.inputs + 1 :: 2], strict=True)
        weights = dict(zip(self.units, pairs, strict=True))
        for node in self.stretch.nodes:
            tops = self._layer(node, part, weights, [values[value] for value in node.bottoms])
            values.update(zip(node.tops, tops, strict=True))
            for value in node.free:
                del values[value]
        return [values[value] for value in self.stretch.outputs]

    def _layer(self, node: Node, part: int, weights: dict[Unit, tuple[Any, Any]], bottoms: list) -> Sequence[Any]:
        """The tops of one layer."""
        if not node.learns:
            return [node.run(*bottoms)]
        module: Any = node.module
        weight, bias = weights[node.unit]
        if isinstance(module, BN):
            return [self._normalise(module, part, bottoms[0], weight, bias)]
        if node.only == "bias":
            return [add_bias(bottoms[0], bias, node.rectify)]
        if node.only == "weight":
            return convolve(bottoms[0], module, weight, None, False, [len(weight)])
        return convolve(bottoms[0], module, weight, bias, node.rectify, sizes(node.unit))

    def _normalise(self, norm: BN, part: int, x: torch.Tensor, weight, bias) -> torch.Tensor:
        count = self.batch * x.shape[2] * x.shape[3]
        y, mean, variance = Norm.apply(x, weight, bias, norm.eps, count, self.meeting, part)
        if part == 0:
            unbiased = norm.averages_unbiased(x) and count > 1
            norm.average(mean, variance * (count / (count - 1)) if unbiased else variance)
        return y

    def backward(self, gradients: tuple[torch.Tensor, ...]) -> list[torch.Tensor | None]:
        """The gradients of ``given``."""
        cut = [gradient.tensor_split(self.parts) for gradient in gradients]
        by_part = self.together(lambda part: self._backward(part, [each[part] for each in cut]))
        self.leaves, self.tops = [], []  # frees what the parts have kept
        found = list(zip(*by_part, strict=True))
        inputs = [None if each[0] is None else torch.cat(each) for each in found[: self.inputs]]
        pairs = zip(found[self.inputs :: 2], found[self.inputs + 1 :: 2], strict=True)
        by_unit = [list(zip(*pair, strict=True)) for pair in pairs]
        jobs = list(zip(self.units, self.filters, by_unit, strict=True))
        shared = self.cores.share(lambda job: gradients_of(*job), jobs)
        own = [gradient for layers in shared for layer in layers for gradient in layer]
        return [*inputs, *(each if need else None for each, need in zip(own, self.needs[self.inputs :], strict=True))]

    def _backward(self, part: int, gradients: list[torch.Tensor]) -> list[torch.Tensor | None]:
        live = [pair for pair in zip(self.tops[part], gradients, strict=True) if pair[0].requires_grad]
        tops, given = zip(*live, strict=True)
        with torch.enable_grad():  # a backward pass runs without
            number = _Given.apply(given, *tops)
        asked = {at: leaf for at, leaf in enumerate(self.leaves[part]) if leaf is not None and leaf.requires_grad}
        found = torch.autograd.grad(number, list(asked.values()), allow_unused=True)
        by_leaf = dict(zip(asked, found, strict=True))
        return [by_leaf.get(at) for at in range(len(self.leaves[part]))]


class _Given(torch.autograd.Function):
    """A number whose gradients are the given ones of the tops. torch.autograd.grad would take them too, but loads sympy
    to compare their shapes: half a second in every run."""

    @staticmethod
    def forward(ctx, given, *tops):
        ctx.given = given
        return tops[0].new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx, _):
        return None, *ctx.given


def _leaf(value: torch.Tensor | None, needed: bool) -> torch.Tensor | None:
    """The same numbers, as a part's own variable."""
    return None if value is None else value.detach().requires_grad_(needed)
