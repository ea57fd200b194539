"""Videos cut into RGB frames and flow images: dense_flow's file names and 8-bit mapping, with a quick OpenCV flow.

The flow here is DIS (Kroeger et al., 2016) instead of the original's TV-L1: the demo wants it within seconds.
"""

import itertools
from pathlib import Path

import numpy as np

from converter.errors import PytsnError
from pytsn.demo.videos import HEIGHT, WIDTH
from pytsn.flow.quantise import quantise_flow
from pytsn.frames import frame_path, load_cv2

_JPEG_QUALITY = 90


def read_video(path: str | Path) -> np.ndarray:
    """(T, 256, 340, 3) uint8 BGR, every frame of the video, resized where it is of another size."""
    cv2 = load_cv2()
    capture = cv2.VideoCapture(str(path))
    frames = []
    while capture.isOpened():
        more, frame = capture.read()
        if not more:
            break
        frames.append(cv2.resize(frame, (WIDTH, HEIGHT)) if frame.shape[:2] != (HEIGHT, WIDTH) else frame)
    capture.release()
    if len(frames) < 2:
        raise PytsnError(f"{path}: {len(frames)} frames could be read; two are needed for a flow image")
    return np.stack(frames)


def dense_flow(frames: np.ndarray) -> np.ndarray:
    """(T, H, W, 3) uint8 BGR -> (T-1, H, W, 2) float32: x and y displacement in pixels from each frame to the next."""
    cv2 = load_cv2()
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    grey = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames]
    return np.stack([method.calc(first, second, None) for first, second in itertools.pairwise(grey)])


def write_frames(folder: str | Path, frames: np.ndarray, flow: np.ndarray) -> int:
    """Writes img_%05d.jpg, flow_x_%05d.jpg and flow_y_%05d.jpg, numbered from 1; returns their number, T - 1.

    Image k is the second frame of pair k, i.e. the video's (k + 1)-th: dense_flow writes no image of the first frame.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    images = quantise_flow(flow)
    for number, (frame, pair) in enumerate(zip(frames[1:], images, strict=True), start=1):
        for prefix, image in (("img_", frame), ("flow_x_", pair[..., 0]), ("flow_y_", pair[..., 1])):
            _write_jpeg(frame_path(str(folder), prefix, number), image)
    return len(flow)


def _write_jpeg(path: str, image: np.ndarray) -> None:
    cv2 = load_cv2()
    if not cv2.imwrite(path, image, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY)):
        raise PytsnError(f"{path}: the image could not be written; is the disk full?")


def extract(video: str | Path, folder: str | Path) -> int:
    """One video file into one frame folder; returns the number of images of each kind."""
    frames = read_video(video)
    return write_frames(folder, frames, dense_flow(frames))
