"""A prediction as lines of text and as JSON."""

from collections.abc import Sequence

import numpy as np

from converter.errors import printable
from pytsn.predict.result import Prediction


def best_classes(probabilities: np.ndarray, top: int) -> list[int]:
    """The ``top`` classes with the largest probabilities (K,), best first; of equal ones the lower class first."""
    return np.argsort(-probabilities, kind="stable")[:top].tolist()


def text_lines(prediction: Prediction, labels: Sequence[str], top: int) -> list[str]:
    """The video's name, then a line per class: its fused probability and, with several streams, that of each stream."""
    fused = prediction.probabilities()
    streams = [prediction.stream_probabilities(stream) for stream in prediction.scores]
    columns = [("fused", fused), *zip(prediction.scores, streams, strict=True)] if len(streams) > 1 else [("", fused)]
    head = "".join(f"{name:>10}" for name, _ in columns)
    lines = [f"{prediction.source.name}: {labels[best_classes(fused, 1)[0]]}"]
    if len(columns) > 1:
        lines.append(f"{head}")
    for label in best_classes(fused, top):
        lines.append("".join(f"{percent(values[label]):>10}" for _, values in columns) + f"  {labels[label]}")
    return lines


def as_json(prediction: Prediction, labels: Sequence[str], top: int) -> dict:
    """JSON-able: the best classes of the fused streams, of each stream, and of each snippet (fused).

    Labels count from 0, image numbers from 1.
    """
    snippets = prediction.snippet_probabilities()
    first = next(iter(prediction.ticks))
    return {
        "name": prediction.source.name,
        "path": printable(prediction.source.path),
        "images": prediction.images,
        "fps": prediction.fps,
        "top": _top(prediction.probabilities(), labels, top),
        "streams": {
            stream: {
                "weight": prediction.weights[stream],
                "snippets": len(scores),
                "crops": scores.shape[1],
                "top": _top(prediction.stream_probabilities(stream), labels, top),
            }
            for stream, scores in prediction.scores.items()
        },
        "snippets": [
            {"image": int(tick), "top": _top(values, labels, 1)}
            for tick, values in zip(prediction.ticks[first], snippets, strict=False)
        ],
    }


def _top(probabilities: np.ndarray, labels: Sequence[str], top: int) -> list[dict]:
    return [
        {"label": label, "class": labels[label], "probability": float(probabilities[label])}
        for label in best_classes(probabilities, top)
    ]


def percent(probability: float) -> str:
    """0.1234 as 12.3 %."""
    return f"{probability * 100:.1f} %"
