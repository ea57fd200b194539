"""TV-L1 as OpenCV's GPU module computes it (Zach, Pock, Bischof 2007), for a batch of pairs, coarse to fine."""

import torch
from torch import Tensor

from pytsn.flow.tvl1.gpu_fused import FusedPrimalDual, can_fuse
from pytsn.flow.tvl1.gpu_iterations import PrimalDual
from pytsn.flow.tvl1.gpu_pyramid import build_pyramid, enlarge_flow
from pytsn.flow.tvl1.gpu_warp import image_gradients, linearise
from pytsn.flow.tvl1.presets import Preset

#: slots that may idle before the pairs still at work are moved together
IDLE_SHARE = 0.25


def solve_batch(
    gray0: Tensor, gray1: Tensor, preset: Preset, fused: bool = False
) -> tuple[Tensor, list[list[list[int]]]]:
    """Flow from gray0 to gray1, and how many iterations it took.

    gray0, gray1: uint8 (B, H, W) on the device that is to do the work, B >= 1, sides >= 3. Returns float32
    (B, H, W, 2), pixels, x then y, and counts [b][level, coarse to fine][warp]. Pairs do not influence one another.
    fused: iterations compiled by PyTorch, where that works.
    """
    fields = FusedPrimalDual if fused and can_fuse(gray0.device) else PrimalDual
    pyramid0, pyramid1 = (build_pyramid(gray.float(), preset) for gray in (gray0, gray1))
    flow: Tensor | None = None
    counts: list[list[list[int]]] = [[] for _ in range(len(gray0))]
    for image0, image1 in zip(reversed(pyramid0), reversed(pyramid1), strict=True):
        if flow is None:
            flow = image0.new_zeros(len(image0), 2, *image0.shape[1:])
        else:
            flow = enlarge_flow(flow, (image0.shape[1], image0.shape[2]), preset)
        for pair, level in zip(counts, _solve_level(image0, image1, flow, fields(flow, preset), preset), strict=True):
            pair.append(level)
    assert flow is not None  # a pyramid has a level at least
    return flow.permute(0, 2, 3, 1).contiguous(), counts  # (B, 2, H, W) -> (B, H, W, 2)


def _solve_level(image0, image1, flow: Tensor, state: PrimalDual, preset: Preset) -> list[list[int]]:
    """All warps of one level: changes ``flow`` (B, 2, H, W) in place; iterations [b][warp]."""
    layers1 = torch.cat((image1[:, None], image_gradients(image1)), 1)  # (B, H, W) -> (B, 3, H, W)
    dual = flow.new_zeros(len(flow), 2, *flow.shape[1:])  # kept across warps
    counts: list[list[int]] = [[] for _ in range(len(flow))]
    for _ in range(preset.warps):
        state.load(flow, dual, linearise(image0, layers1, flow))
        for pair, count in zip(counts, _iterate(state, flow, dual, preset), strict=True):
            pair.append(count)
    return counts


def _iterate(state: PrimalDual, flow: Tensor, dual: Tensor, preset: Preset) -> list[int]:
    """One warp, every pair until it stops by itself: writes flow and dual of each pair when done; iterations [b]."""
    stop, limit = preset.stopping_error(*flow.shape[2:]), preset.max_iterations
    counts = [limit] * len(flow)
    due = dict.fromkeys(range(len(flow)), next_check(0, 0.0, stop, limit))  # of the pairs still at work
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

    The original looks only at odd iterations, and trusts a large error for a while: it takes ``stop`` off it at every
    iteration that does not look, and looks once it has fallen under ``stop``.
    """
    while iteration < limit and not (iteration % 2 and error < stop):
        error -= stop
        iteration += 1
    return iteration
