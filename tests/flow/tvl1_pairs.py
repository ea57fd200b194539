"""Pairs of grey frames with known or no motion, for the flow tests, and how far flow may be from what is recorded."""

import numpy as np
import torch

#: preset -> its name in the recording, mean endpoint error allowed after quantisation (pixels)
RECORDED = {
    "opencv2.4-cuda": ("opencv24_cuda", 0.03),
    "opencv2.4.9-cuda": ("opencv249_cuda", 0.03),
    "opencv3-cuda": ("opencv3_cuda", 0.05),
}


def texture(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """A sum of 24 plane waves 12 to 40 pixels long, as grey levels; defined everywhere, so it moves exactly."""
    random = np.random.default_rng(seed)
    total = np.zeros(x.shape)
    for _ in range(24):
        angle, phase = random.uniform(0, 2 * np.pi, 2)
        wave = 2 * np.pi / random.uniform(12, 40)
        total += np.cos(wave * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return np.clip(np.rint(128 + 11 * total), 0, 255).astype(np.uint8)


def moved_texture(height: int, width: int, shift: tuple[float, float], seed: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:height, :width].astype(float)
    return texture(x, y, seed), texture(x - shift[0], y - shift[1], seed)


def mixed_batch(height: int = 37, width: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Five pairs that stop at quite different iterations: still, slow, fast, unrelated, without any texture."""
    shifts = [(0, 0), (0.3, 0.1), (2.5, -1.5)]
    pairs = [moved_texture(height, width, shift, seed) for seed, shift in enumerate(shifts)]
    pairs.append((moved_texture(height, width, (0, 0), 7)[0], moved_texture(height, width, (0, 0), 8)[0]))
    pairs.append((np.full((height, width), 90, np.uint8), np.full((height, width), 200, np.uint8)))
    return tuple(np.stack(side) for side in zip(*pairs, strict=True))


def tensors(pair) -> list[torch.Tensor]:
    return [torch.from_numpy(side) for side in pair]


def endpoint_error(flow: np.ndarray, truth) -> np.ndarray:
    """Pixels, (..., H, W), of flows (..., H, W, 2)."""
    return np.linalg.norm(flow - np.asarray(truth, np.float32), axis=-1)
