"""TV-L1 as OpenCV's GPU module computes it (Zach, Pock, Bischof 2007), for a batch of pairs, coarse to fine."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from pytsn.flow.tvl1.gpu_iterations import PrimalDual
from pytsn.flow.tvl1.gpu_pyramid import build_pyramid, enlarge_flow
from pytsn.flow.tvl1.gpu_warp import image_gradients, linearise
from pytsn.flow.tvl1.presets import Preset

#: slots that may idle before the active pairs are moved together
IDLE_SHARE = 0.25

#: solves one level: image0 (B, H, W), layers1 (B, 3, H, W) = I1 and its gradients, flow (B, 2, H, W) to start from ->
#: flow (B, 2, H, W), integers (B, warps): the iterations of each warp
LevelSolver = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def solve_batch(
    gray0: Tensor, gray1: Tensor, preset: Preset, solve_level: LevelSolver | None = None
) -> tuple[Tensor, list[list[list[int]]]]:
    """The flow from gray0 to gray1 and its numbers of iterations.

    gray0, gray1: uint8 (B, H, W) on the device to compute on, B >= 1, sides >= 3. Returns float32 (B, H, W, 2), pixels,
    x then y, and counts [b][level, coarse to fine][warp]. Pairs do not influence one another. solve_level: None means
    PyTorch's operations; else a gpu_workspace.Workspace's.
    """
    solve_level = solve_level or partial(_solve_level, preset=preset)
    pyramid0, pyramid1 = (build_pyramid(gray.float(), preset) for gray in (gray0, gray1))
    flow: Tensor | None = None
    counts: list[Tensor] = []
    for image0, image1 in zip(reversed(pyramid0), reversed(pyramid1), strict=True):
        if flow is None:
            flow = image0.new_zeros(len(image0), 2, *image0.shape[1:])
        else:
            flow = enlarge_flow(flow, (image0.shape[1], image0.shape[2]), preset)
        layers1 = torch.cat((image1[:, None], image_gradients(image1)), 1)  # (B, H, W) -> (B, 3, H, W)
        flow, count = solve_level(image0, layers1, flow)
        counts.append(count)
    assert flow is not None  # a pyramid has at least one level
    # (B, 2, H, W) -> (B, H, W, 2); levels x (B, warps) -> [b][level][warp]
    return flow.permute(0, 2, 3, 1).contiguous(), torch.stack(counts, 1).tolist()


def _solve_level(image0: Tensor, layers1: Tensor, flow: Tensor, preset: Preset) -> tuple[Tensor, Tensor]:
    """A LevelSolver: ``flow`` is changed in place."""
    dual = flow.new_zeros(len(flow), 2, *flow.shape[1:])  # kept across warps
    state = PrimalDual(flow, preset)
    counts: list[list[int]] = []
    for _ in range(preset.warps):
        state.load(flow, dual, linearise(image0, layers1, flow))
        counts.append(_iterate(state, flow, dual, preset))
    return flow, torch.tensor(counts).T


def _iterate(state: PrimalDual, flow: Tensor, dual: Tensor, preset: Preset) -> list[int]:
    """Iterates one warp until every pair stops. Writes each pair's flow and dual when done; returns iterations [b]."""
    stop, limit = preset.stopping_error(*flow.shape[2:]), preset.max_iterations
    counts = [limit] * len(flow)
    due = dict.fromkeys(range(len(flow)), next_check(0, 0.0, stop, limit))  # of the active pairs
    done = 0
    while due:
        check = min(due.values())
        state.run(check - done)
        if check == limit:
            state.write(list(due), flow, dual)
            break
        errors, done = state.run_measured(), check + 1
        looked_at = [pair for pair, at in due.items() if at == check]
        ended = [pair for pair in looked_at if errors[pair] <= stop]
        due.update({pair: next_check(done, errors[pair], stop, limit) for pair in looked_at})
        state.write(ended, flow, dual)
        for pair in ended:
            counts[pair] = done
            del due[pair]
        if due and len(due) <= (1 - IDLE_SHARE) * len(errors):
            state.keep(list(due))
    return counts


def next_check(iteration: int, error: float, stop: float, limit: int) -> int:
    """The first iteration from ``iteration`` on that measures the error, given the last one measured; else ``limit``.

    The original checks only at odd iterations, and skips checks after a large error: it subtracts ``stop`` from the
    error at every iteration without a check, and checks once it has fallen under ``stop``.
    """
    while iteration < limit and not (iteration % 2 and error < stop):
        error -= stop
        iteration += 1
    return iteration
