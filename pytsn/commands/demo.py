"""``pytsn demo``: the whole way from video files over training to fused accuracy, on data the demo makes itself."""

import argparse
import os
from pathlib import Path

HELP = """\
make small videos, train two small nets on them, then convert, verify, evaluate and fuse

Shapes x motions: the rgb stream sees the shape but not the motion, the flow stream the motion and hardly the shape, so
that only both together tell the classes. The steps are videos, frames and flow images, build-file-list, train for rgb
and flow (three snippets a video, as TSN's; rgb starts from edge filters, as real nets do from ImageNet), convert,
verify-parity, eval-net for rgb and flow, eval-scores; every command is shown as you would type it. Nothing is
downloaded. The same seed gives the same videos and the same training.

  pytsn demo                     results in ./demo, a few minutes on two cores
  pytsn demo --quick -o out      fewer videos, updates and snippets, results in ./out

The folder then holds results.txt, results.json, confusion.png, the curves of training (train_rgb/loss.png ...), the
models and all the data. A folder that the demo made before is emptied first; any other that has content is left alone.
"""


_QUICK = {"train": 8, "test": 2, "rgb_iterations": 240, "flow_iterations": 60, "test_snippets": 5}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of demo."""
    parser.add_argument("-o", "--output", default="demo", metavar="FOLDER", help="where to (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="fewer videos, updates and snippets: about a minute")
    parser.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="of videos, filters and training (default: %(default)s)"
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

    small = _QUICK if args.quick else {}
    return run_demo(DemoOptions(Path(args.output), seed=args.seed, **small), args.run_command)
