"""``pytsn eval-scores``: the original ``tools/eval_scores.py``. Fuses score files and matches videos by name."""

import argparse
import sys

from converter.errors import PytsnError
from pytsn.commands.arguments import add_aggregation

HELP = """\
fuse score files of several streams and print the accuracy

The scores in each file (from `pytsn eval-net --save_scores` or the original) become one vector per video: --crop_agg
merges crops, --aggregation merges frames, without softmax. The class with the largest weighted sum over the files is
the prediction; the accuracy is the mean of the class accuracies.

  pytsn eval-scores rgb.npz flow.npz --score_weights 1 1.5
  pytsn eval-scores rgb.npz flow.npz warped.npz --score_weights 1 1 0.5
  pytsn eval-scores rgb.npz --aggregation topk:3 --crop_agg max

For untrimmed video --aggregation can use windows: anet2016 (window), multiscale, multiscale:fps=2,spans=2+4+8 (windows
of 2, 4, 8 s over 2 snippets per second; by default the rate recorded in the files). ActivityNet files give mAP too.

Videos are matched by name. Files with other videos or contradicting labels are refused. The original's files have no
names: their videos are matched by position, with a warning.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of eval-scores."""
    add = parser.add_argument
    add("score_files", nargs="+", metavar="F", help="score files (.npz)")
    add("--score_weights", nargs="+", type=float, metavar="W", help="weight of each file (default: 1 each)")
    add(
        "--crop_agg",
        choices=("max", "mean"),
        default="mean",
        help="how to merge crops (default: mean; window always takes max)",
    )
    add_aggregation(add)


def run(args: argparse.Namespace) -> int:
    """Prints ``Final accuracy`` as the original does, then further metrics and the published accuracy. Raises
    PytsnError for files that do not fit together."""
    import numpy as np

    from pytsn.evaluation.summary import (
        Predictions,
        evaluation_of,
        file_warnings,
        fused_evaluation,
        label_sets_of,
        snippet_rate_of,
        summarise,
    )
    from pytsn.scores.aggregation import fusion
    from pytsn.scores.alignment import align
    from pytsn.scores.score_file import read_scores
    from pytsn.scores.snippet_rate import aggregation_at

    weights = _weights(args)
    files = [read_scores(path) for path in args.score_files]
    aggregate, notes = aggregation_at(args.aggregation, map(snippet_rate_of, files), "the files hold")
    for line in notes:
        print(line, file=sys.stderr)
    aligned = align(files)
    streams = [
        np.stack([aggregate(video, normalization=False, crop_agg=args.crop_agg) for video in scores])
        for scores in aligned.scores
    ]  # per file V x (T, C, K) -> (V, K)
    fused = fusion(np.zeros_like(streams[0]), streams, weights, norm=False)
    evaluations = [evaluation_of(file, args.aggregation, args.crop_agg) for file in files]
    predictions = Predictions(fused, aligned.labels, label_sets_of(files[0]), softmaxed=False)
    summary = summarise(predictions, fused_evaluation(evaluations, weights))
    for line in summary.lines("Final accuracy {:02f}%", "Top-5 accuracy {:02f}% of videos"):
        print(line)
    named = [text for file in files for text in file_warnings(file)]
    for text in (*aligned.warnings, *named, *summary.warnings):
        print(f"warning: {text}", file=sys.stderr)
    return 0


def _weights(args: argparse.Namespace) -> list[float]:
    import math

    weights = args.score_weights or [1] * len(args.score_files)
    if len(weights) != len(args.score_files):
        raise PytsnError(
            f"{len(weights)} weights for {len(args.score_files)} score files; --score_weights takes one for each file"
        )
    if not all(math.isfinite(weight) for weight in weights):
        raise PytsnError(f"score weights {weights} are not all finite numbers")
    return weights
