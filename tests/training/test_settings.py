"""What a solver's and the command's settings make of a run: test passes, snapshots, logs, curves, weights."""

import re

import numpy as np
import pytest

from converter.errors import PytsnError
from converter.net import load_net
from converter.proto import read_solver
from pytsn.cli import main
from pytsn.training.log_lines import SmoothedLoss, number
from pytsn.training.loop import Console
from pytsn.training.overrides import parse_override
from pytsn.training.run import Training, TrainOptions
from pytsn.training.settings import plan_hardware, plan_solver
from pytsn.training.solver_nets import check_processes, train_spec
from tests.training.train_runs import START, arguments, log_of


def log(capsys, run: str, *more: str) -> list[str]:
    assert main(["train", *arguments(run, "ours/s", *more)]) == 0
    return log_of(capsys.readouterr().out)


def passes(lines: list[str]) -> list[str]:
    """Which net is tested when."""
    return [line for line in lines if "Testing net" in line]


def test_several_test_nets_each_with_their_passes(tiny, capsys):
    """Two test_iter and one net: two test nets of it. The second tests the same six videos one time and a half."""
    lines = log(capsys, "det_fixed", "--set=max_iter=4", "--set=test_iter=3,2", "--set=test_interval=2")
    assert passes(lines) == [f"Iteration {i}, Testing net (#{net})" for i in (0, 2, 4) for net in (0, 1)]
    assert lines[1] == "    Test net output #0: accuracy = 0.333333"
    assert lines[4] == "    Test net output #0: accuracy = 0"  # 0 of the first four videos, whose labels are 0, 0, 1, 1
    assert not (tiny / "ours/s_iter_2.caffemodel").exists()


def test_test_passes_that_are_not_wanted(tiny, capsys):
    lines = log(capsys, "det_fixed", "--set=max_iter=5", "--set=test_interval=2", "--set=test_initialization=false")
    assert passes(lines) == [f"Iteration {i}, Testing net (#0)" for i in (2, 4)]


def test_the_objective_of_a_test_pass(tiny, capsys):
    lines = log(capsys, "det_fixed", "--set=max_iter=1", "--set=test_compute_loss=true")
    assert lines[1:4] == [
        "Test loss: " + lines[3].split()[6],
        "    Test net output #0: accuracy = 0.333333",
        lines[3],
    ]


@pytest.mark.parametrize(
    ("after", "names"), [("true", {"s_iter_3", "s_iter_6", "s_iter_7"}), ("false", {"s_iter_3", "s_iter_6"})]
)
def test_snapshots_and_the_one_after_training(tiny, capsys, after, names):
    for path in (tiny / "ours").iterdir():
        path.unlink()
    log(
        capsys,
        "det_fixed",
        "--set=max_iter=7",
        "--set=snapshot=3",
        f"--set=snapshot_after_train={after}",
        "--set=test_iter=",
    )
    assert {path.stem for path in (tiny / "ours").glob("*.solverstate")} == names
    assert {path.stem for path in (tiny / "ours").glob("*.caffemodel")} == names


def test_display_prints_every_so_often(tiny, capsys):
    lines = log(capsys, "det_fixed", "--set=max_iter=7", "--set=display=3", "--set=test_iter=")
    assert [line.split(",")[0] for line in lines if ", lr" in line] == ["Iteration 0", "Iteration 3", "Iteration 6"]
    assert not [line for line in lines if line.startswith("Iteration 7")]  # 7 is no multiple: no last loss


def test_reading_processes_change_nothing(tiny, capsys):
    more = ["--set=max_iter=6", "--set=test_interval=3"]
    assert log(capsys, "rgb_step", *more) == log(capsys, "rgb_step", *more, "--workers=2")


def test_weights_of_a_converted_file(tiny, capsys):
    """Safetensors in place of the caffemodel; the second of two files wins where both hold a layer."""
    from converter.state_files import write_state

    net = load_net("det_fixed/train_val.prototxt", START, "TRAIN")
    write_state("start.safetensors", net.state_dict(), {})
    more = ["--set=max_iter=3", "--set=test_iter="]
    wanted = log(capsys, "det_fixed", *more)
    assert log(capsys, "det_fixed", *more, "--weights=start.safetensors") == wanted
    assert log(capsys, "det_fixed", *more, f"--weights=det_fixed/snap_iter_20.caffemodel,{START}") == wanted
    assert log(capsys, "det_fixed", *more, f"--weights={START},det_fixed/snap_iter_20.caffemodel") != wanted


