"""Image pyramids of the GPU TV-L1: level sizes, pyrDown, bilinear resizing, and upsampling of the flow."""

import torch
from torch import Tensor

from pytsn.flow.tvl1.presets import Preset

#: pyrDown's blur: the binomial kernel in each direction
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def level_sizes(height: int, width: int, preset: Preset) -> list[tuple[int, int]]:
    """(height, width) of every level, finest first.

    Level 0 always exists, however small the frame. The first coarser level with a side under ``preset.min_side`` ends
    the pyramid and is left out.
    """
    sizes = [(height, width)]
    while len(sizes) < preset.levels:
        rows, columns = (coarser_side(side, preset) for side in sizes[-1])
        if min(rows, columns) < preset.min_side:
            break
        sizes.append((rows, columns))
    return sizes


def coarser_side(side: int, preset: Preset) -> int:
    """A side one level up: (n + 1) // 2 for pyrDown, else n times the scale, halves to the even number."""
    return (side + 1) // 2 if preset.pyramid == "pyrdown" else round(preset.scale * side)


def build_pyramid(images: Tensor, preset: Preset) -> list[Tensor]:
    """Float32 (B, H, W) -> its levels, finest first, each float32 (B, h, w) in the same units."""
    levels = [images]
    for size in level_sizes(images.shape[1], images.shape[2], preset)[1:]:
        levels.append(pyr_down(levels[-1]) if preset.pyramid == "pyrdown" else shrink(levels[-1], size, preset.scale))
    return levels


def pyr_down(images: Tensor) -> Tensor:
    """Blur and halve: float32 (B, H, W), sides of 3 or more -> (B, (H + 1) // 2, (W + 1) // 2).

    Centred on the even pixels; the border is mirrored without repeating the edge pixel (reflect-101).
    """
    return _halve(_halve(images, 2), 1)


def _halve(images: Tensor, dim: int) -> Tensor:
    side = images.shape[dim]
    taps = [_mirrored(torch.arange(0, side, 2, device=images.device) + shift, side) for shift in range(-2, 3)]
    parts = (weight * images.index_select(dim, tap) for weight, tap in zip(BINOMIAL, taps, strict=True))
    return sum(parts)  # type: ignore[return-value]  # the int 0 only without taps


def _mirrored(index: Tensor, side: int) -> Tensor:
    index = index.abs()
    return torch.where(index < side, index, 2 * (side - 1) - index)


def shrink(images: Tensor, size: tuple[int, int], scale: float) -> Tensor:
    """Bilinear (B, H, W) -> (B, *size), read at dst / scale whatever ``size`` was rounded to; no blur (OpenCV 3)."""
    step = 1.0 / scale
    return bilinear(images, _grid(size[0], step, 0.0, images), _grid(size[1], step, 0.0, images))


def enlarge_flow(flow: Tensor, size: tuple[int, int], preset: Preset) -> Tensor:
    """Flow (B, 2, h, w) in the coarse level's pixels -> (B, 2, *size) in the finer level's.

    The step between two reads is 1 / (dst / src), the ratio of the actual sizes; values are multiplied by 1 / scale.
    """
    shift = 0.5 if preset.upsampling == "half-pixel" else 0.0
    rows, columns = (_grid(dst, 1.0 / (dst / src), shift, flow) for dst, src in zip(size, flow.shape[2:], strict=True))
    return bilinear(flow, rows, columns) * (1.0 / preset.scale)


def _grid(count: int, step: float, shift: float, like: Tensor) -> Tensor:
    """Source positions (dst + shift) step - shift of dst = 0..count-1, in the image's own precision."""
    return (torch.arange(count, device=like.device, dtype=like.dtype) + shift) * step - shift


def bilinear(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images (..., H, W) read at every (row, column) of a grid -> (..., len(rows), len(columns)).

    Positions in pixels; neighbours outside the image are its edge pixels.
    """
    return _lerp(_lerp(images, columns, -1), rows, -2)


def _lerp(images: Tensor, positions: Tensor, dim: int) -> Tensor:
    low = positions.floor()
    index, last = low.long(), images.shape[dim] - 1
    before, after = (images.index_select(dim, (index + k).clamp(0, last)) for k in (0, 1))
    weight = (positions - low).view(-1, 1) if dim == -2 else positions - low
    return before * (1 - weight) + after * weight
