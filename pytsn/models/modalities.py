"""What the papers feed and how they train, in one table: rgb, flow, warped flow and RGB difference.

Numbers are those of the released files (pytsn/models/training_settings.py): where a paper's text differs (it speaks of
4500 rgb iterations with drops every 2000, say), the files win, for the published accuracies were reached with them.
"""

from dataclasses import dataclass

from converter.errors import PytsnError
from pytsn.models.training_settings import CUSTOM, MODALITIES, Modality, Schedule

#: videos an update of the released schedules sees, and training videos of UCF101 split 1, which they were made for
RELEASED_BATCH, RELEASED_VIDEOS = 128, 9537


@dataclass(frozen=True)
class TsnModality:
    """One modality.

    frames: the modality that prototxts and VideoData layers know (warped flow is read as flow, from its own folders).
    stream: snippet, crops, dropout, factor on conv1's learning rate. schedule: learning rate, drops, length, clipping.
    planes: channels that one frame (or difference) adds to a snippet. cross_modality: starts from an RGB net, its first
    filters averaged over the colours (pytsn/models/cross_modality.py). partial_bn: only the first BN keeps learning.
    """

    name: str
    frames: str
    stream: Modality
    schedule: Schedule
    planes: int
    cross_modality: bool
    partial_bn: bool = True

    @property
    def channels(self) -> int:
        """Input channels of the net."""
        return self.stream.channels

    @property
    def mean_value(self) -> tuple[int, ...]:
        """Subtracted from pixels: B, G, R, or one for all channels; empty: nothing."""
        return self.stream.mean_value

    @property
    def dropout(self) -> float:
        """Ratio on the pooled features, before the classifier."""
        return self.stream.dropout

    @property
    def scale_ratios(self) -> tuple[float, ...]:
        """Crop sides, as shares of the frame's shorter side."""
        return self.stream.scale_ratios

    @property
    def iterations_of_drops(self) -> tuple[int, ...]:
        """Where the learning rate falls to a tenth, in iterations of 128 videos."""
        plan = self.schedule
        if plan.lr_policy != "step":
            return plan.steps
        return tuple(range(plan.steps[0], plan.max_iter, plan.steps[0]))

    @property
    def epochs(self) -> float:
        """The length of the schedule in passes over UCF101's training videos: 46.97 for rgb."""
        return _epochs(self.schedule.max_iter)

    @property
    def lr_steps(self) -> tuple[float, ...]:
        """Where the learning rate falls to a tenth, in such passes."""
        return tuple(_epochs(iterations) for iterations in self.iterations_of_drops)


def _epochs(iterations: int) -> float:
    return iterations * RELEASED_BATCH / RELEASED_VIDEOS


def _row(name: str, frames: str, planes: int, cross_modality: bool) -> TsnModality:
    stream = MODALITIES[frames]
    return TsnModality(name, frames, stream, CUSTOM.schedules[stream.frames], planes, cross_modality)


TSN_MODALITIES = {
    row.name: row
    for row in (
        _row("rgb", "rgb", planes=3, cross_modality=False),  # starts from ImageNet
        _row("flow", "flow", planes=2, cross_modality=True),
        _row("warped", "flow", planes=2, cross_modality=True),
        _row("rgbdiff", "rgbdiff", planes=3, cross_modality=True),
    )
}


def find_modality(name: str) -> TsnModality:
    """The row of a modality. Raises PytsnError for an unknown name."""
    if name not in TSN_MODALITIES:
        raise PytsnError(f"modality '{name}': one of {', '.join(TSN_MODALITIES)} was expected")
    return TSN_MODALITIES[name]
