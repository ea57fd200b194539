"""What is known of a video whose frames lie on disk."""

from dataclasses import dataclass

from pytsn.data.modalities import MODALITIES


@dataclass(frozen=True)
class FrameFolder:
    """A video's folder of frames: its path, how many rgb images, how many pairs of flow images."""

    path: str
    rgb_count: int
    flow_count: int


@dataclass(frozen=True)
class Video:
    """A video to be evaluated: name, label from 0, folder of its frames, and how many there are of each modality;
    duration in seconds where it is known."""

    name: str
    label: int
    folder: str
    rgb_count: int
    flow_count: int
    duration: float | None = None

    def frame_count(self, modality: str) -> int:
        """Images that the folder holds for the modality: frames, or pairs of flow images."""
        return self.flow_count if MODALITIES[modality].is_flow else self.rgb_count
