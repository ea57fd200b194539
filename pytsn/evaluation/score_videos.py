"""Scoring all videos of a list: one process with its own reader threads, or several processes."""

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from pytsn.data.snippet_reader import SnippetOptions, read_videos, video_ticks
from pytsn.data.videos import Video
from pytsn.evaluation.action_net import ActionNet, NetOptions
from pytsn.evaluation.pipeline import Pipeline
from pytsn.runtime.cores import cpu_count
from pytsn.runtime.device import pick_device
from pytsn.runtime.worker_pool import ordered_results

#: videos a worker process takes at a time, by device: few, so that the last one does not keep the others waiting, and
#: on a GPU enough to fill its batches
_CHUNKS = {"cpu": 2, "cuda": 32}


@dataclass(frozen=True)
class EvalOptions:
    """num_worker processes, spread over ``gpus`` (device numbers; empty: all that ``net.device`` admits)."""

    net: NetOptions = field(default_factory=NetOptions)
    snippets: SnippetOptions = field(default_factory=SnippetOptions)
    num_worker: int = 1
    gpus: tuple[int, ...] = ()

    @property
    def processes(self) -> int:
        """How many processes score: ``num_worker`` on a CPU; on GPUs one for each that a worker would be sent to. More
        on one GPU only get in each other's way: what ``num_worker`` asks for there are threads that read."""
        devices = [worker_device(worker, self) for worker in range(self.num_worker)]
        return len(set(devices)) if devices[0].startswith("cuda") else self.num_worker

    @property
    def reading_threads(self) -> int:
        """Of each process: half of its cores where the CPU computes too; on a GPU all but one, or as many more as
        ``num_worker`` asks for."""
        cores = max(1, cpu_count() // self.processes)
        if not worker_device(0, self).startswith("cuda"):
            return max(2, cores // 2) if self.processes == 1 else cores
        return max(2, cores - 1, -(-self.num_worker // self.processes))


def worker_device(worker: int, options: EvalOptions) -> str:
    """The device of worker number ``worker`` (from 0), e.g. ``cuda:1``. Raises PytsnError when it is not there."""
    if options.gpus:
        return str(pick_device(f"cuda:{options.gpus[worker % len(options.gpus)]}"))
    device = pick_device(options.net.device)
    if device.type == "cuda" and device.index is None:
        return f"cuda:{worker % torch.cuda.device_count()}"
    return str(device)


def flow_devices(options: EvalOptions) -> tuple[str, ...]:
    """Where the flow of video files is computed: for each worker, beside its net."""
    return tuple(worker_device(worker, options) for worker in range(options.processes))


def score_video(net: ActionNet, video: Video, snippets: np.ndarray, options: SnippetOptions) -> np.ndarray:
    """Scores float32 (T, 10, K) of a video from its distinct snippets: repeated ticks repeat their scores."""
    return repeat_ticks(net.score_snippets(snippets), video, options)


def repeat_ticks(scores: np.ndarray, video: Video, options: SnippetOptions) -> np.ndarray:
    """(distinct snippets, ..) -> (T, ..): a short video repeats its ticks."""
    ticks = video_ticks(video, options)
    place = {tick: index for index, tick in enumerate(dict.fromkeys(ticks))}
    return scores[[place[tick] for tick in ticks]]


def score_videos(
    net: ActionNet, videos: Sequence[Video], options: EvalOptions, pipeline: Pipeline | None = None
) -> Generator[tuple[Video, np.ndarray], None, None]:
    """Each video with its scores, float32 (T, 10, K), in order, computed in this process by ``net``, on a GPU through a
    pipeline (one of the net's from an earlier call, if there is one)."""
    read = read_videos(videos, options.snippets, options.reading_threads)
    if net.device.type == "cuda":
        for video, scores in (pipeline or Pipeline(net)).scores(read):
            yield video, repeat_ticks(scores, video, options.snippets)
        return
    for video, snippets in read:
        yield video, score_video(net, video, snippets, options.snippets)


def score_videos_in_processes(
    net_files: tuple[str, str], videos: Sequence[Video], options: EvalOptions
) -> Generator[tuple[Video, np.ndarray], None, None]:
    """The same by ``options.processes`` processes; the scores do not depend on their number.

    A worker's PytsnError is raised here, and WorkerKilled (pytsn.runtime.worker_pool).
    """
    size = _CHUNKS[worker_device(0, options).partition(":")[0]]
    chunks = [videos[start : start + size] for start in range(0, len(videos), size)]
    arguments = [(net_files, options, worker) for worker in range(options.processes)]
    results = ordered_results(_Scorer, arguments, chunks)
    with contextlib.closing(results):
        for chunk, scores in zip(chunks, results, strict=True):
            yield from zip(chunk, scores, strict=True)


class _Scorer:
    """What a worker process does: videos -> their scores."""

    def __init__(self, net_files: tuple[str, str], options: EvalOptions, worker: int) -> None:
        self.options = replace(options, snippets=options.snippets.for_worker(worker))
        torch.set_num_threads(max(1, cpu_count() // options.processes))
        self.net = ActionNet(*net_files, replace(options.net, device=worker_device(worker, options)))
        self.pipeline = Pipeline(self.net) if self.net.device.type == "cuda" else None

    def __call__(self, videos: Sequence[Video]) -> list[np.ndarray]:
        return [scores for _, scores in score_videos(self.net, videos, self.options, self.pipeline)]
