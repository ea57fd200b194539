"""Computes an array per video with a row for each snippet (scores or features), in this process or in several, and
keeps each array when it is finished."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pytsn.data.snippet_reader import SnippetOptions, read_videos, video_ticks
from pytsn.data.videos import Video
from pytsn.runtime.cores import cpu_count
from pytsn.runtime.progress import Progress
from pytsn.runtime.worker_pool import ordered_results

#: videos with their distinct snippets, uint8 (T, P, 256, 340), as read -> the same videos, in the same order, with
#: float32 (T, ...), a row for each snippet
Compute = Callable[[Iterable[tuple[Video, np.ndarray]]], Iterator[tuple[Video, np.ndarray]]]
#: videos -> one array each, in order
ArrayMaker = Callable[[Sequence[Video]], Generator[np.ndarray, None, None]]


@dataclass(frozen=True)
class Workers:
    """``count`` processes with ``threads`` reader threads each; worker i gets its Compute from ``make(*arguments, i)``.
    All fields must be picklable. chunk: videos per task; few, so that the others do not wait long for the last one."""

    make: Callable[..., Compute]
    arguments: tuple
    count: int
    threads: int
    chunk: int = 2


def video_by_video(rows: Callable[[np.ndarray], np.ndarray]) -> Compute:
    """The Compute that processes one video at a time."""
    return lambda read: ((video, rows(snippets)) for video, snippets in read)


def repeat_ticks(rows: np.ndarray, video: Video, options: SnippetOptions) -> np.ndarray:
    """(distinct snippets, ...) -> (T, ...): a short video has repeated ticks, so their rows are repeated."""
    ticks = video_ticks(video, options)
    place = {tick: index for index, tick in enumerate(dict.fromkeys(ticks))}
    return rows[[place[tick] for tick in ticks]]


def video_arrays(
    compute: Compute, videos: Sequence[Video], options: SnippetOptions, threads: int
) -> Generator[np.ndarray, None, None]:
    """Yields each video's array in order, computed in this process while ``threads`` threads read ahead."""
    with contextlib.closing(read_videos(videos, options, threads)) as read:
        for video, rows in compute(read):
            yield repeat_ticks(rows, video, options)


def video_arrays_in_processes(
    workers: Workers, videos: Sequence[Video], options: SnippetOptions
) -> Generator[np.ndarray, None, None]:
    """The same with worker processes; their number does not change the arrays. Raises the PytsnError of a worker, and
    WorkerKilled (pytsn.runtime.worker_pool)."""
    chunks = [videos[start : start + workers.chunk] for start in range(0, len(videos), workers.chunk)]
    arguments = [(workers, options, number) for number in range(workers.count)]
    with contextlib.closing(ordered_results(_Worker, arguments, chunks)) as results:
        for arrays in results:
            yield from arrays


class _Worker:
    """The task of a worker process: videos -> their arrays."""

    def __init__(self, workers: Workers, options: SnippetOptions, number: int) -> None:
        self.options, self.threads = options.for_worker(number), workers.threads
        torch.set_num_threads(max(1, cpu_count() // workers.count))
        self.compute = workers.make(*workers.arguments, number)

    def __call__(self, videos: Sequence[Video]) -> list[np.ndarray]:
        return list(video_arrays(self.compute, videos, self.options, self.threads))


def finish_videos(
    what: str,
    videos: Sequence[Video],
    todo: Sequence[int],
    arrays: ArrayMaker,
    keep: Callable[[int, np.ndarray], object],
) -> None:
    """Computes the arrays of the videos ``todo`` (indices) with progress, and keeps each one when finished.

    what: in the words of the bar. arrays: makes the arrays of a list of videos; keep: takes index and array. Worker
    processes end on an error or Ctrl-C.
    """
    waiting = [videos[index] for index in todo]
    with Progress(what, len(videos), "video") as progress, contextlib.closing(arrays(waiting)) as results:
        progress.begin(len(videos) - len(todo))
        for index, array in zip(todo, results, strict=True):
            keep(index, array)
            progress.update()
