"""Buffers and launches of the Triton kernels for frames of one size, with the loop on the device.

The kernels evaluate every pair's stopping rule and skip stopped pairs; the host only asks now and then whether any pair
is left.
"""

import threading
from collections.abc import Callable

import torch
from torch import Tensor

from pytsn.flow.tvl1 import gpu_kernels as kernels
from pytsn.flow.tvl1.gpu_launch import captured, options, until_all_stop
from pytsn.flow.tvl1.gpu_pyramid import level_sizes
from pytsn.flow.tvl1.gpu_solver import next_check
from pytsn.flow.tvl1.gpu_tiles import Tile, power_of_two, whole_level
from pytsn.flow.tvl1.gpu_warp_kernel import linearise
from pytsn.flow.tvl1.presets import Preset

#: launches in a row without synchronising with the host, and in one CUDA graph
CHUNK = 4
_PIXELS_A_PROGRAM = 256
#: floats per pixel: two sides of flow and dual fields, and the data term
_FIELDS, _TERM = 12, 4


class Workspace:
    """Solves the levels of up to ``capacity`` pairs of H x W pixels on one device; memory is allocated once.

    ``tile`` is for levels larger than one program; ``whole=False`` uses it for small levels too. Not thread-safe:
    threads must take ``lock``.
    """

    def __init__(
        self,
        device: torch.device,
        size: tuple[int, int],
        capacity: int,
        preset: Preset,
        tile: Tile,
        whole: bool = True,
    ) -> None:
        self.capacity, self.preset, self.lock = capacity, preset, threading.Lock()
        pixels = capacity * size[0] * size[1]
        self._fields, self._term = (torch.empty(n * pixels, device=device) for n in (_FIELDS, _TERM))
        self._levels = {
            level: _Level(level, self, (whole_level(*level) if whole else None) or tile)
            for level in level_sizes(*size, preset)
        }

    def buffers(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """``fields`` (2, capacity, 6, h, w) and ``term`` (capacity, 4, h, w) of a level; levels share the memory."""
        pixels = self.capacity * height * width
        fields = self._fields[: _FIELDS * pixels].view(2, self.capacity, 6, height, width)
        return fields, self._term[: _TERM * pixels].view(self.capacity, 4, height, width)

    def solve_level(self, image0: Tensor, layers1: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """image0 (B, h, w), layers1 (B, 3, h, w), flow (B, 2, h, w) at the start -> flow, int32 iterations (B, warps).

        All warps of one level; B is at most ``capacity``. Float32 on the workspace's device.
        """
        height, width = image0.shape[1:]
        return self._levels[height, width].solve(image0.contiguous(), layers1.contiguous(), flow)


class _Level:
    def __init__(self, size: tuple[int, int], workspace: Workspace, tile: Tile) -> None:
        self.size, self.tile, self.preset, self.capacity = size, tile, workspace.preset, workspace.capacity
        self.fields, self.term = workspace.buffers(*size)
        self.down, self.across = tile.grid(*size)
        self.tiles = self.down * self.across
        device, stop = self.fields.device, self.preset.stopping_error(*size)
        self.state = torch.zeros(self.capacity, 4, dtype=torch.int32, device=device)
        self.partial = torch.zeros(self.capacity, self.tiles, dtype=torch.float64, device=device)
        self.stop = torch.tensor([stop], dtype=torch.float64, device=device)
        self.first = min(next_check(0, 0.0, stop, self.preset.max_iterations) + 1, self.preset.max_iterations)
        self._chunk: Callable[[], object] | None = None

    def solve(self, image0: Tensor, layers1: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        pairs = len(flow)
        self.fields[0, :pairs, :2].copy_(flow)
        self.fields[0, :pairs, 2:].zero_()  # the dual fields are kept across warps
        self.state.zero_()  # all inactive on side 0
        counts = []
        for _ in range(self.preset.warps):
            self._linearise(image0, layers1)
            if self.tile.steps:
                self._iterate()
            else:
                self._advance(pairs)
            counts.append(self.state[:pairs, 0].clone())
        sides, places = self.state[:pairs, 2].long(), torch.arange(pairs, device=flow.device)
        return self.fields[sides, places, :2], torch.stack(counts, 1)

    def _iterate(self) -> None:
        """Iterates until every pair has stopped."""
        if self._chunk is None:
            self._chunk = captured(self._launch_chunk, self.fields.device)
        until_all_stop(self._chunk, self.state)

    def _launch_chunk(self) -> None:
        for _ in range(CHUNK):
            self._advance(self.capacity)
            self._decide()

    def _linearise(self, image0: Tensor, layers1: Tensor) -> None:
        blocks = -(-self.size[0] * self.size[1] // _PIXELS_A_PROGRAM)
        linearise[(blocks, len(image0))](
            *(self.fields, self.term, self.state, image0, layers1, *self.size, self.capacity, self.first),
            BLOCK=_PIXELS_A_PROGRAM,
            **options(8),
        )

    def _advance(self, pairs: int) -> None:
        preset, tile = self.preset, self.tile
        kernels.advance[(self.tiles, pairs)](
            *(self.fields, self.term, self.state, self.partial, self.stop, *self.size),
            *(self.capacity, self.across, self.tiles, preset.max_iterations),
            *(preset.theta, preset.lam * preset.theta, preset.tau / preset.theta),
            ROWS=tile.rows,
            COLUMNS=tile.columns,
            STEPS=tile.steps,
            **options(tile.warps),
        )

    def _decide(self) -> None:
        kernels.decide[(self.capacity,)](
            *(self.state, self.partial, self.stop, self.tiles, self.preset.max_iterations),
            STEPS=self.tile.steps,
            TILES=power_of_two(self.tiles),
            **options(1),
        )
