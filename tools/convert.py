"""The command `convert`, run from a checkout: see `python tools/convert.py --help` (the same as `pytsn convert`)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pytsn.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("convert", prog="convert.py"))
