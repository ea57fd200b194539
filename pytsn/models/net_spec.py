"""Settings from which a set of prototxts is written."""

import re
from dataclasses import dataclass, fields

from converter.errors import PytsnError
from pytsn.data.datasets import DATASETS, SPLIT_DATASETS, Dataset
from pytsn.data.modalities import MODALITIES, READ_MODALITIES, Modality
from pytsn.models.training_settings import OWN_TRAINING, RELEASED_TRAINING, ReleasedTraining, Schedule

KINDS = ("deploy", "train_val", "solver")


@dataclass(frozen=True)
class NetSpec:
    """Settings of a set of prototxts. None takes the released setting; the constructor fills in every field.

    dataset: ucf101, hmdb51 or a name of your own (then num_classes is needed, and test_iter for a solver).
    modality: rgb, flow or rgbdiff. num_segments: snippets per training video. split: of the dataset, from 1.
    batch_size: videos per TRAIN batch and process. train_list, val_list: files of ``folder count label`` lines.
    test_iter: batches of one video in a test pass, per process. folder: folder of the files.
    Raises PytsnError for an invalid value.
    """

    dataset: str
    modality: str
    num_classes: int | None = None
    num_segments: int = 3
    split: int = 1
    batch_size: int = 32
    train_list: str | None = None
    val_list: str | None = None
    test_iter: int | None = None
    folder: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", self.dataset):
            raise PytsnError(f"dataset '{self.dataset}': a name of letters, digits, '_', '-' and '.' is needed")
        if self.modality not in READ_MODALITIES:
            raise PytsnError(f"modality '{self.modality}': must be one of {', '.join(READ_MODALITIES)}")
        defaults = {
            "num_classes": self._known and self._known.classes,
            "test_iter": self._training.test_iter,
            "train_list": f"data/{self.dataset}_{self.stream.images.name}_train_split_{self.split}.txt",
            "val_list": f"data/{self.dataset}_{self.stream.images.name}_val_split_{self.split}.txt",
            "folder": f"models/{self.dataset}",
        }
        for name, value in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        if self.num_classes is None:
            raise PytsnError(f"dataset '{self.dataset}' is not one of {', '.join(SPLIT_DATASETS)}: give --num_classes")
        least = {"num_classes": 2, "num_segments": 1, "split": 1, "batch_size": 1, "test_iter": 1}
        for name, lowest in least.items():
            value = getattr(self, name)
            if value is not None and not lowest <= value < 2**31:
                raise PytsnError(f"--{name} {value}: must be between {lowest} and {2**31 - 1}")
        if self._known and self.split > self._known.splits:
            raise PytsnError(f"--split {self.split}: {self.dataset} has splits 1 to {self._known.splits}")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and (not value or not value.isprintable()):
                raise PytsnError(f"{field.name} {value!r}: empty, or holds characters that cannot be printed")

    @property
    def classes(self) -> int:
        """num_classes, always set after construction."""
        assert self.num_classes is not None
        return self.num_classes

    @property
    def _known(self) -> Dataset | None:
        """None for the user's own dataset."""
        return DATASETS[self.dataset] if self.dataset in SPLIT_DATASETS else None

    @property
    def _training(self) -> ReleasedTraining:
        return RELEASED_TRAINING.get(self.dataset, OWN_TRAINING)

    @property
    def stream(self) -> Modality:
        """The settings of this modality."""
        return MODALITIES[self.modality]

    @property
    def schedule(self) -> Schedule:
        """The released schedule, rgb's for rgbdiff; the user's own dataset gets UCF101's."""
        return self._training.schedules[self.stream.images.name]

    @property
    def snapshot_prefix(self) -> str:
        """In ``models/`` if the folder is the default one, as in the original, else inside the folder."""
        name = self._training.snapshot.format(dataset=self.dataset, split=self.split, modality=self.modality)
        return f"{'models' if self.folder == f'models/{self.dataset}' else self.folder}/{name}"

    def file_name(self, kind: str) -> str:
        """A name such as ``tsn_bn_inception_rgb_deploy.prototxt``; kind is one of KINDS."""
        return f"tsn_bn_inception_{self.modality}_{kind}.prototxt"
