"""Several processes, by torchrun and gloo, against one process."""

import re
from pathlib import Path

import numpy as np
import pytest

from converter.caffemodel import read_caffemodel
from converter.errors import PytsnError
from converter.solverstate import read_solverstate
from pytsn.cli import main
from pytsn.runtime.distributed import Processes, world_from_environment
from tests.training.train_runs import START, assert_caffemodel, assert_solverstate, log_of, train

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
#: rounding: a mean over processes is summed in another order than gradients that accumulate
CLOSE = 2e-6


def arguments(solver: str, prefix: str, *more: str) -> list[str]:
    return [f"--solver={solver}/solver.prototxt", f"--set=snapshot_prefix=ours/{prefix}", "--workers=0", *more]


def run_two(folder: Path, solver: str, prefix: str, *more: str):
    result = train(arguments(solver, prefix, *more), folder, TORCHRUN)
    assert result.returncode == 0, result.stderr
    return result


def losses(output: str) -> list[float]:
    return [float(line.split(" = ")[1]) for line in log_of(output) if re.match(r"Iteration \d+, loss", line)]


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "last"), [(["--set=weight_decay=0.01"], 9), (["--set=solver_type=NESTEROV"], 7)])
def test_two_processes_are_one_with_iter_size_two(tiny, rule, last, capsys):
    """Nothing random, no clipping: rank r reads batches r, r + 2, ..., which are those that one process sums up. Only
    BN's running statistics differ, because each process averages its own batches: rank 0's are saved."""
    common = [f"--weights={START}", "--set=test_iter=", f"--set=max_iter={last}", "--set=snapshot=0", *rule]
    assert main(["train", *arguments("det_fixed", "one", *common, "--set=iter_size=2")]) == 0
    alone = losses(capsys.readouterr().out)
    two = run_two(tiny, "det_fixed", "two", *common)
    assert "effective batch: 8 videos (batch_size 4 x iter_size 1 x processes 2)" in two.stderr
    assert len(alone) == last + 1  # the last is of a pass of the end, over one batch here, over two there
    np.testing.assert_allclose(losses(two.stdout)[:-1], alone[:-1], rtol=1e-5)
    first, second = (
        {layer.name: layer.blobs for layer in read_caffemodel(tiny / f"ours/{name}_iter_{last}.caffemodel").layers}
        for name in ("one", "two")
    )
    for name, blobs in first.items():
        for index, (blob, other) in enumerate(zip(blobs, second[name], strict=True)):
            largest = np.abs(blob.data).max()
            same = np.abs(blob.data - other.data).max() <= CLOSE * largest
            assert same == ((name, index) not in {("conv1_bn", 2), ("conv1_bn", 3)}), f"{name}, blob {index}"
    states = [read_solverstate(tiny / f"ours/{name}_iter_{last}.solverstate") for name in ("one", "two")]
    largest = max(np.abs(array).max() for array in states[0].arrays())
    for array, other in zip(states[0].arrays(), states[1].arrays(), strict=True):
        np.testing.assert_allclose(array, other, rtol=0, atol=CLOSE * largest)


@pytest.mark.slow
def test_two_processes_resume_exactly_and_print_once(tiny):
    """Each process's own cursor, random numbers and BN statistics come back. Test passes average over the processes."""
    common = ["--set=max_iter=9", "--set=snapshot=5", "--set=test_interval=3"]
    whole = log_of(run_two(tiny, "rgb_itersize", "whole", *common).stdout)
    assert sum(line.startswith("Iteration 0, lr") for line in whole) == 1
    first = [tiny / "ours" / f"whole_iter_9.{ending}" for ending in ("caffemodel", "solverstate")]
    kept = [path.rename(path.with_name(f"kept{path.suffix}")) for path in first]
    resume = "--snapshot=ours/whole_iter_5.solverstate"
    rest = log_of(run_two(tiny, "rgb_itersize", "whole", *common, resume).stdout)
    assert rest == whole[-len(rest) :]
    assert len(rest) > 10
    assert_caffemodel(first[0], kept[0], 0)
    assert_solverstate(first[1], kept[1], 0)


@pytest.mark.slow
def test_bad_input_ends_all_processes(tiny):
    result = train(arguments("det_fixed", "bad", "--set=train.source=none.txt"), tiny, TORCHRUN)
    assert result.returncode != 0
    assert result.stderr.count("error: det_fixed/train_val.prototxt: layer 'data' (VideoData): none.txt") >= 1


def test_one_process_is_a_group_too(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert world_from_environment() == (0, 0, 1)
    alone = Processes()
    assert alone.gather_bytes(b"abc") == [b"abc"]
    assert alone.max_of(15) == 15


@pytest.mark.parametrize("wrong", [{"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "first", "WORLD_SIZE": "2"}])
def test_an_environment_that_torchrun_would_not_make(monkeypatch, wrong):
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PytsnError, match="torchrun"):
        world_from_environment()
