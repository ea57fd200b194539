"""Planes and channels-last, there and back on a CPU, by matrix transposes: twice as fast as ``contiguous()``."""

import torch


def has_channels_last(x: torch.Tensor) -> bool:
    """Whether x is an NCHW tensor on a CPU whose values lie as (N, H, W, C), and not as planes too."""
    if x.dim() != 4 or x.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def to_planes(x: torch.Tensor) -> torch.Tensor:
    """Channels-last x, (N, C, H, W), with its values as planes; its gradient is channels-last."""
    return _Relay.apply(x, True)


def to_channels_last(x: torch.Tensor) -> torch.Tensor:
    """The reverse."""
    return _Relay.apply(x, False)


class _Relay(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, planes: bool) -> torch.Tensor:
        ctx.planes = planes
        return _relaid(x, planes)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _relaid(gradient, not ctx.planes), None


def _relaid(x: torch.Tensor, planes: bool) -> torch.Tensor:
    """A copy of (N, C, H, W) in the layout: a transpose of (H * W, C) or (C, H * W) for each of N."""
    wanted = torch.contiguous_format if planes else torch.channels_last
    found = torch.channels_last if planes else torch.contiguous_format
    x = x.contiguous(memory_format=found)
    result = torch.empty_like(x, memory_format=wanted)
    for source, target in zip(x, result, strict=True):
        if planes:
            target.view(len(target), -1).copy_(_pixels(source).t())
        else:
            _pixels(target).copy_(source.view(len(source), -1).t())
    return result


def _pixels(image: torch.Tensor) -> torch.Tensor:
    """Channels-last (C, H, W) -> (H * W, C), the same memory."""
    return image.permute(1, 2, 0).view(-1, len(image))
