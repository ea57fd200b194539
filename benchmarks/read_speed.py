"""Images per second and core: opening, reading and decoding frames, from folders and from zip archives.

    python benchmarks/read_speed.py                          synthetic frames of 340x256
    python benchmarks/read_speed.py --folder FRAMES/v_X_g01_c01     your own: img_*, flow_x_*, flow_y_*

Everything runs in one thread, files are in the page cache, and times are processor time, so that other work on the
machine counts little. Rows are printed as they come. "us" is microseconds an image; "open + read" includes the search
for the file, or for the archive and its entry with the check of its CRC. "read_image" is all that training and
evaluation do for an image; a sample is what training does for one video of 3 segments: all images, crop, resize,
mirror. Other decoders are measured if installed (pip install simplejpeg), with the share of pixels that differ.
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from timing import Rows, processor

from pytsn.data.frame_images import read_image
from pytsn.data.frame_store import read_frame
from pytsn.training.input.augmentation import CropOptions
from pytsn.training.input.sample import ReadOptions, SamplePlan, load_sample

#: from the bytes of a file and cv2 flags to an image
Decoder = Callable[[bytes, int], np.ndarray]

FRAMES, SEGMENTS = 30, 3
GREY, COLOUR = (flag | cv2.IMREAD_IGNORE_ORIENTATION for flag in (cv2.IMREAD_GRAYSCALE, cv2.IMREAD_COLOR))
#: kinds of images with the archive of each
ARCHIVES = {"img": "img.zip", "flow_x": "flow_x.zip", "flow_y": "flow_y.zip"}


def write_frames(folder: Path) -> None:
    """Writes FRAMES smooth random frames and flow images of 340x256, as `pytsn build-of` names them."""
    random = np.random.default_rng(0)
    for frame in range(1, FRAMES + 1):
        for kind in ARCHIVES:
            shape, middle, spread = ((16, 21, 3), 128, 60) if kind == "img" else ((8, 11), 128, 12)
            coarse = np.clip(random.normal(middle, spread, shape), 0, 255).astype(np.uint8)
            image = cv2.resize(coarse, (340, 256), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / f"{kind}_{frame:05d}.jpg"), image)


def copy_to_zips(folder: Path, target: Path) -> None:
    """Writes a folder with the same images in zip archives, stored, one for each kind."""
    target.mkdir()
    for kind, archive in ARCHIVES.items():
        with zipfile.ZipFile(target / archive, "w", zipfile.ZIP_STORED) as file:
            for path in sorted(folder.glob(f"{kind}_*.jpg")):
                file.write(path, path.name)


def microseconds(work: Callable[[object], object], items: list, rounds: int) -> float:
    """Processor time of ``work(item)``: the median over rounds of the mean over items."""
    times = []
    for _ in range(rounds + 1):
        start = time.thread_time()
        for item in items:
            work(item)
        times.append((time.thread_time() - start) / len(items) * 1e6)
    return statistics.median(times[1:])


def by_opencv(data: bytes, flags: int) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    assert image is not None, "no image"
    return image


def by_simplejpeg(data: bytes, flags: int, fast: bool) -> np.ndarray:
    import simplejpeg

    colours = "GRAY" if flags == GREY else "BGR"
    return simplejpeg.decode_jpeg(data, colours, fastdct=fast, fastupsample=fast).squeeze()


def decoders() -> dict[str, Decoder]:
    """Name -> decoder of (bytes, cv2 flags): OpenCV's, and others if installed."""
    found: dict[str, Decoder] = {"cv2.imdecode": by_opencv}
    if importlib.util.find_spec("simplejpeg"):
        for name, fast in (("simplejpeg", False), ("simplejpeg, fast DCT", True)):
            found[name] = partial(by_simplejpeg, fast=fast)
    return found


