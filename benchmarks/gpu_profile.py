"""How busy a GPU is, and how many launches a step takes: read from torch's profiler, before anything is concluded."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

#: what the host calls to start work on the device; the driver's own calls are named cu..., and Triton uses those
_LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch")
_WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy")


@dataclass(frozen=True)
class Profile:
    """Per step: launches by the host, times it waited, kernels and copies on the device; ``busy``: the share of time
    in which the device had any of them running; ``longest``: the kernels that took most of it, (name, share)."""

    launches: float
    waits: float
    kernels: float
    busy: float
    longest: tuple[tuple[str, float], ...]


def profile_steps(step: Callable[[], object], steps: int, wait: Callable[[], None], cuda: bool) -> Profile:
    """Profiles ``steps`` calls of ``step`` and a final ``wait()``. Call step a few times before: first calls compile.

    Without CUDA there are neither launches nor kernels; the operators of the CPU are counted, so that it can be tried.
    """
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if cuda else [])
    wait()
    with profile(activities=activities) as found:
        for _ in range(steps):
            step()
        wait()
    events = found.events() or []
    names = [event.name for event in events if event.device_type == DeviceType.CPU]
    work = [event for event in events if (event.device_type == DeviceType.CUDA) == cuda]
    spans = [(event.time_range.start, event.time_range.end) for event in work]
    every = [(event.time_range.start, event.time_range.end) for event in events]
    whole = max((end for _, end in every), default=0) - min((start for start, _ in every), default=0)
    return Profile(
        launches=sum(name in _LAUNCHES for name in names) / steps,
        waits=sum(name in _WAITS for name in names) / steps,
        kernels=len(work) / steps,
        busy=covered(spans) / whole if whole else 0.0,
        longest=_longest([(event.name, event.time_range.elapsed_us()) for event in work]),
    )


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of spans (start, end), which may overlap."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def _longest(taken: list[tuple[str, float]], count: int = 3) -> tuple[tuple[str, float], ...]:
    sums: dict[str, float] = {}
    for name, microseconds in taken:
        sums[name] = sums.get(name, 0.0) + microseconds
    whole = sum(sums.values()) or 1.0
    return tuple((name, sums[name] / whole) for name in sorted(sums, key=lambda name: -sums[name])[:count])


def device_wait(device: str) -> Callable[[], None]:
    """Waits for a CUDA device; nothing for a CPU."""
    return lambda: torch.cuda.synchronize(device) if device.startswith("cuda") else None
