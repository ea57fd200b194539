"""Training against Caffe's own runs: every number printed, every caffemodel and solverstate written."""

import signal
import time

import numpy as np
import pytest
import torch

from pytsn.cli import main
from tests.training.train_runs import (
    RUNS,
    arguments,
    assert_caffemodel,
    assert_log,
    assert_solverstate,
    iteration_of,
    kill,
    log_of,
    read_until,
    start,
    start_stepwise,
    train,
)
from tests.waiting import PATIENCE

#: the issue's bound; Caffe against itself with another BLAS kernel moves a blob by 8e-7 and no printed digit
CLOSE = 1e-5


@pytest.mark.parametrize("run", RUNS)
def test_a_run_is_caffes_run(tiny, capsys, run):
    assert main(["train", *arguments(run)]) == 0
    log = [line.replace(f"ours/{run}_", f"{run}/snap_") for line in log_of(capsys.readouterr().out)]
    assert_log(log, (tiny / run / "train.log").read_text().splitlines(), CLOSE)
    recorded = sorted((tiny / run).glob("snap_iter_*.caffemodel"))
    assert len(recorded) == 2
    for path in recorded:
        own = tiny / "ours" / path.name.replace("snap", run)
        assert_caffemodel(own, path, CLOSE)
        assert_solverstate(own.with_suffix(".solverstate"), path.with_suffix(".solverstate"), CLOSE)


def test_a_seed_gives_caffes_initial_weights(tiny):
    """Fillers draw from Caffe's stream, between the data layers' seeds: equal to the last bit."""
    from pytsn.training.run import Training, TrainOptions
    from pytsn.training.settings import plan_solver

    for run in ("rgb_step", "rgb_itersize"):
        training = Training(plan_solver(f"{run}/solver.prototxt").solver, TrainOptions())
        training.param.snapshot_prefix = f"ours/init_{run}"
        training.snapshot()
        training.close()
        assert_caffemodel(tiny / "ours" / f"init_{run}_iter_0.caffemodel", tiny / run / "init_iter_0.caffemodel", 0)


@pytest.mark.parametrize("run", [run for run in RUNS if run.startswith("det")])
def test_a_snapshot_of_caffe_is_gone_on_from(tiny, capsys, run):
    """From Caffe's own mid-run snapshot to Caffe's final one. A resumed Caffe reads its list from the start again;
    where ten iterations did not end with the list, it is turned so that the same videos come next."""
    videos = (tiny / "list_det_rgb.txt").read_text().splitlines()
    used = 10 * 4 * (3 if "itersize" in run else 1) % len(videos)
    (tiny / "turned.txt").write_text("\n".join([*videos[used:], *videos[:used]]))
    more = [f"--snapshot={run}/snap_iter_10.solverstate", "--set=train.source=turned.txt"]
    assert main(["train", *arguments(run, "ours/resumed_{run}", *more)]) == 0
    log = [line.replace(f"ours/resumed_{run}_", f"{run}/snap_") for line in log_of(capsys.readouterr().out)]
    recorded = (tiny / run / "train.log").read_text().splitlines()
    rest = recorded.index("Iteration 10, Testing net (#0)")
    assert_log(log, recorded[rest:], CLOSE)
    last = tiny / run / "snap_iter_20.caffemodel"
    own = tiny / "ours" / f"resumed_{run}_iter_20.caffemodel"
    assert_caffemodel(own, last, CLOSE)
    assert_solverstate(own.with_suffix(".solverstate"), last.with_suffix(".solverstate"), CLOSE)


def test_resuming_without_a_side_file_says_so(tiny, capsys):
    more = ["--snapshot=rgb_step/snap_iter_30.solverstate", "--set=max_iter=31", "--set=test_iter="]
    assert main(["train", *arguments("rgb_step", "ours/side", *more)]) == 0
    assert "start afresh, as in Caffe: no snap_iter_30.pytsnstate beside it" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_killed_at_random_points_ends_as_if_it_had_not_been(tiny):
    """SIGKILL, three times, wherever it hits; each time the run goes on from its last snapshot. In the end weights,
    history and every line printed on the way are those of the run that was left alone, to the last bit.

    A run that is to be killed cannot come to its end before: it stops at the second line that nobody has read. Before
    the kill it is given up to 30 ms, so that it is hit between lines, too."""
    seed = int(np.random.default_rng().integers(1 << 32))
    print("kill points from seed", seed)
    random = np.random.default_rng(seed)
    more = ["--set=snapshot=4", "--set=max_iter=30", "--set=test_interval=7", "--workers=1"]
    whole = train(arguments("rgb_step", "ours/whole", *more), tiny)
    assert whole.returncode == 0, whole.stderr
    wanted = [line.replace("ours/whole", "ours/killed") for line in log_of(whole.stdout)]
    resume: list[str] = []
    for _ in range(3):
        process = start_stepwise(arguments("rgb_step", "ours/killed", *more, *resume), tiny)
        read_until(process, "Snapshotting solver state")
        for _ in range(int(random.integers(0, 12))):
            process.stdout.readline()
        time.sleep(random.uniform(0, 0.03))
        kill(process)
        states = sorted((tiny / "ours").glob("killed_iter_*.solverstate"), key=iteration_of)
        # The line comes before the files: a run killed in between has none yet, and starts again.
        resume = [f"--snapshot=ours/{states[-1].name}"] if states else []
    final = train(arguments("rgb_step", "ours/killed", *more, *resume), tiny)
    assert final.returncode == 0, final.stderr
    log = log_of(final.stdout)
    assert log == wanted[-len(log) :]
    assert_caffemodel(tiny / "ours/killed_iter_30.caffemodel", tiny / "ours/whole_iter_30.caffemodel", 0)
    assert_solverstate(tiny / "ours/killed_iter_30.solverstate", tiny / "ours/whole_iter_30.solverstate", 0)


