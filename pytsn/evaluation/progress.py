"""Scoring the videos of an evaluation with a progress bar, kept in a store as they finish."""

import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from tqdm import tqdm

from pytsn.data.videos import Video
from pytsn.evaluation.action_net import ActionNet
from pytsn.evaluation.score_videos import EvalOptions, score_videos, score_videos_in_processes
from pytsn.scores.resume import ScoreStore


def counting_progress(paths: Sequence[str]) -> Iterable[str]:
    """The paths of video files with a bar that moves as their images are counted; none without any."""
    return tqdm(paths, "counting frames", unit="video", disable=None if paths else True)


def collect_scores(
    net: ActionNet,
    net_files: tuple[str, str],
    videos: Sequence[Video],
    options: EvalOptions,
    store: ScoreStore | None = None,
) -> list[np.ndarray]:
    """The scores of all videos, V x float32 (T, 10, K), from the store where it has them, which is then finished.

    Prints ``video NAME done`` for each, as the original does. net: made of net_files, prototxt and weights, which
    several workers load themselves. Raises PytsnError as ``score_videos``.
    """
    todo = store.todo() if store else list(range(len(videos)))
    if len(todo) < len(videos):
        print(f"resuming: {len(videos) - len(todo)} of {len(videos)} videos are scored already")
    waiting = [videos[index] for index in todo]
    results: Iterator[tuple[Video, np.ndarray]]
    if not waiting:
        results = iter(())
    elif options.processes > 1:
        results = score_videos_in_processes(net_files, waiting, options)
    else:
        results = score_videos(net, waiting, options)
    scores: dict[int, np.ndarray] = {}
    with tqdm(total=len(videos), initial=len(videos) - len(todo), unit="video", disable=None) as bar:
        for index, (video, array) in zip(todo, results, strict=True):
            scores[index] = array
            if store:
                store.add(index, array)
            bar.write(f"video {video.name} done", file=sys.stdout)
            bar.update()
    return store.finish() if store else [scores[index] for index in range(len(videos))]