def test_a_snapshot_scores_as_the_test_net_did(tiny, capsys):
    """The written caffemodel in a TEST net gives the loss that the last test pass printed. After the snapshot the last
    pass of the training net moves BN's statistics once more: display 0 leaves that pass out."""
    lines = log(capsys, "det_fixed", "--set=max_iter=6", "--set=test_interval=6", "--set=display=0")
    printed = float(lines[-3].split()[6])
    solver = plan_solver("det_fixed/solver.prototxt").solver
    training = Training(solver, TrainOptions(weights=("ours/s_iter_6.caffemodel",)), console=Console(lambda line: None))
    _, outputs = training.tests[0].test(3)
    training.close()
    assert float(outputs["loss"][0][0]) == pytest.approx(printed, rel=1e-5)


def test_curves_are_drawn_beside_the_snapshots(tiny, capsys):
    log(capsys, "det_fixed", "--set=max_iter=2")
    for name in ("loss.png", "accuracy.png"):
        assert (tiny / "ours" / name).read_bytes().startswith(b"\x89PNG")


def test_glog_lines(tiny, capsys):
    assert main(["train", *arguments("det_fixed", "ours/s", "--set=max_iter=1", "--glog")]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "Test net output #1" in line)
    assert re.match(r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ solver\.cpp:\d+\]     Test net output #1: loss = 58", line)
    assert float(line.split()[10]) == pytest.approx(58.2244, rel=1e-5)  # the column that parse_log.sh reads


def test_effective_batch_sets_iter_size_and_says_what_clipping_makes_of_it(tiny):
    plan = plan_solver("rgb_step/solver.prototxt", effective_batch=128)
    assert plan.solver.iter_size == 32
    assert "clip_gradients 0.5 applies to the sum over iter_size" in plan.notes[0]
    assert "32 times smaller" in plan.notes[0]
    assert plan.notes[1:] == ("effective batch: 128 videos (batch_size 4 x iter_size 32 x processes 1)",)
    quiet = plan_solver("rgb_step/solver.prototxt", effective_batch=128, clip_on="mean", world=4)
    assert quiet.solver.iter_size == 8
    assert "clip_gradients" not in quiet.notes[0]


def test_clipping_the_mean_in_a_run(tiny, capsys):
    """rgb_itersize sums 3 passes with norms of 2 to 3 and clips at 1: the mean's norm is a third of it."""
    lines = {on: log(capsys, "rgb_itersize", "--set=max_iter=1", f"--clip_on={on}") for on in ("sum", "mean")}
    norms = {
        on: [float(line.split("L2 norm ")[1].split()[0]) for line in found if "clipping" in line]
        for on, found in lines.items()
    }
    assert norms["sum"] == [2.04724]
    assert norms["mean"] == []
    clipped = log(capsys, "rgb_itersize", "--set=max_iter=1", "--clip_on=mean", "--set=clip_gradients=0.5")
    assert "(L2 norm 0.682415 > 0.5) by scale factor 0.732" in " ".join(clipped)


def test_seed_and_no_seed(tiny, capsys):
    more = ["--set=max_iter=1", "--set=test_iter="]
    assert log(capsys, "rgb_step", *more, "--seed=7") == log(capsys, "rgb_step", *more)
    assert log(capsys, "rgb_step", *more, "--seed=8") != log(capsys, "rgb_step", *more)
    assert log(capsys, "rgb_step", *more, "--seed=-1") != log(capsys, "rgb_step", *more, "--seed=-1")


