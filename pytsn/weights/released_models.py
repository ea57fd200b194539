"""The weights that the authors of TSN released, and what a weight file's name promises.

Source: scripts/get_reference_models.sh and scripts/get_init_models.sh of the original (names and addresses); the class
counts are those of the datasets.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pytsn.data.datasets import DATASETS
from pytsn.data.modalities import MODALITIES

HOST = "https://yjxiong.blob.core.windows.net"
KINDS = ("reference", "init")

#: datasets and modalities whose weights were released
DATASETS_RELEASED = tuple(name for name, row in DATASETS.items() if row.released)
MODALITIES_RELEASED = tuple(name for name, row in MODALITIES.items() if row.released)


@dataclass(frozen=True)
class Promise:
    """What a file's name says about its weights; None where it says nothing or contradicts itself."""

    dataset: str | None = None
    split: int | None = None
    modality: str | None = None
    net: str | None = None

    @property
    def classes(self) -> int | None:
        """Number of scores of the net; None if the name has no dataset."""
        return None if self.dataset is None else DATASETS[self.dataset].classes

    @property
    def channels(self) -> int | None:
        """Input channels of the first convolution; None if the name has no modality."""
        return None if self.modality is None else MODALITIES[self.modality].channels

    def __str__(self) -> str:
        split = None if self.split is None else f"split {self.split}"
        return " ".join(word for word in (self.dataset, split, self.modality, self.net) if word)


@dataclass(frozen=True)
class Released:
    """One released file: ``address`` below HOST, ``name`` as the original's script saves it. All are BN-Inception."""

    name: str
    address: str
    modality: str
    dataset: str | None = None
    split: int | None = None

    @property
    def promise(self) -> Promise:
        """What it must contain. The init files promise no class count: their classifier is for another task."""
        return Promise(self.dataset, self.split, self.modality, "BN-Inception")


def _reference(dataset: str, split: int, modality: str) -> Released:
    name = f"{dataset}_split_{split}_tsn_{modality}_reference_bn_inception.caffemodel"
    # Published as .v5: trained with cuDNN v4, rewritten so that BN holds variances. Saved without that suffix.
    return Released(name, f"tsn-reference-models/{name}.v5", modality, dataset, split)


def _init(modality: str) -> Released:
    name = f"bn_inception_{modality}_init.caffemodel"
    return Released(name, f"tsn-init/{name}", modality)


RELEASED: dict[str, tuple[Released, ...]] = {
    "reference": tuple(
        _reference(dataset, split, modality)
        for dataset in DATASETS_RELEASED
        for modality in MODALITIES_RELEASED
        for split in range(1, DATASETS[dataset].splits + 1)
    ),
    "init": tuple(_init(modality) for modality in MODALITIES_RELEASED),
}

_SPLIT = re.compile(r"(?:^|_)split_?(\d{1,2})(?![a-z0-9])")
# fmt: off
_NETS = {
    "BN-Inception": r"bn_?inception", "Inception V3": r"inception_?v3", "ResNet-200": r"resnet_?200",
    "ResNet-152": r"resnet_?152", "ResNet-101": r"resnet_?101", "ResNet-50": r"resnet_?50", "VGG-16": r"vgg_?16",
}
# fmt: on
_DATASETS = {name: row.file_words for name, row in DATASETS.items()}
_MODALITIES = {row.name: row.file_words for row in reversed(MODALITIES.values())}  # rgb_diff before rgb
_STREAMS = {row.name: row.stream_words for row in MODALITIES.values() if row.stream_words}


def promised(path: str | os.PathLike) -> Promise | None:
    """What the name of a weight file says about its content; None if it says nothing. Folder names do not count.

    Understands the names of the released files, of the released solvers' snapshots (``ucf101_split1_tsn_rgb_...``), and
    any name with the same words, whatever its suffixes. A name with two datasets, splits or modalities promises none of
    them.
    """
    words = re.sub(r"[^a-z0-9]+", "_", Path(path).name.lower())
    datasets = _found(_DATASETS, words)
    dataset = _one([name for name in datasets if not DATASETS[name].pretraining] or datasets)
    if dataset == "kinetics" and re.search(r"kinetics_?(?:600|700)|mini_?kinetics", words):
        dataset = None  # other class counts
    modality = _one(_found(_MODALITIES, words) or _found(_STREAMS, words))
    splits = {int(number) for number in _SPLIT.findall(words)}
    split = splits.pop() if len(splits) == 1 else None
    promise = Promise(dataset, split, modality, _one(_found(_NETS, words)))
    return None if promise == Promise() else promise


def _found(table: dict[str, str], words: str) -> list[str]:
    """The entries whose pattern occurs in ``words`` as whole words."""
    found = []
    for name, pattern in table.items():
        words, count = re.subn(rf"(?:^|(?<=_))(?:{pattern})(?=_|$)", "", words)  # `rgb_diff` is not rgb as well
        found += [name] * bool(count)
    return found


def _one(found: list[str]) -> str | None:
    return found[0] if len(found) == 1 else None
