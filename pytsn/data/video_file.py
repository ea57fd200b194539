"""The frames of a video file one after the other, however long it is."""

import contextlib
import os
import stat
from collections.abc import Collection, Iterator

import numpy as np

from converter.errors import PytsnError
from converter.files import explain_os_error
from pytsn.data.frame_images import MOST_PIXELS, load_cv2

#: libav's level "quiet"; OpenCV reads the variable when it first opens a video
_FFMPEG_QUIET = "-8"
#: containers often announce a frame or two more than they hold; fewer than this share of them is worth a word
_SLACK_FRAMES, _SLACK_SHARE = 2, 0.02
#: extensions by which videos are found in a folder; a file that is named itself may have any
VIDEO_EXTENSIONS = ("avi", "mp4", "mkv", "mov", "webm", "mpg", "mpeg", "m4v", "wmv", "flv", "3gp", "ogv", "ts", "mts")
#: pixels of a side of a frame: the fewest that flow is computed of, the most that a JPEG holds
SHORTEST, LONGEST = 3, 65500


def check_size(width: int, height: int) -> None:
    """Raises PytsnError unless frames can be resized so for flow and JPEG; 0 and 0 are the video's own size."""
    if (width, height) != (0, 0) and not SHORTEST <= min(width, height) <= max(width, height) <= LONGEST:
        raise PytsnError(
            f"--new_width {width} --new_height {height}: two sizes of {SHORTEST} to {LONGEST} pixels, or 0 and 0 for "
            "the video's size, were expected"
        )


def check_frame(path: str, frame: np.ndarray) -> None:
    """Raises PytsnError naming the file for a frame (H, W, ...) too small for flow."""
    height, width = frame.shape[:2]
    if min(height, width) < SHORTEST:
        raise PytsnError(f"{path}: frames of {width}x{height} pixels; flow needs {SHORTEST}x{SHORTEST} or more")


