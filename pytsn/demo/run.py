"""The demo's steps in order: data, weights, then pytsn's own commands, each printed as a user would type it."""

import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from converter.errors import PytsnError
from converter.files import explain_os_error, write_bytes
from pytsn.demo.dataset import Dataset, plan_dataset, write_splits, write_videos
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
from pytsn.demo.training import StreamFiles, stream_files, write_training_files
from pytsn.demo.videos import CLASSES, HEIGHT, MOTIONS, SHAPES, WIDTH
from pytsn.runtime.locks import LOCK, only_user

#: flow bound of the extracted images: nothing in these videos moves by more than 2 of their pixels per frame
_FLOW_BOUND = 5
_MARK = ".pytsn-demo"  # in every folder that the demo makes: only such folders are ever cleared
WEIGHTS_NOTE = (
    "trained here on the training videos; flow from random filters; rgb too, but for its first 16 filters, which are"
    " given and stay: edges, blind to colour"
)


@dataclass(frozen=True)
class DemoOptions:
    """Size of the demo: training and test videos per class, frames per video, width and height of the extracted images
    (TV-L1 at the videos' full size takes ten times as long), updates of each net, snippets per test video; ``seed``
    determines videos, random filters and training."""

    root: Path
    train: int = 10
    test: int = 4
    frames: int = 25
    frame_size: tuple[int, int] = (113, 85)
    rgb_iterations: int = 500
    flow_iterations: int = 240
    test_snippets: int = 25
    seed: int = 0

    def streams(self) -> list[StreamFiles]:
        """The files of rgb and flow."""
        iterations = {"rgb": self.rgb_iterations, "flow": self.flow_iterations}
        return [stream_files(self.root, modality, iterations[modality]) for modality in STREAMS]


class CommandFailed(Exception):
    """A command ended with this exit status; it has printed the reason."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass
class Steps:
    """The steps of a demo and the seconds spent in each, in order. run_command: runs a pytsn command by name and
    arguments and returns its exit status (pytsn.cli)."""

    run_command: Callable[[str, list[str]], int]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Prints the title and times everything in the context as one step."""
        print(f"\n== {len(self.seconds) + 1}. {title}", flush=True)
        start = time.perf_counter()
        yield
        self.seconds[title] = time.perf_counter() - start

    def command(self, name: str, *arguments: str) -> None:
        """Runs a command in this process and prints its command line and time. Raises CommandFailed."""
        print(f"\n$ {shlex.join(['pytsn', name, *arguments])}", flush=True)
        start = time.perf_counter()
        status = self.run_command(name, list(arguments))
        sys.stdout.flush()
        if status:
            print(f"pytsn {name} ended with exit status {status}", file=sys.stderr)
            raise CommandFailed(status)
        print(f"({time.perf_counter() - start:.1f} s)", flush=True)


def run_demo(options: DemoOptions, run_command: Callable[[str, list[str]], int]) -> int:
    """Runs the whole demo; ``run_command`` runs the commands. Returns exit status 0, or 1 when a check failed.

    Raises PytsnError when the folder is not a demo's, or another demo is at work there.
    """
    with only_user(options.root, "another demo"):
        return _run(options, run_command)


def _run(options: DemoOptions, run_command: Callable[[str, list[str]], int]) -> int:
    clear_folder(options.root)
    dataset = plan_dataset(options.root, options.train, options.test, options.frames, options.seed)
    steps = Steps(run_command)
    try:
        _make_data(dataset, options, steps)
        _train(options, steps)
        _convert(options, steps)
        _evaluate(options, steps)
    except CommandFailed as failed:
        return failed.status
    return _report(options, steps)


def clear_folder(root: Path) -> None:
    """Makes the folder, or empties one from an earlier demo. Raises PytsnError for any other folder with content."""
    try:
        content = [path for path in root.iterdir() if path.name != LOCK] if root.exists() else []
        if content:
            if not (root / _MARK).is_file():
                raise PytsnError(f"{root}: holds files that are not a demo's; name another folder with -o")
            for path in content:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (root / "models").mkdir(parents=True)
    except OSError as error:
        raise explain_os_error(error, root) from None
    write_bytes(root / _MARK, b"made by `pytsn demo`, which may empty this folder\n")


