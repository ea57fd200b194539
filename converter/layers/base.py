"""Shared by all layers: the context they are built in, their base class, and checks of shapes and parameters."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.fillers import Source, fill

Shape = tuple[int, ...]

#: Caffe indexes blobs with a 32-bit int: no blob holds more values than this.
MAX_COUNT = 2**31 - 1


@dataclass(frozen=True)
class Context:
    """Settings of a layer beyond its own parameters.

    phase: "TRAIN" or "TEST", the phase of the net; whether a module *behaves* as in training is ``nn.Module.training``.
    generator: draws the initial values of parameters; None means torch's default; a ``Stream`` (fillers.py) draws as
    Caffe does.
    """

    phase: str = "TEST"
    generator: Source = None


class CaffeLayer(nn.Module):
    """One Caffe layer. ``forward(*bottoms)`` returns its top, or a tuple of tops unless there is exactly one.

    blob_names: the parameters and buffers in Caffe's order of the layer's blobs.
    is_loss: the first top is a loss, with weight 1 unless ``loss_weight`` is given (the net applies the weight).
    """

    blob_names: tuple[str, ...] = ()
    is_loss: bool = False

    def caffe_shape(self, blob_name: str) -> Shape:
        """The shape that Caffe gives this blob in a caffemodel."""
        return tuple(getattr(self, blob_name).shape)

    def add_parameter(self, name: str, shape: Shape, filler: pb.FillerParameter, context: Context) -> None:
        """Registers a float32 parameter with its initial values, as the next of the layer's blobs."""
        require(all(shape), f"{name} would have the shape {shape}, which is empty")
        check_count(shape, name)
        try:
            values = torch.empty(shape, dtype=torch.float32)
        except RuntimeError as error:
            raise PytsnError(f"{name} of the shape {shape} does not fit into memory") from error
        self.register_parameter(name, nn.Parameter(fill(values, filler, context.generator)))
        self.blob_names = (*self.blob_names, name)


def require(condition: bool, message: str) -> None:
    """Raises PytsnError with ``message`` unless ``condition`` holds."""
    if not condition:
        raise PytsnError(message)


def check_count(shape: Shape, name: str) -> None:
    """Raises PytsnError if a blob of this shape would be too large for Caffe."""
    require(math.prod(shape) <= MAX_COUNT, f"{name} would have the shape {shape}: more than {MAX_COUNT} values")


def check_axes(shape: Shape, least: int, most: int | None = None) -> None:
    """Raises PytsnError unless a bottom has between ``least`` and ``most`` (default: exactly ``least``) axes."""
    most = least if most is None else most
    wanted = str(least) if least == most else f"{least} to {most}"
    require(least <= len(shape) <= most, f"bottom must have {wanted} axes, found the shape {shape}")


def canonical_axis(axis: int, shape: Shape, field: str = "axis") -> int:
    """``axis`` counted from the front; negative ones count from the end, as in Caffe's blobs."""
    rank = len(shape)
    require(-rank <= axis < rank, f"{field} {axis} is out of range for a bottom of shape {shape}")
    return axis % rank


def axis_or_dim(param, old_field: str, shape: Shape) -> int:
    """The axis of Concat and Slice: ``axis``, or the older unsigned ``concat_dim`` / ``slice_dim``; not both."""
    if not param.HasField(old_field):
        return canonical_axis(param.axis, shape)
    require(not param.HasField("axis"), f"give axis or {old_field}, not both")
    return canonical_axis(getattr(param, old_field), shape, old_field)


def spatial_pair(param, stem: str, square: str | None = None, default: int | None = None) -> tuple[int, int]:
    """(vertical, horizontal) value of a spatial option, e.g. ``stride`` or ``stride_h`` and ``stride_w``.

    param: ConvolutionParameter or PoolingParameter. ``square`` names the field that gives both at once (default:
    ``stem``); it may be repeated (one value, or height then width). ``default`` None: the option is required.
    ``pad_h`` alone means no horizontal padding, which BVLC allows; any other option needs both. Raises PytsnError.
    Source: base_conv_layer.cpp.
    """
    square = square or stem
    sides = [f"{stem}_h", f"{stem}_w"]
    present = [side for side in sides if side in param.DESCRIPTOR.fields_by_name and param.HasField(side)]
    values = getattr(param, square)
    if isinstance(values, int):
        values = [values] if param.HasField(square) else []
    require(not (present and values), f"give {square} or {' and '.join(sides)}, not both")
    if present:
        require(len(present) == 2 or stem == "pad", f"{present[0]} is given: {' and '.join(sides)} must come together")
        return getattr(param, sides[0]), getattr(param, sides[1])
    if not values:
        if default is None:
            raise PytsnError(f"{square} (or {' and '.join(sides)}) is missing")
        return default, default
    require(len(values) <= 2, f"{square} takes one value or two (height, width), found {list(values)}")
    return values[0], values[-1]


def positive_pair(param, stem: str, square: str | None = None, default: int | None = None) -> tuple[int, int]:
    """Like ``spatial_pair``; both values must be above 0."""
    pair = spatial_pair(param, stem, square, default)
    require(min(pair) > 0, f"{square or stem} must be above 0, found {pair[0]} x {pair[1]}")
    return pair
