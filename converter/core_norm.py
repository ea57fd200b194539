"""BN by the statistics of a batch whose parts are on several cores (converter/core_training.py).

Symbols: P = N * H * W pixels of a part, C channels.
"""

import threading
from collections.abc import Sequence

import torch
from torch.autograd.function import once_differentiable

from converter.layers.channels_last_bn import images, pixels

#: numbers of a block of pixels that stays in a core's cache while several operations run over it
_BLOCK = 1 << 18


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
        scale, y = inverse * weight, torch.empty_like(flat)
        for block, out in _blocks(flat, y):
            torch.addcmul(bias, block - mean, scale, out=out)
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
        own = torch.zeros(2, len(mean), dtype=x.dtype)
        sum_g, sum_gc = own  # sums of g and of g * (x - mean)
        for block, part in _blocks(flat, g):
            sum_g += part.sum(0)
            sum_gc += (block - mean).mul_(part).sum(0)
        sums, scale = meeting.total(index, own), inverse * weight
        shift, slope = -scale * sums[0] / count, -scale * inverse.square() * sums[1] / count
        dx = torch.empty_like(flat)
        for block, part, out in _blocks(flat, g, dx):
            torch.addcmul(shift, part, scale, out=out).addcmul_(block - mean, slope)
        return images(dx, x.shape), sum_gc * inverse, sum_g, None, None, None, None


def _blocks(*flat: torch.Tensor):
    """Blocks of rows of tensors (P, C), small enough for a cache: a tuple of blocks each, or single ones."""
    rows = max(1, _BLOCK // flat[0].shape[1])
    split: Sequence = [each.split(rows) for each in flat]
    return zip(*split, strict=True) if len(flat) > 1 else split[0]
