"""OpenCV's CPU functions for resizing, warping and smoothing float32 images, in PyTorch, as used by its DualTVL1.

Facts from OpenCV 4.x (imgproc: resize INTER_LINEAR, remap INTER_CUBIC, medianBlur). OpenCV 5.0 warps differently
(sub-pixel positions are no longer rounded), so cv2.remap itself is not called. Sums are in the order of the builds for
x86 with AVX2 and Intel's IPP, which made the reference recordings.
"""

from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F

CUBIC_A = -0.75
SUBPIXEL_BITS = 5  # remap rounds positions to 1/32 pixel
SUBPIXELS = 1 << SUBPIXEL_BITS
MARGIN = 4  # zeros around a warped image: wide enough for four taps that all miss it


def resize_linear(planes: torch.Tensor, size: tuple[int, int], ratios: tuple[float, float]) -> torch.Tensor:
    """Bilinear, pixel centres at halves, borders clamped: float32 (N, H, W) -> (N, *size).

    ``ratios``: source pixels per destination pixel, (y, x). Not always size over size: OpenCV called with a factor uses
    the factor, whatever the rounded size.
    """
    for axis in (2, 1):
        taps = linear_taps(planes.shape[axis], size[axis - 1], ratios[axis - 1])
        low, high, weight = (tap.to(planes.device) for tap in taps)
        low, high = planes.index_select(axis, low), planes.index_select(axis, high)
        planes = _add_product(low, high - low, weight.view(-1, 1) if axis == 1 else weight)
    return planes


