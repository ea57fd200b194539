"""The demo's steps in order: data, weights, then the project's own commands, each shown as a user would type it."""

import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from converter.errors import PytsnError
from converter.files import explain_os_error, write_bytes
from pytsn.cli import run_command
from pytsn.demo.dataset import Dataset, extract_frames, plan_dataset, write_splits, write_videos
from pytsn.demo.nets import STREAMS
from pytsn.demo.summary import (
    FUSION_WEIGHTS,
    evaluate_files,
    fusion_wins,
    result_table,
    time_table,
    write_pictures,
    write_results,
)
from pytsn.demo.videos import CLASSES, HEIGHT, MOTIONS, SHAPES, WIDTH

_MARK = ".pytsn-demo"  # lies in every folder the demo made: only such a folder is ever cleared
WEIGHTS_NOTE = (
    "no training loop: random or edge filters, frozen; BN calibrated on the training crops; classifier (fc-action) by"
    " linear discriminant analysis, in closed form"
)


@dataclass(frozen=True)
class DemoOptions:
    """How much the demo makes: training and test videos a class, frames a video, snippets a video when the classifier
    is fitted and when it is tested; ``seed`` decides videos and random filters."""

    root: Path
    train: int = 10
    test: int = 4
    frames: int = 31
    fit_snippets: int = 3
    test_snippets: int = 25
    seed: int = 0


class CommandFailed(Exception):
    """A command of the project ended with this exit status; it has told why."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass
class Clock:
    """Seconds spent in each step, in order."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        print(f"\n== {len(self.seconds) + 1}. {title}", flush=True)
        start = time.perf_counter()
        yield
        self.seconds[title] = time.perf_counter() - start


def run_demo(options: DemoOptions) -> int:
    """Runs everything; exit status 0, or 1 when a check failed. Raises PytsnError when the folder is not the demo's."""
    clear_folder(options.root)
    dataset = plan_dataset(options.root, options.train, options.test, options.frames, options.seed)
    clock = Clock()
    try:
        _make_data(dataset, clock)
        _make_weights(options, dataset, clock)
        _convert(options.root, clock)
        _evaluate(options, clock)
    except CommandFailed as failed:
        return failed.status
    return _report(options, clock)


def clear_folder(root: Path) -> None:
    """Makes the folder, or empties one that an earlier demo made. Raises PytsnError for any other with content."""
    try:
        if root.exists() and any(root.iterdir()):
            if not (root / _MARK).is_file():
                raise PytsnError(f"{root}: holds files that are not a demo's; name another folder with -o")
            for path in root.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (root / "models").mkdir(parents=True)
    except OSError as error:
        raise explain_os_error(error, root) from None
    write_bytes(root / _MARK, b"made by `pytsn demo`, which may empty this folder\n")


def _make_data(dataset: Dataset, clock: Clock) -> None:
    with clock.step("videos"):
        count = write_videos(dataset)
        print(
            f"{count} videos, {WIDTH}x{HEIGHT}, in {dataset.root / 'videos'}: {len(dataset.train)} to train, ", end=""
        )
        print(f"{len(dataset.test)} to test")
        print(f"{len(CLASSES)} classes: {', '.join(SHAPES)} x {', '.join(MOTIONS)}")
    with clock.step("frames and flow"):
        extract_frames(dataset)
        print(f"img_, flow_x_ and flow_y_ images (OpenCV's DIS flow) in {dataset.root / 'frames'}")
        print(f"split files in {write_splits(dataset)}")


def _make_weights(options: DemoOptions, dataset: Dataset, clock: Clock) -> None:
    from pytsn.demo.weights import TrainingVideo, make_model

    videos = [
        TrainingVideo(str(dataset.frames(clip)), clip.frames - 1, CLASSES.index(clip.class_name))
        for clip in dataset.train
    ]
    with clock.step("prototxts and caffemodels"):
        print(f"the weights: {WEIGHTS_NOTE}")
        for stream in STREAMS.values():
            folder = options.root / "models"
            paths = make_model(stream, videos, len(CLASSES), folder, options.fit_snippets, options.seed)
            print(f"wrote {paths[0]} and {paths[1]}", flush=True)


def _files(root: Path, modality: str, end: str = ".caffemodel") -> tuple[str, str]:
    """Prototxt and weights of a stream, as command-line arguments."""
    return str(root / "models" / f"demo_{modality}_deploy.prototxt"), str(root / "models" / f"demo_{modality}{end}")


def _convert(root: Path, clock: Clock) -> None:
    with clock.step("convert and inspect"):
        _command("convert", *_files(root, "rgb"), "--inspect")
        for modality in STREAMS:
            for end in (".safetensors", ".onnx"):
                _command("convert", *_files(root, modality), "-o", _files(root, modality, end)[1])
    with clock.step("verify parity"):
        for modality in STREAMS:
            _command("verify-parity", *_files(root, modality))


def _evaluate(options: DemoOptions, clock: Clock) -> None:
    root = options.root
    settings = ["--split_path", str(root / "data"), "--num_frame_per_video", str(options.test_snippets)]
    for modality, end in (("rgb", ".caffemodel"), ("flow", ".safetensors")):
        with clock.step(f"evaluate {modality}"):
            saved = ["--save_scores", _scores(root, modality)]
            _command(
                "eval-net",
                "ucf101",
                "1",
                modality,
                str(root / "frames"),
                *_files(root, modality, end),
                *settings,
                *saved,
            )
    with clock.step("fuse the streams"):
        files = [_scores(root, modality) for modality in STREAMS]
        _command("eval-scores", *files, "--score_weights", *(f"{weight:g}" for weight in FUSION_WEIGHTS))


def _scores(root: Path, modality: str) -> str:
    return str(root / f"scores_{modality}.npz")


def _command(name: str, *arguments: str) -> None:
    """Runs one of the project's commands in this process, its command line and time shown. Raises CommandFailed."""
    print(f"\n$ {shlex.join(['pytsn', name, *arguments])}", flush=True)
    start = time.perf_counter()
    status = run_command(name, list(arguments))
    sys.stdout.flush()
    if status:
        print(f"pytsn {name} ended with exit status {status}", file=sys.stderr)
        raise CommandFailed(status)
    print(f"({time.perf_counter() - start:.1f} s)", flush=True)


def _report(options: DemoOptions, clock: Clock) -> int:
    with clock.step("results"):
        results = evaluate_files(*(Path(_scores(options.root, name)) for name in STREAMS))
        pictures = write_pictures(options.root, results)
    settings = {
        "weights": WEIGHTS_NOTE,
        "fusion": " : ".join(f"{name} {weight:g}" for name, weight in zip(STREAMS, FUSION_WEIGHTS, strict=True)),
        "training videos": options.train * len(CLASSES),
        "test videos": options.test * len(CLASSES),
        "snippets": options.test_snippets,
        "seed": options.seed,
    }
    write_results(options.root, results, clock.seconds, settings)
    print("\n".join([*result_table(results), "", *time_table(clock.seconds), ""]))
    print(f"{options.root}: results.txt, results.json, {', '.join(path.name for path in pictures)}")
    if not fusion_wins(results):
        print("the fused accuracy is not above that of both streams", file=sys.stderr)
        return 1
    return 0
