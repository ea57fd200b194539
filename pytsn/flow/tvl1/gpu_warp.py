"""The data term of GPU TV-L1 around a flow: samples I1 and its gradients at the flow's end points and linearises."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

#: squared gradients up to this count as none: float32's epsilon, as in the original
FLAT = 1.19e-7
#: copies of the edge texels around an image, so that taps need no clamping of their own
REACH = 3


@dataclass(frozen=True)
class DataTerm:
    """The brightness constraint of B pairs, linear in the flow u, scaled so that an iteration needs no division.

    ``gradient`` (B, 2, H, W): (Ix, Iy) of the warped image. The residual r = rho_c + Ix u1 + Iy u2 appears only as
    -r / g with g = Ix^2 + Iy^2: ``offset`` (B, H, W) is -rho_c / g and ``slope`` (B, 2, H, W) is -(Ix, Iy) / g.

    With them one clamp replaces the three branches of the thresholding step, d = (Ix, Iy) clamp(-r / g, -lt, lt): if
    r < -lt g the quotient is above lt, if r > lt g it is below -lt, and in between it is -r / g itself. If g is at most
    FLAT, 1 / g is replaced by 1e30: then r != 0 gives +-lt, the outer branches, and r = 0 gives 0, the last.
    """

    offset: Tensor
    slope: Tensor
    gradient: Tensor


def image_gradients(images: Tensor) -> Tensor:
    """(B, H, W) -> (B, 2, H, W): half the difference of right and left, lower and upper neighbours, clamped."""
    out = images.new_empty(images.shape[0], 2, *images.shape[1:])
    for component, dim in enumerate((2, 1)):
        index = torch.arange(images.shape[dim], device=images.device)
        after, before = (index + 1).clamp(max=len(index) - 1), (index - 1).clamp(min=0)
        torch.sub(images.index_select(dim, after), images.index_select(dim, before), out=out[:, component])
    return out.mul_(0.5)


def linearise(image0: Tensor, layers1: Tensor, flow: Tensor) -> DataTerm:
    """image0 (B, H, W), layers1 (B, 3, H, W) = I1 and its gradients, flow (B, 2, H, W) -> the term around ``flow``."""
    warped = warp_cubic(layers1, flow)
    gradient = warped[:, 1:].contiguous()
    rho_c = warped[:, 0] - (gradient * flow).sum(1) - image0
    return _scaled(rho_c, gradient)


def _scaled(rho_c: Tensor, gradient: Tensor) -> DataTerm:
    """rho_c (B, H, W), gradient (B, 2, H, W) -> both divided by -g, the squared gradient."""
    square = gradient.square().sum(1)
    scale = torch.where(square > FLAT, -1.0 / square, -1e30)
    return DataTerm(rho_c * scale, gradient * scale[:, None], gradient)


def warp_cubic(layers: Tensor, flow: Tensor) -> Tensor:
    """Reads layers (B, C, H, W) at X = x + flow[:, 0], Y = y + flow[:, 1] (flow (B, 2, H, W), pixels) -> (B, C, H, W).

    Cubic with A = -0.5 over the texels ceil(X - 2)..floor(X + 2), weights divided by their sum, texel indices clamped
    to the image. Between texels these are the four floor(X) - 1..floor(X) + 2. On a texel they are five, X - 2..X + 2,
    but k(-2) = 0 = k(2), so the same four give the same sum. Both sums factor into x times y, so each axis is
    normalised separately.
    """
    batch, channels, height, width = layers.shape
    column, across = _taps(flow[:, 0], torch.arange(width, device=flow.device, dtype=flow.dtype))
    row, down = _taps(flow[:, 1], torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None])
    stride = width + 2 * REACH
    texels = pad(layers, (REACH,) * 4, mode="replicate").flatten(2)  # (B, C, H, W) -> (B, C, texels)
    first = row.mul_(stride).add_(column).view(batch, 1, -1).expand(-1, channels, -1)
    count = texels.shape[2] - 3 * (stride + 1)
    out = torch.zeros_like(layers)
    for j, down_weight in enumerate(down):
        line = torch.zeros_like(layers)
        for i, across_weight in enumerate(across):
            tap = texels.narrow(2, j * stride + i, count).gather(2, first)  # the table moves, the indices stay
            line.addcmul_(tap.view_as(layers), across_weight[:, None])
        out.addcmul_(line, down_weight[:, None])
    return out


def _taps(shift: Tensor, base: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Positions base + shift (B, H, W) along an axis of base.numel() texels -> first tap, padded; the 4 weights."""
    position = base + shift
    low = position.floor()
    part = position - low
    weights = [_outer(part + 1), _inner(part), _inner(1 - part), _outer(2 - part)]
    total = weights[0] + weights[1] + weights[2] + weights[3]
    # clamped: further outside all four texels are the edge's, and a float might be too large for an integer
    first = low.clamp_(1.0 - REACH, base.numel() + REACH - 3.0).add_(REACH - 1.0).long()
    return first, [weight.div_(total) for weight in weights]


def _inner(t: Tensor) -> Tensor:
    """The cubic for 0 <= t <= 1."""
    return t * t * (1.5 * t - 2.5) + 1.0


def _outer(t: Tensor) -> Tensor:
    """The cubic for 1 <= t <= 2."""
    return t * (t * (-0.5 * t + 2.5) - 4.0) + 2.0
