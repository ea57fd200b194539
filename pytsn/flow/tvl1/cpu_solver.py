"""Preset ``opencv-cpu``: the scheme of OpenCV's CPU DualTVL1 (contrib module optflow, 3.x and 4.x), batched in PyTorch.

Facts from opencv_contrib, modules/optflow (tvl1flow) and OpenCV 4.x's imgproc; its parameters are the defaults there.
Levels: each 0.8 of the one before by bilinear resizing, from grey levels 0..255; a level with a side under 16 is
dropped and ends the pyramid. At each level the dual fields start at 0; at each warp I1 and its gradients are sampled at
the flow; then up to 10 rounds of: median of the flow, up to 30 iterations. A warp ends once an iteration's sum of
squared changes is at most epsilon^2 * rows * columns, both in float32. OpenCV 5.0 warps without rounding to 1/32 pixel
and differs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from converter.errors import PytsnError
from pytsn.flow.tvl1.cpu_iterations import DualIterations
from pytsn.flow.tvl1.cpu_resampling import gradients, median_filter, resize_linear, sample_cubic

SMALLEST_LEVEL = 16  # pixels, either side, below the first level
SMALLEST_FRAME = 3
MEDIANS = (1, 3, 5)  # 1: none
CHECK_EVERY = 8  # iterations between two checks whether any pair of a batch is still active; a check stalls a GPU


@dataclass(frozen=True)
class OptflowOptions:
    """DualTVL1's parameters, named like OpenCV's setters, with OpenCV's defaults."""

    tau: float = 0.25
    lambda_: float = 0.15
    theta: float = 0.3
    scales_number: int = 5
    warpings_number: int = 5
    epsilon: float = 0.01
    inner_iterations: int = 30
    outer_iterations: int = 10
    scale_step: float = 0.8
    median_filtering: int = 5


def solve(
    gray0: torch.Tensor, gray1: torch.Tensor, device: str | torch.device, options: OptflowOptions | None = None
) -> torch.Tensor:
    """Flow from ``gray0`` to ``gray1``, uint8 (B, H, W) -> float32 (B, H, W, 2) on ``device``, pixels, x then y.

    Raises PytsnError if shapes differ, pixels are not uint8, a side is under 3 or an option is not supported.
    """
    return solve_counted(gray0, gray1, device, options)[0]


