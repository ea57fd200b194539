"""The arguments of the HTML report, shared by ``report``, ``eval-scores`` and ``eval-net``."""

import argparse
from collections.abc import Mapping, Sequence

from converter.errors import PytsnError
from pytsn.commands.arguments import Add


def add_report(parser: argparse.ArgumentParser) -> Add:
    """--report and --labels, in a group of their own; returns what adds arguments to it."""
    add = parser.add_argument_group("HTML report (pytsn report)").add_argument
    add("--report", metavar="FILE", help="write an HTML report of the test")
    add_labels(add)
    return add


def add_labels(add: Add) -> None:
    """--labels."""
    text = "names of the classes in the report (default: UCF101's or HMDB51's for theirs, else class 0, class 1, ...)"
    add("--labels", metavar="FILE", help=text)


def add_frames(add: Add) -> None:
    """--frames."""
    text = "show frames of the worst videos: root folder of the frames, as for eval-net, or of the videos"
    add("--frames", metavar="DIR", help=text)


def report_options(args: argparse.Namespace, folders: Mapping[str, str] | None = None):
    """The ReportOptions (pytsn/report/write.py) of the arguments; folders: of the videos by name, where known."""
    from pytsn.commands.arguments import frame_kinds_of
    from pytsn.report.write import WORST, ReportOptions

    kinds = {"kinds": frame_kinds_of(args)} if hasattr(args, "frame_pattern") else {}
    frames, worst = getattr(args, "frames", None), getattr(args, "worst", WORST)
    return ReportOptions(args.report, args.labels, frames, folders, worst, args.command_line, **kinds)


def check_report(args: argparse.Namespace, inputs: Sequence[str] = ()) -> None:
    """Raises PytsnError, before any work, for a report that could not be written and for its options without it.
    inputs: files that are read, which the report must not replace."""
    if args.report is not None:
        report_options(args).check(inputs)
        return
    served = {"labels": getattr(args, "confusion", None) is not None, "frames": False}
    for name, other in served.items():
        if getattr(args, name, None) and not other:
            raise PytsnError(f"--{name} goes with --report FILE")


def save_report(
    args: argparse.Namespace, scores, folders: Mapping[str, str] | None = None, digests: Sequence[str] | None = None
) -> None:
    """Writes the report of FusedScores and says so. Raises PytsnError as ``write_report``."""
    from pytsn.report.write import write_report

    size = write_report(scores, report_options(args, folders), digests)
    print(f"wrote {args.report} ({size:,} bytes)")
