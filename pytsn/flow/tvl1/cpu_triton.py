"""Checks once whether the Triton kernels of preset ``opencv-cpu`` work on a GPU, and solves with them."""

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytsn.flow.tvl1.cpu_solver import OptflowOptions, solve_counted
from pytsn.flow.tvl1.gpu_tiles import Tile
from pytsn.flow.tvl1.gpu_triton import TIMED_PAIRS, TIMED_SIZE, kept_workspace, pick_tile, shortest, small_pairs

if TYPE_CHECKING:
    from pytsn.flow.tvl1.cpu_workspace import OptflowWorkspace

#: candidates on a GPU; every step is a look whether to stop, and what was done after it is lost
TILES = (Tile(32, 64, 3, 16), Tile(32, 32, 2, 8), Tile(32, 64, 5, 16))
_OPTIONS = OptflowOptions()


def solve_on_gpu(gray0: Tensor, gray1: Tensor) -> tuple[Tensor, Tensor]:
    """cpu_solver.solve_counted on the frames' GPU: with the Triton kernels if they work, else as it stands."""
    with torch.cuda.device(gray0.device):
        tile = chosen_tile(gray0.device)
        if tile is None:
            return solve_counted(gray0, gray1, gray0.device)
        workspace = find_workspace(gray0, tile)
        with workspace.lock:
            return workspace.solve(gray0, gray1)


def find_workspace(gray: Tensor, tile: Tile) -> "OptflowWorkspace":
    """A workspace for frames like ``gray`` (B, H, W)."""
    from pytsn.flow.tvl1.cpu_workspace import OptflowWorkspace

    size = (gray.shape[1], gray.shape[2])
    return kept_workspace(
        gray, (_OPTIONS, tile), lambda pairs: OptflowWorkspace(gray.device, size, pairs, _OPTIONS, tile)
    )


@lru_cache(maxsize=16)
def chosen_tile(device: torch.device) -> Tile | None:
    """The fastest tile on this device; None, with a warning, if the kernels do not work."""
    return pick_tile(device, TILES, difference, _seconds)


def difference(device: torch.device, tile: Tile) -> float:
    """The largest difference, pixels in x or y, between the kernels' flow and the CPU's of two small pairs."""
    from pytsn.flow.tvl1.cpu_workspace import OptflowWorkspace

    own = replace(_OPTIONS, scales_number=2, warpings_number=2, inner_iterations=6, outer_iterations=2)
    gray0, gray1 = small_pairs()
    workspace = OptflowWorkspace(device, (gray0.shape[1], gray0.shape[2]), len(gray0), own, tile)
    found = workspace.solve(gray0.to(device), gray1.to(device))[0].cpu()
    return (found - solve_counted(gray0, gray1, "cpu", own)[0]).abs().max().item()


def _seconds(device: torch.device, tile: Tile) -> float:
    """The shortest time of a fixed number of iterations of one large level: the frames differ everywhere."""
    from pytsn.flow.tvl1.cpu_workspace import OptflowWorkspace

    own = replace(_OPTIONS, scales_number=1, warpings_number=1, epsilon=0.0, outer_iterations=2)
    gray = torch.randint(256, (2, TIMED_PAIRS, *TIMED_SIZE), dtype=torch.uint8, device=device)
    workspace = OptflowWorkspace(device, TIMED_SIZE, TIMED_PAIRS, own, tile)
    return shortest(lambda: workspace.solve(*gray)[1].cpu())
