"""Which memory layout a GPU runs a net fastest in, found by trying: neither wins on every card, in every precision."""

import time
from collections.abc import Callable
from functools import partial

import torch

from converter.fused import FusedNet

_WARM_UP, _TURNS = 2, 3


def fastest(make: Callable[[bool], FusedNet], run: Callable[[FusedNet], object], device: torch.device) -> FusedNet:
    """The net of the layout whose ``run`` takes least time on the device; both give the same scores up to rounding.

    make: channels-last (N, H, W, C in memory) or not -> the net. On a CPU channels-last is taken untried: it was faster
    on every one measured (benchmarks/eval_speed.py).
    """
    if device.type == "cpu":
        return make(True)
    nets = [make(layout).to(device) for layout in (True, False)]
    times = [_seconds(partial(run, net), device) for net in nets]
    return nets[times.index(min(times))]


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """The shortest of a few turns, after some that do not count."""
    taken = []
    for _ in range(_WARM_UP + _TURNS):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        work()
        torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return min(taken[_WARM_UP:])
