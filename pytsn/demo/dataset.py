"""The demo's dataset on disk, in the layout of UCF101: videos, frame folders and split files.

<root>/videos/<class>/<name>.avi
<root>/frames/<name>/img_00001.jpg, flow_x_00001.jpg, flow_y_00001.jpg, ...
<root>/data/ucf101_splits/classInd.txt, trainlist01.txt, testlist01.txt, ...
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from converter.files import write_bytes
from pytsn.data.datasets import DATASETS
from pytsn.demo.videos import CLASSES, Clip, plan_clips, render, write_video
from pytsn.runtime.cores import cpu_count
from pytsn.runtime.progress import track


@dataclass(frozen=True)
class Dataset:
    """Folder and clips of the dataset; train and test clips share no group (and no seed)."""

    root: Path
    train: list[Clip]
    test: list[Clip]

    def video(self, clip: Clip) -> Path:
        return self.root / "videos" / clip.class_name / f"{clip.name}.avi"

    def frames(self, clip: Clip) -> Path:
        return self.root / "frames" / clip.name


def plan_dataset(root: Path, train: int, test: int, frames: int, seed: int) -> Dataset:
    """Plans ``train`` and ``test`` clips per class, of ``frames`` frames each. Writes nothing."""
    return Dataset(Path(root), plan_clips(train, frames, seed), plan_clips(test, frames, seed, first_group=train + 1))


def write_videos(dataset: Dataset) -> int:
    """Renders and writes every video; returns their number."""

    def write(clip: Clip) -> None:
        dataset.video(clip).parent.mkdir(parents=True, exist_ok=True)
        write_video(dataset.video(clip), render(clip))

    return _for_each(write, dataset.train + dataset.test, "videos")


def _for_each(work, clips: list[Clip], title: str) -> int:
    # Threads, not processes: OpenCV releases the interpreter lock, and processes would take time to start.
    with ThreadPoolExecutor(cpu_count()) as pool:
        return len(list(track(pool.map(work, clips), title, len(clips), "video")))


def write_splits(dataset: Dataset) -> Path:
    """Writes UCF101's split files and returns the folder for --split_path (the parent of ucf101_splits).

    As in the original lists, classInd counts from 1, train lines have path and class number, test lines only the path.
    UCF101 has three splits and its readers expect all of them; here all three are the same.
    """
    folder = dataset.root / "data" / "ucf101_splits"
    folder.mkdir(parents=True, exist_ok=True)
    number = {name: index for index, name in enumerate(CLASSES, start=1)}
    _write_lines(folder / "classInd.txt", (f"{index} {name}" for name, index in number.items()))
    for split in range(1, DATASETS["ucf101"].splits + 1):
        trained = (f"{_listed(clip)} {number[clip.class_name]}" for clip in dataset.train)
        _write_lines(folder / f"trainlist{split:02d}.txt", trained)
        _write_lines(folder / f"testlist{split:02d}.txt", map(_listed, dataset.test))
    return folder.parent


def _listed(clip: Clip) -> str:
    return f"{clip.class_name}/{clip.name}.avi"


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    write_bytes(path, "".join(line + "\n" for line in lines).encode())