def is_video_name(name: str) -> bool:
    """Whether a file is a video by its name: one of VIDEO_EXTENSIONS, not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1][1:].lower() in VIDEO_EXTENSIONS


def is_video_file(path: str) -> bool:
    """Whether it is a file, and no archive of frames: what stands for a video in a list may also be a folder."""
    return not path.endswith(".zip") and os.path.isfile(path)


def frame_rate(path: str) -> float | None:
    """Frames a second as the container says, None where that is nothing sensible."""
    cv2 = _quiet_cv2()
    capture = cv2.VideoCapture(os.path.abspath(path))
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return rate if 1 <= rate <= 1000 else None


class VideoFrames:
    """An iterable of a video's frames: uint8 (H, W, 3) BGR, 0 to 255, one in memory at a time.

    path: the file. size: (width, height) to which every frame is resized (bilinear, as dense_flow does); None keeps
    the first frame's size, and frames that change size later are resized to it. Each iteration opens the file anew.
    A rotation noted in the file (telephones) is applied, so that people stand upright. Frames come as they are stored:
    a variable rate neither repeats nor drops any. What cannot be decoded at the end is left out.

    announced: frames that the container promises (0: unknown); known once an iteration has begun, as are ``count``
    (frames given so far) and ``notes``: what the user should hear about this file, one line each.

    Raises PytsnError naming the file when it is missing, empty, has no video stream or holds no frame that decodes.
    """

    def __init__(self, path: str | os.PathLike, size: tuple[int, int] | None = None) -> None:
        if size is not None and min(size) < 1:
            raise PytsnError(f"{path}: frames cannot be resized to {size[0]}x{size[1]}")
        self.path, self.size = os.fspath(path), size
        self.announced = self.count = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        size, self.count = self.size, 0
        with contextlib.closing(_Capture(self.path)) as capture:
            self.announced = capture.announced
            while (frame := capture.read()) is not None:
                found = frame.shape[1], frame.shape[0]
                size = size or found
                self.count += 1
                yield frame if found == size else self._resized(frame, size)
        if not self.count:
            raise PytsnError(f"{self.path}: none of its frames can be decoded; is the file whole?")

    def numbered(self, numbers: Collection[int]) -> Iterator[tuple[int, np.ndarray]]:
        """(number, frame) of the frames ``numbers``, counted from 0, in order; those before the last one are decoded
        too, but not resized. A video that ends early gives fewer. ``count`` is then that of the frames passed."""
        size, self.count = self.size, 0
        with contextlib.closing(_Capture(self.path)) as capture:
            self.announced = capture.announced
            for number in range(max(numbers) + 1):
                wanted = number in numbers or size is None
                frame = capture.read() if wanted else None
                if frame is None and (wanted or not capture.skip()):
                    break
                self.count += 1
                if frame is not None:
                    size = size or (frame.shape[1], frame.shape[0])
                    if number in numbers:
                        yield number, frame if frame.shape[1::-1] == size else self._resized(frame, size)
        if not self.count:
            raise PytsnError(f"{self.path}: none of its frames can be decoded; is the file whole?")

    def _resized(self, frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        cv2 = load_cv2()
        try:
            return cv2.resize(frame, size)
        except (cv2.error, MemoryError) as error:
            raise PytsnError(f"{self.path}: cannot resize frames to {size[0]}x{size[1]} ({error})") from None

    @property
    def notes(self) -> list[str]:
        """What was unusual about the frames given so far."""
        if self.announced - self.count <= max(_SLACK_FRAMES, _SLACK_SHARE * self.announced):
            return []
        return [f"{self.count} of the {self.announced} frames it announces could be decoded: cut short?"]


class _Capture:
    """cv2.VideoCapture with errors in one line, decoding in one thread and without chatter on stderr."""

    def __init__(self, path: str) -> None:
        self.path = path
        _check_file(path)
        cv2 = _quiet_cv2()
        backends = cv2.videoio_registry.getBackends()
        backend = cv2.CAP_FFMPEG if cv2.CAP_FFMPEG in backends else cv2.CAP_ANY
        threads = [cv2.CAP_PROP_N_THREADS, 1] if backend == cv2.CAP_FFMPEG else []
        try:
            # absolute: FFmpeg takes what is before a colon in a bare file name for a protocol
            self._capture = cv2.VideoCapture(os.path.abspath(path), backend, threads)
        except cv2.error:
            self._capture = None
        if self._capture is None or not self._capture.isOpened():
            raise PytsnError(f"{path}: OpenCV finds no video stream in it (damaged, sound only, or of another kind?)")
        width, height = (int(self._capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > MOST_PIXELS:
            self.close()
            raise PytsnError(
                f"{path}: frames of {width}x{height} pixels; {MOST_PIXELS:,} are the most that are decoded"
            )
        announced = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.announced = int(announced) if 0 < announced < 1e9 else 0

    def read(self) -> np.ndarray | None:
        """The next frame, uint8 (H, W, 3) BGR; None after the last one."""
        cv2 = load_cv2()
        try:
            more, frame = self._capture.read()
        except (cv2.error, MemoryError) as error:
            raise PytsnError(f"{self.path}: decoding failed ({error})") from None
        if not more or frame is None or not frame.size:
            return None
        if frame.dtype != np.uint8:
            raise PytsnError(f"{self.path}: frames of type {frame.dtype}; 8-bit video was expected")
        if frame.ndim == 3 and frame.shape[2] == 3:
            return frame
        grey = frame.ndim == 2 or frame.shape[2] == 1
        return cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR if grey else cv2.COLOR_BGRA2BGR)

    def skip(self) -> bool:
        """Goes past the next frame without converting it; False after the last one."""
        try:
            return self._capture.grab()
        except (load_cv2().error, MemoryError) as error:
            raise PytsnError(f"{self.path}: decoding failed ({error})") from None

    def close(self) -> None:
        self._capture.release()


def _check_file(path: str) -> None:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:  # such a name makes OpenCV's Python layer crash
        raise PytsnError(f"{path!r}: the file's name is not UTF-8, which OpenCV cannot open; rename it") from None
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):  # opening a pipe waits for its writer
            raise PytsnError(f"{path}: is a pipe or a device; frames come from files")
        with open(path, "rb") as file:
            if not file.read(1):
                raise PytsnError(f"{path}: the file is empty (0 bytes)")
    except OSError as error:
        raise explain_os_error(error, path) from None


def _quiet_cv2():
    """cv2 that does not print what its decoders find in damaged files; an explicit choice of the user stays."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", _FFMPEG_QUIET)
    cv2 = load_cv2()
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
