"""Worker processes that read samples into shared memory, batch by batch, ahead of their use.

Processes rather than threads: a flow batch of the released schedule is 3840 images, and Python's overhead per image
alone would keep one interpreter busy.
"""

import contextlib
import functools
import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_images import load_cv2
from pytsn.runtime.worker_pool import TaskPool, WorkerKilled
from pytsn.training.input.sample import ReadOptions, SamplePlan, load_sample

_KEYS = itertools.count()


class SampleBuffer:
    """Shared memory for ``slots`` batches: ``array`` is uint8 (slots, N, C, H, W). It is freed with its owner."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.key = shape, next(_KEYS)
        if hasattr(os, "memfd_create"):  # Linux; unlike /dev/shm it is not cut to 64 MB in containers
            self._file: Any = os.fdopen(os.memfd_create("pytsn-samples"), "r+b")
            self.path = f"/proc/{os.getpid()}/fd/{self._file.fileno()}"
        else:
            self._file = tempfile.NamedTemporaryFile(prefix="pytsn-samples-")  # noqa: SIM115 - open while self lives
            self.path = self._file.name
        self._file.truncate(int(np.prod(shape)))
        self.array = np.memmap(self._file, np.uint8, "r+", shape=shape)

    def close(self) -> None:
        """Frees the memory once the array is no longer used."""
        self._file.close()


class ReaderPool:
    """A TaskPool of ``workers`` reading processes, started at the first batch."""

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise PytsnError(f"{workers} reading processes asked for: at least 1")
        self.workers = workers
        self._pool = TaskPool(_Reader, [()] * workers)

    @property
    def pids(self) -> list[int]:
        """The ids of the processes, once they have started."""
        return self._pool.pids

    def submit(
        self, buffer: SampleBuffer, slot: int, plans: Sequence[SamplePlan], options: ReadOptions
    ) -> list[Future]:
        """Submits tasks that fill one slot of the buffer, about one per process."""
        size = -(-len(plans) // self.workers)
        memory = buffer.path, buffer.shape, buffer.key
        with _explained():
            return [
                self._pool.submit((memory, slot, row, plans[row : row + size], options))
                for row in range(0, len(plans), size)
            ]

    @staticmethod
    def wait(tasks: Sequence[Future]) -> None:
        """Waits for the tasks. Raises the first PytsnError of a task, or one that says a process was killed."""
        with _explained():
            for task in tasks:
                task.result()

    def close(self) -> None:
        """Ends the processes and drops unfinished tasks."""
        self._pool.close()


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except WorkerKilled as error:
        advice = "run again from the last snapshot, with fewer --workers if it happens again"
        raise WorkerKilled(error.death, "reading", advice) from error.__cause__


class _Reader:
    """Runs in a reading process: writes samples into the rows of a slot, from ``row`` on."""

    def __init__(self) -> None:
        with contextlib.suppress(PytsnError):  # reading the first image will report the error
            load_cv2().setNumThreads(1)  # the processes already run in parallel

    def __call__(self, task: tuple[tuple, int, int, Sequence[SamplePlan], ReadOptions]) -> None:
        memory, slot, row, plans, options = task
        array = _attach(*memory)
        for offset, plan in enumerate(plans):
            load_sample(plan, options, array[slot, row + offset])


@functools.lru_cache(maxsize=8)
def _attach(path: str, shape: tuple[int, ...], key: int) -> np.ndarray:
    """Maps the memory of a SampleBuffer; ``key`` distinguishes it from an earlier one at the same path."""
    return np.memmap(path, np.uint8, "r+", shape=shape)
