"""Scoring all videos of a list: one process with its own reader threads, or several processes."""

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from pytsn.data.frame_folders import Video
from pytsn.data.snippet_reader import SnippetOptions
from pytsn.evaluation.action_net import ActionNet, NetOptions
from pytsn.evaluation.video_arrays import Compute, Workers, video_arrays, video_arrays_in_processes
from pytsn.runtime.device import pick_device


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


def score_videos(
    net: ActionNet, videos: Sequence[Video], options: EvalOptions, threads: int | None = None
) -> Generator[tuple[Video, np.ndarray], None, None]:
    """Each video with its scores, float32 (T, 10, K), in order, computed in this process by ``net``."""
    with contextlib.closing(video_arrays(net.score_snippets, videos, options.snippets, threads)) as arrays:
        yield from zip(videos, arrays, strict=True)


def scores_in_processes(
    net_files: tuple[str, str], videos: Sequence[Video], options: EvalOptions
) -> Generator[np.ndarray, None, None]:
    """The scores alone, by ``options.num_worker`` processes; they do not depend on their number. Raises as
    ``video_arrays_in_processes``."""
    workers = Workers(_make_scorer, (net_files, options), options.num_worker)
    return video_arrays_in_processes(workers, videos, options.snippets)


def _make_scorer(net_files: tuple[str, str], options: EvalOptions, worker: int) -> Compute:
    return ActionNet(*net_files, replace(options.net, device=worker_device(worker, options))).score_snippets
