"""Buffers and launches of the Triton kernels of preset ``opencv-cpu`` for frames of one size."""

import threading
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pytsn.flow.tvl1 import cpu_image_kernels as images
from pytsn.flow.tvl1 import cpu_kernels as kernels
from pytsn.flow.tvl1.cpu_resampling import cubic_weights, gradients, linear_taps
from pytsn.flow.tvl1.cpu_solver import OptflowOptions, level_sizes
from pytsn.flow.tvl1.gpu_launch import captured, options, until_all_stop
from pytsn.flow.tvl1.gpu_tiles import Tile, power_of_two

#: launches in a row without synchronising with the host, and in one CUDA graph
CHUNK = 6
_PIXELS_A_PROGRAM = 256
#: programs a pair that look whether its median is due
_MEDIAN_PROGRAMS = 32
#: floats per pixel: two sides of flow and dual fields, the median, the data term
_FIELDS, _SMOOTH, _TERM = 12, 2, 3


class OptflowWorkspace:
    """Solves up to ``capacity`` pairs of H x W pixels on one device; memory is allocated once.

    Not thread-safe: threads must take ``lock``. Median filtering is 5 x 5.
    """

    def __init__(
        self, device: torch.device, size: tuple[int, int], capacity: int, own: OptflowOptions, tile: Tile
    ) -> None:
        assert own.median_filtering == 5
        self.capacity, self.options, self.tile, self.lock = capacity, own, tile, threading.Lock()
        pixels = capacity * size[0] * size[1]
        self._parts = [torch.empty(n * pixels, device=device) for n in (_FIELDS, _SMOOTH, _TERM, 1)]
        self.sizes = level_sizes(*size, own)
        self.levels = [_Level(level, self) for level in self.sizes]

    def buffers(self, height: int, width: int) -> list[Tensor]:
        """``fields``, ``smooth``, ``term`` and ``squares`` of a level as in cpu_kernels; levels share the memory."""
        size = (self.capacity, height, width)
        shapes = ((2, size[0], 6, *size[1:]), (size[0], _SMOOTH, *size[1:]), (size[0], _TERM, *size[1:]), size)
        return [part[: int(np.prod(shape))].view(shape) for part, shape in zip(self._parts, shapes, strict=True)]

    def solve(self, gray0: Tensor, gray1: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (B, H, W) twice, B at most ``capacity`` -> flow, float32 (B, H, W, 2), pixels, x then y; iterations,
        int32 (B, levels, warps), coarse to fine."""
        pyramid = [torch.stack((gray0, gray1)).float()]  # (2, B, H, W)
        for size in self.sizes[1:]:
            pyramid.append(resized(pyramid[-1], size, (1 / self.options.scale_step,) * 2))
        flow: Tensor | None = None
        counts = []
        for level, (image0, image1) in zip(reversed(self.levels), reversed(pyramid), strict=True):
            if flow is not None:
                ratios = [1 / (new / old) for new, old in zip(level.size, flow.shape[2:], strict=True)]
                flow = resized(flow, level.size, (ratios[0], ratios[1])).mul_(1 / self.options.scale_step)
            flow, count = level.solve(image0, image1, flow)
            counts.append(count)
        assert flow is not None  # there is at least one level
        return flow.permute(0, 2, 3, 1).contiguous(), torch.stack(counts, 1)


class _Level:
    def __init__(self, size: tuple[int, int], workspace: OptflowWorkspace) -> None:
        self.size, self.tile, self.options, self.capacity = size, workspace.tile, workspace.options, workspace.capacity
        self.fields, self.smooth, self.term, self.squares = workspace.buffers(*size)
        down, self.across = self.tile.grid(*size)
        self.tiles, device = down * self.across, self.fields.device
        self.state = torch.zeros(self.capacity, 4, dtype=torch.int32, device=device)
        self.partial = torch.zeros(self.capacity, self.tiles, self.tile.steps, dtype=torch.float64, device=device)
        self.enough = torch.tensor([self.options.epsilon**2 * size[0] * size[1]], device=device)
        self.limit = self.options.inner_iterations * self.options.outer_iterations
        self._chunk: Callable[[], object] | None = None

    def solve(self, image0: Tensor, image1: Tensor, flow: Tensor | None) -> tuple[Tensor, Tensor]:
        """Grey levels, float32 (B, h, w); flow (B, 2, h, w) to start from, None for 0 -> flow, int32 (B, warps)."""
        pairs, layers1 = len(image0), torch.stack((image1, *gradients(image1)), 1)  # (B, 3, h, w)
        self.fields[0, :pairs].zero_()
        if flow is not None:
            self.fields[0, :pairs, :2].copy_(flow)
        self.state.zero_()  # all inactive on side 0
        counts = []
        for _ in range(self.options.warpings_number):
            self.linearise(image0.contiguous(), layers1)
            if self._chunk is None:
                self._chunk = captured(self._launch_chunk, self.fields.device)
            until_all_stop(self._chunk, self.state)
            counts.append(self.state[:pairs, 0].clone())
        sides, places = self.state[:pairs, 2].long(), torch.arange(pairs, device=image0.device)
        return self.fields[sides, places, :2], torch.stack(counts, 1)

    def linearise(self, image0: Tensor, layers1: Tensor) -> None:
        blocks = -(-self.size[0] * self.size[1] // _PIXELS_A_PROGRAM)
        images.linearise[(blocks, len(image0))](
            *(self.fields, self.term, self.state, image0, layers1, cubic_weights(image0.device)),
            *(*self.size, self.capacity, self.limit),
            BLOCK=_PIXELS_A_PROGRAM,
            **options(8),
        )

    def _launch_chunk(self) -> None:
        for _ in range(CHUNK):
            self.smoothe()
            self.advance()
            self.decide()

    def smoothe(self) -> None:
        images.smoothed[(_MEDIAN_PROGRAMS, self.capacity)](
            *(self.fields, self.smooth, self.state, *self.size, self.capacity, self.options.inner_iterations),
            BLOCK=_PIXELS_A_PROGRAM,
            **options(4),
        )

    def advance(self) -> None:
        own, tile = self.options, self.tile
        kernels.advance[(self.tiles, self.capacity)](
            *(self.fields, self.smooth, self.term, self.state, self.partial, self.squares, *self.size),
            *(self.capacity, self.across, self.tiles, own.inner_iterations),
            *(own.theta, own.lambda_ * own.theta, own.tau / own.theta),
            ROWS=tile.rows,
            COLUMNS=tile.columns,
            STEPS=tile.steps,
            **options(tile.warps),
        )

    def decide(self) -> None:
        kernels.decide[(self.capacity,)](
            *(self.state, self.partial, self.squares, self.enough, *self.size),
            *(self.tiles, self.options.inner_iterations, self.limit),
            STEPS=self.tile.steps,
            TILES=power_of_two(self.tiles),
            **options(4),
        )


def resized(planes: Tensor, size: tuple[int, int], ratios: tuple[float, float]) -> Tensor:
    """cpu_resampling.resize_linear by the kernel: float32 (..., H, W) -> (..., *size)."""
    planes = planes.contiguous()
    taken, weights = [], []
    for axis in (0, 1):
        low, high, weight = linear_taps(planes.shape[axis - 2], size[axis], ratios[axis])
        taken.append(torch.stack((low, high)).int().to(planes.device))
        weights.append(weight.to(planes.device))
    out = planes.new_empty(*planes.shape[:-2], *size)
    grid = (-(-size[0] * size[1] // _PIXELS_A_PROGRAM), planes[..., 0, 0].numel())
    images.resize[grid](
        *(planes, out, taken[0], weights[0], taken[1], weights[1], *planes.shape[-2:], *size),
        BLOCK=_PIXELS_A_PROGRAM,
        **options(4),
    )
    return out