class Kind:
    """Measures one kind of images: prints the rows of reading and decoding."""

    def __init__(self, title: str, names: list[str], flags: int, args: argparse.Namespace) -> None:
        self.title, self.names, self.flags, self.args = title, names, flags, args

    def read(self, places: dict[str, Path], rows: Rows) -> None:
        """A row for each place that the images lie in."""
        for place, folder in places.items():
            paths = [str(folder / name) for name in self.names]
            data = [read_frame(str(folder), name) for name in self.names]
            opened = self._time(partial(read_frame, str(folder)), self.names)
            decoded = self._time(lambda each: by_opencv(each, self.flags), data)
            whole = self._time(lambda path: read_image(path, self.flags), paths)
            numbers = [f"{opened:.1f}", f"{decoded:.1f}", f"{whole:.1f}", f"{1e6 / whole:.0f}", f"{opened / whole:.0%}"]
            rows.add([f"{self.title}, {place}", f"{np.mean([len(each) for each in data]) / 1e3:.1f}", *numbers])

    def decode(self, folder: Path, rows: Rows) -> None:
        """A row for each decoder."""
        data = [read_frame(str(folder), name) for name in self.names]
        wanted = [by_opencv(each, self.flags) for each in data]
        for name, decoder in decoders().items():
            taken = self._time(partial(self._decode, decoder), data)
            differ = np.mean([decoder(each, self.flags) != image for each, image in zip(data, wanted, strict=True)])
            rows.add([f"{self.title}, {name}", f"{taken:.1f}", f"{differ:.2%}"])

    def _decode(self, decoder: Decoder, data: bytes) -> np.ndarray:
        return decoder(data, self.flags)

    def _time(self, work: Callable, items: list) -> float:
        return microseconds(work, items, self.args.rounds)


def sample_rows(places: dict[str, Path], rounds: int, rows: Rows) -> None:
    """A row for each place and modality: a training sample of SEGMENTS segments."""
    crop = CropOptions(size=224, train=True, multi_scale=True, fixed=True, more_fixed=True)
    random = np.random.default_rng(1)
    for title, length, pattern in (("rgb", 1, "img_%05d.jpg"), ("flow", 5, "flow_%c_%05d.jpg")):
        options = ReadOptions(pattern, flow=title == "flow", crop=crop, invert_x=title == "flow")
        every = max(0, len(list(places["files"].glob("img_*.jpg"))) - length) // SEGMENTS
        frames = tuple(1 + every * segment + k for segment in range(SEGMENTS) for k in range(length))
        draws = [tuple(int(each) for each in random.integers(0, 1 << 30, crop.draws)) for _ in range(20)]
        for place, folder in places.items():
            plans = [SamplePlan(str(folder), frames, 0, bool(i % 2), each) for i, each in enumerate(draws)]
            taken = microseconds(partial(load_sample, options=options), plans, rounds)
            images = len(frames) * (2 if title == "flow" else 1)
            rows.add([f"{title}, {place}", f"{images}", f"{taken / 1e3:.2f}", f"{SEGMENTS * 1e6 / taken:.0f}"])


def report(places: dict[str, Path], args: argparse.Namespace) -> None:
    """Prints the three tables."""
    numbers = sorted(path.name.partition("img_")[2] for path in places["files"].glob("img_*.jpg"))[:FRAMES]
    flow = [f"flow_{axis}_{number}" for number in numbers for axis in "xy"]
    kinds = [Kind("flow", flow, GREY, args), Kind("rgb", [f"img_{number}" for number in numbers], COLOUR, args)]
    print(f"{processor()}, one thread, OpenCV {cv2.__version__}, processor time, medians of {args.rounds} rounds\n")
    head = ["", "KB", "open + read us", "decode us", "read_image us", "images/s", "open + read"]
    rows = Rows(head, [16])
    for kind in kinds:
        kind.read(places, rows)
    print()
    rows = Rows(["decoder", "decode us", "pixels that differ"], [26])
    for kind in kinds:
        kind.decode(places["files"], rows)
    print()
    sample_rows(places, args.rounds, Rows([f"sample of {SEGMENTS} segments", "images", "ms", "snippets/s"], [22]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="a video's frame folder; default: synthetic frames in a temporary folder")
    parser.add_argument("--rounds", type=int, default=15, help="number of rounds (default: 15)")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        files = Path(args.folder or f"{name}/v_files")
        if not args.folder:
            files.mkdir()
            write_frames(files)
        copy_to_zips(files, Path(name, "v_zips"))
        report({"files": files, "zips": Path(name, "v_zips")}, args)


if __name__ == "__main__":
    main()
