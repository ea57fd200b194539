"""A prediction as JSON."""

from collections.abc import Sequence

import numpy as np

from converter.errors import printable
from pytsn.predict.result import Prediction, best_classes


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
