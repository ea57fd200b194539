"""The command `make_prototxt`, run from a checkout: see `python tools/make_prototxt.py --help` (the same as `pytsn make-prototxt`)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pytsn.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("make-prototxt", prog="make_prototxt.py"))
