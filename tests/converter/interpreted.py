"""What the tf32x3 kernel computes: call this in a process of tests/interpreter.py."""

import numpy as np
import torch

from converter.tf32x3 import Tile, convolution, split


def convolved(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, window: tuple[int, ...], slope: float | None, tile: Tile
) -> np.ndarray:
    """x (N, H, W, C), weight (O, C, h, w), bias (O,); window: kernel, stride, padding -> (N, O, H', W')."""
    parts = split(torch.from_numpy(weight).permute(0, 2, 3, 1).flatten(1))
    offset = None if bias is None else torch.from_numpy(bias)
    found = convolution(torch.from_numpy(x).permute(0, 3, 1, 2), parts, offset, window, slope, tile)
    assert found.is_contiguous(memory_format=torch.channels_last)
    return found.numpy()
