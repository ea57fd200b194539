"""Identifies a weight file: net, dataset, modality, BN, and whether it is damaged or contradicts its name."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from converter.caffemodel import FIRST_VARIANCE_AT_LEAST, LayerBlobs
from converter.file_kinds import has_weight_name
from converter.files import sha256_of
from converter.text_table import amount
from converter.wire import Blob
from pytsn.data.datasets import DATASETS
from pytsn.data.modalities import MODALITIES, READ_MODALITIES
from pytsn.weights.known_nets import BN_INCEPTION, bn_inception_gaps, input_channels, net_of, score_gap, score_layer
from pytsn.weights.released_models import Promise, promised
from pytsn.weights.weight_file import WeightFile, read_weight_file

#: number of classes -> dataset; number of input channels -> modality
TITLES = {row.classes: row.title for row in DATASETS.values()}
STREAMS = {MODALITIES[name].channels: MODALITIES[name].identified for name in READ_MODALITIES}
VARIANCE, INVSTD, BVLC, NO_BN = "variance", "inverse standard deviation", "BatchNorm", "none"  # what BN layers store


@dataclass
class Identity:
    """The findings. ``bn``: VARIANCE, INVSTD, BVLC or NO_BN; None for files without layers.

    channels: of the input; classes: width of the scores; layers: number with weights; numbers: total count of weights.
    damage: why the file cannot be trusted; contradictions: where the file contradicts its name; notes: the rest.
    """

    path: str
    size: int
    sha256: str
    kind: str
    advice: str = ""
    net: str | None = None
    net_name: str = ""
    layers: int = 0
    numbers: int = 0
    score_layer: str | None = None
    classes: int | None = None
    dataset: str | None = None
    channels: int | None = None
    modality: str | None = None
    bn: str | None = None
    bn_shape: tuple[int, ...] | None = None
    name_says: str = ""
    damage: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def holds_weights(self) -> bool:
        """Whether any weights could be read."""
        return self.layers > 0

    @property
    def is_fine(self) -> bool:
        """Whether it is intact and does not contradict its name."""
        return not self.damage and not self.contradictions


def identify(path: str | os.PathLike, promise: Promise | None = None) -> Identity:
    """Identifies the file. ``promise``: what it must be (default: what its name says).

    Raises PytsnError only for files that cannot be read at all; all other faults are in the result.
    """
    file = read_weight_file(path)
    found = Identity(str(path), file.size, sha256_of(path), file.kind.name, file.kind.advice)
    found.damage, found.notes, found.net_name = list(file.damage), list(file.notes), file.net_name
    if file.layers:
        _describe(found, file)
        found.damage += _broken_numbers(file.layers)
        found.notes += _remarks(file.layers)
    elif file.kind.useless or (has_weight_name(path) and not file.kind.is_weights):
        found.damage.append(f"no weights: {_article(file.kind.name)}")
    promise = promise or promised(path)
    if promise and (file.layers or has_weight_name(path)):
        found.name_says = str(promise)
        found.contradictions = contradictions(found, promise)
    return found


def _article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeioux' or name.startswith('HTML') else 'a'} {name}"


def _describe(found: Identity, file: WeightFile) -> None:
    layers, scores = file.layers, score_layer(file.layers)
    found.net, found.layers = net_of(layers), len(layers)
    found.numbers = sum(blob.data.size for layer in layers for blob in layer.blobs)
    if scores is not None:
        found.score_layer, found.classes = scores.name, _outputs(scores.blobs[0])
        found.dataset = TITLES.get(found.classes or 0)
    found.channels = input_channels(layers)
    found.modality = STREAMS.get(found.channels or 0)
    found.bn, found.bn_shape = _bn_of(layers)
    if found.net == BN_INCEPTION:
        found.damage += bn_inception_gaps(layers)
        found.damage += filter(None, [score_gap(found.net, scores)])


def _outputs(weight: Blob) -> int:
    return weight.shape[-2] if len(weight.shape) > 1 else weight.data.size  # old files: (1, 1, outputs, inputs)


def _bn_of(layers: Sequence[LayerBlobs]) -> tuple[str, tuple[int, ...] | None]:
    for layer in layers:
        if layer.type == "BN" and len(layer.blobs) == 4:
            return _fourth_blob(layer.blobs[3]), layer.blobs[3].shape
        if layer.type == "BatchNorm" and layer.blobs:
            return BVLC, layer.blobs[0].shape
    return NO_BN, None


def _fourth_blob(blob: Blob) -> str:
    """Variance, or the inverse standard deviation of files from before 27 April 2016. Give the first BN's blob, whose
    values follow the pixels."""
    finite = blob.data[np.isfinite(blob.data)]
    small = finite.size and 0 < float(np.median(finite)) < FIRST_VARIANCE_AT_LEAST
    return INVSTD if small else VARIANCE


def _broken_numbers(layers: Sequence[LayerBlobs]) -> list[str]:
    lines = []
    for title, test in _TESTS.items():
        bad = [layer.name for layer in layers if test(layer)]
        if bad:
            lines.append(f"{title} in {_layers(bad)}")
    return lines


def _layers(names: Sequence[str]) -> str:
    return f"layer '{names[0]}'" + (f" and {len(names) - 1} more" if names[1:] else "")


def _not_finite(layer: LayerBlobs) -> bool:
    return any(not np.isfinite(blob.data).all() for blob in layer.blobs)


def _variances(layer: LayerBlobs) -> np.ndarray:
    index = {("BN", 4): 3, ("BatchNorm", 3): 1}.get((layer.type, len(layer.blobs)))
    return np.empty(0, np.float32) if index is None else layer.blobs[index].data


def _negative(layer: LayerBlobs) -> bool:
    return bool((_variances(layer) < 0).any())


def _without_variance(layer: LayerBlobs) -> bool:
    """Whether all variances of a layer are 0. Single zeros are no damage: they come from channels that died in
    training."""
    values = _variances(layer)
    return bool(values.size) and not (values != 0).any()


_TESTS = {
    "NaN or infinite weights": _not_finite,
    "negative variances": _negative,
    "no variance but 0 (saved before any training?)": _without_variance,
}


def _remarks(layers: Sequence[LayerBlobs]) -> list[str]:
    dead = sum(int((_variances(layer) == 0).sum()) for layer in layers if not _without_variance(layer))
    zero = [
        layer.name
        for layer in layers
        if layer.blobs and layer.blobs[0].data.size and not (layer.blobs[0].data != 0).any()
    ]
    rows = [f"{amount(dead, 'channel')} with variance 0 (they died in training)"] if dead else []
    return rows + ([f"weights that are all 0 (untrained?) in {_layers(zero)}"] if zero else [])


def contradictions(found: Identity, promise: Promise) -> list[str]:
    """Where the file differs from the promise; properties that could not be found do not count."""
    if not found.holds_weights:
        return []
    rows = (
        (promise.classes, found.classes, f"{promise.dataset} has {promise.classes} classes, the net scores {{}}"),
        (promise.channels, found.channels, f"{promise.modality} nets read {promise.channels} channels, this one {{}}"),
        (promise.net, found.net, f"{promise.net} promised, {{}} found"),
    )
    return [text.format(have) for want, have, text in rows if want is not None and have not in (None, want)]
