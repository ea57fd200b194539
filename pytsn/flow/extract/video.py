"""Extracts one video to a folder of frames and flow images; memory does not grow with the video's length."""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_images import load_cv2
from pytsn.data.jpeg import JPEG_QUALITY, encode_jpeg
from pytsn.data.video_file import VideoFrames, check_frame
from pytsn.flow.extract.frame_writer import WRITERS
from pytsn.flow.extract.threads import InOrder, ahead, in_threads
from pytsn.flow.methods import FlowFunction, make_flow
from pytsn.flow.quantise import FLOW_BOUND, quantise_flow

FLOW_TYPES = ("tvl1", "warp_tvl1")
#: the frame size of the released models, to which ``batch_size`` refers
WIDTH, HEIGHT = 340, 256
#: batches waiting on either side of the flow when decoding and writing have their own threads
_WAITING = 2


@dataclass(frozen=True)
class ExtractSettings:
    """The settings that the images depend on. They are recorded beside the images, so a later run can compare them.

    flow_type: tvl1 (frames and flow) or warp_tvl1 (flow without the camera's motion, no frames). algorithm, preset:
    see pytsn.flow.methods; preset is empty for algorithms without presets. bound: pixels that become 0 and 255. step:
    flow from frame 0 to ``step`` to 2 ``step``... width, height: of the images; 0 and 0 keep the video's. quality: of
    the JPEGs, 1 to 100. out_format: dir or zip.
    """

    flow_type: str = "tvl1"
    algorithm: str = "tvl1"
    preset: str = "opencv2.4-cuda"
    bound: float = FLOW_BOUND
    step: int = 1
    width: int = WIDTH
    height: int = HEIGHT
    quality: int = JPEG_QUALITY
    out_format: str = "dir"

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of images, as in frame_writer; the original's extractor of warped flow writes no frames."""
        return ("img", "flow_x", "flow_y") if self.flow_type == "tvl1" else ("flow_x", "flow_y")

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) to resize to, or None."""
        return (self.width, self.height) if self.width and self.height else None

    def as_dict(self) -> dict[str, object]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Extracted:
    """frames decoded, pairs written, bytes of all files, notes for the user."""

    frames: int
    pairs: int
    total: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PairBatch:
    """B consecutive pairs. images: their second frames, uint8 (H, W, 3) BGR; gray: uint8 (B + 1, H, W), pair b is
    gray[b], gray[b + 1]."""

    images: list[np.ndarray]
    gray: np.ndarray


def pair_batches(frames: Iterable[np.ndarray], step: int, batch_size: int) -> Generator[PairBatch, None, None]:
    """Batches of pairs of every ``step``-th frame, starting with the first; B = ``batch_size`` or less.

    ``batch_size`` counts pairs of 340x256 pixels; larger frames come in smaller batches, so memory stays the same. At
    most B + 1 frames are held at a time. Frames (H, W, 3) BGR uint8.
    """
    cv2 = load_cv2()
    images: list[np.ndarray] = []
    grays: list[np.ndarray] = []
    for frame in itertools.islice(frames, 0, None, step):
        if grays:
            images.append(frame)
        grays.append(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
        if len(images) == max(1, min(batch_size, batch_size * WIDTH * HEIGHT // grays[0].size)):
            yield PairBatch(images, np.stack(grays))  # B + 1 x (H, W) -> (B + 1, H, W)
            images, grays = [], grays[-1:]
    if images:
        yield PairBatch(images, np.stack(grays))


def make_extract_flow(settings: ExtractSettings, device: str, threads: int = 1) -> FlowFunction:
    """The flow function for the settings, uint8 (B, H, W) twice -> float32 (B, H, W, 2), in ``threads`` threads."""
    flow = make_flow(settings.algorithm, settings.preset, device)
    if settings.flow_type == "tvl1":
        return in_threads(flow, threads)
    from pytsn.flow.warp.camera_motion import warped_flows

    def warped(gray0: np.ndarray, gray1: np.ndarray) -> np.ndarray:
        return np.stack([pair.flow for pair in warped_flows(gray0, gray1, flow)])

    return in_threads(warped, threads)


def extract_video(
    path: str,
    folder: str,
    settings: ExtractSettings,
    flow: FlowFunction,
    batch_size: int,
    threads: bool = False,
    on_open: Callable[[int], object] = lambda announced: None,
    on_pairs: Callable[[int], object] = lambda count: None,
) -> Extracted:
    """Writes the images of video ``path`` into the empty ``folder``. Image k belongs to pair k: the video's frames
    (k - 1) step and k step, counted from 0; the RGB image is the second of them. The flow goes from the first to the
    second and is not divided by ``step``. Source: dense_flow, dense_flow_gpu.cpp.

    threads: decode and write in separate threads beside the flow (for a GPU). on_open: called with the announced number
    of frames; on_pairs: with the number of pairs just done. Raises PytsnError for videos without two frames and
    unreadable videos, OSError if writing fails.
    """
    video = VideoFrames(path, settings.size)
    batches = pair_batches(_announce(video, on_open), settings.step, batch_size)
    writer = WRITERS[settings.out_format](folder, settings.kinds)
    pairs = 0
    try:
        with (
            InOrder(_WAITING if threads else 0) as later,
            contextlib.closing(ahead(batches, _WAITING) if threads else batches) as ready,
        ):
            for batch in ready:
                vectors = flow(batch.gray[:-1], batch.gray[1:])
                later.do(_write_batch, writer, pairs + 1, batch.images, vectors, settings)
                pairs += len(batch.images)
                on_pairs(len(batch.images))
        if not pairs:
            raise PytsnError(f"{path}: {_frames(video.count)} in it; flow needs {settings.step + 1} or more")
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    return Extracted(video.count, pairs, writer.total, tuple(video.notes))


def _announce(video: VideoFrames, on_open: Callable[[int], object]) -> Iterator[np.ndarray]:
    for index, frame in enumerate(video):
        if not index:
            on_open(video.announced)
            check_frame(video.path, frame)
        yield frame


def _write_batch(writer, first: int, images: list[np.ndarray], vectors: np.ndarray, settings: ExtractSettings) -> None:
    """vectors: float32 (B, H, W, 2); the images of pair b get number ``first`` + b."""
    for number, (image, vector) in enumerate(zip(images, vectors, strict=True), start=first):
        level = quantise_flow(vector, settings.bound)  # pair by pair: several times faster than a batch of doubles
        planes = {"img": image, "flow_x": level[..., 0], "flow_y": level[..., 1]}
        for kind in settings.kinds:
            writer.write(kind, number, encode_jpeg(np.ascontiguousarray(planes[kind]), settings.quality))


def _frames(count: int) -> str:
    return f"only {count} frame" + ("s" if count != 1 else "")
