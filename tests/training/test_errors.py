"""Training and bad input: one line, the right exit status, and the last good snapshot as it was."""

import re
import resource
import sys
from pathlib import Path

import numpy as np
import pytest

from converter.solverstate import solverstate_pieces
from pytsn.cli import main
from pytsn.runtime.locks import only_writer
from pytsn.training.snapshot import read_side
from tests.training.train_runs import START, arguments, iteration_of, train


def spoil_list(folder: Path, line: str) -> None:
    lines = (folder / "list.txt").read_text().splitlines()
    (folder / "list.txt").write_text("\n".join([*lines[:3], line, *lines[4:]]) + "\n")


BEFORE_TRAINING = {
    "label outside the classes": (lambda f: spoil_list(f, "frames/v3 26 3"), [], r"list\.txt, line 4: label 3 .* 3 cl"),
    "negative label": (lambda f: spoil_list(f, "frames/v3 26 -1"), [], r"list\.txt, line 4"),
    "two fields": (lambda f: spoil_list(f, "frames/v3 26"), [], r"list\.txt, line 4: .* found 2 fields"),
    "no number": (lambda f: spoil_list(f, "frames/v3 many 1"), [], r"list\.txt, line 4"),
    "empty list": (lambda f: (f / "list.txt").write_text(""), [], r"list\.txt: the list holds no videos"),
    "no list": (lambda f: (f / "list.txt").unlink(), [], r"list\.txt: no such file"),
    "no solver": (lambda f: (f / "rgb_step/solver.prototxt").unlink(), [], r"solver\.prototxt: no such file"),
    "no net": (lambda f: (f / "rgb_step/train_val.prototxt").unlink(), [], r"train_val\.prototxt: no such file"),
    "no folder for snapshots": (lambda f: (f / "ours").rmdir(), [], "there is no folder 'ours': make it"),
    "no weights": (None, ["--weights=none.caffemodel"], r"none\.caffemodel: no such file"),
    "weights and snapshot": (None, [f"--weights={START}", "--snapshot=x.solverstate"], "not both"),
    "unknown field": (None, ["--set=itersize=3"], "did you mean 'iter_size'"),
    "unknown policy": (None, ["--set=lr_policy=stepp"], "did you mean 'step'"),
    "unknown rule": (None, ["--set=solver.type=Adam"], "solver type 'Adam'"),
    "batches that do not divide": (None, ["--effective_batch=127"], r"a pass sees 4 videos .* must divide"),
    "no such device": (None, ["--device=cuda:99"], "device 'cuda:99'"),
    "no iterations": (None, ["--set=max_iter=0"], "max_iter must be above 0"),
    "test nets without interval": (None, ["--set=test_interval=0"], "test_interval must be above 0"),
    "history of another net": (None, ["--snapshot=other.solverstate"], r"other\.solverstate: holds the history of 1"),
}


def errors_of(text: str) -> list[str]:
    assert "Traceback" not in text
    return [line for line in text.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize("case", sorted(BEFORE_TRAINING))
def test_found_before_training(own_tiny, capsys, case):
    spoil, more, message = BEFORE_TRAINING[case]
    if spoil:
        spoil(own_tiny)
    pieces = solverstate_pieces(5, START, 0, [np.zeros(3, np.float32)])
    (own_tiny / "other.solverstate").write_bytes(b"".join(pieces))
    assert main(["train", *arguments("rgb_step", "ours/{run}", *more)]) == 2
    captured = capsys.readouterr()
    (error,) = errors_of(captured.err)
    assert re.search(message, error), error
    assert "Iteration" not in captured.out


def snapshots(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "ours").iterdir()}


def spoil_frame(folder: Path, content: bytes | None) -> str:
    """Frame 20 of v3 goes, or becomes something else: sampling comes by it sooner or later."""
    path = folder / "frames/v3/img_00020.png"
    path.unlink()  # a link to everybody's
    if content is not None:
        path.write_bytes(content)
    return str(path.relative_to(folder))


@pytest.mark.parametrize(("content", "message"), [(None, "no such file"), (b"no image", "")])
def test_a_frame_that_cannot_be_read_ends_the_run_in_a_line(own_tiny, capsys, content, message):
    """The run stops in the middle of an epoch; what it had written is whole, and a run goes on from it once the frame
    is back."""
    original = (own_tiny / "frames/v3/img_00020.png").read_bytes()
    name = spoil_frame(own_tiny, content)
    more = ["--set=snapshot=1", "--set=max_iter=100", "--set=display=0", "--set=test_iter="]
    assert main(["train", *arguments("rgb_step", "ours/frame", *more)]) == 2
    (error,) = errors_of(capsys.readouterr().err)
    assert name in error
    assert message in error
    iterations = [int(path.stem.rpartition("_")[2]) for path in (own_tiny / "ours").glob("*.solverstate")]
    assert iterations
    (own_tiny / name).write_bytes(original)
    last = f"ours/frame_iter_{max(iterations)}"
    more = [f"--snapshot={last}.solverstate", f"--set=max_iter={max(iterations) + 2}"]
    assert main(["train", *arguments("rgb_step", "ours/frame", *more)]) == 0


