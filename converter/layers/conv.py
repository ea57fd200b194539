"""Convolution and Deconvolution, in two dimensions."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.layers.base import (
    CaffeLayer,
    Context,
    Shape,
    check_axes,
    check_count,
    positive_pair,
    require,
    spatial_pair,
)


class _BiasGradient(torch.autograd.Function):
    """The identity on a convolution's output, which computes the bias's gradient: the sum over all other axes.

    oneDNN's own bias gradient sums in a single float32 and is off by 1e-5, Caffe's by less than 1e-6.
    """

    @staticmethod
    def forward(ctx, y: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return y

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return gradient, gradient.sum((0, 2, 3))


class Convolution(CaffeLayer):
    """Cross-correlation: (N, C, H, W) -> (N, num_output, H', W'), H' = floor((H + 2 pad - extent) / stride) + 1.

    The extent of a filter is dilation * (kernel - 1) + 1. Blobs: weight (num_output, C / group, kernel_h, kernel_w),
    bias (num_output,). Several bottoms of one shape give as many tops, with the same weights. Raises PytsnError for
    missing or contradictory sizes, groups that do not divide, and filters larger than the padded input. (In that case
    Caffe's division, which rounds towards zero, still gives one output if the stride is large: an accident that nobody
    relies on.) Source: base_conv_layer.cpp, conv_layer.cpp.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, param: pb.LayerParameter, bottom_shapes: list[Shape], context: Context) -> None:
        super().__init__()
        conv = param.convolution_param
        for shape in bottom_shapes:
            check_axes(shape, 4)
            require(shape[1:] == bottom_shapes[0][1:], f"bottoms must have one shape, found {bottom_shapes}")
        self.channels = bottom_shapes[0][1]
        self.kernel = positive_pair(conv, "kernel", "kernel_size")
        self.stride = positive_pair(conv, "stride", default=1)
        self.dilation = positive_pair(conv, "dilation", default=1)
        self.padding = spatial_pair(conv, "pad", default=0)
        self.group = conv.group
        #: the (scale, shift) per channel of a frozen BN that is applied to the filters (converter/frozen_bn.py)
        self.absorbed: Callable[[], tuple[torch.Tensor, torch.Tensor]] | None = None
        self._check_groups(conv.num_output)
        height, width = (self.output_size(i, size) for i, size in enumerate(bottom_shapes[0][2:]))
        check_count((bottom_shapes[0][0], conv.num_output, height, width), "top")
        self.add_parameter("weight", self._weight_shape(conv.num_output), conv.weight_filler, context)
        if conv.bias_term:
            self.add_parameter("bias", (conv.num_output,), conv.bias_filler, context)
        else:
            self.register_parameter("bias", None)

    def _check_groups(self, num_output: int) -> None:
        require(num_output > 0, "num_output is missing or 0")
        require(self.group > 0, "group must be above 0")
        for name, count in (("channels of the bottom", self.channels), ("num_output", num_output)):
            require(count % self.group == 0, f"group {self.group} does not divide the {count} {name}")

    def _weight_shape(self, num_output: int) -> Shape:
        return (num_output, self.channels // self.group, *self.kernel)

    def _extent(self, i: int) -> int:
        return self.dilation[i] * (self.kernel[i] - 1) + 1

    def output_size(self, i: int, size: int) -> int:
        """Output size along spatial axis ``i`` (0: height, 1: width) of an input of ``size``."""
        room = size + 2 * self.padding[i] - self._extent(i)
        require(room >= 0, f"kernel of extent {self._extent(i)} is larger than the padded input ({size} + 2 x pad)")
        return room // self.stride[i] + 1

    def convolve(self, x: torch.Tensor) -> torch.Tensor:
        """One bottom's top."""
        weight, bias = self.filters()
        options = (self.stride, self.padding, self.dilation, self.group)
        if bias is None or not self._sums_bias(x):
            return F.conv2d(x, weight, bias, *options)
        return _BiasGradient.apply(F.conv2d(x, weight, bias.detach(), *options), bias)

    def filters(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weight and bias, with the absorbed BN."""
        return self.scaled_filters()[:2]

    def scaled_filters(self) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Weight and bias, with the absorbed BN, and its scale (num_output,), None without one."""
        if self.absorbed is None:
            return self.weight, self.bias, None
        scale, shift = self.absorbed()
        bias = shift if self.bias is None else torch.addcmul(shift, self.bias, scale)
        return self.weight * scale[:, None, None, None], bias, scale

    def _sums_bias(self, x: torch.Tensor) -> bool:
        trains = self.training and self.bias is not None and self.bias.requires_grad
        return trains and torch.is_grad_enabled() and x.device.type == "cpu" and not torch.compiler.is_compiling()

    def forward(self, *bottoms: torch.Tensor):
        for x in bottoms:
            if x.dim() != 4 or x.shape[1] != self.channels:
                raise PytsnError(f"bottom must be (N, {self.channels}, H, W), found {tuple(x.shape)}")
        tops = tuple(self.convolve(x) for x in bottoms)
        return tops if len(tops) > 1 else tops[0]


class Deconvolution(Convolution):
    """The transpose of Convolution: (N, C, H, W) -> (N, num_output, H', W'), H' = stride (H - 1) + extent - 2 pad.

    Blobs: weight (C, num_output / group, kernel_h, kernel_w), bias (num_output,). The fork ignores dilation in the
    output size, which makes its dilated deconvolution unusable; this uses BVLC's size, which includes it.
    Raises PytsnError as Convolution does. Source: deconv_layer.cpp.
    """

    def _weight_shape(self, num_output: int) -> Shape:
        return (self.channels, num_output // self.group, *self.kernel)

    def output_size(self, i: int, size: int) -> int:
        result = self.stride[i] * (size - 1) + self._extent(i) - 2 * self.padding[i]
        require(result > 0, f"pad {self.padding[i]} leaves no output of an input of {size}")
        return result

    def convolve(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv_transpose2d(
            x, self.weight, self.bias, self.stride, self.padding, groups=self.group, dilation=self.dilation
        )
