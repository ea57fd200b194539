"""Convolutions for one part of a batch on one core (converter/core_training.py), with their gradients."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from converter.fused_layers import onednn_fuses, pointwise
from converter.layers.conv import Convolution


def convolve(
    x: torch.Tensor,
    layer: Convolution,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    rectify: bool,
    sizes: Sequence[int],
) -> tuple[torch.Tensor, ...]:
    """A convolution with the options of ``layer``, then ReLU if ``rectify``; the top is cut into tops of ``sizes``
    channels, views of one tensor: those of layers with one bottom whose filters stand in ``weight``."""
    # A dilation of 1x1 filters means nothing, but lets torch choose oneDNN; else it takes a slow way on one thread
    pointwise_by_onednn = layer.kernel == (1, 1) and onednn_fuses(x.dtype)
    dilation = (2, 2) if pointwise_by_onednn else layer.dilation
    options = (layer.stride, layer.padding, dilation, layer.group)
    return _Convolve.apply(x, weight, bias, options, rectify, sizes)


def add_bias(x: torch.Tensor, bias: torch.Tensor | None, rectify: bool) -> torch.Tensor:
    """x + bias, (C,) over axis 1, then ReLU if ``rectify``; changes x, (N, C, H, W), in place."""
    x = x if bias is None else x.add_(bias[:, None, None])
    return x.relu_() if rectify else x


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, options, rectify, sizes):
        stride, padding, dilation, groups = ctx.options = options
        if onednn_fuses(x.dtype):
            y = pointwise(x, weight, bias, padding, stride, dilation, groups, 0 if rectify else None)
        else:
            y = F.conv2d(x, weight, bias, stride, padding, dilation, groups)
            y = y.relu_() if rectify else y
        tops = (y,) if len(sizes) == 1 else y.split(sizes, 1)
        ctx.save_for_backward(x, weight, *(tops if rectify else ()))
        return tops

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        x, weight, *tops = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.options
        gradient = _joined(gradients, tops)
        need_x, need_weight, need_bias = ctx.needs_input_grad[:3]
        dx, dw, _ = torch.ops.aten.convolution_backward(
            gradient,
            x,
            weight,
            None,
            stride,
            padding,
            dilation,
            False,
            [0, 0],
            groups,
            [need_x, need_weight, False],
        )
        # oneDNN's own bias gradient sums in a single float32 and is off by 1e-5
        db = gradient.sum((0, 2, 3)) if need_bias else None
        return dx, dw, db, None, None, None


def _joined(gradients: Sequence[torch.Tensor], tops: Sequence[torch.Tensor]) -> torch.Tensor:
    """The gradients of tops side by side, channels-last, with those that ReLU stops set to 0 if there are ``tops``."""
    batch, _, height, width = gradients[0].shape
    if len(gradients) == 1 and not tops:
        return gradients[0].contiguous(memory_format=torch.channels_last)
    channels = sum(each.shape[1] for each in gradients)
    joined = gradients[0].new_empty(batch, height, width, channels).permute(0, 3, 1, 2)
    start = 0
    for index, gradient in enumerate(gradients):
        out = joined[:, start : start + gradient.shape[1]] if len(gradients) > 1 else joined
        if tops:
            torch.ops.aten.threshold_backward.grad_input(gradient, tops[index], 0, grad_input=out)
        else:
            out.copy_(gradient)
        start += gradient.shape[1]
    return joined
