"""Scores all videos of a list, in one process with reader threads or in several processes."""

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from pytsn.data.snippet_reader import SnippetOptions
from pytsn.data.videos import Video
from pytsn.evaluation.action_net import ActionNet, NetOptions
from pytsn.evaluation.pipeline import Pipeline
from pytsn.evaluation.video_arrays import Compute, Workers, video_arrays, video_arrays_in_processes, video_by_video
from pytsn.runtime.cores import cpu_count
from pytsn.runtime.device import pick_device

#: videos per chunk of a worker process, by device: few, so that the others do not wait long for the last one; on a GPU
#: enough to fill its batches
_CHUNKS = {"cpu": 2, "cuda": 32}


@dataclass(frozen=True)
class EvalOptions:
    """num_worker processes, spread over ``gpus`` (device numbers; empty: all GPUs that ``net.device`` allows)."""

    net: NetOptions = field(default_factory=NetOptions)
    snippets: SnippetOptions = field(default_factory=SnippetOptions)
    num_worker: int = 1
    gpus: tuple[int, ...] = ()

    @property
    def processes(self) -> int:
        """Number of scoring processes: ``num_worker`` on a CPU, one per GPU in use otherwise. Several processes on one
        GPU only slow each other down, so there ``num_worker`` sets the number of reader threads."""
        devices = [worker_device(worker, self) for worker in range(self.num_worker)]
        return len(set(devices)) if devices[0].startswith("cuda") else self.num_worker

    @property
    def reading_threads(self) -> int:
        """Reader threads per process. One process on a CPU: half of the cores, at least two; several: their share of
        the cores. On a GPU: all but one of that share, at least two, or more if ``num_worker`` is larger."""
        cores = max(1, cpu_count() // self.processes)
        if not worker_device(0, self).startswith("cuda"):
            return max(2, cores // 2) if self.processes == 1 else cores
        return max(2, cores - 1, -(-self.num_worker // self.processes))


def worker_device(worker: int, options: EvalOptions) -> str:
    """The device of worker number ``worker`` (from 0), e.g. ``cuda:1``. Raises PytsnError when it does not exist."""
    if options.gpus:
        return str(pick_device(f"cuda:{options.gpus[worker % len(options.gpus)]}"))
    device = pick_device(options.net.device)
    if device.type == "cuda" and device.index is None:
        return f"cuda:{worker % torch.cuda.device_count()}"
    return str(device)


def flow_devices(options: EvalOptions) -> tuple[str, ...]:
    """The devices for the flow of video files: for each worker, the device of its net."""
    return tuple(worker_device(worker, options) for worker in range(options.processes))


def scorer(net: ActionNet) -> Compute:
    """Computes scores with ``net``, float32 (T, 10, K); on a GPU through a pipeline."""
    return Pipeline(net).scores if net.device.type == "cuda" else video_by_video(net.score_snippets)


def score_videos(
    net: ActionNet, videos: Sequence[Video], options: EvalOptions
) -> Generator[tuple[Video, np.ndarray], None, None]:
    """Yields each video with its scores, float32 (T, 10, K), in order, computed in this process by ``net``."""
    scores = video_arrays(scorer(net), videos, options.snippets, options.reading_threads)
    with contextlib.closing(scores):
        yield from zip(videos, scores, strict=True)


def scores_in_processes(
    net_files: tuple[str, str], videos: Sequence[Video], options: EvalOptions
) -> Generator[np.ndarray, None, None]:
    """Yields the scores only, computed by ``options.processes`` processes; their number does not change the scores.
    Raises as ``video_arrays_in_processes`` does."""
    chunk = _CHUNKS[worker_device(0, options).partition(":")[0]]
    workers = Workers(_make_scorer, (net_files, options), options.processes, options.reading_threads, chunk)
    return video_arrays_in_processes(workers, videos, options.snippets)


def _make_scorer(net_files: tuple[str, str], options: EvalOptions, worker: int) -> Compute:
    return scorer(ActionNet(*net_files, replace(options.net, device=worker_device(worker, options))))
