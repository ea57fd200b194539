"""The commands that are killed: what they are told, what a user does after a kill, and what their files are."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.hostile.kinds import RECORDINGS

NET = ("deploy.prototxt", "rgb_step/snap_iter_50.caffemodel")
_PATTERN = "--frame_pattern=img_%05d.png"
_TEST = (
    "eval-net",
    "custom",
    "1",
    "rgb",
    ".",
    *NET,
    "--test_list=short.txt",
    "--num_frame_per_video=2",
    "--device=cpu",
)
_TEST += (_PATTERN, "--score_name=fc-action", "--save_scores=out/scores")
_FEATURES = ("features", "short.txt", "--modality=rgb", "--net", *NET, "--num_frames=2", "--device=cpu", _PATTERN)
_TRAIN = ("train", "--solver=rgb_step/solver.prototxt", "--set=max_iter=4", "--set=snapshot=2", "--set=test_interval=2")
_TRAIN += ("--set=snapshot_prefix=out/snap", "--set=train.batch_size=2", "--set=test.batch_size=2", "--set=test_iter=1")
_FINETUNE = ("finetune", "list.txt", "--val_list=list.txt", "--out=out/run", f"--net={NET[0]}", f"--init={NET[1]}")
_FINETUNE += ("--epochs=2", "--batch_size=3", "--val_batch_size=3", "--accumulate=1", "--lr=0.01", "--seed=3")
_FINETUNE += ("--device=cpu", "--set=name_pattern=img_%05d.png")
_FLOW = ("build-of", "videos", "out/frames", "--ext=avi", "--algorithm=farneback", "--new_width=0", "--new_height=0")
_REPORT = ("report", "scores_python2.npz", "-o", "out/report.html")
_GET = ("get-models", "init", "-o", "out")


@dataclass(frozen=True)
class KilledRun:
    """``command``: its arguments, in a folder that ``make_world`` made; output goes to out/. ``go_on``: those of a run
    after a kill, given what is in out/. workers: whether it has processes of its own to be killed. evolving: files that
    hold something whole, but not yet the last, while the command runs; passing: patterns of those that are gone at the
    end. share: kills beside those of the others."""

    command: tuple[str, ...]
    go_on: Callable[["KilledRun", Path], tuple[str, ...]] = field(default=lambda run, out: run.command)
    workers: bool = False
    evolving: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()
    share: int = 1


def _resumed(run: KilledRun, out: Path) -> tuple[str, ...]:
    return (*run.command, "--resume")


def _from_snapshot(run: KilledRun, out: Path) -> tuple[str, ...]:
    """From the newest snapshot, if there is one: the .solverstate is written last."""
    states = sorted(out.glob("snap_iter_*.solverstate"), key=lambda path: int(path.stem.rpartition("_")[2]))
    return (*run.command, f"--snapshot=out/{states[-1].name}") if states else run.command


def _from_checkpoint(run: KilledRun, out: Path) -> tuple[str, ...]:
    return _resumed(run, out) if list((out / "run" / "state").glob("iter_*.solverstate")) else run.command


_WEIGHTS = ("run/last.safetensors", "run/best.safetensors")
_PICTURES = ("loss.png", "run/loss.png", "run/accuracy.png")
RUNS = {
    "get-models": KilledRun(_GET, share=14),
    "build-of": KilledRun((*_FLOW, "--num_worker=1"), workers=True, share=14),
    "build-of zip": KilledRun((*_FLOW, "--num_worker=1", "--out_format=zip"), workers=True, share=6),
    "convert": KilledRun(
        ("convert", *NET, "-o", "out/a.safetensors", "-o", "out/a.pth", "-o", "out/a.caffemodel"), share=10
    ),
    "eval-net": KilledRun(_TEST, _resumed, share=10),
    "eval-net, 2 workers": KilledRun((*_TEST, "--num_worker=2"), _resumed, workers=True, share=8),
    "features": KilledRun((*_FEATURES, "-o", "out/f.npz"), _resumed, share=8),
    "features, folder": KilledRun((*_FEATURES, "-o", "out/f/", "--num_worker=2"), _resumed, workers=True, share=6),
    "report": KilledRun(_REPORT, share=3),
    "train": KilledRun((*_TRAIN, "--workers=0"), _from_snapshot, share=10, evolving=_PICTURES),
    "train, 1 reader": KilledRun((*_TRAIN, "--workers=1"), _from_snapshot, workers=True, share=4, evolving=_PICTURES),
    "finetune": KilledRun(
        (*_FINETUNE, "--workers=0"),
        _from_checkpoint,
        share=10,
        evolving=_WEIGHTS + _PICTURES,
        passing=("run/state/iter_*",),
    ),
}


def make_world(folder: Path) -> Path:
    """The tiny run's folder with three short videos and their list. Commands write to out/ alone."""
    from tests.flow.flow_videos import make_video
    from tests.training.tiny_videos import make_tiny_run

    world = make_tiny_run(RECORDINGS, folder / "world")
    (world / "short.txt").write_text("frames/v1 12 0\nframes/v3 26 1\nframes/v4 32 2\n")
    for number in (1, 2, 3):
        make_video(world / "videos" / f"v{number}.avi", 3 + number, seed=number)
    shutil.copy(RECORDINGS / "eval" / "scores_python2.npz", world)
    (world / "out").mkdir()
    return world


def command_line(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "pytsn", *arguments]


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below the folder by its path there."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(place) / name
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found
