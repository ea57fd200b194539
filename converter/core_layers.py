"""Convolutions for one part of a batch on one core (converter/core_training.py), with their gradients."""

from collections.abc import Sequence
from itertools import chain

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from converter.fused_layers import onednn_fuses, pointwise
from converter.layers.channels_last_bn import pixels
from converter.layers.conv import Convolution


def convolve_siblings(x: torch.Tensor, layers: Sequence[Convolution], weights: Sequence, rectify: bool):
    """Several layers with the same bottom and options as one wide convolution; weights: weight and bias of each in
    turn. Returns their tops, which may be views of one tensor."""
    layer = layers[0]
    # A dilation of 1x1 filters means nothing, but lets torch choose oneDNN; else it takes a slow way on one thread
    pointwise_by_onednn = layer.kernel == (1, 1) and onednn_fuses(x.dtype)
    dilation = (2, 2) if pointwise_by_onednn else layer.dilation
    return _Convolve.apply(x, (layer.stride, layer.padding, dilation, layer.group), rectify, *weights)


def add_bias(x: torch.Tensor, bias: torch.Tensor | None, rectify: bool) -> torch.Tensor:
    """x + bias, (C,) over axis 1, then ReLU if ``rectify``; changes x, (N, C, H, W), in place."""
    x = x if bias is None else x.add_(bias[:, None, None])
    return x.relu_() if rectify else x


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, options, rectify, *weights):
        stride, padding, dilation, groups = ctx.options = options
        weight, bias = _wide(weights[::2]), _wide(weights[1::2])
        if onednn_fuses(x.dtype):
            y = pointwise(x, weight, bias, padding, stride, dilation, groups, 0 if rectify else None)
        else:
            y = F.conv2d(x, weight, bias, stride, padding, dilation, groups)
            y = y.relu_() if rectify else y
        ctx.sizes = [len(each) for each in weights[::2]]
        tops = (y,) if len(ctx.sizes) == 1 else y.split(ctx.sizes, 1)
        ctx.rectified = rectify
        ctx.save_for_backward(x, weight, *(tops if rectify else ()))
        return tops

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        x, weight, *tops = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.options
        gradient = _joined(gradients, tops)
        need_x, needs = ctx.needs_input_grad[0], ctx.needs_input_grad[3:]
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
            [need_x, any(needs[::2]), False],
        )
        # oneDNN's own bias gradient sums in a single float32 and is off by 1e-5
        db = pixels(gradient).sum(0) if any(needs[1::2]) else None
        dws, dbs = (each.split(ctx.sizes) if each is not None else [None] * len(ctx.sizes) for each in (dw, db))
        found = chain(*zip(dws, dbs, strict=True))
        return dx, None, None, *(each if need else None for each, need in zip(found, needs, strict=True))


def _wide(tensors: Sequence) -> torch.Tensor | None:
    return tensors[0] if len(tensors) == 1 or tensors[0] is None else torch.cat(list(tensors))


def _joined(gradients: Sequence[torch.Tensor], tops: Sequence[torch.Tensor]) -> torch.Tensor:
    """The gradients of tops side by side, channels-last, with those that ReLU stops set to 0 if there are ``tops``."""
    batch, _, height, width = gradients[0].shape
    channels = sum(each.shape[1] for each in gradients)
    if len(gradients) == 1 and not tops:
        return gradients[0].contiguous(memory_format=torch.channels_last)
    joined = gradients[0].new_empty(batch, height, width, channels).permute(0, 3, 1, 2)
    start = 0
    for index, gradient in enumerate(gradients):
        out = joined[:, start : start + gradient.shape[1]]
        if tops:
            torch.ops.aten.threshold_backward.grad_input(gradient, tops[index], 0, grad_input=out)
        else:
            out.copy_(gradient)
        start += gradient.shape[1]
    return joined
