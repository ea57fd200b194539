"""What is known of a video on disk, a folder of frames or a file."""

from dataclasses import dataclass, field

from pytsn.data.modalities import MODALITIES
from pytsn.data.video_file import is_video_file


@dataclass(frozen=True)
class FrameFolder:
    """A video's folder of frames: its path, how many rgb images, how many pairs of flow images, and the numbers that
    the first of each carry."""

    path: str
    rgb_count: int
    flow_count: int
    rgb_first: int = 1
    flow_first: int = 1


@dataclass(frozen=True)
class Video:
    """A video to be evaluated: name, label from 0, folder of its frames, and how many there are of each modality;
    duration in seconds where it is known; the numbers that the first image of each modality carries, 0 or 1; its line
    where a list names it. ``folder`` may be a video file: its counts are those of an extraction."""

    name: str
    label: int
    folder: str
    rgb_count: int
    flow_count: int
    duration: float | None = None
    rgb_first: int = 1
    flow_first: int = 1
    line: int | None = field(default=None, compare=False)

    def frame_count(self, modality: str) -> int:
        """Images that the folder holds for the modality: frames, or pairs of flow images."""
        return self.flow_count if MODALITIES[modality].is_flow else self.rgb_count

    def first_number(self, modality: str) -> int:
        """The number in the name of the modality's first image."""
        return self.flow_first if MODALITIES[modality].is_flow else self.rgb_first

    @property
    def is_file(self) -> bool:
        """Whether ``folder`` is a video file, to be decoded on the fly."""
        return is_video_file(self.folder)
