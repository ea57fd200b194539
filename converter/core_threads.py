"""Splits a batch into parts, one core each. Torch's own threads split every operator and synchronise after each."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch

Item = TypeVar("Item")
Part = TypeVar("Part")
Result = TypeVar("Result")


class CoreThreads:
    """Threads that each run torch's CPU operators on one core.

    ``count``: number of threads; None means torch.get_num_threads(). With one, everything runs in the calling thread.
    On two cores BN-Inception's crops take 0.9 of the time of torch's own threads on an idle machine, and a quarter on a
    busy one, where torch's threads wait for each other at every operator.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or torch.get_num_threads()
        self._pool = _start(self.count) if self.count > 1 else None

    def run(self, forward: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor, most: int) -> torch.Tensor:
        """Runs ``forward`` on the batch, (N, ..) -> (N, ..), in parts of at most ``most``, the same number per core.

        Only for a forward that treats every sample independently. Records no gradients.
        """
        rounds = max(1, -(-len(batch) // (self.count * most)))
        parts = [part for part in batch.tensor_split(self.count * rounds) if len(part)] or [batch]
        return torch.cat(self.map(torch.no_grad()(forward), parts))

    def map(self, work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
        """``work`` on every part, in order. Up to ``count`` parts run at once."""
        return list(self._pool.map(work, parts) if self._pool else map(work, parts))

    def share(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """``work`` on many small items, in order; a core that is done with one takes the next. Records no gradients."""
        result: list = [None] * len(items)
        numbers = iter(range(len(items)))  # one for all threads: under Python's lock each number is handed out once

        @torch.no_grad()
        def some(_: int) -> None:
            for number in numbers:
                result[number] = work(items[number])

        self.map(some, range(min(self.count, len(items))))
        return result


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps torch's operators in this thread to one core meanwhile. Torch's own threads wait busily for milliseconds
    after each operator, on cores that CoreThreads needs; on a busy machine waiting for each other takes small
    operators ten times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def core_threads(count: int) -> CoreThreads:
    """Threads that are started once for each count, and shared."""
    return CoreThreads(count)


def on_all_cores(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """``CoreThreads.share`` on as many threads as torch has."""
    return core_threads(torch.get_num_threads()).share(work, items)


def _start(count: int) -> ThreadPoolExecutor:
    """Starts the threads, each with one torch thread. Restores the calling thread's own setting."""
    pool = ThreadPoolExecutor(count, "core")
    before, all_there = torch.get_num_threads(), threading.Barrier(count)
    list(pool.map(_settle, [all_there] * count))
    torch.set_num_threads(before)  # the number is global until a thread first reads it, then per thread
    return pool


def _settle(all_there: threading.Barrier) -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()
    all_there.wait()  # so that each thread of the pool takes exactly one of these tasks
