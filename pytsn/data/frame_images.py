"""Reads the images that dense_flow writes: ``img_00001.jpg`` (BGR), ``flow_x_00001.jpg`` and ``flow_y_00001.jpg``
(grey), as files or inside its zip archives (pytsn/data/frame_store.py)."""

import functools
import os
from collections.abc import Sequence

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_names import frame_name
from pytsn.data.frame_store import frame_source, read_frame

#: of an image, or of a video's frames: 8192x8192, which take 400 MB to decode. A file of 700 bytes may claim more than
#: any memory holds in its header, and OpenCV believes it
MOST_PIXELS = 1 << 26
_LIMIT = "OPENCV_IO_MAX_IMAGE_PIXELS"
#: a JPEG's first bytes, its end and its scans; OpenCV fills a truncated one with grey without an error
_JPEG, _JPEG_END, _JPEG_SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
_PNG = b"\x89PNG\r\n\x1a\n"
_AGAIN = "extract the frames of this video again"


@functools.cache
def load_cv2():
    """The cv2 module, which decodes images of MOST_PIXELS at most, unless the user's environment has another number.
    Raises PytsnError that says what to install when a system library is missing."""
    os.environ.setdefault(_LIMIT, str(MOST_PIXELS))  # read when the module loads
    try:
        import cv2
    except ImportError as error:
        raise PytsnError(
            f"importing cv2 failed ({error}); install a build without windows, `pip uninstall opencv-python` then "
            "`pip install opencv-python-headless`, or the library, `apt-get install libgl1 libglib2.0-0`"
        ) from None
    return cv2


def frame_path(folder: str, prefix: str, index: int, ext: str = "jpg") -> str:
    """Path of the frame with number ``index`` in its file name: FOLDER/PREFIX00001.EXT, with five digits as in
    dense_flow; ``prefix`` may also be a whole pattern (pytsn/data/frame_names.py)."""
    return os.path.join(folder, frame_name(prefix, index, ext))


def read_rgb(folder: str, prefix: str = "img_", index: int = 1, ext: str = "jpg") -> np.ndarray:
    """One colour frame: uint8 (H, W, 3), **BGR**, 0 to 255, as from ``cv2.imread`` (EXIF rotation ignored).

    Raises PytsnError that names the file when it is missing, empty, truncated or not an image.
    """
    cv2 = load_cv2()
    return read_image(frame_path(folder, prefix, index, ext), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)


def read_flow_stack(folder: str, x_prefix: str, y_prefix: str, indices: Sequence[int], ext: str = "jpg") -> np.ndarray:
    """The flow images ``indices`` (L of them): uint8 (2 L, H, W), x then y of the first, x then y of the second, ...

    128 means no motion. Repeated numbers (at the end of a short video) are read once. Raises PytsnError as ``read_rgb``
    does, and when an image differs in size from the first of the stack.
    """
    cv2 = load_cv2()
    planes: dict[str, np.ndarray] = {}
    names = [frame_path(folder, prefix, index, ext) for index in indices for prefix in (x_prefix, y_prefix)]
    for name in dict.fromkeys(names):
        planes[name] = read_image(name, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
        _check_size(name, planes[name], names[0], planes[names[0]])
    return np.stack([planes[name] for name in names])  # 2 L x (H, W) -> (2 L, H, W)


def read_rgb_stack(folder: str, prefix: str, indices: Sequence[int], ext: str = "jpg") -> np.ndarray:
    """The colour frames ``indices`` (L of them): uint8 (L, H, W, 3), BGR, each as from ``read_rgb``.

    Repeated numbers are read once. Raises PytsnError as ``read_flow_stack`` does.
    """
    frames: dict[int, np.ndarray] = {}
    for index in dict.fromkeys(indices):
        frames[index] = read_rgb(folder, prefix, index, ext)
        names = (frame_path(folder, prefix, number, ext) for number in (index, indices[0]))
        _check_size(next(names), frames[index], next(names), frames[indices[0]])
    return np.stack([frames[index] for index in indices])  # L x (H, W, 3) -> (L, H, W, 3)


def read_image(path: str, flags: int) -> np.ndarray:
    """An image as from ``cv2.imread`` with these flags, read from its file or from an archive: uint8 (H, W, 3) BGR or
    (H, W). Raises PytsnError that names the file, or archive and entry, when it is missing, empty, truncated or not an
    image."""
    cv2 = load_cv2()
    data = read_frame(*os.path.split(path))
    if not data:
        raise PytsnError(f"{image_source(path)}: the image is empty (0 bytes); {_AGAIN}")
    if _cut_short(data):
        raise PytsnError(f"{image_source(path)}: the image is cut short after {len(data)} bytes; {_AGAIN}")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if "MAX_IMAGE_PIXELS" in str(error):
            most = f"{int(os.environ.get(_LIMIT, MOST_PIXELS)):,}"
            raise PytsnError(
                f"{image_source(path)}: more than {most} pixels by its header; {_LIMIT} allows more"
            ) from None
        image = None
    if image is None:
        start = f"({len(data)} bytes starting {data[:4]!r})"
        raise PytsnError(f"{image_source(path)}: not an image that OpenCV can read {start}")
    return image


def image_source(path: str) -> str:
    """The source of the image ``path`` for messages: the path itself, or an archive and its entry."""
    return frame_source(*os.path.split(path))


def _cut_short(data: bytes) -> bool:
    """True for a JPEG or PNG without its end. In a JPEG, the end marker must follow its last scan (thumbnails). In a
    PNG, no chunk may claim more bytes than follow: OpenCV takes memory for all that it claims."""
    if data.startswith(_JPEG):
        if data.endswith(_JPEG_END):  # the search costs a fifth of the decoding
            return False
        return data.find(_JPEG_END, max(data.rfind(_JPEG_SCAN), 0)) < 0
    return data.startswith(_PNG) and not _has_whole_chunks(data)


def _has_whole_chunks(data: bytes) -> bool:
    at = len(_PNG)
    while at + 12 <= len(data):  # length, type, content, CRC
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return False


def _check_size(path: str, image: np.ndarray, first_path: str, first: np.ndarray) -> None:
    if image.shape != first.shape:
        (height, width), (first_height, first_width) = image.shape[:2], first.shape[:2]
        raise PytsnError(
            f"{image_source(path)}: {width}x{height} pixels, but {image_source(first_path)} of the same snippet has "
            f"{first_width}x{first_height}"
        )