def _make_data(dataset: Dataset, options: DemoOptions, steps: Steps) -> None:
    with steps.step("videos"):
        count = write_videos(dataset)
        print(
            f"{count} videos, {WIDTH}x{HEIGHT}, in {dataset.root / 'videos'}: {len(dataset.train)} to train, ", end=""
        )
        print(f"{len(dataset.test)} to test")
        print(f"{len(CLASSES)} classes: {', '.join(SHAPES)} x {', '.join(MOTIONS)}")
    with steps.step("frames and flow"):
        size = [f"--new_{side}={pixels}" for side, pixels in zip(("width", "height"), options.frame_size, strict=True)]
        folders = [str(dataset.root / name) for name in ("videos", "frames")]
        steps.command("build-of", *folders, *size, f"--bound={_FLOW_BOUND}")
        print(f"split files in {write_splits(dataset)}")


def _train(options: DemoOptions, steps: Steps) -> None:
    with steps.step("lists, prototxts, filters"):
        print(f"the weights: {WEIGHTS_NOTE}")
        places = ["--split_path", str(options.root / "data"), "--out_list_path", str(options.root / "lists")]
        steps.command("build-file-list", "ucf101", str(options.root / "frames"), "--num_split", "1", *places)
        for files in options.streams():
            tested = options.test * len(CLASSES)
            for path in write_training_files(files, len(CLASSES), tested, options.seed):
                print(f"wrote {path}", flush=True)
    for files in options.streams():
        with steps.step(f"train {files.stream.modality}"):
            start = ["--weights", str(files.start)] if files.start else []
            steps.command("train", "--solver", str(files.solver), *start)


def _convert(options: DemoOptions, steps: Steps) -> None:
    with steps.step("convert and inspect"):
        for files in options.streams():
            arguments = [str(files.deploy), str(files.snapshot)]
            steps.command("convert", *arguments, "--inspect")
            steps.command("convert", *arguments, *(f"-o{files.converted(end)}" for end in (".safetensors", ".onnx")))
    with steps.step("verify parity"):
        for files in options.streams():
            steps.command("verify-parity", str(files.deploy), str(files.snapshot))


def _evaluate(options: DemoOptions, steps: Steps) -> None:
    """Evaluates the rgb net from the caffemodel that training wrote, and the flow net from the converted file."""
    rgb, flow = options.streams()
    settings = ["--split_path", str(options.root / "data"), "--num_frame_per_video", str(options.test_snippets)]
    for files, weights in ((rgb, rgb.snapshot), (flow, flow.converted(".safetensors"))):
        modality = files.stream.modality
        with steps.step(f"evaluate {modality}"):
            where = ["ucf101", "1", modality, str(options.root / "frames"), str(files.deploy), str(weights)]
            steps.command("eval-net", *where, *settings, "--save_scores", _scores(options.root, modality))
    with steps.step("fuse the streams"):
        scores = [_scores(options.root, modality) for modality in STREAMS]
        steps.command("eval-scores", *scores, "--score_weights", *(f"{weight:g}" for weight in FUSION_WEIGHTS))


def _scores(root: Path, modality: str) -> str:
    return str(root / f"scores_{modality}.npz")


def _report(options: DemoOptions, steps: Steps) -> int:
    with steps.step("results"):
        results = evaluate_files(*(Path(_scores(options.root, name)) for name in STREAMS))
        pictures = write_pictures(options.root, results)
    settings = {
        "weights": WEIGHTS_NOTE,
        "fusion": " : ".join(f"{name} {weight:g}" for name, weight in zip(STREAMS, FUSION_WEIGHTS, strict=True)),
        "training videos": options.train * len(CLASSES),
        "test videos": options.test * len(CLASSES),
        "updates": ", ".join(f"{files.stream.modality} {files.iterations}" for files in options.streams()),
        "snippets": options.test_snippets,
        "seed": options.seed,
    }
    write_results(options.root, results, steps.seconds, settings)
    print("\n".join([*result_table(results), "", *time_table(steps.seconds), ""]))
    curves = [f"train_{name}/loss.png" for name in STREAMS]
    print(f"{options.root}: {', '.join(['results.txt', 'results.json', *(path.name for path in pictures), *curves])}")
    if not fusion_wins(results):
        print("the fused accuracy is not above that of both streams", file=sys.stderr)
        return 1
    return 0
