"""Published accuracies of TSN in one table, and the line that compares a test with them.

Sources: ``page``: the authors' project page (25 frames, ten crops, BN-Inception, the released models);
``independent``: tests of those models by others, on their own frames; ``tpami``: the paper arXiv 1705.02953.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytsn.data.datasets import DATASETS


@dataclass(frozen=True)
class Published:
    """One figure, in %.

    split: 1, 2, 3, or None for the average of the three (or if there is only one test set). streams: modalities;
    weights: their fusion weights, empty where the source does not give them. metric: ``accuracy`` (mean of the class
    accuracies), ``top-1``, ``top-5`` or ``mAP``. segments: number of segments in training.
    """

    dataset: str
    split: int | None
    streams: tuple[str, ...]
    weights: tuple[float, ...]
    value: float
    segments: int | None = 3
    metric: str = "accuracy"
    source: str = "page"
    net: str = "BN-Inception"


@dataclass(frozen=True)
class Evaluation:
    """A test, as far as a comparison depends on it.

    num_videos: videos with scores; num_frames: snippets per video, None when they vary or are unknown.
    """

    dataset: str
    split: int
    streams: tuple[str, ...]
    weights: tuple[float, ...]
    num_classes: int
    num_videos: int
    num_frames: int | None = 25
    aggregation: str = "mean"
    crop_agg: str = "mean"


_NUM_FRAMES = 25  # of the released protocol

_RGB, _FLOW, _BOTH = ("rgb",), ("flow",), ("rgb", "flow")
_WARPED, _THREE, _DIFF = ("warped",), ("rgb", "flow", "warped"), ("rgbdiff",)


def _by_split(dataset: str, streams: tuple[str, ...], weights: tuple[float, ...], *values: float) -> list[Published]:
    """Figures of splits 1, 2, 3 and their average."""
    return [
        Published(dataset, split, streams, weights, value) for split, value in zip((1, 2, 3, None), values, strict=True)
    ]


def _by_segments(dataset: str, metric: str, table: dict[int, tuple[float, ...]]) -> list[Published]:
    """Averages by number of training segments: rgb, flow, fused 1:1 and, where published, 1:1.5."""
    kinds = ((_RGB, (1,)), (_FLOW, (1,)), (_BOTH, (1, 1)), (_BOTH, (1, 1.5)))
    return [
        Published(dataset, None, streams, weights, value, segments, metric)
        for segments, values in table.items()
        for (streams, weights), value in zip(kinds, values, strict=False)
    ]


PUBLISHED: tuple[Published, ...] = (
    *_by_split("ucf101", _RGB, (1,), 85.5, 84.9, 84.5, 85.1),
    *_by_split("ucf101", _FLOW, (1,), 87.6, 90.2, 91.3, 89.7),
    *_by_split("ucf101", _BOTH, (1, 1.5), 93.5, 94.3, 94.5, 94.0),
    *_by_split("hmdb51", _RGB, (1,), 54.4, 50.0, 49.2, 51.0),
    *_by_split("hmdb51", _FLOW, (1,), 62.4, 63.3, 63.9, 63.2),  # 64.2 in the page's summary table
    *_by_split("hmdb51", _BOTH, (1, 1.5), 69.5, 67.4, 68.5, 68.5),
    Published("ucf101", None, _WARPED, (1,), 89.8),
    Published("hmdb51", None, _WARPED, (1,), 63.0),
    Published("ucf101", None, _THREE, (1, 1, 0.5), 94.2),
    Published("hmdb51", None, _THREE, (1, 1, 0.5), 69.0),  # 69.4 in the abstract of the ECCV paper
    Published("ucf101", None, _BOTH, (1, 1), 94.0),
    *_by_segments(
        "ucf101", "accuracy", {5: (85.1, 89.7, 94.5, 94.6), 7: (85.4, 89.6, 94.6, 94.9), 9: (85.3, 89.6, 94.8, 94.9)}
    ),
    *_by_segments("activitynet_1.2", "mAP", {3: (83.6, 70.6, 86.9), 5: (84.6, 72.9, 87.6), 7: (84.0, 72.8, 87.8)}),
    *(
        Published(dataset, 1, streams, weights, value, source="independent")
        for dataset, values in (("ucf101", (86.01, 87.70, 93.82)), ("hmdb51", (54.90, 63.53, 71.18)))
        for streams, weights, value in zip((_RGB, _FLOW, _BOTH), ((1,), (1,), (1, 1.5)), values, strict=True)
    ),
    Published("ucf101", None, _DIFF, (1,), 91.0, None, source="tpami"),
    Published("ucf101", None, _BOTH, (), 94.9, None, source="tpami"),
    Published("hmdb51", None, _BOTH, (), 71.0, None, source="tpami"),
    Published("activitynet_1.2", None, _BOTH, (), 89.6, None, "mAP", source="tpami"),
    Published("kinetics", None, _BOTH, (), 75.7, None, "top-1", source="tpami"),
    *(
        Published("kinetics", None, streams, weights, value, None, metric, net=net)
        for net, streams, weights, values in (
            ("BN-Inception", _RGB, (1,), (69.1, 88.7)),
            ("BN-Inception", _FLOW, (1,), (62.1, 83.9)),
            ("BN-Inception", _BOTH, (1, 1), (73.9, 91.1)),
            ("Inception V3", _RGB, (1,), (72.5, 90.2)),
        )
        for metric, value in zip(("top-1", "top-5"), values, strict=True)
    ),
)

#: ablations of the ECCV paper (arXiv 1608.00859) on UCF101 split 1, %, from memory of the paper: approximate
ECCV_TABLES: dict[str, dict[str, tuple[float, ...]]] = {
    "training (spatial, temporal, two-stream)": {
        "earlier two-stream baseline": (72.7, 81.0, 87.0),
        "from scratch": (48.7, 81.7, 82.9),
        "pre-trained spatial": (84.1, 81.7, 90.0),
        "+ cross-modality": (84.1, 86.6, 91.5),
        "+ partial BN, dropout": (84.5, 87.2, 92.0),
    },
    "consensus (spatial, temporal, two-stream)": {
        "max": (85.0, 86.0, 91.6),
        "average": (85.7, 87.9, 93.5),
        "weighted average": (86.2, 87.7, 92.4),
    },
    "network (spatial, temporal, two-stream)": {
        "ClarifaiNet": (72.7, 81.0, 87.0),
        "GoogLeNet": (77.1, 83.9, 89.0),
        "VGG-16": (79.8, 85.7, 90.9),
        "BN-Inception": (84.5, 87.2, 92.0),
        "BN-Inception + TSN": (85.7, 87.9, 93.5),
    },
    "modality": {
        "rgb": (84.5,),
        "rgbdiff": (83.8,),
        "rgb+rgbdiff": (87.3,),
        "flow": (87.2,),
        "warped": (86.9,),
        "flow+warped": (87.8,),
        "flow+warped+rgb": (92.3,),
        "flow+warped+rgb+rgbdiff": (91.7,),
    },
}


def find_published(
    dataset: str, split: int | None, streams: Sequence[str], weights: Sequence[float] = (1,)
) -> Published | None:
    """The project page's figure for a split (None: the average), these streams and fusion weights, trained with three
    segments; None where none was published.

    Neither the order of the streams nor a common factor of the weights matters.
    """
    wanted = _proportions(streams, weights)
    for item in PUBLISHED:
        if (item.dataset, item.split, item.source, item.segments) != (dataset, split, "page", 3):
            continue
        found = _proportions(item.streams, item.weights)
        if [name for name, _ in found] == [name for name, _ in wanted] and all(
            math.isclose(a, b, rel_tol=1e-6) for (_, a), (_, b) in zip(found, wanted, strict=True)
        ):
            return item
    return None


@dataclass(frozen=True)
class Comparison:
    """The published figure that a test is to be held against.

    value: in %; test: what it is of, ``ucf101 split 1 rgb``; reasons: how the test at hand differs from the published
    one, empty where the two can be compared.
    """

    value: float
    test: str
    reasons: tuple[str, ...] = ()


def find_comparison(run: Evaluation) -> Comparison | None:
    """The published figure for a test. None where nothing was published, or where the number of classes shows another
    dataset under the same name."""
    item = find_published(run.dataset, run.split, run.streams, run.weights)
    row = DATASETS.get(run.dataset)
    if item is None or row is None or not row.test_videos or run.num_classes != row.classes:
        return None
    fusion = "" if len(run.weights) == 1 else " " + ":".join(f"{weight:g}" for weight in item.weights)
    return Comparison(
        item.value, f"{run.dataset} split {run.split} {'+'.join(item.streams)}{fusion}", tuple(_differences(run))
    )


def comparison(run: Evaluation, accuracy: float) -> str | None:
    """``published: 85.5 (ucf101 split 1 rgb) difference -1.2`` for an accuracy in %, or why the two are not comparable.
    None where ``find_comparison`` finds none."""
    found = find_comparison(run)
    if found is None:
        return None
    text = f"published: {found.value:.1f} ({found.test})"
    if found.reasons:
        return f"{text}, not comparable: {', '.join(found.reasons)}"
    return f"{text} difference {accuracy - found.value:+.1f}"


def _differences(run: Evaluation) -> list[str]:
    """How the run differs from the published test."""
    total = DATASETS[run.dataset].test_videos[run.split - 1]
    rules = (
        (run.num_videos != total, f"{run.num_videos} of {total} test videos"),
        (run.num_frames != _NUM_FRAMES, f"another number of snippets a video than {_NUM_FRAMES}"),
        (run.aggregation != "mean", f"aggregation {run.aggregation} instead of mean"),
        (run.crop_agg != "mean", f"crops by {run.crop_agg} instead of mean"),
    )
    return [text for differs, text in rules if differs]


def _proportions(streams: Sequence[str], weights: Sequence[float]) -> list[tuple[str, float]]:
    total = sum(weights)
    if len(streams) != len(weights) or total <= 0:
        return [("", 0.0)]
    return sorted((name, weight / total) for name, weight in zip(streams, weights, strict=True))
