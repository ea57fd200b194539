"""Video files: containers and codecs, which OpenCV and FFmpeg decode."""

import random
from collections.abc import Sequence
from pathlib import Path

from pytsn.data.decoded_snippets import look_through
from pytsn.data.frame_images import load_cv2
from pytsn.data.snippet_reader import SnippetOptions, decode_snippets, video_ticks
from pytsn.data.videos import Video
from pytsn.training.input.video_files import decode_images
from tests.flow.flow_videos import make_video, moving_frames
from tests.hostile.kinds import Kind
from tests.hostile.mutations import mutate_bytes


def _coded(path: Path, code: str) -> bytes:
    frames = moving_frames(8)
    writer = load_cv2().VideoWriter(str(path), load_cv2().VideoWriter_fourcc(*code), 10, frames.shape[2:0:-1])
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path.read_bytes()


class _Videos(Kind):
    """Counted, then decoded for a test and for training."""

    suffix = ".avi"

    def read(self, path: Path) -> None:
        count = look_through(str(path)).images
        video = Video("v", 0, str(path), count, count)
        options = SnippetOptions(num_frames=3)
        decode_snippets(video, sorted(set(video_ticks(video, options))), options)
        decode_images(str(path), (1, 2), (20, 30), load_cv2().IMREAD_COLOR)


class AviHeaders(_Videos):
    """Everything before the frames."""

    def make_samples(self) -> Sequence[bytes]:
        return [make_video(self.folder / "a.avi").read_bytes(), _coded(self.folder / "b.avi", "XVID")]

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        return mutate_bytes(data, rng, self.samples, end=rng.choice((data.find(b"movi") + 4, 300)))


class AviBodies(AviHeaders):
    """Frames and index."""

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        return mutate_bytes(data, rng, self.samples, start=data.find(b"movi") + 4)


class Mp4s(_Videos):
    suffix = ".mp4"

    def make_samples(self) -> Sequence[bytes]:
        return [
            _coded(self.folder / "a.mp4", "mp4v"),
            _coded(self.folder / "b.mkv", "MJPG"),
            _coded(self.folder / "c.webm", "VP80"),
        ]

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        box = max(data.find(b"moov"), 0)
        start, end = rng.choice(((0, 0), (box, 0), (0, 600)))
        return mutate_bytes(data, rng, self.samples, start=start, end=end)