@pytest.mark.parametrize(
    ("rate", "message"),
    [("1e18", r"the (loss|gradient norm) is (nan|inf)"), ("3e38", "not written: weights are not finite, conv1")],
)
def test_numbers_that_are_not_finite_stop_the_run(own_tiny, capsys, rate, message):
    """Three good updates, then rates that ruin the weights: at once, or so that the next loss is no number. Exit status
    1, iteration and last snapshot told, nothing written after it."""
    options = ["--set=snapshot=1", "--set=max_iter=3"]
    assert main(["train", *arguments("rgb_step", "ours/nan", *options)]) == 0
    before = snapshots(own_tiny)
    options = ["--snapshot=ours/nan_iter_3.solverstate", "--set=snapshot=1", f"--set=base_lr={rate}"]
    options += ["--set=clip_gradients=-1"]
    status = main(["train", *arguments("rgb_step", "ours/nan", *options)])
    (error,) = errors_of(capsys.readouterr().err)
    assert status == 1
    assert re.search(message, error), error
    after = snapshots(own_tiny)
    assert {name: after[name] for name in before} == before
    last = max((name for name in after if name.endswith("solverstate")), key=lambda name: int(name[9:].split(".")[0]))
    assert f"last snapshot: ours/{last}" in error
    assert re.search(r"iteration \d+|nan_iter_\d+", error)


def test_tensorboard_asks_for_its_package(own_tiny, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert main(["train", *arguments("rgb_step", "ours/board", "--tensorboard=logs")]) == 2
    assert "pip install tensorboard" in errors_of(capsys.readouterr().err)[0]


@pytest.mark.slow
def test_a_full_disk_ends_the_run_in_a_line(own_tiny):
    """Files may not grow beyond 24 kB, where a caffemodel has 13 kB and a side file more with every iteration: the run
    ends at some snapshot, and those before it are whole."""
    more = ["--set=snapshot=20", "--set=max_iter=100000", "--set=display=0", "--set=test_iter="]
    limit = 24 << 10
    run = train(
        arguments("rgb_step", "ours/full", *more),
        own_tiny,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert run.returncode == 2, run.stderr
    (error,) = errors_of(run.stderr)
    assert re.search(r"full_iter_\d+\.\w+: File too large", error), error
    written = sorted((own_tiny / "ours").glob("*.solverstate"), key=iteration_of)
    assert written
    assert not [path for path in (own_tiny / "ours").iterdir() if path.name.startswith(".")]
    state = written[-1]
    assert read_side(state, state.with_suffix(".caffemodel"))[1] == ""


def test_a_side_file_of_other_data_is_told(own_tiny, capsys):
    """Fewer test nets: the run goes on as Caffe's would, and says so. Another list: a line that says what to do."""
    more = ["--set=snapshot=2", "--set=max_iter=3", "--set=test_iter="]
    assert main(["train", *arguments("rgb_step", "ours/side", *more)]) == 0
    resume = ["--snapshot=ours/side_iter_2.solverstate", "--set=max_iter=3"]
    capsys.readouterr()
    assert main(["train", *arguments("rgb_step", "ours/side", *resume)]) == 0
    assert "start afresh, as in Caffe: the side file is of a run with 0 test nets" in capsys.readouterr().out
    (own_tiny / "list.txt").write_text("frames/v0 40 0\n")
    assert main(["train", *arguments("rgb_step", "ours/side", *resume, "--set=test_iter=")]) == 2
    (error,) = errors_of(capsys.readouterr().err)
    assert re.search(r"list\.txt: 1 video, .* 6.*rename ours/side_iter_2\.pytsnstate", error), error


def test_a_second_run_with_the_same_prefix_is_refused(own_tiny, capsys):
    """Nothing is written; a run of another prefix goes on beside it, and so does one that writes no snapshots."""
    with only_writer("ours/one", "taken"):
        before = sorted(own_tiny.rglob("*"))
        assert main(["train", *arguments("rgb_step", "ours/one")]) == 2
        assert sorted(own_tiny.rglob("*")) == before
        assert errors_of(capsys.readouterr().err) == [
            "error: snapshot_prefix 'ours/one': another run writes there; wait for its end, or give another by "
            "--set snapshot_prefix=PREFIX"
        ]
        short = ["--set=max_iter=1", "--set=test_iter="]
        assert main(["train", *arguments("rgb_step", "ours/two", *short)]) == 0
        silent = ["--set=snapshot=0", "--set=snapshot_after_train=false"]
        assert main(["train", *arguments("rgb_step", "ours/one", *short, *silent)]) == 0
    assert (own_tiny / "ours" / "two_iter_1.solverstate").is_file()
    assert not list((own_tiny / "ours").glob(".*"))
