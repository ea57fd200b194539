"""Layers that move values without changing them: Concat, Slice, Split, Reshape, Flatten, Gather and Scatter,
Silence."""

import math
from itertools import pairwise

import torch

from converter import caffe_tsn_pb2 as pb
from converter.layers.base import CaffeLayer, Context, Shape, axis_or_dim, canonical_axis, require


class Concat(CaffeLayer):
    """Joins bottoms along ``axis`` (or ``concat_dim``); all other axes must be equal. Source: concat_layer.cpp."""

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        first = bottom_shapes[0]
        self.axis = axis = axis_or_dim(param.concat_param, "concat_dim", first)
        for shape in bottom_shapes[1:]:
            same = len(shape) == len(first) and shape[:axis] + shape[axis + 1 :] == first[:axis] + first[axis + 1 :]
            require(same, f"bottoms must be equal except along axis {axis}, found {first} and {shape}")

    def forward(self, *bottoms: torch.Tensor) -> torch.Tensor:
        return torch.cat(bottoms, self.axis)


class Slice(CaffeLayer):
    """Cuts the bottom along ``axis`` (or ``slice_dim``) into the tops: at each ``slice_point``, or without any into
    equal parts.

    Raises PytsnError for points that do not increase or leave an empty part, and for parts that cannot be equal.
    Source: slice_layer.cpp.
    """

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        slicing = param.slice_param
        self.axis = axis_or_dim(slicing, "slice_dim", bottom_shapes[0])
        self.tops, self.points = max(len(param.top), 1), tuple(slicing.slice_point)
        found = f"{len(self.points)} slice_point for {self.tops} tops"
        require(len(self.points) in (0, self.tops - 1), f"there must be one slice_point less than tops, found {found}")
        self.parts(bottom_shapes[0][self.axis])

    def parts(self, size: int) -> list[int]:
        """Sizes of the tops along the axis, for a bottom of ``size`` there."""
        if not self.points:
            require(size % self.tops == 0, f"{self.tops} tops do not divide the {size} along axis {self.axis}")
            return [size // self.tops] * self.tops
        edges = (0, *self.points, size)
        parts = [end - start for start, end in pairwise(edges)]
        rises = f"slice_point must rise between 0 and {size}, found {list(self.points)}"
        require(all(part > 0 for part in parts), rises)
        return parts

    def forward(self, x: torch.Tensor):
        tops = torch.split(x, self.parts(x.shape[self.axis]), self.axis)
        return tops if len(tops) > 1 else tops[0]


class Split(CaffeLayer):
    """Copies the bottom to every top; gradients add up. Source: split_layer.cpp."""

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        self.tops = max(len(param.top), 1)

    def forward(self, x: torch.Tensor):
        return (x,) * self.tops if self.tops > 1 else x


class Reshape(CaffeLayer):
    """Replaces the axes ``axis`` .. ``axis + num_axes - 1`` (num_axes -1: all that follow) by ``shape``.

    In ``shape`` 0 copies the bottom's size at that position, and one -1 takes the rest. ``axis`` may equal the number
    of axes (new ones are appended); negative values count from there. Raises PytsnError if the counts do not agree.
    Source: reshape_layer.cpp.
    """

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        reshape, bottom = param.reshape_param, bottom_shapes[0]
        self.dims = tuple(reshape.shape.dim)
        require(all(dim >= -1 for dim in self.dims), f"dim must be -1 or more, found {list(self.dims)}")
        require(self.dims.count(-1) <= 1, f"only one dim may be -1, found {list(self.dims)}")
        self.start, self.end = self._range(reshape, bottom)
        target = self.target(bottom)
        known = math.prod(dim for dim in target if dim != -1)
        count = math.prod(bottom)
        fits = known > 0 and (count % known == 0 if -1 in self.dims else count == known)
        require(fits, f"a bottom of shape {bottom} has {count} values, which do not fill the shape {target}")

    def _range(self, reshape: pb.ReshapeParameter, bottom: Shape) -> tuple[int, int]:
        rank = len(bottom)
        start = reshape.axis if reshape.axis >= 0 else rank + 1 + reshape.axis
        require(0 <= start <= rank, f"axis {reshape.axis} is out of range for a bottom of shape {bottom}")
        require(reshape.num_axes >= -1, f"num_axes must be -1 or more, found {reshape.num_axes}")
        end = rank if reshape.num_axes == -1 else start + reshape.num_axes
        require(end <= rank, f"axis + num_axes is {end}: past the end of a bottom of shape {bottom}")
        return start, end

    def target(self, bottom: Shape) -> Shape:
        """The top's shape, which may still contain -1."""
        rank = len(bottom)
        for place, dim in enumerate(self.dims, self.start):
            require(
                dim != 0 or place < rank, f"dim 0 at axis {place} has nothing to copy in a bottom of shape {bottom}"
            )
        middle = (bottom[i] if dim == 0 else dim for i, dim in enumerate(self.dims, self.start))
        return (*bottom[: self.start], *middle, *bottom[self.end :])

    def top_shape(self, bottom: Shape) -> Shape:
        """The top's shape. Raises PytsnError for a bottom that does not fill it."""
        target, count = self.target(bottom), math.prod(bottom)
        known = math.prod(dim for dim in target if dim != -1)
        rest = count // known if known else 0
        found = tuple(rest if dim == -1 else dim for dim in target)
        require(math.prod(found) == count, f"a bottom of shape {bottom} does not fill the shape {target}")
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(self.top_shape(tuple(x.shape)))


class Flatten(CaffeLayer):
    """Joins the axes ``axis`` .. ``end_axis`` into one. Source: flatten_layer.cpp."""

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        self.axis = canonical_axis(param.flatten_param.axis, bottom_shapes[0])
        self.end_axis = canonical_axis(param.flatten_param.end_axis, bottom_shapes[0], "end_axis")
        require(self.axis <= self.end_axis, f"axis {self.axis} lies behind end_axis {self.end_axis}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(self.axis, self.end_axis)


class PassThrough(CaffeLayer):
    """Gather and Scatter join and split batches across MPI processes; in one process every top is its bottom.
    Source: gather_layer.cpp, scatter_layer.cpp."""

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()

    def forward(self, *bottoms: torch.Tensor):
        return bottoms if len(bottoms) > 1 else bottoms[0]


class Silence(CaffeLayer):
    """Consumes bottoms so that they are not outputs of the net; has no top. Source: silence_layer.cpp."""

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()

    def forward(self, *bottoms: torch.Tensor) -> tuple[()]:
        return ()
