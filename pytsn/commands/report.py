"""``pytsn report``: one HTML page about score files, to be sent to a colleague."""

import argparse
import sys

from pytsn.commands.arguments import add_frame_patterns
from pytsn.commands.eval_scores import add_fusion, read_and_fuse
from pytsn.commands.report_arguments import add_frames, add_labels, check_report, save_report

HELP = """\
an HTML page about score files: accuracies, confusion matrix, worst videos

One file that needs no network: accuracies by stream and fused, beside the published ones; a confusion matrix to point
at; the accuracy of each class; the pairs most often confused; the videos most confidently wrong with their score curves
and, with --frames, a strip of frames; settings and sha256 of weights and score files.

  pytsn report rgb.npz flow.npz --score_weights 1 1.5 --labels classInd.txt -o report.html
  pytsn report rgb.npz --labels classInd.txt --frames FRAMES -o report.html

Score files and their fusion are those of `pytsn eval-scores`, which writes the same page with --report, as eval-net
does. --labels takes UCF101's classInd.txt, HMDB51's class_list.txt or any file with one name per line. The same input
gives the same bytes.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of report."""
    add = parser.add_argument
    add_fusion(add)
    add("-o", "--output", dest="report", required=True, metavar="FILE", help="the HTML file")
    add_labels(add)
    add_frames(add)
    add_frame_patterns(add)
    add(
        "--worst", type=int, default=12, metavar="N", help="how many of the worst videos to show (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Writes the report. Raises PytsnError for files that do not fit together and for what cannot be read or written;
    nothing is written then."""
    check_report(args, args.score_files)
    scores = read_and_fuse(args)
    for text in scores.warnings:
        print(f"warning: {text}", file=sys.stderr)
    save_report(args, scores)
    return 0
