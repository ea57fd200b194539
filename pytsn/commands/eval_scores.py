"""``pytsn eval-scores``: the original ``tools/eval_scores.py``. Fuses score files and matches videos by name."""

import argparse
import sys

from pytsn.commands.arguments import Add, add_aggregation
from pytsn.commands.confusion_argument import add_confusion, check_confusion, save_confusion
from pytsn.commands.report_arguments import add_frames, add_report, check_report, save_report

HELP = """\
fuse score files of several streams and print the accuracy

The scores in each file (from `pytsn eval-net --save_scores` or the original) become one vector per video: --crop_agg
merges crops, --aggregation merges frames, without softmax. The class with the largest weighted sum over the files is
the prediction; the accuracy is the mean of the class accuracies.

  pytsn eval-scores rgb.npz flow.npz --score_weights 1 1.5
  pytsn eval-scores rgb.npz flow.npz warped.npz --score_weights 1 1 0.5
  pytsn eval-scores rgb.npz --aggregation topk:3 --crop_agg max
  pytsn eval-scores rgb.npz flow.npz --score_weights 1 1.5 --report report.html --confusion confusion.pdf

For untrimmed video --aggregation can use windows: anet2016 (window), multiscale, multiscale:fps=2,spans=2+4+8 (windows
of 2, 4, 8 s over 2 snippets per second; by default the rate recorded in the files). ActivityNet files give mAP too.

Videos are matched by name. Files with other videos or contradicting labels are refused. The original's files have no
names: their videos are matched by position, with a warning.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of eval-scores."""
    add_fusion(parser.add_argument)
    add_confusion(parser.add_argument)
    add_frames(add_report(parser))


def add_fusion(add: Add) -> None:
    """The score files and how they are fused."""
    add("score_files", nargs="+", metavar="F", help="score files (.npz)")
    add("--score_weights", nargs="+", type=float, metavar="W", help="weight of each file (default: 1 each)")
    add(
        "--crop_agg",
        choices=("max", "mean"),
        default="mean",
        help="how to merge crops (default: mean; window always takes max)",
    )
    add_aggregation(add)


def read_and_fuse(args: argparse.Namespace):
    """The score files of the arguments of ``add_fusion`` as FusedScores (pytsn/evaluation/fused_scores.py); prints its
    notes. Raises PytsnError for files that do not fit together."""
    from pytsn.evaluation.fused_scores import fuse
    from pytsn.scores.score_file import read_scores

    scores = fuse([read_scores(path) for path in args.score_files], args.score_weights, args.aggregation, args.crop_agg)
    for line in scores.notes:
        print(line, file=sys.stderr)
    return scores


def run(args: argparse.Namespace) -> int:
    """Prints ``Final accuracy`` as the original does, then further metrics and the published accuracy. Raises
    PytsnError for files that do not fit together."""
    from pytsn.evaluation.summary import summarise

    check_report(args, args.score_files)
    check_confusion(args)
    scores = read_and_fuse(args)
    summary = summarise(scores.predictions, scores.evaluation)
    for line in summary.lines("Final accuracy {:02f}%", "Top-5 accuracy {:02f}% of videos"):
        print(line)
    for text in (*scores.warnings, *summary.warnings):
        print(f"warning: {text}", file=sys.stderr)
    save_confusion(args, scores.predictions, scores.evaluation and scores.evaluation.dataset)
    if args.report is not None:
        save_report(args, scores)
    return 0