def solve_counted(
    gray0: torch.Tensor, gray1: torch.Tensor, device: str | torch.device, options: OptflowOptions | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Like ``solve``, and the iterations of each pair: int64 (B, levels, warps), coarse to fine, on the CPU.

    Solves pairs one by one on the CPU, where one pair's buffers just fit a core's cache; elsewhere all at once.
    """
    options = options or OptflowOptions()
    check_input(gray0, gray1, options)
    pairs = torch.stack((gray0, gray1)).to(device).float()  # (2, B, H, W)
    chunk = 1 if pairs.device.type == "cpu" else max(1, pairs.shape[1])
    solver = None
    flows, counts = [], []
    with torch.inference_mode():
        for part in pairs.split(chunk, dim=1):
            if solver is None:
                solver = Pyramid(tuple(part.shape[1:]), options, pairs.device)
            flow, count = solver.solve(part)
            flows.append(flow.clone())
            counts.append(count)
    if not flows:
        return gray0.new_zeros((*gray0.shape, 2), dtype=torch.float32), torch.zeros(0, 0, 0, dtype=torch.int64)
    return torch.cat(flows, 1).permute(1, 2, 3, 0).contiguous(), torch.cat(counts)  # (2, B, H, W) -> (B, H, W, 2)


def check_input(gray0: torch.Tensor, gray1: torch.Tensor, options: OptflowOptions) -> None:
    """Raises PytsnError for frames that the scheme cannot take and for unsupported options."""
    if gray0.shape != gray1.shape or gray0.dim() != 3:
        found = f"{tuple(gray0.shape)} and {tuple(gray1.shape)}"
        raise PytsnError(f"flow: frames of shapes {found}; give two batches of one shape (B, H, W)")
    if gray0.dtype != torch.uint8 or gray1.dtype != torch.uint8:
        raise PytsnError(f"flow: frames of type {gray0.dtype} and {gray1.dtype}; give grey levels as uint8")
    if min(gray0.shape[1:]) < SMALLEST_FRAME:
        height, width = gray0.shape[1:]
        raise PytsnError(f"flow: frames of {width}x{height} pixels; both sides must be at least {SMALLEST_FRAME}")
    if options.median_filtering not in MEDIANS:
        raise PytsnError(f"flow: median_filtering {options.median_filtering}; it must be 1 (none), 3 or 5")


def level_sizes(height: int, width: int, options: OptflowOptions) -> list[tuple[int, int]]:
    """(rows, columns) of each level, finest first."""
    sizes = [(height, width)]
    while len(sizes) < options.scales_number:
        rows, columns = (round(side * options.scale_step) for side in sizes[-1])  # halves to even, as cvRound
        if min(rows, columns) < SMALLEST_LEVEL:
            break
        sizes.append((rows, columns))
    return sizes


class Pyramid:
    """Solves batches of one shape (B, H, W); reuses buffers from batch to batch."""

    def __init__(self, shape: tuple[int, int, int], options: OptflowOptions, device: torch.device):
        self.options = options
        self.sizes = level_sizes(*shape[1:], options)
        bound = options.lambda_ * options.theta
        self.levels = [
            DualIterations((shape[0], *size), options.tau, options.theta, bound, device) for size in self.sizes
        ]

    def solve(self, pairs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Grey levels, float32 (2, B, H, W) -> flow, float32 (2, B, H, W), and iterations (B, levels, warps)."""
        counts = []
        flow = None
        for level, images in reversed(list(zip(self.levels, self._images(pairs), strict=True))):
            if flow is not None:
                flow = self._upsampled(flow, level.shape[1:])
            level.start_level(flow)
            counts.append(self._solve_level(level, *images))
            flow = level.planes()
        assert flow is not None  # there is at least one level
        return flow, torch.stack(counts, 1)

    def _images(self, pairs: torch.Tensor) -> Iterator[torch.Tensor]:
        """Both frames at each level, finest first: (2, B, rows, columns)."""
        yield pairs
        for size in self.sizes[1:]:
            ratios = (1 / self.options.scale_step,) * 2
            pairs = resize_linear(pairs.flatten(0, 1), size, ratios).view(*pairs.shape[:2], *size)
            yield pairs

    def _upsampled(self, flow: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Flow of one level for the next finer one: resized to its size, times 1 / scale step."""
        ratios = (1 / (size[0] / flow.shape[2]), 1 / (size[1] / flow.shape[3]))
        finer = resize_linear(flow.flatten(0, 1), size, ratios).view(*flow.shape[:2], *size)
        return finer.mul_(1 / self.options.scale_step)

    def _solve_level(self, level: DualIterations, image0: torch.Tensor, image1: torch.Tensor) -> torch.Tensor:
        """Runs all warps of a level. Returns the iterations of each, (B, warps)."""
        sampled = torch.cat((image1[None], gradients(image1)))  # (3, B, H, W): I1, its x and y derivatives
        rows, columns = (torch.arange(side, device=image0.device, dtype=torch.float32) for side in image0.shape[1:])
        counts = []
        for _ in range(self.options.warpings_number):
            x, y = level.planes()
            level.start_warp(image0, sample_cubic(sampled, columns + x, rows[:, None] + y))
            counts.append(self._iterate(level))
        return torch.stack(counts, 1)

    def _iterate(self, level: DualIterations) -> torch.Tensor:
        """Iterates one warp until every pair has converged. Returns the iterations of each, int64 (B,) on the CPU."""
        enough = np.float32(self.options.epsilon**2 * level.shape[1] * level.shape[2]).item()  # OpenCV compares float32
        return (self._iterate_one if level.shape[0] == 1 else self._iterate_all)(level, enough)

    def _iterate_one(self, level: DualIterations, enough: float) -> torch.Tensor:
        count = 0
        for _ in range(self.options.outer_iterations):
            self._smooth(level)
            for _ in range(self.options.inner_iterations):
                count += 1
                if level.iterate(near=enough).item() <= enough:
                    return torch.tensor([count])
        return torch.tensor([count])

    def _iterate_all(self, level: DualIterations, enough: float) -> torch.Tensor:
        """Discards what is computed for converged pairs, instead of waiting for a check in every iteration."""
        inner = self.options.inner_iterations
        active = torch.ones(level.shape[0], 1, dtype=torch.bool, device=level.one.device)
        counts = torch.zeros(level.shape[0], dtype=torch.int64, device=level.one.device)
        for done in range(inner * self.options.outer_iterations):
            if done % CHECK_EVERY == 0 and not active.any():
                break
            if done % inner == 0:
                self._smooth(level, active)
            counts += active[:, 0]
            active = active & (level.iterate(active) > enough)[:, None]
        return counts.cpu()

    def _smooth(self, level: DualIterations, active: torch.Tensor | None = None) -> None:
        """Median-filters the flow of all pairs, or of the ``active`` ones, bool (B, 1)."""
        if self.options.median_filtering == 1:
            return
        planes = level.planes()
        smooth = median_filter(planes.flatten(0, 1), self.options.median_filtering).view_as(planes)
        planes.copy_(smooth if active is None else torch.where(active[..., None], smooth, planes))
