"""Small videos whose content is known: a smooth texture that moves (2, 1) pixels a frame, and damaged files."""

import wave
from pathlib import Path

import cv2
import numpy as np

from pytsn.demo.videos import write_video

HEIGHT, WIDTH = 48, 64
SHIFT = (2, 1)  # pixels a frame that the content moves left and up: flow is (-2, -1)


def moving_frames(count: int, height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """uint8 (T, H, W, 3) BGR."""
    size = (height + SHIFT[1] * count, width + SHIFT[0] * count)
    noise = np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    texture = np.rint(texture[..., None] * np.float32([0.7, 1.0, 0.85])).astype(np.uint8)  # (H, W) -> (H, W, 3)
    windows = [texture[SHIFT[1] * i :][:height, SHIFT[0] * i :][:, :width] for i in range(count)]
    return np.stack(windows)


def make_video(path: Path, count: int = 6, height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> Path:
    """A Motion-JPEG .avi of ``count`` moving frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, moving_frames(count, height, width, seed))
    return path


def decode(path: Path) -> np.ndarray:
    """(T, H, W, 3): the file's frames by a plain loop over OpenCV."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return np.stack(frames)


def jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image)[1].tobytes()


def make_sound(path: Path) -> Path:
    """A second of silence, without any video stream."""
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    return path


def cut_short(video: Path, path: Path, keep: float = 0.6) -> Path:
    """The first part of a Motion-JPEG .avi, index and all the rest lost."""
    data = video.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def _element(number: str, data: bytes) -> bytes:
    return bytes.fromhex(number) + (len(data) | 1 << 56).to_bytes(8, "big") + data  # sizes as 8 bytes of EBML


def _unsigned(number: str, value: int) -> bytes:
    return _element(number, value.to_bytes(4, "big"))


def make_variable_rate(path: Path, images: list[np.ndarray], times_ms: list[int]) -> Path:
    """A Matroska file of Motion-JPEG frames shown at ``times_ms``; no frame rate is declared."""
    height, width = images[0].shape[:2]
    header = _element("1A45DFA3", _element("4282", b"matroska") + _unsigned("4287", 4) + _unsigned("4285", 2))
    picture = _element("E0", _unsigned("B0", width) + _unsigned("BA", height))
    entry = _unsigned("D7", 1) + _unsigned("73C5", 1) + _unsigned("83", 1) + _element("86", b"V_MJPEG") + picture
    blocks = b"".join(
        _element("A3", b"\x81" + time.to_bytes(2, "big") + b"\x80" + jpeg(image))
        for image, time in zip(images, times_ms, strict=True)
    )
    cluster = _element("1F43B675", _unsigned("E7", 0) + blocks)
    info = _element("1549A966", _unsigned("2AD7B1", 1_000_000))
    path.write_bytes(header + _element("18538067", info + _element("1654AE6B", _element("AE", entry)) + cluster))
    return path
