"""`pytsn eval-scores` from a checkout: `python tools/eval_scores.py --help` describes it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pytsn.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("eval-scores", prog="eval_scores.py"))
