"""Running `pytsn train` on the tiny nets, and comparing what it printed and wrote with Caffe's."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from converter.caffemodel import read_caffemodel
from converter.solverstate import read_solverstate
from tests.held import popen_stepwise
from tests.places import TOOLS
from tests.waiting import PATIENCE

TOOL = str(TOOLS / "train_tsn.py")
_NUMBER = re.compile(r"(?<![\w#])[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|inf|nan)(?!\w)")
#: a caffemodel that Caffe filled; the det runs start from it
START = "rgb_step/init_iter_0.caffemodel"
#: folders of the recorded runs
RUNS = ["det_fixed", "det_step_clip", "det_multistep_itersize", "rgb_step", "rgb_itersize"]


def arguments(run: str, prefix: str = "ours/{run}", *more: str) -> list[str]:
    """Those of `pytsn train` for a recorded run, whose start weights are the recorded ones where it has any."""
    weights = [f"--weights={START}"] if run.startswith("det") and not any("--snapshot" in text for text in more) else []
    prefix = prefix.format(run=run)
    return [f"--solver={run}/solver.prototxt", "--workers=0", f"--set=snapshot_prefix={prefix}", *weights, *more]


def log_of(output: str) -> list[str]:
    """The lines from the first iteration on, which is where the recorded logs start."""
    lines = output.splitlines()
    return lines[next(index for index, line in enumerate(lines) if line.startswith("Iteration")) :]


def assert_log(found: list[str], wanted: list[str], tolerance: float) -> None:
    """Same lines, same words, numbers within ``tolerance`` of the wanted one."""
    assert len(found) == len(wanted)
    for line, true in zip(found, wanted, strict=True):
        assert _NUMBER.sub("N", line) == _NUMBER.sub("N", true)
        for own, value in zip(_NUMBER.findall(line), _NUMBER.findall(true), strict=True):
            assert abs(float(own) - float(value)) <= tolerance * abs(float(value)), f"{line!r}, but Caffe: {true!r}"


def assert_caffemodel(found: Path, wanted: Path, tolerance: float) -> None:
    """Same layers and shapes; each blob within ``tolerance`` of its largest value."""
    own, true = ({layer.name: layer.blobs for layer in read_caffemodel(path).layers} for path in (found, wanted))
    assert list(own) == list(true)
    for name, blobs in true.items():
        for index, (blob, value) in enumerate(zip(own[name], blobs, strict=True)):
            assert blob.shape == value.shape
            largest = np.abs(value.data).max()
            np.testing.assert_allclose(
                blob.data, value.data, rtol=0, atol=tolerance * largest, err_msg=f"{name}, blob {index}"
            )


def assert_solverstate(found: Path, wanted: Path, tolerance: float) -> None:
    """Same iteration and step; history within ``tolerance`` of its layer's largest value.

    Of the layer's: a convolution's bias before a BN has gradient 0, and its history is nothing but rounding.
    """
    own, true = read_solverstate(found), read_solverstate(wanted)
    assert (own.iteration, own.current_step) == (true.iteration, true.current_step)
    values = true.arrays()
    assert len(own.history) == len(values)
    for index, (array, value) in enumerate(zip(own.arrays(), values, strict=True)):
        assert array.shape == value.shape
        largest = max(np.abs(value).max(), np.abs(values[index - 1]).max() if value.ndim == 1 else 0)
        np.testing.assert_allclose(array, value, rtol=0, atol=tolerance * largest, err_msg=f"history of blob {index}")


def train(arguments: list[str], folder: Path, launcher: tuple[str, ...] = (), **options) -> subprocess.CompletedProcess:
    """Runs tools/train_tsn.py in ``folder``, to its end."""
    with start(arguments, folder, launcher, **options) as process:
        output, errors = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def start(arguments: list[str], folder: Path, launcher: tuple[str, ...] = (), **options) -> subprocess.Popen:
    """Starts tools/train_tsn.py in ``folder``."""
    command = [sys.executable, *launcher, TOOL, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=one_thread(), **pipes, **options)


def start_stepwise(arguments: list[str], folder: Path) -> subprocess.Popen:
    """The same, but it stops at the second line that nobody has read."""
    return popen_stepwise([sys.executable, TOOL, *arguments], cwd=folder, env=one_thread())


def one_thread() -> dict[str, str]:
    """The environment of a process whose sums are those of one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def iteration_of(snapshot: Path) -> int:
    """The 20 of snap_iter_20.solverstate."""
    return int(snapshot.stem.rpartition("_")[2])


def read_until(process: subprocess.Popen, text: str) -> list[str]:
    """The lines that the process prints up to and including one that holds ``text``."""
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if text in line:
            return lines
    raise AssertionError(f"ended without printing {text!r}: {process.stderr.read()}")


def kill(process: subprocess.Popen) -> None:
    """SIGKILL, at once."""
    process.send_signal(signal.SIGKILL)
    process.communicate()
