"""``pytsn demo``: the whole way from video files through training to fused accuracy, on generated data."""

import argparse
import os
from pathlib import Path
from typing import Any

HELP = """\
make small videos, train two small nets on them, then convert, verify, evaluate and fuse

The classes are shapes x motions: the rgb stream sees the shape but not the motion, the flow stream sees the motion and
hardly the shape, so only both together can tell the classes apart. The steps: make videos, extract frames and flow,
build-file-list, train for rgb and flow (three snippets per video, as in TSN; rgb starts from edge filters, as real nets
start from ImageNet), convert, verify-parity, eval-net for rgb and flow, eval-scores. Every command is printed as you
would type it. Nothing is downloaded. The same seed gives the same videos and the same training.

  pytsn demo                     results in ./demo, a few minutes on two cores
  pytsn demo --quick -o out      fewer videos, smaller images, results in ./out

The folder then holds results.txt, results.json, confusion.png, the training curves (train_rgb/loss.png ...), the models
and all the data. A folder from an earlier demo is emptied first; any other folder with content is refused.
"""


_QUICK: dict[str, Any] = {
    "train": 8,
    "test": 2,
    "frame_size": (85, 64),
    "rgb_iterations": 240,
    "flow_iterations": 60,
    "test_snippets": 5,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of demo."""
    parser.add_argument("-o", "--output", default="demo", metavar="FOLDER", help="output folder (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller videos, less training: about a minute")
    parser.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="seed of videos, filters and training (default: %(default)s)"
    )


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Runs the demo. Exit status 1 when a check fails or the fusion does not beat both streams."""
    # Read once, when torch loads. Threads that wait by spinning make these small nets four times slower on a busy
    # machine (measured for eval-net at load 5 on two cores: 33 s against 9 s).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from pytsn.demo.run import DemoOptions, run_demo

    small = _QUICK if args.quick else {}
    return run_demo(DemoOptions(Path(args.output), seed=args.seed, **small), args.run_command)
