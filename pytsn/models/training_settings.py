"""The schedules of the released models, by dataset and kind of input images.

Source: models/{ucf101,hmdb51}/tsn_bn_inception_{rgb,flow}_solver.prototxt of the original. Where a paper differs (one
gives 4500 rgb iterations with drops every 2000), the files are used, because the published accuracies were reached with
them. RGB difference uses rgb's schedule, see pytsn/data/modalities.py.
"""

from dataclasses import dataclass, replace

from pytsn.data.modalities import Modality

PROCESSES = 4  # number started by scripts/train_tsn.sh of the original; schedules and test passes assume it
#: videos per update in the released schedules, and training videos of UCF101 split 1, for which they were made
RELEASED_BATCH, RELEASED_VIDEOS = 128, 9537


@dataclass(frozen=True)
class Schedule:
    """Iterations with an effective batch of 128 videos. steps: where, or how often, the rate is divided by 10."""

    test_interval: int
    base_lr: float
    lr_policy: str
    steps: tuple[int, ...]
    max_iter: int
    clip_gradients: int
    device_id: tuple[int, ...] = (0, 1, 2, 3)

    @property
    def iterations_of_drops(self) -> tuple[int, ...]:
        """Where the learning rate is divided by 10, in iterations of 128 videos."""
        if self.lr_policy != "step":
            return self.steps
        return tuple(range(self.steps[0], self.max_iter, self.steps[0]))

    @property
    def epochs(self) -> float:
        """The length in passes over UCF101's training videos: 46.97 for rgb."""
        return _epochs(self.max_iter)

    @property
    def lr_steps(self) -> tuple[float, ...]:
        """Where the learning rate is divided by 10, in such passes."""
        return tuple(_epochs(iterations) for iterations in self.iterations_of_drops)


def _epochs(iterations: int) -> float:
    return iterations * RELEASED_BATCH / RELEASED_VIDEOS


@dataclass(frozen=True)
class ReleasedTraining:
    """schedules: by kind of images. test_iter: batches of a test pass on each of PROCESSES, None: unknown."""

    test_iter: int | None
    snapshot: str
    schedules: dict[str, Schedule]


#: by dataset name (pytsn/data/datasets.py)
RELEASED_TRAINING = {
    "ucf101": ReleasedTraining(
        test_iter=950,
        snapshot="{dataset}_split{split}_tsn_{modality}_bn_inception",
        schedules={
            "rgb": Schedule(500, 0.001, "step", (1500,), 3500, 40),
            "flow": Schedule(1000, 0.005, "multistep", (10000, 16000), 18000, 20, device_id=()),  # commented out there
        },
    ),
    "hmdb51": ReleasedTraining(
        test_iter=383,
        snapshot="{dataset}_split_{split}_tsn_{modality}_bn_inception",
        schedules={
            "rgb": Schedule(500, 0.001, "step", (1000,), 2500, 40),
            "flow": Schedule(500, 0.005, "multistep", (4000, 6000), 7000, 20),
        },
    ),
}
OWN_TRAINING = replace(RELEASED_TRAINING["ucf101"], test_iter=None)  # for any other dataset


def released_schedule(row: Modality) -> Schedule:
    """The schedule of a modality on the user's own videos: UCF101's."""
    return OWN_TRAINING.schedules[row.images.name]
