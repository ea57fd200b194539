"""Small score files, and what the report has to say of them by plain loops."""

import math
from pathlib import Path

import numpy as np

from pytsn.evaluation.fused_scores import FusedScores, fuse
from pytsn.scores.score_file import read_scores, write_scores

CLASSES, VIDEOS = 7, 40
WEIGHTS = (1, 1.5)
#: labels of 40 videos; class 6 has none
LABELS = [(3 * index + index // 5) % 6 for index in range(VIDEOS)]
NAMES = [f"v_{index:02d}" for index in range(VIDEOS)]
#: text that must never be more than text
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</script><script>alert(3)</script>",
    "{{7*7}}{% raw %}",
    "__proto__",
    "\u202egnihctaw\u2066 \u200f",
    "two\nlines\r\ttab\0 \x1b[31m",
    "<!--<script>",
    "' onmouseover='alert(4)",
    "&lt;b&gt; &amp; &#60;i&#62;",
    "constructor",
    "javascript:alert(5)",
    "]]></style></title></bdi></canvas>",
    "\u2028\u2029\ufeff",
    "W" * 3000,
    "${alert(6)}`",
)


def raw_scores(seed: int, videos: int = VIDEOS, classes: int = CLASSES, lengths=(3, 5)) -> list[np.ndarray]:
    """V x float32 (T, 2, K) that tend to the labels, T one of the lengths in turn."""
    rng = np.random.default_rng(seed)
    scores = [rng.normal(size=(lengths[i % len(lengths)], 2, classes)).astype(np.float32) for i in range(videos)]
    for label, array in zip(LABELS * (videos // VIDEOS + 1), scores, strict=False):
        array[:, :, label % classes] += 0.3
    return scores


def two_streams(folder: Path, **settings) -> tuple[Path, Path]:
    """An rgb file, and a flow file of the same videos in another order."""
    rgb = write_scores(folder / "rgb.npz", raw_scores(0), LABELS, NAMES, {"modality": "rgb", **settings})
    flow, order = raw_scores(1), sorted(range(VIDEOS), key=lambda index: (7 * index) % VIDEOS)
    turned = [[values[index] for index in order] for values in (flow, LABELS, NAMES)]
    return rgb, write_scores(folder / "flow.npz", *turned, {"modality": "flow", **settings})


def fused_streams(folder: Path) -> FusedScores:
    """Both files fused."""
    return fuse([read_scores(path) for path in two_streams(folder)], WEIGHTS)


def hostile_file(path: Path) -> Path:
    """A score file in which everything that may be text is HOSTILE; half of the videos are wrong."""
    count = len(HOSTILE)
    scores = []
    for index in range(count):
        array = np.zeros((3, 1, count), np.float32)
        array[:, :, index if index % 2 else (index + 1) % count] = 3 + index
        scores.append(array)
    settings = {text: text for text in HOSTILE} | {"net_weights": HOSTILE[0], "modality": HOSTILE[1]}
    settings |= {"dataset": HOSTILE[2], "precision": {HOSTILE[0]: [HOSTILE[1]]}}
    return write_scores(path, scores, list(range(count)), HOSTILE, settings)


def slow_softmax(values) -> list[float]:
    powers = [math.exp(float(value) - float(max(values))) for value in values]
    return [power / sum(powers) for power in powers]


def slow_videos(streams: list[list[np.ndarray]], weights) -> list[list[float]]:
    """The fused scores of each video, K numbers, before the softmax: means over crops and snippets, summed up."""
    fused = []
    for video in range(len(streams[0])):
        total = [0.0] * streams[0][0].shape[2]
        for weight, stream in zip(weights, streams, strict=True):
            for k in range(len(total)):
                values = [float(value) for snippet in stream[video] for value in snippet[:, k]]
                total[k] += weight * sum(values) / len(values)
        fused.append(total)
    return fused


def best(values) -> int:
    """The place of the largest value, the first of equal ones."""
    return max(range(len(values)), key=lambda place: (values[place], -place))
