"""TV-L1 optical flow as used to train the models: one function for all OpenCV releases that computed it."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from converter.errors import PytsnError
from pytsn.flow.tvl1.gpu_solver import solve_batch
from pytsn.flow.tvl1.gpu_triton import solve_on_gpu
from pytsn.flow.tvl1.presets import DEFAULT_PRESET, Preset, find_preset

#: the shortest side for which pyrDown's mirrored border is defined
MIN_SIDE = 3


def compute_flow(gray0, gray1, preset: str = DEFAULT_PRESET, device: str | torch.device = "cpu"):
    """Computes the flow from each frame of ``gray0`` to the corresponding frame of ``gray1``.

    gray0, gray1: uint8 (B, H, W), both numpy arrays or both tensors, grey levels 0..255; B may be 0, H and W at least
    3. Returns float32 (B, H, W, 2), pixels per frame, x (right) then y (down), never NaN: gray0[y, x] moves to
    gray1[y + v, x + u]. The result is a numpy array for numpy arrays, and a tensor on ``device`` for tensors.

    preset: a name of ``presets.PRESETS``. device: "cpu", "cuda", "cuda:1" or "auto". The CPU solves pairs one
    after the other, which keeps them in the cache; a GPU solves all at once, with Triton kernels if they work
    (gpu_triton, cpu_triton; 12 MB per pair at 340x256 by count, most of it kept for the next call), else with PyTorch's
    operations (35 MB). Every pair stops by itself, so the other pairs of the batch do not change its flow.

    Raises PytsnError for another type, dtype, shape, preset or device. Source: OpenCV's gpu, cudaoptflow and optflow
    modules, the three flow programs that dense_flow was built with.
    """
    from pytsn.runtime.device import pick_device  # nets are not needed to import flow

    chosen, target = find_preset(preset), pick_device(str(device))
    frames0, frames1 = _tensors(gray0, gray1)
    flow = solve(frames0.to(target), frames1.to(target), chosen)[0]
    return flow if isinstance(gray0, Tensor) else flow.cpu().numpy()


@torch.no_grad()
def solve(
    gray0: Tensor, gray1: Tensor, preset: Preset, batch: int | None = None, kernels: bool = True
) -> tuple[Tensor, list]:
    """``compute_flow`` for checked tensors on their own device, and the iterations of each pair.

    gray0, gray1: uint8 (B, H, W). batch: pairs at a time (None: 1 on the CPU, all elsewhere). kernels: False for
    PyTorch's operations on a GPU too. Returns float32 (B, H, W, 2) and counts [b][level, coarse to fine][warp].
    """
    if not len(gray0):
        return torch.zeros(*gray0.shape, 2, device=gray0.device), []
    with denormals_as_zero():
        if preset.solver == "optflow":
            return _solve_optflow(gray0, gray1, kernels and gray0.device.type == "cuda")
        size = batch or (1 if gray0.device.type == "cpu" else len(gray0))
        work = solve_on_gpu if kernels and gray0.device.type == "cuda" else solve_batch
        parts = [work(a, b, preset) for a, b in zip(gray0.split(size), gray1.split(size), strict=True)]
    return torch.cat([flow for flow, _ in parts]), [pair for _, counts in parts for pair in counts]


def _solve_optflow(gray0: Tensor, gray1: Tensor, kernels: bool) -> tuple[Tensor, list]:
    from pytsn.flow.tvl1 import cpu_solver, cpu_triton

    if kernels:
        flow, counts = cpu_triton.solve_on_gpu(gray0, gray1)
    else:
        flow, counts = cpu_solver.solve_counted(gray0, gray1, gray0.device)
    return flow, counts.tolist()


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """A context in which numbers under 1.2e-38 count as 0 in this thread.

    Far from any texture, as in the black bars of a film, the dual fields decay to such numbers. They do not change the
    flow, but CPUs process them many times more slowly.
    """
    before = torch.tensor([1e-38]).mul_(0.1).item() == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _tensors(gray0, gray1) -> tuple[Tensor, Tensor]:
    for name, gray in (("gray0", gray0), ("gray1", gray1)):
        if not isinstance(gray, np.ndarray | Tensor):
            raise PytsnError(f"{name} is a {type(gray).__name__}; give a numpy array or a torch tensor")
        if gray.dtype not in (np.uint8, torch.uint8):
            raise PytsnError(f"{name} has dtype {gray.dtype}; give grey levels 0..255 as uint8")
        if gray.ndim != 3 or min(gray.shape[1:]) < MIN_SIDE:
            raise PytsnError(f"{name} has shape {tuple(gray.shape)}; give (B, H, W) with H and W at least {MIN_SIDE}")
    if type(gray0) is not type(gray1) or gray0.shape != gray1.shape:
        found = f"{type(gray0).__name__} {tuple(gray0.shape)} and {type(gray1).__name__} {tuple(gray1.shape)}"
        raise PytsnError(f"gray0 and gray1 are {found}; give two of one kind and shape")
    if isinstance(gray0, Tensor):
        return gray0, gray1
    # copies: torch shares neither read-only memory nor negative strides
    return torch.from_numpy(np.array(gray0, order="C")), torch.from_numpy(np.array(gray1, order="C"))
