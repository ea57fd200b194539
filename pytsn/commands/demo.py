"""``pytsn demo``: the whole way from video files to fused accuracy on data the demo makes itself."""

import argparse
import os
from pathlib import Path

HELP = """\
make small videos and nets, then convert, verify, evaluate and fuse them

Shapes x motions: the rgb stream sees the shape but not the motion, the flow stream the motion and hardly the shape, so
that only both together tell the classes. The steps are videos, frames and flow images, prototxts and caffemodels
(weights in closed form, no training), convert, verify-parity, eval-net for rgb and flow, eval-scores; every command is
shown as you would type it. Nothing is downloaded.

  pytsn demo                     results in ./demo, a few minutes on two cores
  pytsn demo --quick -o out      fewer videos and snippets, results in ./out

The folder then holds results.txt, results.json, confusion.png, the models and all the data. A folder that the demo made
before is emptied first; any other that has content is left alone.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of demo."""
    parser.add_argument("-o", "--output", default="demo", metavar="FOLDER", help="where to (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="fewer videos and snippets: well under a minute")
    parser.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="of videos and filters (default: %(default)s)"
    )


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Runs the demo. Exit status 1 when a check fails or the fusion does not beat both streams."""
    # Read once, when torch loads. Threads that wait for each other by spinning make these small nets four times slower
    # on a machine that has other work (measured: 33 s against 9 s of eval-net at load 5 on two cores).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from pytsn.demo.run import DemoOptions, run_demo

    small = {"train": 5, "test": 2, "fit_snippets": 2, "test_snippets": 5} if args.quick else {}
    return run_demo(DemoOptions(Path(args.output), seed=args.seed, **small))