@pytest.mark.parametrize(("choice", "factor"), [("biased", 1.0), ("auto", 1.0), ("unbiased", 3072 / 3071)])
def test_which_variance_a_bn_averages(tiny, capsys, choice, factor):
    """One update from running variance v0: v1 = 0.9 v0 + 0.1 v; conv1 makes 4 x 3 x 16 x 16 values a channel."""
    found = {}
    for name in ("biased", choice):
        log(capsys, "det_fixed", "--set=max_iter=1", "--set=test_iter=", f"--bn_variance={name}")
        found[name] = load_net("det_fixed/train_val.prototxt", "ours/s_iter_1.caffemodel").conv1_bn.running_var
    start = 0.9 * load_net("det_fixed/train_val.prototxt", START).conv1_bn.running_var
    np.testing.assert_allclose(found[choice] - start, (found["biased"] - start) * factor, rtol=1e-5)


def test_the_smoothed_loss_is_the_mean_of_the_window():
    losses = np.random.default_rng(3).uniform(1, 2, 23)
    smoothed = SmoothedLoss(5, start=40)
    for index, loss in enumerate(losses):
        window = losses[max(0, index - 4) : index + 1]
        assert smoothed.add(40 + index, loss) == pytest.approx(window.mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01, "0.01"),
        (1e-5, "1e-05"),
        (58.22438, "58.2244"),
        (1234567, "1.23457e+06"),
        (0.5, "0.5"),
        (100000, "100000"),
    ],
)
def test_numbers_are_printed_as_cpp_streams_do(value, text):
    assert number(float(np.float32(value))) == text


def test_what_is_not_supported_is_said(tiny):
    """Gradients in snapshots and logs are left out; layers that talk between processes need one process."""
    solver = plan_solver("rgb_step/solver.prototxt", (parse_override("snapshot_diff=true"),))
    assert solver.notes[0] == "note: the solver's snapshot_diff is ignored"
    spec = train_spec(solver.solver)
    spec.param.layer.add(name="all", type="Gather")
    check_processes(spec, 1)
    with pytest.raises(PytsnError, match=r"train_val\.prototxt: layer 'all' \(Gather\).*use one process"):
        check_processes(spec, 2)


def test_devices(tiny):
    solver = read_solver("rgb_step/solver.prototxt")
    assert plan_hardware(solver).device.type == "cpu"  # solver_mode: CPU, whatever is there
    for wrong in ({"device": "gpu"}, {"gpu": 99}, {"precision": "fp16"}, {"precision": "tf32"}):
        with pytest.raises(PytsnError):
            plan_hardware(solver, **wrong)


EACH_ITS_OWN = "where there is CUDA, process r takes the r-th of these devices"


@pytest.mark.parametrize(
    ("fields", "world", "note"),
    [
        ("", 1, None),
        ("device_id: 0", 1, None),
        (
            "device_id: [0, 1, 2, 3]",
            1,
            "note: device_id names 4 devices, one for each process of Caffe's, and this run has 1: `torchrun "
            "--nproc_per_node 4 tools/train_tsn.py --solver=my.prototxt` starts as many, or --effective_batch 24 makes "
            "updates of as many videos (4 x 6)",
        ),
        (
            "device_id: [2, 3]",
            2,
            f"note: device_id [2, 3]: {EACH_ITS_OWN}",
        ),
        (
            "group_id: [0, 0]",
            1,
            "note: the solver's group_id is ignored: every update is the mean over all processes",
        ),
        (
            "device_id: 0 device_id: 1 group_id: 0 group_id: 0",
            2,
            f"note: device_id [0, 1]: {EACH_ITS_OWN}; the solver's group_id is ignored: every update is the mean over "
            "all processes",
        ),
    ],
)
def test_what_the_devices_of_a_solver_mean(own_tiny, fields, world, note):
    """Batches of 2 and iter_size 3: 6 videos a process and update."""
    text = (own_tiny / "rgb_itersize/solver.prototxt").read_text()
    (own_tiny / "my.prototxt").write_text(f"{text}\n{fields}\n")
    plan = plan_solver("my.prototxt", world=world)
    batch = next(line for line in plan.notes if line.startswith("effective batch"))
    assert f"{6 * world} videos" in batch
    assert [line for line in plan.notes if "device_id" in line or "group_id" in line] == [note] * (note is not None)
