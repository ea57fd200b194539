"""The one count of cores follows the process's affinity, and the defaults follow it."""

import os
import re
import subprocess
import sys

import pytest
import torch

from pytsn.training.settings import default_workers
from tests.places import ROOT


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_a_process_held_to_one_core_counts_one():
    code = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from pytsn.runtime.cores import cpu_count
print(cpu_count())
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (run.stdout, run.stderr) == ("1\n", "")


@pytest.mark.parametrize(("cores", "world", "readers"), [(1, 1, 1), (6, 1, 5), (64, 1, 8), (16, 4, 3), (2, 4, 1)])
def test_readers_of_a_gpu_leave_a_core_to_their_process(monkeypatch, cores, world, readers):
    monkeypatch.setattr("pytsn.training.settings.cpu_count", lambda: cores)
    assert default_workers(torch.device("cuda"), world) == readers
    assert default_workers(torch.device("cpu"), world) == 1


def test_nobody_counts_cores_by_himself():
    own = re.compile(r"os\.cpu_count|sched_getaffinity|multiprocessing\.cpu_count")
    files = [path for room in ("converter", "pytsn", "benchmarks", "tools") for path in (ROOT / room).rglob("*.py")]
    found = [str(path.relative_to(ROOT)) for path in files if own.search(path.read_text())]
    assert found == ["pytsn/runtime/cores.py"]
