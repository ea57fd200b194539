"""``pytsn eval-scores``: the original ``tools/eval_scores.py``, fusing score files, with videos matched by name."""

import argparse
import sys

HELP = """\
fuse score files of several streams and print the accuracy

Each file's scores (made by `pytsn eval-net --save_scores`, or by the original) become one vector a video: crops by
--crop_agg, frames by --aggregation, no softmax. The weighted sum over the files decides; the accuracy is the mean
of the class accuracies.

  pytsn eval-scores rgb.npz flow.npz --score_weights 1 1.5
  pytsn eval-scores rgb.npz flow.npz warped.npz --score_weights 1 1 0.5
  pytsn eval-scores rgb.npz --aggregation topk:3 --crop_agg max

Files are matched by video name; files whose labels contradict, or that hold other videos, are refused. Files of the
original have no names: they are matched by place, with a warning.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of eval-scores."""
    add = parser.add_argument
    add("score_files", nargs="+", metavar="F", help="score files (.npz)")
    add("--score_weights", nargs="+", type=float, metavar="W", help="weight of each file (default: 1 each)")
    add("--crop_agg", choices=("max", "mean"), default="mean", help="crops to frame (default: mean; window takes max)")
    add("--aggregation", default="mean", metavar="A", help="frames to video: mean, topk:K or window (default: mean)")


def run(args: argparse.Namespace) -> int:
    """Prints ``Final accuracy`` as the original does, then the top-5 accuracy. Raises PytsnError for files that do not
    fit together."""
    import numpy as np

    from pytsn.aggregation import fusion, parse_aggregation
    from pytsn.metrics import class_accuracy, top_k_accuracy
    from pytsn.score_alignment import align
    from pytsn.scores import read_scores

    aggregate = parse_aggregation(args.aggregation)
    weights = _weights(args)
    aligned = align([read_scores(path) for path in args.score_files])
    streams = [
        np.stack([aggregate(video, normalization=False, crop_agg=args.crop_agg) for video in scores])
        for scores in aligned.scores
    ]  # per file V x (T, C, K) -> (V, K)
    fused = fusion(np.zeros_like(streams[0]), streams, weights, norm=False)
    accuracy = class_accuracy(aligned.labels, fused.argmax(axis=1))
    print(f"Final accuracy {accuracy.mean * 100:02f}%")
    if aligned.num_classes > 5:
        print(f"Top-5 accuracy {top_k_accuracy(fused, aligned.labels, 5) * 100:02f}% of videos")
    for text in (*aligned.warnings, *accuracy.warnings(aligned.num_classes)):
        print(f"warning: {text}", file=sys.stderr)
    return 0


def _weights(args: argparse.Namespace) -> list[float]:
    import math

    from converter.errors import PytsnError

    weights = args.score_weights or [1] * len(args.score_files)
    if len(weights) != len(args.score_files):
        raise PytsnError(
            f"{len(weights)} weights for {len(args.score_files)} score files; --score_weights takes one for each file"
        )
    if not all(math.isfinite(weight) for weight in weights):
        raise PytsnError(f"score weights {weights} are not all finite numbers")
    return weights
