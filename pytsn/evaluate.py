"""Scoring all videos of a list: one process with its own reader threads, or several processes."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from converter.errors import PytsnError
from pytsn.action_net import ActionNet, NetOptions, pick_device
from pytsn.datasets import Video
from pytsn.snippets import SnippetOptions, read_videos, video_ticks

#: videos a worker process takes at a time: few, so that the last one does not keep the others waiting
_CHUNK = 2


@dataclass(frozen=True)
class EvalOptions:
    """num_worker processes, spread over ``gpus`` (device numbers; empty: all that ``net.device`` admits)."""

    net: NetOptions = field(default_factory=NetOptions)
    snippets: SnippetOptions = field(default_factory=SnippetOptions)
    num_worker: int = 1
    gpus: tuple[int, ...] = ()


def worker_device(worker: int, options: EvalOptions) -> str:
    """The device of worker number ``worker`` (from 0), e.g. ``cuda:1``. Raises PytsnError when it is not there."""
    if options.gpus:
        return str(pick_device(f"cuda:{options.gpus[worker % len(options.gpus)]}"))
    device = pick_device(options.net.device)
    if device.type == "cuda" and device.index is None:
        return f"cuda:{worker % torch.cuda.device_count()}"
    return str(device)


def score_video(net: ActionNet, video: Video, snippets: np.ndarray, options: SnippetOptions) -> np.ndarray:
    """Scores float32 (T, 10, K) of a video from its distinct snippets: repeated ticks repeat their scores."""
    ticks = video_ticks(video, options)
    place = {tick: index for index, tick in enumerate(dict.fromkeys(ticks))}
    return net.score_snippets(snippets)[[place[tick] for tick in ticks]]


def score_videos(
    net: ActionNet, videos: Sequence[Video], options: EvalOptions, threads: int | None = None
) -> Iterator[tuple[Video, np.ndarray]]:
    """Each video with its scores, float32 (T, 10, K), in order, computed in this process by ``net``."""
    threads = threads or max(2, cpu_count() // 2)
    for video, snippets in read_videos(videos, options.snippets, threads):
        yield video, score_video(net, video, snippets, options.snippets)


def score_videos_in_processes(
    net_files: tuple[str, str], videos: Sequence[Video], options: EvalOptions
) -> Iterator[tuple[Video, np.ndarray]]:
    """The same by ``options.num_worker`` processes; the scores do not depend on their number.

    Processes are started fresh (spawn: CUDA does not survive a fork). A worker's PytsnError is raised here, and one for
    a worker that was killed.
    """
    context = multiprocessing.get_context("spawn")
    turns = context.Queue()
    for worker in range(options.num_worker):
        turns.put(worker)
    chunks = [videos[start : start + _CHUNK] for start in range(0, len(videos), _CHUNK)]
    pool = ProcessPoolExecutor(options.num_worker, context, _start_worker, (net_files, options, turns))
    try:
        for chunk, result in zip(chunks, pool.map(_score_chunk, chunks), strict=True):
            if isinstance(result, str):
                raise PytsnError(result)
            yield from zip(chunk, result, strict=True)
    except BrokenProcessPool:
        raise PytsnError("a worker process was killed (out of memory?): try a smaller --num_worker") from None
    finally:
        pool.shutdown(cancel_futures=True)


_worker: tuple[ActionNet, EvalOptions, int] | str | None = None


def _start_worker(net_files: tuple[str, str], options: EvalOptions, turns) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which stops the workers
    threads = max(1, cpu_count() // options.num_worker)
    torch.set_num_threads(threads)
    try:
        device = worker_device(turns.get(), options)
        _worker = ActionNet(*net_files, replace(options.net, device=device)), options, threads
    except PytsnError as error:  # raised here it would reach nobody: told with the first video
        _worker = str(error)


def _score_chunk(videos: Sequence[Video]) -> list[np.ndarray] | str:
    if isinstance(_worker, str):
        return _worker
    net, options, threads = _worker
    try:
        return [scores for _, scores in score_videos(net, videos, options, threads)]
    except PytsnError as error:
        return str(error)


def cpu_count() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