def _add_product(total: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """total + a * b in place, rounded once as a fused multiply-add rounds.

    PyTorch fuses it on a CPU that can, on CUDA it rounds the product first; there float64 holds the product exactly,
    and rounding the sum twice differs in one of 2^29 cases.
    """
    if total.device.type == "cpu":
        return total.addcmul_(a, b)
    return total.copy_(torch.addcmul(total.double(), a.double(), b.double()))


def linear_taps(source: int, target: int, ratio: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each target index: the two source indices (target,) int64 and the weight of the second (target,) float32."""
    position = (torch.arange(target, dtype=torch.float64) + 0.5) * ratio - 0.5
    low = position.floor()
    weight = (position - low).float()
    weight[(low < 0) | (low >= source - 1)] = 0
    low = low.long().clamp_(0, source - 1)
    return low, (low + 1).clamp_(max=source - 1), weight


def gradients(planes: torch.Tensor) -> torch.Tensor:
    """Central differences divided by 2, indices clamped: float32 (N, H, W) -> (2, N, H, W), x then y."""
    padded = F.pad(planes[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    x = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    y = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    return torch.stack((x, y)).mul_(0.5)


@lru_cache(maxsize=4)
def cubic_weights(device: torch.device) -> torch.Tensor:
    """Weights of the 4 x 4 taps for each sub-pixel position (y * 32 + x): float32 (16, 1024), rows of taps first."""
    x = torch.arange(SUBPIXELS, dtype=torch.float32) / SUBPIXELS
    first, second, third = _outer_tap(x + 1), _inner_tap(x), _inner_tap(1 - x)
    taps = torch.stack((first, second, third, 1 - first - second - third))  # (4, 32)
    return (taps[:, None, :, None] * taps[None, :, None, :]).reshape(16, SUBPIXELS**2).to(device)


def _inner_tap(t: torch.Tensor) -> torch.Tensor:
    return ((CUBIC_A + 2) * t - (CUBIC_A + 3)) * t * t + 1


def _outer_tap(t: torch.Tensor) -> torch.Tensor:
    return ((CUBIC_A * t - 5 * CUBIC_A) * t + 8 * CUBIC_A) * t - 4 * CUBIC_A


def sample_cubic(images: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Images at positions, by bicubic convolution (A = -0.75), zeros outside: float32 (C, B, H, W) -> (C, B, H, W).

    ``x``, ``y``: float32 (B, H, W), pixels; rounded to 1/32, halves to even.
    """
    channels, batch, height, width = images.shape
    table = F.pad(images, (MARGIN,) * 4).view(-1)
    index = torch.int32 if table.numel() < 2**31 else torch.int64
    # beyond these all 16 taps are zeros, so clamping there changes nothing
    x = (x.clamp(1 - MARGIN, width + 1) * SUBPIXELS).round_().to(index)
    y = (y.clamp(1 - MARGIN, height + 1) * SUBPIXELS).round_().to(index)
    fraction = ((y & SUBPIXELS - 1) << SUBPIXEL_BITS) + (x & SUBPIXELS - 1)
    x, y = x >> SUBPIXEL_BITS, y >> SUBPIXEL_BITS
    stride = width + 2 * MARGIN
    image = torch.arange(channels * batch, dtype=index, device=images.device).view(channels, batch, 1, 1) * (
        height + 2 * MARGIN
    )
    corner = ((image + y + MARGIN - 1) * stride + (x + MARGIN - 1)).view(channels, -1)
    near_border = (x < 1) | (x >= width - 2) | (y < 1) | (y >= height - 2)
    warped = _sum_inside(table, corner, fraction.view(-1), stride)
    border = near_border.view(-1).nonzero()[:, 0]
    warped[:, border] = _sum_in_order(table, corner[:, border], fraction.view(-1)[border], stride)
    return warped.view(images.shape)


def _sum_inside(table: torch.Tensor, corner: torch.Tensor, fraction: torch.Tensor, stride: int) -> torch.Tensor:
    """Weighted sum of 4 x 4 taps from each ``corner`` (C, n) of ``table``: columns downwards, then (0 + 2) + (1 + 3).

    The order and the fused multiply-adds of the columns are OpenCV's, because the scheme amplifies rounding errors.
    """
    columns = []
    for column in range(4):
        pixels, weight = _tap(table, corner, fraction, stride, column)
        total = pixels.mul_(weight)
        for row in range(1, 4):
            _add_product(total, *_tap(table, corner, fraction, stride, 4 * row + column))
        columns.append(total)
    return (columns[0].add_(columns[2])).add_(columns[1].add_(columns[3]))


def _sum_in_order(table: torch.Tensor, corner: torch.Tensor, fraction: torch.Tensor, stride: int) -> torch.Tensor:
    """The same sum, tap by tap, without fused multiply-adds, as in OpenCV if a tap may miss the image."""
    total = torch.zeros(corner.shape, device=table.device)
    for tap in range(16):
        pixels, weight = _tap(table, corner, fraction, stride, tap)
        total += pixels.mul_(weight)
    return total


def _tap(
    table: torch.Tensor, corner: torch.Tensor, fraction: torch.Tensor, stride: int, tap: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels (C, n) and weights (n,) of one of the 16 taps."""
    pixels = table[tap // 4 * stride + tap % 4 :].index_select(0, corner.reshape(-1)).view(corner.shape)
    return pixels, cubic_weights(table.device)[tap].index_select(0, fraction)


def median_filter(planes: torch.Tensor, size: int) -> torch.Tensor:
    """Median of size x size windows, borders clamped: float32 (N, H, W) -> (N, H, W); ``size`` 3 or 5.

    Uses cv2.medianBlur on the CPU, else ``median_network``; equal to the last bit, since a median only selects.
    """
    if planes.device.type != "cpu":
        return median_network(planes, size)
    return torch.from_numpy(np.stack([cv2.medianBlur(plane, size) for plane in planes.contiguous().numpy()]))


def median_network(planes: torch.Tensor, size: int) -> torch.Tensor:
    """``median_filter`` in PyTorch on any device: drops the extremes of half the window + 1, never the median."""
    radius, (_, height, width) = size // 2, planes.shape
    padded = F.pad(planes[:, None], (radius,) * 4, mode="replicate")[:, 0]
    window = [padded[:, i : i + height, j : j + width] for i in range(size) for j in range(size)]
    enough = size * size // 2 + 2
    kept, waiting = window[:enough], window[enough:]
    while len(kept) > 1:
        kept = _drop_extremes(kept) + waiting[:1]
        waiting = waiting[1:]
    return kept[0].contiguous()


def _drop_extremes(planes: list[torch.Tensor]) -> list[torch.Tensor]:
    """The same values at each pixel, in any order, without their minimum and their maximum."""
    half, last = len(planes) // 2, len(planes) - 1
    planes = list(planes)
    pairs = [(i, last - i) for i in range(half)]  # then the minimum is in the lower half, the maximum in the upper
    pairs += [(0, i) for i in range(1, last - half + 1)] + [(i, last) for i in range(half, last)]
    for i, j in pairs:
        planes[i], planes[j] = torch.minimum(planes[i], planes[j]), torch.maximum(planes[i], planes[j])
    return planes[1:-1]
