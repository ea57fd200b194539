"""Images of frames: files, archives, folders with everything that can lie in one."""

import contextlib
import os
import random
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from converter.errors import PytsnError
from pytsn.data.frame_folders import parse_directory
from pytsn.data.frame_images import load_cv2
from pytsn.data.snippet_reader import SnippetOptions, read_snippet, video_ticks
from pytsn.data.sources import find_sources, folder_video
from pytsn.data.ten_crops import ten_crops
from pytsn.data.videos import Video
from pytsn.training.input.sample import ReadOptions, SamplePlan, load_sample
from tests.hostile.kinds import Kind, read_all
from tests.hostile.mutations import make_zip, mutate_bytes, mutate_text, mutate_zip


def _image(colour: bool) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 40, 3) if colour else (30, 40), np.uint8)


def _encoded(extension: str, colour: bool, *options: int) -> bytes:
    return load_cv2().imencode(extension, _image(colour), options)[1].tobytes()


def use_images(video: Video) -> None:
    """All that becomes of a folder of frames: snippets of both modalities, crops, a sample of training."""
    read_all(
        *(partial(_use_snippets, video, modality) for modality in ("rgb", "flow", "rgbdiff")),
        *(
            partial(load_sample, SamplePlan(video.folder, (1, 2), 0), ReadOptions(pattern, flow))
            for flow, pattern in ((False, "img_%05d.jpg"), (True, "flow_%c_%05d.jpg"))
        ),
    )


def _use_snippets(video: Video, modality: str) -> None:
    options = SnippetOptions(modality, num_frames=2)
    for tick in video_ticks(video, options):
        planes = torch.from_numpy(read_snippet(video, tick, options)[0][None])  # (C, H, W) -> (1, C, H, W)
        ten_crops(planes, 224, modality == "flow")


