"""A batch shared out over cores by whole parts. Torch's own threads share out every operator and meet after each."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


class CoreThreads:
    """Threads that each run torch's CPU operators on one core.

    ``count``: how many; None takes torch.get_num_threads(). With one, everything runs in the calling thread. On two
    cores BN-Inception's crops take 0.9 of the time that torch's own threads need when nothing else runs, and a quarter
    on a busy machine, where those wait for each other at every operator.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or torch.get_num_threads()
        self._pool = _start(self.count) if self.count > 1 else None

    def run(self, forward: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor, most: int) -> torch.Tensor:
        """``forward`` of the whole batch, (N, ..) -> (N, ..), in parts of ``most`` at most; as many for each core.

        Only for a forward that treats every sample by itself. Gradients are not recorded.
        """
        rounds = max(1, -(-len(batch) // (self.count * most)))
        parts = [part for part in batch.tensor_split(self.count * rounds) if len(part)] or [batch]
        map_parts = self._pool.map if self._pool else map
        return torch.cat(list(map_parts(torch.no_grad()(forward), parts)))


def _start(count: int) -> ThreadPoolExecutor:
    """The threads, each set to one core of torch's. The calling thread's own setting is as before afterwards."""
    pool = ThreadPoolExecutor(count, "core")
    before, all_there = torch.get_num_threads(), threading.Barrier(count)
    list(pool.map(_settle, [all_there] * count))
    torch.set_num_threads(before)  # the number is global until a thread has asked for it once, then its own
    return pool


def _settle(all_there: threading.Barrier) -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()
    all_there.wait()  # so that every thread of the pool takes one such task
