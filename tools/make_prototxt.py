"""`pytsn make-prototxt` from a checkout: `python tools/make_prototxt.py --help` describes it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pytsn.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("make-prototxt", prog="make_prototxt.py"))
