"""`get-models`: downloads the weights that TSN's authors released, checks them and stores them under their names."""

import argparse
import sys
from pathlib import Path

from pytsn.data.datasets import SPLITS
from pytsn.runtime.progress import BYTES, Progress

HELP = """download the released TSN weights, check them, and store them under the original's file names

  reference   12 nets: UCF101 and HMDB51, rgb and flow, splits 1 to 3 (scripts/get_reference_models.sh)
  init        the rgb and flow nets that training starts from (scripts/get_init_models.sh)

Run the command again to continue an interrupted download; files that are already there and intact are skipped. Each
file must be a caffemodel with the layers of BN-Inception, the classes and channels that its name says, finite weights
and no negative variances. A file that fails the check is kept as NAME.bad, never as NAME.

Examples:
  pytsn get-models reference --dataset ucf101 --split 1
  pytsn get-models init -o weights
  pytsn get-models reference --base_url ~/Downloads      copies and checks files found elsewhere
  pytsn get-models reference --list

Exit status: 0 all requested files are there; 1 some are missing; 2 all are missing, or wrong arguments.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from pytsn.weights.released_models import DATASETS_RELEASED, HOST, KINDS, MODALITIES_RELEASED

    parser.add_argument("kind", metavar="KIND", choices=KINDS, help="reference or init")
    parser.add_argument("--dataset", choices=DATASETS_RELEASED, help="(default: both)")
    parser.add_argument("--split", type=int, choices=SPLITS, help="(default: all three)")
    parser.add_argument("--modality", choices=MODALITIES_RELEASED, help="(default: both)")
    parser.add_argument(
        "--base_url",
        metavar="URL",
        help=f"http, https or file URL, or a folder, to use instead of {HOST}: it holds the original's folders, or the"
        " files themselves, with or without .v5",
    )
    parser.add_argument("-o", "--output", metavar="DIR", default="models", help="output folder (default: %(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=30.0, metavar="S", help="seconds to wait for data (default: 30)"
    )
    parser.add_argument("--list", action="store_true", help="print names and URLs, download nothing")


def run(args: argparse.Namespace) -> int:
    from converter.errors import PytsnError
    from pytsn.weights.addresses import shown
    from pytsn.weights.download import Patience
    from pytsn.weights.get_models import ADVICE, Getter, Wanted
    from pytsn.weights.model_sources import sources

    wanted = Wanted(args.kind, args.dataset, args.split, args.modality)
    if not 0 < args.timeout < 86400:
        raise PytsnError(f"--timeout {args.timeout:g}: seconds, more than 0, are needed")
    if args.list:
        for file in wanted.files():
            print(f"{file.name}  {shown(sources(file, args.base_url)[0])}")
        return 0
    bars = _Bars()
    try:
        outcome = Getter(Path(args.output), bars.say, bars.start, Patience(stall=args.timeout)).get(
            wanted, args.base_url
        )
    finally:
        bars.close()
    print(f"{len(outcome.present)} present, {len(outcome.fetched)} fetched, {len(outcome.failed)} failed")
    if outcome.failed:
        print(f"missing: {', '.join(outcome.failed)}\n{ADVICE}", file=sys.stderr)
    return outcome.status


class _Bars:
    """The progress of each file, one after the other, on stderr."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def say(self, line: str) -> None:
        """Ends the file's progress and prints the line."""
        self.close()
        print(line, file=sys.stderr if line.startswith("failed") else sys.stdout, flush=True)

    def start(self, name: str):
        """Starts the progress of a file. Returns a function (done, size) that updates it."""
        from pytsn.weights.released_models import promised

        self.close()
        title = str(promised(name))  # the name itself would leave no room for the remaining time
        self._progress = progress = Progress(title, unit=BYTES)

        def show(done: int, size: int | None) -> None:
            if (progress.total is None and not progress.done) or done < progress.done:
                progress.begin(done, size)  # bytes of an earlier run must not count in the speed
            else:
                progress.reach(done)

        return show

    def close(self) -> None:
        if self._progress is not None:
            self._progress.close()
            self._progress = None
