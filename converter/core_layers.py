"""The layers of a net that trains one part of its batch a core (converter/core_training.py): each with its gradient.

Every function runs in one thread, on one part of the batch. Symbols: P = N * H * W pixels of the part, C channels.
"""

import threading
from collections.abc import Sequence
from itertools import chain

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from converter.fused_layers import onednn_fuses, pointwise
from converter.layers.conv import Convolution

#: numbers of a block of pixels that stays in a core's cache while several operations run over it
_BLOCK = 1 << 16


class Meeting:
    """Where ``count`` threads add up numbers of their parts, in the parts' order: the sum has always the same bits."""

    def __init__(self, count: int) -> None:
        self._barrier = threading.Barrier(count)
        self._given = [torch.empty(0)] * count

    def total(self, index: int, own: torch.Tensor) -> torch.Tensor:
        """The sum over all parts; waits for the other threads, each with its ``index``."""
        self._given[index] = own
        self._barrier.wait()
        total = self._given[0].clone()
        for other in self._given[1:]:
            total += other
        self._barrier.wait()  # nobody may bring the next number before all have read this one
        return total

    def give_up(self) -> None:
        """Wakes the others: they get a BrokenBarrierError."""
        self._barrier.abort()


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


class Norm(torch.autograd.Function):
    """BN by the statistics of the whole batch, of which this thread has one part: apply(x, weight, bias, eps, count,
    meeting, index) -> y, mean, biased variance, with ``count`` the pixels of the whole batch.

    As exact as converter/layers/channels_last_bn.py, in fewer passes over memory: whatever is between two sums is
    computed block by block.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, eps, count, meeting, index):
        flat = pixels(x)
        mean = meeting.total(index, flat.sum(0)) / count
        squares = torch.zeros_like(mean)
        for block in _blocks(flat):
            squares += (block - mean).square_().sum(0)
        variance = meeting.total(index, squares) / count
        inverse = (variance + eps).rsqrt()
        y = torch.empty_like(flat)
        for block, out in _blocks(flat, y):
            torch.addcmul(bias, block - mean, inverse * weight, out=out)
        ctx.save_for_backward(x, mean, inverse, weight)
        ctx.given = (count, meeting, index)
        ctx.mark_non_differentiable(mean, variance)
        return images(y, x.shape), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, *_):
        """With g the gradient of y: dx = weight * inverse * (g - mean(g) - xhat * mean(g * xhat))."""
        x, mean, inverse, weight = ctx.saved_tensors
        count, meeting, index = ctx.given
        flat, g = pixels(x), pixels(gradient.contiguous(memory_format=torch.channels_last))
        own = torch.zeros(2, len(mean), dtype=x.dtype)  # sums of g and of g * (x - mean)
        for block, part in _blocks(flat, g):
            own[0] += part.sum(0)
            own[1] += (block - mean).mul_(part).sum(0)
        sums, scale = meeting.total(index, own), inverse * weight
        shift, slope = -scale * sums[0] / count, -scale * inverse.square() * sums[1] / count
        dx = torch.empty_like(flat)
        for block, part, out in _blocks(flat, g, dx):
            torch.addcmul(shift, part, scale, out=out).addcmul_(block - mean, slope)
        return images(dx, x.shape), own[1] * inverse, own[0], None, None, None, None


def _blocks(*flat: torch.Tensor):
    """Blocks of rows of tensors (P, C), small enough for a cache: a tuple of blocks each, or single ones."""
    rows = max(1, _BLOCK // flat[0].shape[1])
    split: Sequence = [each.split(rows) for each in flat]
    return zip(*split, strict=True) if len(flat) > 1 else split[0]


def pixels(x: torch.Tensor) -> torch.Tensor:
    """Channels-last (N, C, H, W) -> (P, C), the same memory."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def images(flat: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """(P, C) -> channels-last (N, C, H, W), the same memory."""
    batch, channels, height, width = shape
    return flat.view(batch, height, width, channels).permute(0, 3, 1, 2)
