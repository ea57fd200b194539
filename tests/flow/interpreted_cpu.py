"""What the Triton kernels of preset opencv-cpu compute: call these in a process of tests/interpreter.py."""

import numpy as np
import torch

from pytsn.flow.tvl1.compute import denormals_as_zero
from pytsn.flow.tvl1.cpu_solver import OptflowOptions
from pytsn.flow.tvl1.gpu_tiles import Tile

CPU = torch.device("cpu")


def _workspace(size: tuple[int, int], capacity: int, own: OptflowOptions, tile: Tile):
    from pytsn.flow.tvl1 import cpu_workspace

    # fewer programs: the interpreter takes long for each, whatever it does
    cpu_workspace._PIXELS_A_PROGRAM, cpu_workspace._MEDIAN_PROGRAMS, cpu_workspace.CHUNK = 1024, 1, 1
    workspace = cpu_workspace.OptflowWorkspace(CPU, size, capacity, own, tile)
    for part in workspace._parts:
        part.fill_(torch.nan)  # what nobody writes must not be read
    return workspace


def solved(grays: list[np.ndarray], own: OptflowOptions, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
    """Flow and iterations of these pairs, by a workspace with room for one more."""
    gray0, gray1 = map(torch.from_numpy, grays)
    with denormals_as_zero():
        flow, counts = _workspace(gray0.shape[1:], len(gray0) + 1, own, tile).solve(gray0, gray1)
    return flow.numpy(), counts.numpy()


def linearised(image0: np.ndarray, layers1: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """image0 (B, H, W), layers1 (B, 3, H, W), flow (B, 2, H, W), on side 1 -> constant, Ix, Iy (B, 3, H, W)."""
    level = _workspace(image0.shape[1:], len(flow), OptflowOptions(scales_number=1), Tile(32, 32, 2, 4)).levels[0]
    level.fields[1, :, :2] = torch.from_numpy(flow)
    level.state[:, 2] = 1
    level.linearise(torch.from_numpy(image0), torch.from_numpy(layers1))
    assert level.state.tolist() == [[0, level.limit, 1, 0]] * len(flow)
    return level.term.numpy()


def smoothed(flow: np.ndarray, state: np.ndarray) -> np.ndarray:
    """flow (B, 2, H, W), on each pair's side by its state (B, 4) -> smooth (B, 2, H, W), NaN where none was due."""
    level = _workspace(flow.shape[2:], len(flow), OptflowOptions(scales_number=1), Tile(32, 32, 2, 4)).levels[0]
    level.state.copy_(torch.from_numpy(state))
    for pair, side in enumerate(state[:, 2]):
        level.fields[side, pair, :2] = torch.from_numpy(flow[pair])
    level.smoothe()
    return level.smooth.numpy()


def decided(state: np.ndarray, partial: np.ndarray, squares: np.ndarray, bound: np.float32, tile: Tile) -> np.ndarray:
    """``decide`` for states (B, 4), changes in tiles (B, tiles, STEPS) and those of the pixels (H, W), of all pairs ->
    the states after it."""
    level = _workspace(squares.shape, len(state), OptflowOptions(scales_number=1), tile).levels[0]
    level.state.copy_(torch.from_numpy(state))
    level.partial.copy_(torch.from_numpy(partial))
    level.squares.copy_(torch.from_numpy(squares))
    level.enough.fill_(float(bound))
    level.decide()
    return level.state.numpy()
