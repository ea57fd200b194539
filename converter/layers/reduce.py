"""Layers that combine or reduce values: Eltwise, Reduction, BatchReduction, ArgMax."""

import math
from functools import reduce

import torch

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.layers.base import CaffeLayer, Context, Shape, canonical_axis, require

_Eltwise = pb.EltwiseParameter
_Reduction = pb.ReductionParameter


class Eltwise(CaffeLayer):
    """PROD, SUM, MAX or STOCHASTIC_SUM of two or more bottoms of one shape.

    SUM multiplies each bottom by its ``coeff`` (default 1). MAX: of two equal values the second bottom's counts and
    gets the gradient, but a third or later bottom wins only if it is larger. STOCHASTIC_SUM (the fork's): in training
    each bottom is included whole with probability ``coeff``, one draw per bottom; otherwise it is SUM.
    Raises PytsnError for unequal shapes and a wrong number of coefficients. Source: eltwise_layer.cpp.
    """

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        eltwise, bottoms = param.eltwise_param, len(bottom_shapes)
        require(len(set(bottom_shapes)) == 1, f"bottoms must have one shape, found {bottom_shapes}")
        found = len(eltwise.coeff)
        require(found in (0, bottoms), f"there must be one coeff a bottom or none, found {found} for {bottoms} bottoms")
        self.operation = eltwise.operation
        require(not (found and self.operation == _Eltwise.PROD), "coeff has no meaning for PROD")
        self.coeff = tuple(eltwise.coeff) or (1.0,) * bottoms

    def forward(self, *bottoms: torch.Tensor) -> torch.Tensor:
        shapes = [tuple(x.shape) for x in bottoms]
        if any(shape != shapes[0] for shape in shapes):  # PyTorch would broadcast
            raise PytsnError(f"bottoms must have one shape, found {shapes}")
        if self.operation == _Eltwise.PROD:
            return reduce(torch.mul, bottoms)
        if self.operation == _Eltwise.MAX:
            first = torch.where(bottoms[0] > bottoms[1], bottoms[0], bottoms[1])
            return reduce(lambda best, x: torch.where(x > best, x, best), bottoms[2:], first)
        if self.operation == _Eltwise.STOCHASTIC_SUM and self.training:
            drawn = torch.rand(len(bottoms), device=bottoms[0].device)
            kept = [(drawn[i] <= coeff).to(bottoms[i].dtype) for i, coeff in enumerate(self.coeff)]
            return reduce(torch.add, (x * keep for x, keep in zip(bottoms, kept, strict=True)))
        terms = (x if coeff == 1 else x * coeff for x, coeff in zip(bottoms, self.coeff, strict=True))
        return reduce(torch.add, terms)


class Reduction(CaffeLayer):
    """coeff times the SUM, ASUM (of magnitudes), SUMSQ (of squares) or MEAN over all axes from ``axis`` on, which are
    removed. Raises PytsnError for TOPK, which only BatchReduction has. Source: reduction_layer.cpp."""

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        self.operation = param.reduction_param.operation
        require(self.operation != _Reduction.TOPK, "operation TOPK belongs to BatchReduction")
        self.axis = canonical_axis(param.reduction_param.axis, bottom_shapes[0])
        self.coeff = param.reduction_param.coeff

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(self.axis)  # (A, B, C, ..) -> (A, B * C * ..) where axis is 1
        if self.operation == _Reduction.MEAN:
            return x.mean(-1) * self.coeff
        terms = {_Reduction.SUM: torch.positive, _Reduction.ASUM: torch.abs, _Reduction.SUMSQ: torch.square}
        return terms[self.operation](x).sum(-1) * self.coeff


