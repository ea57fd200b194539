"""Scores the videos of an evaluation with progress, and stores each one when it is finished."""

from collections.abc import Generator, Sequence

import numpy as np

from converter.text_table import amount
from pytsn.data.videos import Video
from pytsn.evaluation.action_net import ActionNet
from pytsn.evaluation.score_videos import EvalOptions, scorer, scores_in_processes
from pytsn.evaluation.video_arrays import finish_videos, video_arrays
from pytsn.runtime.progress import say
from pytsn.scores.resume import ScoreStore


def collect_scores(
    net: ActionNet,
    net_files: tuple[str, str],
    videos: Sequence[Video],
    options: EvalOptions,
    store: ScoreStore | None = None,
) -> list[np.ndarray]:
    """The scores of all videos, V x float32 (T, 10, K). Scores in the store are not computed again; finishes the store.

    Prints ``video NAME done`` for each, as the original does. net: made from net_files (prototxt, weights), which
    several workers load themselves. Raises PytsnError as ``score_videos`` does.
    """
    todo = store.todo() if store else list(range(len(videos)))
    if len(todo) < len(videos):
        of = f"of {amount(len(videos), 'video')}"
        print(f"resuming: {amount(len(videos) - len(todo), f'{of} is', f'{of} are')} scored already")
    scores: dict[int, np.ndarray] = {}

    def arrays(waiting: Sequence[Video]) -> Generator[np.ndarray, None, None]:
        if options.processes > 1:
            return scores_in_processes(net_files, waiting, options)
        return video_arrays(scorer(net), waiting, options.snippets, options.reading_threads)

    def keep(index: int, array: np.ndarray) -> None:
        if store:
            store.add(index, array)
        else:
            scores[index] = array
        say(f"video {videos[index].name} done")

    finish_videos("scoring", videos, todo, arrays, keep)
    return store.finish() if store else [scores[index] for index in range(len(videos))]
