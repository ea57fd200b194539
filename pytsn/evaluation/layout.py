"""Finds the memory layout in which a GPU runs a net fastest, by timing both: it depends on card and precision."""

import time
from collections.abc import Callable
from functools import partial

import torch

from converter.fused import FusedNet

_WARM_UP, _TURNS = 2, 3


def fastest(make: Callable[[bool], FusedNet], run: Callable[[FusedNet], object], device: torch.device) -> FusedNet:
    """The net in the layout whose ``run`` is fastest on the device; both give the same scores up to rounding.

    make: channels-last (N, H, W, C in memory) or not -> the net. On a CPU channels-last is used without timing: it was
    faster with every instruction set of oneDNN (docs/evaluation.md), and equal runs must give equal bits.
    """
    if device.type == "cpu":
        return make(True)
    nets = [make(layout).to(device) for layout in (True, False)]
    times = [_seconds(partial(run, net), device) for net in nets]
    return nets[times.index(min(times))]


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """The shortest of a few runs, after a warm-up."""
    taken = []
    for _ in range(_WARM_UP + _TURNS):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        work()
        torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return min(taken[_WARM_UP:])
