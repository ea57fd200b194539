"""Training in several processes, as the fork does with MPI: one process per GPU (or CPU), started by torchrun.

Source: Solver::SyncGradient, SyncData, SyncLoss and SyncOutput of the fork (solver.cpp). Gradients, losses and outputs
are averaged over the processes; weights are rank 0's at the start and before tests; BN statistics stay local.
"""

import os
from collections.abc import Callable, Sequence
from datetime import timedelta

import torch
from torch import distributed

from converter.errors import PytsnError

#: how long rank 0 may test, or write a snapshot, while the others wait
_TIMEOUT = timedelta(hours=2)


class Processes:
    """The group of training processes. A single process is also a group, whose operations do nothing."""

    def __init__(self, rank: int = 0, world: int = 1, device: torch.device | None = None) -> None:
        self.rank, self.world, self.device = rank, world, device or torch.device("cpu")

    @property
    def is_first(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    def mean_(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replaces each tensor in place by its mean over the processes. All float32, on one device."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        _call(distributed.all_reduce, flat)
        flat /= self.world
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view(tensor.shape))

    def max_of(self, value: int) -> int:
        """The largest of the processes' values."""
        if self.world == 1:
            return value
        shared = torch.tensor([value], device=self.device)
        _call(distributed.all_reduce, shared, op=distributed.ReduceOp.MAX)
        return int(shared)

    def broadcast_(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replaces each tensor in place by rank 0's."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        _call(distributed.broadcast, flat, 0)
        for tensor, values in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.detach().copy_(values.view(tensor.shape))

    def gather_bytes(self, data: bytes) -> list[bytes]:
        """Every process's bytes, in order of rank, on every process."""
        if self.world == 1:
            return [data]
        sizes = [torch.zeros(1, dtype=torch.int64, device=self.device) for _ in range(self.world)]
        _call(distributed.all_gather, sizes, torch.tensor([len(data)], device=self.device))
        length = max(int(size) for size in sizes)
        own = torch.frombuffer(bytearray(data.ljust(length, b"\0")), dtype=torch.uint8).to(self.device)
        parts = [torch.empty_like(own) for _ in range(self.world)]
        _call(distributed.all_gather, parts, own)
        return [part[: int(size)].cpu().numpy().tobytes() for part, size in zip(parts, sizes, strict=True)]

    def wait(self) -> None:
        """Waits until all processes have called it."""
        if self.world > 1:
            _call(distributed.barrier)

    def close(self) -> None:
        """Leaves the group. After a successful run call wait() first: leaving early makes the others fail."""
        if self.world > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


def _call(operation: Callable, *arguments, **options) -> None:
    """Runs a collective operation. Raises PytsnError if another process has ended, which has reported the reason."""
    try:
        operation(*arguments, **options)
    except RuntimeError as error:
        raise PytsnError(f"the other processes are gone: {str(error).splitlines()[0]}") from None


def world_from_environment() -> tuple[int, int, int]:
    """(rank, local rank, number of processes) as torchrun sets them; (0, 0, 1) without torchrun."""
    defaults = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1}
    try:
        rank, local, world = (int(os.environ.get(name, default)) for name, default in defaults.items())
    except ValueError:
        raise PytsnError(f"{', '.join(defaults)} in the environment must be whole numbers: use torchrun") from None
    if not 0 <= rank < world:
        raise PytsnError(f"RANK is {rank}, but WORLD_SIZE is {world}: start with torchrun")
    return rank, local, world


def join(device: torch.device) -> Processes:
    """Joins the processes that torchrun started: NCCL for CUDA devices, gloo for CPUs. Raises PytsnError on failure."""
    rank, _, world = world_from_environment()
    if world == 1:
        return Processes(0, 1, device)
    try:
        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, rank=rank, world_size=world, timeout=_TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise PytsnError(f"cannot join {world} processes: {str(error).splitlines()[0]}") from None
    return Processes(rank, world, device)
