"""What processes load before they start working: seconds that every run, every reader and every test would pay."""

import json
import os
import subprocess
import sys

from tests.places import ROOT
from tests.training.train_runs import START


def loaded(code: str, *modules: str) -> dict[str, bool]:
    """Which of the modules a new Python has loaded after running the code."""
    code += f"\nimport json, sys\nprint(json.dumps({{name: name in sys.modules for name in {modules}}}))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_reading_process_loads_no_torch():
    assert loaded("import pytsn.training.input.reader_pool", "numpy", "torch") == {"numpy": True, "torch": False}


def test_a_training_run_loads_no_compiler(tiny):
    """torch's compiler, which some operations load when they first run: two seconds."""
    arguments = ["train", "--solver=det_fixed/solver.prototxt", f"--weights={START}", "--workers=0", "--set=max_iter=2"]
    code = f"from pytsn.cli import main; assert main({[*arguments, '--set=snapshot_prefix=ours/start_up']}) == 0"
    assert loaded(code, "torch", "torch._dynamo", "sympy") == {"torch": True, "torch._dynamo": False, "sympy": False}