class BatchReduction(CaffeLayer):
    """The fork's reduction of one axis, by default of the whole axis, which is removed: SUM, MEAN or TOPK (mean of the
    k largest).

    ``level: [a, b, ..]`` (other than the default [1]) cuts the axis into consecutive pieces of a*a, b*b, .. and
    replaces each by one entry. ``pos`` takes two axes of one size and reduces their diagonal. TOPK allows one level.
    Raises PytsnError if the pieces do not add up to the axis, and for ASUM and SUMSQ, which the fork lacks too. Source:
    batch_reduction_layer.cpp, batch_reduction_layer.cu.
    """

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        options, shape = param.batch_reduction_param, bottom_shapes[0]
        reduction = options.reduction_param
        self.operation, self.k, self.pos = reduction.operation, reduction.k, options.pos
        allowed = (_Reduction.SUM, _Reduction.MEAN, _Reduction.TOPK)
        require(self.operation in allowed, "operation must be SUM, MEAN or TOPK")
        self.axis = canonical_axis(reduction.axis, shape)
        levels = list(options.level) or [1]
        single = len(levels) == 1
        require(single or not self.pos, "pos allows only one level")
        require(single or self.operation != _Reduction.TOPK, "TOPK allows only one level")
        self.pieces = None if levels == [1] else [level * level for level in levels]
        self._check(shape)

    def _check(self, shape: Shape) -> None:
        size = shape[self.axis]
        if self.pos:
            square = self.axis + 1 < len(shape) and shape[self.axis + 1] == size
            require(square, f"pos needs two axes of one size at axis {self.axis}, found the shape {shape}")
        if self.pieces is not None:
            fits = sum(self.pieces) == size and all(self.pieces)
            require(fits, f"levels cut axis {self.axis} into {self.pieces}, but it has {size}")
        if self.operation == _Reduction.TOPK:
            require(1 <= self.k <= size, f"k must lie in 1..{size}, found {self.k}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.pos:
            x = x.diagonal(dim1=self.axis, dim2=self.axis + 1).movedim(-1, self.axis)  # (.., T, T, ..) -> (.., T, ..)
        if self.pieces is None:
            return self._reduce(x)
        return torch.stack([self._reduce(piece) for piece in x.split(self.pieces, self.axis)], self.axis)

    def _reduce(self, x: torch.Tensor) -> torch.Tensor:
        if self.operation == _Reduction.TOPK:
            return x.topk(self.k, self.axis).values.mean(self.axis)
        return x.sum(self.axis) if self.operation == _Reduction.SUM else x.mean(self.axis)


class ArgMax(CaffeLayer):
    """Indices of the ``top_k`` largest values, as floats; among equal values the larger index comes first.

    Without ``axis`` (the fork has none) each sample is flattened, (N, ..) -> (N, 1, top_k, 1), or with ``out_max_val``
    (N, 2, top_k, 1), indices then values. With BVLC's ``axis`` that axis becomes top_k long, and out_max_val gives
    values instead of indices. Raises PytsnError for top_k above the number of values. Source: argmax_layer.cpp, BVLC's
    for ``axis``.
    """

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        argmax, shape = param.argmax_param, bottom_shapes[0]
        self.top_k, self.out_max_val = argmax.top_k, argmax.out_max_val
        self.axis = canonical_axis(argmax.axis, shape) if argmax.HasField("axis") else None
        count = math.prod(shape[1:]) if self.axis is None else shape[self.axis]
        require(1 <= self.top_k <= count, f"top_k must lie in 1..{count}, found {self.top_k}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        axis = 1 if self.axis is None else self.axis
        scores = x.reshape(x.shape[0], -1) if self.axis is None else x
        # A stable sort of the reversed values puts the larger of two tied indices first.
        values, places = scores.flip(axis).sort(dim=axis, descending=True, stable=True)
        values = values.narrow(axis, 0, self.top_k)
        indices = (scores.shape[axis] - 1 - places.narrow(axis, 0, self.top_k)).to(x.dtype)
        if self.axis is not None:
            return values if self.out_max_val else indices
        tops = [indices, values] if self.out_max_val else [indices]
        return torch.stack(tops, 1).unsqueeze(3)  # (N, top_k) each -> (N, 1 or 2, top_k, 1)
