"""An iteration's two ways: run from Python, and kept in place for recording. The same numbers, to the last bit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pytsn.cli import main
from pytsn.runtime.cuda_graph import Replayed
from pytsn.training.iteration import Update
from pytsn.training.solver import CaffeSolver
from tests.training.slow_solver import assert_same, gradients, make_blobs, param_of, slow_run
from tests.training.train_runs import RUNS, arguments, log_of


def run_both(own_tiny: Path, run: str, capsys, *more: str) -> tuple[list, list]:
    """[lines, messages, files that it wrote] of the run without and with --graphs."""
    found = []
    for graphs in ("off", "on"):
        assert main(["train", *arguments(run, "ours/snap"), "--device=cpu", f"--graphs={graphs}", *more]) == 0
        output = capsys.readouterr()
        files = {path.name: path.read_bytes() for path in sorted((own_tiny / "ours").iterdir())}
        found.append([output.out.splitlines(), output.err, files])
        for name in files:
            (own_tiny / "ours" / name).unlink()
    return found[0], found[1]


@pytest.mark.parametrize("run", RUNS)
def test_lines_and_files_are_the_same(own_tiny, capsys, run):
    """Display, tests, drops and snapshots fall between iterations whose numbers nobody has looked at yet; the side
    files hold loss window, curves, random numbers and data cursors."""
    off, on = run_both(own_tiny, run, capsys)
    assert on[:2] == off[:2]
    assert len([name for name in off[2] if "_iter_" in name]) == 6
    assert on[2] == off[2]


def test_iterations_nobody_looked_at_are_looked_at_in_the_end(own_tiny, capsys):
    """Without display, tests and snapshots on the way: 50 iterations, of which the loop keeps at most 20 waiting."""
    own = ("--set=display=0", "--set=test_interval=1000", "--set=test_initialization=false", "--set=snapshot=0")
    own += ("--set=max_iter=50",)
    off, on = run_both(own_tiny, "det_step_clip", capsys, *own)
    assert on == off
    assert sum("Gradient clipping" in line for line in on[0]) > 20


@pytest.mark.parametrize(("graphs", "when"), [("off", "stopped before its update"), ("on", "nothing written since")])
def test_a_number_that_is_not_finite_ends_the_run_before_anything_is_written(own_tiny, capsys, graphs, when):
    own = (
        "--set=base_lr=1e30",
        "--set=test_interval=1000",
        "--set=test_initialization=false",
        "--set=display=0",
        "--set=clip_gradients=-1",
    )
    own += ("--set=snapshot=5",)
    assert main(["train", *arguments("det_fixed", "ours/wild"), "--device=cpu", f"--graphs={graphs}", *own]) == 1
    error = capsys.readouterr().err
    assert "the loss is nan" in error
    assert when in error
    assert not list((own_tiny / "ours").glob("wild*"))


class OnDevice(Update):
    """``Update`` as on a GPU: its numbers are scalar tensors."""

    def set_rate(self, rate: float) -> None:
        self._rates = [torch.full((), value) for value in self._solver.local_rates(rate)]


@pytest.mark.parametrize("clip", [-1, 0, 6.5, 1e9])
@pytest.mark.parametrize("kind", ["SGD", "NESTEROV", "ADAGRAD"])
def test_updates_by_numbers_on_the_device_equal_the_slow_loop(kind, clip):
    """As tests/training/test_solver.py, float64 loops, for the form that a recording needs."""
    param = param_of(solver_type=kind, clip_gradients=clip, iter_size=3)
    param.momentum = 0 if kind == "ADAGRAD" else 0.9
    rates = [0.1] * 4 + [0.01] * 3
    solver = CaffeSolver(param, make_blobs())
    update = OnDevice(solver, torch.device("cpu"))
    for iteration, rate in enumerate(rates):
        for blob, grad in zip(solver.blobs[:3], gradients(iteration), strict=False):
            blob.tensor.grad = torch.tensor(grad, dtype=torch.float32)
        update.set_rate(rate)
        update(update.norm())
    assert_same(solver, *slow_run(param, rates))


def test_the_factor_on_the_device_is_the_one_in_python():
    solver = CaffeSolver(param_of(clip_gradients=6.5, iter_size=3), make_blobs())
    for norm in (0.0, 3.3, 6.5, 6.5000005, 7.77, 1e12, float("inf"), float("nan")):
        scale = solver.clip_scale(norm)
        wanted = np.float32((1.0 if scale is None else scale) / 3)
        assert solver.device_factor(torch.tensor(norm)).item() == wanted


def test_on_a_cpu_every_call_runs():
    calls = []
    replayed = Replayed(lambda: calls.append(len(calls)) or len(calls), torch.device("cpu"))
    assert [replayed() for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    assert replayed.note == ""


@pytest.mark.gpu
@pytest.mark.parametrize("run", RUNS)
def test_a_gpu_replays_what_it_computes(own_tiny, capsys, run):
    """With deterministic kernels, the recorded passes and updates print and write what the eager ones do."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        logs = []
        for graphs in ("off", "on"):
            given = [*arguments(run, f"ours/{graphs}"), "--device=cuda", f"--graphs={graphs}"]
            assert main(["train", *given]) == 0
            output = capsys.readouterr()
            assert "graphs are off" not in output.err
            logs.append([line.replace(f"ours/{graphs}", "ours") for line in log_of(output.out)])
    finally:
        torch.use_deterministic_algorithms(False)
    assert logs[0] == logs[1]
    for path in (own_tiny / "ours").glob("off_iter_*.caffemodel"):
        assert path.read_bytes() == Path(str(path).replace("off_iter", "on_iter")).read_bytes()


@pytest.mark.gpu
def test_a_function_that_waits_for_the_device_is_run_as_it_is():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    device = torch.device("cuda")
    total = torch.zeros((), device=device)

    def work() -> float:
        total.add_(1)
        return total.item()  # cannot be recorded

    replayed = Replayed(work, device)
    assert [replayed() for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    assert replayed.note.startswith("CUDA graphs are off")
