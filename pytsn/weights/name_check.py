"""Checks by a weight file's name whether the weights belong to another test."""

import os

from pytsn.data.datasets import CUSTOM, DATASETS
from pytsn.data.modalities import MODALITIES
from pytsn.weights.released_models import promised


def _read_as(stream: str) -> str:
    """The modality as which a stream's images are read; other names unchanged."""
    return MODALITIES[stream].read_as if stream in MODALITIES else stream


def weights_warnings(path: str | os.PathLike, dataset: str, split: int, modality: str) -> list[str]:
    """One line if the file's name says another dataset, split or modality than the test's; else none.

    Weights of another split of UCF101 or HMDB51 were trained on most of the test videos: accuracies near 100 %. A
    custom dataset is not compared, because its name and split say nothing.
    """
    promise = promised(path)
    if promise is None:
        return []
    said = []
    if promise.dataset and dataset not in (CUSTOM, promise.dataset):
        said.append((promise.dataset, dataset, ""))
    elif promise.split and _shares_videos(dataset) and promise.split != split:
        reason = f" (most test videos of split {split} were trained on there: the accuracy will be far too high)"
        said.append((f"split {promise.split}", f"split {split}", reason))
    if promise.modality and _read_as(promise.modality) != _read_as(modality):
        said.append((promise.modality, modality, ""))
    name = os.path.basename(path)
    return [f"{name}: its name says {mine}, but {yours} is under test{reason}" for mine, yours, reason in said]


def _shares_videos(dataset: str) -> bool:
    """Whether one split's test videos are training videos of another."""
    return dataset in DATASETS and DATASETS[dataset].shared_videos


def stream_under_test(modality: str, weights: str | os.PathLike | None) -> str:
    """The papers' stream under test. Warped flow is read as flow; only the weights' name shows that it is warped."""
    promise = promised(weights) if weights else None
    named = promise.modality if promise else None
    return named if named and _read_as(named) == modality else modality
