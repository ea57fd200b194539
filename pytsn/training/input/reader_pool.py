"""Processes that read samples into memory shared with the net's process, batch by batch, ahead of their use.

Processes rather than threads: a flow batch of the released schedule is 3840 images, and the microseconds each of them
costs Python would alone fill one interpreter.
"""

import contextlib
import functools
import itertools
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_images import load_cv2
from pytsn.training.input.sample import ReadOptions, SamplePlan, load_sample

_KEYS = itertools.count()


class SampleBuffer:
    """Shared memory for ``slots`` batches: ``array`` is uint8 (slots, N, C, H, W). It goes when its owner goes."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.key = shape, next(_KEYS)
        if hasattr(os, "memfd_create"):  # Linux; unlike /dev/shm it is not cut to 64 MB in containers
            self._file = os.fdopen(os.memfd_create("pytsn-samples"), "r+b")
            self.path = f"/proc/{os.getpid()}/fd/{self._file.fileno()}"
        else:
            self._file = tempfile.NamedTemporaryFile(prefix="pytsn-samples-")  # noqa: SIM115 - open while self lives
            self.path = self._file.name
        self._file.truncate(int(np.prod(shape)))
        self.array = np.memmap(self._file, np.uint8, "r+", shape=shape)

    def close(self) -> None:
        """Gives the memory back once nobody holds the array."""
        self._file.close()


class ReaderPool:
    """``workers`` reading processes. They start at the first batch, ignore Ctrl-C (the run decides when to stop) and
    end with this process, however it ends."""

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise PytsnError(f"{workers} reading processes asked for: at least 1")
        self.workers = workers
        self._executor = ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
        )

    def submit(
        self, buffer: SampleBuffer, slot: int, plans: Sequence[SamplePlan], options: ReadOptions
    ) -> list[Future]:
        """Lets the processes fill one slot of the buffer; about one task for each of them."""
        size = -(-len(plans) // self.workers)
        memory = buffer.path, buffer.shape, buffer.key
        try:
            return [
                self._executor.submit(_read_rows, memory, slot, row, plans[row : row + size], options)
                for row in range(0, len(plans), size)
            ]
        except (BrokenProcessPool, RuntimeError):
            raise _killed() from None

    @staticmethod
    def wait(tasks: Sequence[Future]) -> None:
        """Returns when the tasks are done. Raises the first one's PytsnError, or one that says a process was killed."""
        try:
            for task in tasks:
                task.result()
        except BrokenProcessPool:
            raise _killed() from None

    def close(self) -> None:
        """Ends the processes; tasks not begun are dropped."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _killed() -> PytsnError:
    return PytsnError(
        "a reading process was killed (out of memory?): run again from the last snapshot, with fewer --workers if it "
        "happens again"
    )


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(PytsnError):  # the first image will say what is wrong
        load_cv2().setNumThreads(1)  # the processes themselves are the parallelism
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@functools.lru_cache(maxsize=8)
def _attach(path: str, shape: tuple[int, ...], key: int) -> np.ndarray:
    """The memory of a SampleBuffer; ``key`` tells it from an earlier one under the same path."""
    return np.memmap(path, np.uint8, "r+", shape=shape)


def _read_rows(memory: tuple, slot: int, row: int, plans: Sequence[SamplePlan], options: ReadOptions) -> None:
    """In a reading process: samples into the rows from ``row`` on of a slot."""
    array = _attach(*memory)
    for offset, plan in enumerate(plans):
        load_sample(plan, options, array[slot, row + offset])