@pytest.mark.parametrize("more", [["--rng=torch"], ["--seed=-1"], ["--rng=torch", "--precision=bf16"]])
def test_torch_streams_go_on_too(tiny, capsys, more):
    """Without Caffe's stream dropout and data have generators of their own, batches are drawn ahead: all of it is kept.
    A second run from the same seed must be another one from the first iteration on, or the seed would not matter."""
    more = [*more, "--set=snapshot=5", "--set=max_iter=11", "--set=test_interval=4"]
    assert main(["train", *arguments("rgb_itersize", "ours/torch", *more)]) == 0
    whole = log_of(capsys.readouterr().out)
    last = tiny / "ours/torch_iter_11.caffemodel"
    last = last.rename(last.with_name("torch_whole.caffemodel"))
    resume = "--snapshot=ours/torch_iter_5.solverstate"
    assert main(["train", *arguments("rgb_itersize", "ours/torch", *more, resume)]) == 0
    rest = log_of(capsys.readouterr().out)
    assert rest == whole[-len(rest) :]
    assert_caffemodel(tiny / "ours/torch_iter_11.caffemodel", last, 0)
    assert main(["train", *arguments("rgb_itersize", "ours/torch", *more, "--seed=77", "--rng=torch")]) == 0
    assert log_of(capsys.readouterr().out)[3] != whole[3]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_after_a_snapshot(tiny, number, status):
    prefix = f"ours/stopped_{status}"
    process = start(arguments("rgb_step", prefix, "--set=snapshot=0", "--set=max_iter=100000"), tiny)
    read_until(process, "Iteration 3, lr")
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == status
    found = list((tiny / "ours").glob(f"stopped_{status}_iter_*.solverstate"))
    assert len(found) == 1
    assert f"go on with --snapshot=ours/{found[0].name}" in errors
    assert "Traceback" not in errors


@pytest.mark.golden
@pytest.mark.slow
def test_bn_inception_trains_as_in_caffe(golden, rgb_caffemodel, tmp_path, monkeypatch, capsys):
    """Four iterations of the real UCF101 net. Caffe with another BLAS kernel prints the same first loss, then
    max-pooling and ReLU flip on rounding and the runs part: later losses are up to 1.3 % from its own; twice that is
    the bound. (Ours, over threads, memory formats and convolution libraries: 0.2 to 1.7 %. What a single pass of an
    iteration prints is further off and is not looked at.)"""
    torch.set_num_threads(2)
    folder = golden / "bn_inception" / "train_rgb"
    monkeypatch.chdir(folder)
    options = [f"--weights={rgb_caffemodel}", f"--set=snapshot_prefix={tmp_path}/snap", "--workers=1"]
    assert main(["train", "--solver=solver.prototxt", *options]) == 0
    own = _losses(log_of(capsys.readouterr().out))
    caffe, other = (_losses((folder / name).read_text().splitlines()) for name in ("train.log", "train_other_blas.log"))
    assert list(own) == list(caffe) == list(other)
    spread = max(abs(other[name] / caffe[name] - 1) for name in caffe if "loss" in name)
    assert 0.012 < spread < 0.014
    for name, value in caffe.items():
        bound = FIRST.get(name, 0 if name.endswith("lr") else 2 * spread)
        assert own[name] == pytest.approx(value, rel=bound), name


#: what is compared before the runs part
FIRST = {"0: test loss": 1e-5, "0: train loss": 1e-5, "0: loss": 1e-5, "0: gradient norm": 2e-3}


def _losses(log: list[str]) -> dict[str, float]:
    """Losses and rates of a log by iteration; gradient norm and loss of the last pass of the first iteration only."""
    found, iteration = {}, ""
    for line in log:
        words = line.split()
        if words[0] == "Iteration":
            iteration = words[1].rstrip(",")
        if " = " in line and words[0] == "Iteration":
            found[f"{iteration}: {words[2]}"] = float(words[-1])
        elif "Test net output" in line and words[4] == "loss":
            found[f"{iteration}: test loss"] = float(words[6])
        elif iteration == "0" and "Train net output" in line:
            found["0: train loss"] = float(words[6])
        elif iteration == "0" and "L2 norm" in line:
            found["0: gradient norm"] = float(line.split("L2 norm ")[1].split()[0])
    return found
