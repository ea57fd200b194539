"""What the Triton kernels of the GPU presets compute: call these in a process of tests/interpreter.py."""

import warnings

import numpy as np
import torch

from pytsn.flow.tvl1.gpu_solver import solve_batch
from pytsn.flow.tvl1.gpu_tiles import Tile
from pytsn.flow.tvl1.presets import Preset

CPU = torch.device("cpu")


def round_square_roots() -> None:
    """From now on PyTorch's square roots are rounded correctly, as on a GPU; on the CPU they are not always."""
    torch.Tensor.sqrt_ = lambda roots: roots.copy_(torch.sqrt(roots.double()))


def _workspace(size: tuple[int, int], capacity: int, preset: Preset, tile: Tile, whole: bool):
    from pytsn.flow.tvl1 import gpu_workspace

    # fewer programs: the interpreter takes long for each, whatever it does
    gpu_workspace._PIXELS_A_PROGRAM, gpu_workspace.CHUNK = 2048, 1
    return gpu_workspace.Workspace(CPU, size, capacity, preset, tile, whole)


def _level(fields: np.ndarray, preset: Preset, tile: Tile, capacity: int | None = None):
    """The one level of a workspace for (B, 6, H, W), these fields on side 0, all pairs at rest."""
    size = fields.shape[2:]
    workspace = _workspace(size, capacity or len(fields), preset, tile, False)
    level = workspace._levels[size]
    level.fields.fill_(torch.nan)  # what nobody writes must not be read
    level.term.fill_(torch.nan)
    level.fields[0, : len(fields)] = torch.from_numpy(fields)
    return level


def linearised(image0: np.ndarray, layers1: np.ndarray, flow: np.ndarray, preset: Preset) -> np.ndarray:
    """image0 (B, H, W), layers1 (B, 3, H, W), flow (B, 2, H, W) -> the term (B, 4, H, W): offset, Ix, Iy, scale."""
    level = _level(np.concatenate((flow, flow, flow), 1), preset, Tile(32, 32, 1, 4))
    level._linearise(torch.from_numpy(image0), torch.from_numpy(layers1))
    return level.term.numpy()


def advanced(
    fields: np.ndarray, term: np.ndarray, until: list[int], preset: Preset, tile: Tile
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Launches until every pair has done its ``until`` iterations, each once, with no look in between.

    After each launch: every pair's fields (B, 6, H, W), iterations done (B,), squared change in the last one (B,).
    """
    level = _level(fields, preset, tile)
    level.term.copy_(torch.from_numpy(term))
    level.state[:, 1] = torch.tensor(until)
    found = []
    done = torch.zeros(len(fields), dtype=torch.int32)
    while (done < level.state[:, 1]).any():
        level._advance(len(fields))
        steps = (level.state[:, 1] - level.state[:, 0]).clamp(max=tile.steps)
        level.state[:, 2] ^= (steps > 0).int()
        level.state[:, 0] += steps
        done = level.state[:, 0]
        now = level.fields[level.state[:, 2].long(), torch.arange(len(fields))]
        found.append((now.numpy(), done.numpy().copy(), level.partial.sum(1).numpy()))
    return found


def decided(state: np.ndarray, partial: np.ndarray, preset: Preset, tile: Tile) -> np.ndarray:
    """``decide`` for states (B, 4) and changes in one or more tiles (B, tiles) -> the states afterwards."""
    height = tile.rows + (tile.rows - 2 * tile.steps) * (partial.shape[1] - 1)  # so many tiles down
    level = _level(np.zeros((len(state), 6, height, 4), np.float32), preset, tile)
    level.state.copy_(torch.from_numpy(state))
    level.partial.copy_(torch.from_numpy(partial))
    level._decide()
    return level.state.numpy()


def solved(grays: list[np.ndarray], preset: Preset, tile: Tile, whole: bool, calls: list[list[int]], exact: bool):
    """Flow and iterations of calls with these pairs, one after the other in one workspace; PyTorch's of all pairs.

    exact: PyTorch with correctly rounded square roots.
    """
    gray0, gray1 = map(torch.from_numpy, grays)
    workspace = _workspace(tuple(gray0.shape[1:]), max(map(len, calls)), preset, tile, whole)
    workspace._fields.fill_(torch.nan)
    found = [solve_batch(gray0[pairs], gray1[pairs], preset, workspace.solve_level) for pairs in calls]
    plain = torch.Tensor.sqrt_
    try:
        if exact:
            round_square_roots()
        found.append(solve_batch(gray0, gray1, preset))
    finally:
        torch.Tensor.sqrt_ = plain
    return [(flow.numpy(), counts) for flow, counts in found]


def difference(tile: Tile) -> float:
    """The self-check's small problem, PyTorch's route as it stands on this CPU."""
    from pytsn.flow.tvl1 import gpu_triton

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return gpu_triton.difference(CPU, tile)
