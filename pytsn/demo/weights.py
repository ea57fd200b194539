"""The first filters of the demo's rgb net: edge filters in sixteen directions that ignore colour.

Real rgb nets start from ImageNet. Trained from scratch on a few hundred videos in random colours, a net memorises the
colours of its training videos (measured: the shape is right in 25 % of the test videos, which is chance).
"""

from pathlib import Path

import numpy as np
import torch

from converter.net import load_net
from converter.weights import save_caffemodel

_GREY = (0.114, 0.587, 0.299)  # of B, G, R: ITU-R BT.601, OpenCV's weights


def edge_filters(count: int, size: int, sigma: float = 1.0) -> np.ndarray:
    """(count, 3, size, size) float32: derivatives of a Gaussian along ``count`` directions around the circle, applied
    to the grey value of B, G, R. Each filter sums to 0: a uniform colour gives no response."""
    place = np.arange(size) - (size - 1) / 2
    angle = 2 * np.pi * np.arange(count)[:, None, None] / count
    along = np.cos(angle) * place[None, None, :] + np.sin(angle) * place[None, :, None]  # (count, size, size)
    bell = np.exp(-(place[:, None] ** 2 + place[None, :] ** 2) / (2 * sigma**2))
    return (along * bell / bell.sum())[:, None].astype(np.float32) * np.array(_GREY, np.float32)[None, :, None, None]


def write_start(caffemodel: Path, deploy: Path, seed: int) -> None:
    """Writes a caffemodel to start training from: edge filters in conv1, all other weights from the fillers."""
    net = load_net(deploy, generator=torch.Generator().manual_seed(seed))
    weight = net.get_parameter("conv1.weight")
    count, _, size, _ = weight.shape
    with torch.no_grad():
        weight.copy_(torch.from_numpy(edge_filters(count, size)))
    save_caffemodel(caffemodel, net)
