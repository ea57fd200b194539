"""Checks once, on a small problem, whether the Triton kernels work on a GPU, and manages their workspaces.

Triton comes with PyTorch's CUDA builds for Linux. If it is missing, cannot compile, or computes another flow than
PyTorch's operations, those are used instead, with one warning.
"""

import math
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from torch import Tensor

from pytsn.flow.tvl1.gpu_solver import solve_batch
from pytsn.flow.tvl1.gpu_tiles import TILES, Tile
from pytsn.flow.tvl1.presets import DEFAULT_PRESET, PRESETS, Preset

if TYPE_CHECKING:
    from pytsn.flow.tvl1.gpu_workspace import Workspace

Difference = Callable[[torch.device, Tile], float]
Seconds = Callable[[torch.device, Tile], float]


class Kept(Protocol):
    """A workspace, as far as keeping goes."""

    capacity: int


Space = TypeVar("Space", bound=Kept)

#: maximum difference in pixels between the two versions on the small problem; different rounding gives about 0.001
TOLERANCE = 0.01
#: levels of two or more tiles and one of a single tile
_SMALL = (40, 75)
TIMED_PAIRS, TIMED_SIZE = 16, (256, 340)
_TIMED_ITERATIONS, _ROUNDS = 48, 3
#: number of frame sizes whose workspaces are kept; each holds 64 bytes (opencv-cpu: 72) per pixel and pair
_KEPT = 2

_workspaces: OrderedDict[tuple, Kept] = OrderedDict()
_lock = threading.Lock()


def solve_on_gpu(gray0: Tensor, gray1: Tensor, preset: Preset) -> tuple[Tensor, list[list[list[int]]]]:
    """gpu_solver.solve_batch with the Triton kernels if they work, else with PyTorch's operations."""
    with torch.cuda.device(gray0.device):
        tile = chosen_tile(gray0.device)
        if tile is None:
            return solve_batch(gray0, gray1, preset)
        workspace = find_workspace(gray0, preset, tile)
        with workspace.lock:
            return solve_batch(gray0, gray1, preset, workspace.solve_level)


def find_workspace(gray: Tensor, preset: Preset, tile: Tile) -> "Workspace":
    """A workspace for frames like ``gray`` (B, H, W)."""
    from pytsn.flow.tvl1.gpu_workspace import Workspace

    size = (gray.shape[1], gray.shape[2])
    return kept_workspace(gray, (preset, tile), lambda pairs: Workspace(gray.device, size, pairs, preset, tile))


def kept_workspace(gray: Tensor, what: Hashable, make: Callable[[int], Space]) -> Space:
    """``make(B)`` for frames like ``gray`` (B, H, W), kept for the next call; it grows with B and never shrinks."""
    pairs, height, width = gray.shape
    key = (gray.device, height, width, what)
    with _lock:
        if key not in _workspaces or _workspaces[key].capacity < pairs:
            _workspaces.pop(key, None)  # frees its memory first
            while len(_workspaces) >= _KEPT:
                _workspaces.popitem(last=False)
            with torch.inference_mode(False):  # otherwise later calls could not write into its buffers
                _workspaces[key] = make(pairs)
        _workspaces.move_to_end(key)
        return _workspaces[key]  # type: ignore[return-value]  # what ``make`` made


@lru_cache(maxsize=16)
def chosen_tile(device: torch.device) -> Tile | None:
    """The fastest tile on this device; None, with a warning, if the kernels do not work."""
    return pick_tile(device, TILES, difference, _seconds)


def pick_tile(device: torch.device, tiles: tuple[Tile, ...], difference: Difference, seconds: Seconds) -> Tile | None:
    """The tile with the least ``seconds``; None, with a warning, if ``difference`` from PyTorch's flow is large, or if
    anything fails."""
    try:
        off = difference(device, tiles[0])
        if not off <= TOLERANCE:
            raise ArithmeticError(f"a flow {off:.2g} px from PyTorch's")
        return min(tiles, key=lambda tile: seconds(device, tile))
    except Exception as error:  # no Triton, no compiler, an unknown card or version: each raises another type
        reason = (str(error).splitlines() or [""])[0]
        text = f"flow: no Triton kernels here ({type(error).__name__}: {reason}); PyTorch's operations serve"
        warnings.warn(text, stacklevel=2)
        return None


def difference(device: torch.device, tile: Tile) -> float:
    """The largest difference, pixels in x or y, between the kernels' and PyTorch's flows of two small pairs."""
    from pytsn.flow.tvl1.gpu_workspace import Workspace

    preset = replace(PRESETS[DEFAULT_PRESET], warps=2, max_iterations=30)
    gray0, gray1 = (gray.to(device) for gray in small_pairs())
    workspace = Workspace(device, _SMALL, len(gray0), preset, tile)
    own = solve_batch(gray0, gray1, preset, workspace.solve_level)[0]
    return (own - solve_batch(gray0, gray1, preset)[0]).abs().max().item()


def small_pairs() -> tuple[Tensor, Tensor]:
    """Two pairs of the small problem, uint8 (2, 40, 75) each."""
    still = _waves(0.0, 0.0)
    return torch.stack((still, still)), torch.stack((_waves(0.8, -0.6), _waves(0.1, 0.0)))


def shortest(work: Callable[[], object]) -> float:
    """The shortest time of a few calls that end when the GPU is done; the first, which compiles, is not counted."""
    times = []
    for _ in range(1 + _ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _waves(right: float, down: float) -> Tensor:
    """A pattern moved by that many pixels, uint8 ``_SMALL``."""
    y, x = (torch.arange(side, dtype=torch.float64) for side in _SMALL)
    y, x = (y - down)[:, None], x - right
    waves = [torch.sin((math.cos(k) * x + math.sin(k) * y) / (2 + k) + k) for k in range(8)]
    return (128 + 30 * torch.stack(waves).sum(0)).clamp(0, 255).round().to(torch.uint8)


def _seconds(device: torch.device, tile: Tile) -> float:
    """The shortest time of a fixed number of iterations of one large level."""
    from pytsn.flow.tvl1.gpu_workspace import Workspace

    preset = replace(PRESETS[DEFAULT_PRESET], levels=1, warps=1, epsilon=0.0, max_iterations=_TIMED_ITERATIONS)
    gray = torch.zeros(TIMED_PAIRS, *TIMED_SIZE, dtype=torch.uint8, device=device)
    workspace = Workspace(device, TIMED_SIZE, TIMED_PAIRS, preset, tile)
    return shortest(lambda: solve_batch(gray, gray, preset, workspace.solve_level))  # ends by reading the counts
