"""InnerProduct, Scale and Bias: layers that are linear in their bottom."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.layers.base import CaffeLayer, Context, Shape, canonical_axis, check_count, require


class InnerProduct(CaffeLayer):
    """Fully connected: axes from ``axis`` on are flattened into K features, (.., K) -> (.., num_output).

    Blobs: weight (num_output, K), or (K, num_output) with BVLC's ``transpose``; bias (num_output,).
    Raises PytsnError without num_output, and if a bottom does not flatten into K. Source: inner_product_layer.cpp.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        product = param.inner_product_param
        require(product.num_output > 0, "num_output is missing or 0")
        self.axis = canonical_axis(product.axis, bottom_shapes[0])
        self.features = math.prod(bottom_shapes[0][self.axis :])
        self.transpose = product.transpose
        check_count((*bottom_shapes[0][: self.axis], product.num_output), "top")
        shape = (product.num_output, self.features)
        self.add_parameter("weight", shape[::-1] if self.transpose else shape, product.weight_filler, context)
        if product.bias_term:
            self.add_parameter("bias", (product.num_output,), product.bias_filler, context)
        else:
            self.register_parameter("bias", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(self.axis)  # (.., C, H, W) -> (.., K)
        if flat.shape[-1] != self.features:
            found = f"{tuple(x.shape)}, which has {flat.shape[-1]} from axis {self.axis} on"
            raise PytsnError(f"bottom must have {self.features} features a sample, found {found}")
        return F.linear(flat, self.weight.t() if self.transpose else self.weight, self.bias)


class _Broadcast(CaffeLayer):
    """An operand, learned or a second bottom, broadcast over the axes of the first bottom that it lacks."""

    def operand_shape(self, param, bottom_shapes: list[Shape]) -> Shape:
        """The shape of the operand; sets ``trailing``, the number of the bottom's axes after it."""
        bottom = bottom_shapes[0]
        learned = len(bottom_shapes) == 1
        rank = param.num_axes if learned else len(bottom_shapes[1])
        require(rank >= -1, f"num_axes must be -1 (all that follow) or more, found {rank}")
        axis = 0 if rank == 0 else canonical_axis(param.axis, bottom)
        end = len(bottom) if rank == -1 else axis + rank
        require(end <= len(bottom), f"axes {axis} to {end - 1} reach past the bottom's shape {bottom}")
        shape = bottom[axis:end]
        if not learned:
            require(shape == bottom_shapes[1], f"second bottom must have the shape {shape}, found {bottom_shapes[1]}")
        self.trailing = len(bottom) - end
        return shape

    def align(self, operand: torch.Tensor) -> torch.Tensor:
        """(C, ..) -> (C, .., 1, 1), because PyTorch's broadcasting aligns axes from the end."""
        return operand.reshape(tuple(operand.shape) + (1,) * self.trailing)


class Scale(_Broadcast):
    """Product with weights over some axes, y = x * weight (+ bias).

    One bottom: weight is a blob with the shape of the ``num_axes`` axes from ``axis`` on, initially 1. Two bottoms: the
    second is the factor. ``bias_term`` adds a blob of the factor's shape. Raises PytsnError if the axes do not fit the
    bottom. Source: scale_layer.cpp.
    """

    weight: nn.Parameter  # with one bottom
    bias: nn.Parameter  # with bias_term

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        scale = param.scale_param
        shape = self.operand_shape(scale, bottom_shapes)
        if len(bottom_shapes) == 1:
            filler = scale.filler if scale.HasField("filler") else pb.FillerParameter(value=1)
            self.add_parameter("weight", shape, filler, context)
        if scale.bias_term:
            self.add_parameter("bias", shape, scale.bias_filler, context)

    def forward(self, x: torch.Tensor, factor: torch.Tensor | None = None) -> torch.Tensor:
        y = x * self.align(self.weight if factor is None else factor)
        return y + self.align(self.bias) if "bias" in self.blob_names else y


class Bias(_Broadcast):
    """Sum with a bias over some axes: a blob (one bottom), or the second bottom. Axes and errors as for Scale. Source:
    bias_layer.cpp."""

    bias: nn.Parameter  # with one bottom

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        shape = self.operand_shape(param.bias_param, bottom_shapes)
        if len(bottom_shapes) == 1:
            self.add_parameter("bias", shape, param.bias_param.filler, context)

    def forward(self, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        return x + self.align(self.bias if bias is None else bias)