class Jpegs(Kind):
    """An image of the first frame damaged: rgb, progressive or not, or flow."""

    def make_samples(self) -> Sequence[bytes]:
        cv2 = load_cv2()
        progressive = _encoded(".jpg", True, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
        return [_encoded(".jpg", True), progressive, _encoded(".jpg", True, cv2.IMWRITE_JPEG_RST_INTERVAL, 2)]

    def write(self, folder: Path, rng: random.Random) -> Path:
        damaged = self.mutate(rng.choice(self.samples), rng)
        grey = _encoded(".jpg", False)
        for number in (1, 2):
            (folder / f"img_{number:05d}.jpg").write_bytes(damaged if number == 1 else self.samples[0])
            (folder / f"flow_x_{number:05d}.jpg").write_bytes(damaged if number == 2 else grey)
            (folder / f"flow_y_{number:05d}.jpg").write_bytes(grey)
        return folder

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        return mutate_bytes(data, rng, self.samples, end=rng.choice((0, 700)))

    def read(self, path: Path) -> None:
        use_images(Video("v", 0, str(path), 2, 2))


class OtherImages(Jpegs):
    """The other formats that OpenCV tells by their content, under the name of a JPEG."""

    def make_samples(self) -> Sequence[bytes]:
        found = []
        for extension in (".png", ".bmp", ".webp", ".tiff", ".ppm", ".gif", ".jp2", ".hdr", ".pfm", ".sr", ".avif"):
            with contextlib.suppress(load_cv2().error, AttributeError):  # not built in
                found.append(_encoded(extension, True))
        return found

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        return mutate_bytes(data, rng, self.samples, end=rng.choice((0, 64, 200)))


class Zips(Kind):
    """dense_flow's archives of frames, one of them damaged; or one archive a video."""

    suffix = ".zip"

    def make_samples(self) -> Sequence[bytes]:
        rgb, grey = _encoded(".jpg", True), _encoded(".jpg", False)
        self.archives = {
            "img.zip": make_zip([(f"img_{number:05d}.jpg", rgb) for number in (1, 2)]),
            "flow_x.zip": make_zip([(f"x_{number:05d}.jpg", grey) for number in (1, 2)]),
            "flow_y.zip": make_zip([(f"y_{number:05d}.jpg", grey) for number in (1, 2)]),
        }
        names = [f"{kind}_{number:05d}.jpg" for kind in ("img", "flow_x", "flow_y") for number in (1, 2)]
        self.whole = make_zip([(f"v/{name}", rgb if name < "g" else grey) for name in names])
        return [*self.archives.values(), self.whole]

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        return mutate_zip(data, rng, self.samples)

    def write(self, folder: Path, rng: random.Random) -> Path:
        if rng.random() < 0.3:
            (folder / "v.zip").write_bytes(self.mutate(self.whole, rng))
            return folder
        (folder / "v").mkdir()
        which = rng.choice(sorted(self.archives))
        for name, data in self.archives.items():
            (folder / "v" / name).write_bytes(self.mutate(data, rng) if name == which else data)
        return folder

    def read(self, path: Path) -> None:
        find_sources([str(path)])
        for name, folder in parse_directory(str(path)).items():
            use_images(
                Video(
                    name, 0, folder.path, folder.rgb_count, folder.flow_count, None, folder.rgb_first, folder.flow_first
                )
            )


class Folders(Kind):
    """Folders of frames in which names, files and what is no file are mixed up. ``samples`` are the images."""

    def make_samples(self) -> Sequence[bytes]:
        return [_encoded(".jpg", True), _encoded(".jpg", False), _encoded(".png", True), b"", b"\xff\xd8\xff\xd9"]

    def write(self, folder: Path, rng: random.Random) -> Path:
        root = folder / "frames"
        for video in ("v_a", "class/v_b"):
            (root / video).mkdir(parents=True)
            for number in (1, 2):
                for kind, data in (("img", self.samples[0]), ("flow_x", self.samples[1]), ("flow_y", self.samples[1])):
                    (root / video / f"{kind}_{number:05d}.jpg").write_bytes(data)
        for _ in range(rng.randint(1, 4)):
            self._spoil(root / rng.choice(("v_a", "class/v_b", "class", ".")), rng)
        return root

    def _spoil(self, folder: Path, rng: random.Random) -> None:
        if not folder.is_dir():
            return
        names = sorted(os.listdir(folder)) or ["img_00001.jpg"]
        name = rng.choice(names)
        new = rng.choice((mutate_text(name, rng)[:200].replace("/", "").replace("\0", "") or "x", name, name))
        path = folder / (new if new not in (".", "..") else "x")
        with contextlib.suppress(OSError, ValueError):  # a name that the file system refuses
            if rng.random() < 0.4:
                os.rename(folder / name, path)
                return
            if path.is_symlink() or not path.is_dir():
                path.unlink(missing_ok=True)
            rng.choice((self._file, self._file, _pipe, _socket, _folder, _link, _device, _bytes_name))(path, rng)

    def _file(self, path: Path, rng: random.Random) -> None:
        path.write_bytes(rng.choice(self.samples))

    def read(self, path: Path) -> None:
        refused = None
        try:
            for source in find_sources([str(path)]):
                if not source.is_video:
                    use_images(folder_video(source.path, source.name))
        except PytsnError as error:
            refused = error
        for name, folder in parse_directory(str(path)).items():
            use_images(
                Video(
                    name, 0, folder.path, folder.rgb_count, folder.flow_count, None, folder.rgb_first, folder.flow_first
                )
            )
        if refused:
            raise refused


def _pipe(path: Path, rng: random.Random) -> None:
    os.mkfifo(path)


def _socket(path: Path, rng: random.Random) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))


def _folder(path: Path, rng: random.Random) -> None:
    path.mkdir()


def _link(path: Path, rng: random.Random) -> None:
    path.symlink_to(rng.choice(("nowhere", ".", "..", path.name, "/")))


def _device(path: Path, rng: random.Random) -> None:
    path.symlink_to(rng.choice(("/dev/zero", "/dev/null", "/dev/tty", "/proc/self/mem")))


def _bytes_name(path: Path, rng: random.Random) -> None:
    with open(os.path.join(os.fsencode(path.parent), b"img_\xff\xfe.jpg"), "wb") as file:
        file.write(b"x")
