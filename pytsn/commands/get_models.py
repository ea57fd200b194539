"""`get-models`: the weights that TSN's authors released, fetched, checked and put under the original's names."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm

from pytsn.data.datasets import SPLITS

HELP = """Downloads the released TSN weights, checks them, and puts them under the names of the original's scripts.

  reference   12 nets: UCF101 and HMDB51, rgb and flow, splits 1 to 3 (scripts/get_reference_models.sh)
  init        the rgb and flow nets that training starts from (scripts/get_init_models.sh)

A download that stops goes on where it was when the command is run again; files that are there and intact are skipped.
Each file must be a caffemodel with BN-Inception's layers, the classes and channels that its name promises, finite
weights and no negative variances. One that is not is kept as NAME.bad, never as NAME.

Examples:
  pytsn get-models reference --dataset ucf101 --split 1
  pytsn get-models init -o weights
  pytsn get-models reference --base_url ~/Downloads      copies and checks files found elsewhere
  pytsn get-models reference --list

Exit status: 0 all files asked for are there; 1 some could not be had; 2 none could, or wrong arguments.
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
        help=f"http, https or file address, or a folder, to use instead of {HOST}: with the original's folders in it,"
        " or with the files themselves, with or without .v5",
    )
    parser.add_argument("-o", "--output", metavar="DIR", default="models", help="folder (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="S", help="seconds without a byte (default: 30)")
    parser.add_argument("--list", action="store_true", help="print names and addresses, fetch nothing")


def run(args: argparse.Namespace) -> int:
    from converter.errors import PytsnError
    from pytsn.weights.download import Patience
    from pytsn.weights.get_models import ADVICE, Getter, Wanted
    from pytsn.weights.model_sources import sources

    wanted = Wanted(args.kind, args.dataset, args.split, args.modality)
    if not 0 < args.timeout < 86400:
        raise PytsnError(f"--timeout {args.timeout:g}: seconds, more than 0, are needed")
    if args.list:
        for file in wanted.files():
            print(f"{file.name}  {sources(file, args.base_url)[0]}")
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
    """A progress bar a file, on stderr, quiet when that is no terminal."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def say(self, line: str) -> None:
        """Ends the bar and prints the line."""
        self.close()
        print(line, file=sys.stderr if line.startswith("failed") else sys.stdout, flush=True)

    def start(self, name: str):
        """Begins the bar of a file; what comes back sets it."""
        from tqdm import tqdm

        from pytsn.weights.released_models import promised

        self.close()
        title = str(promised(name))  # the name itself would leave no room for the time to go
        self._bar = bar = tqdm(desc=title, unit="B", unit_scale=True, unit_divisor=1024, disable=None)

        def show(done: int, size: int | None) -> None:
            begins = (bar.total is None and not bar.n) or done < bar.n
            bar.total = size
            if begins:  # what an earlier run brought is no part of the speed
                bar.initial = bar.n = bar.last_print_n = done
                bar.refresh()
            else:
                bar.update(done - bar.n)

        return show

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
