"""Nets that their weights alone tell: which stream they see, their layers, the names of their classes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from converter.errors import PytsnError
from converter.file_kinds import CAFFEMODEL, has_weight_name, kind_of
from converter.proto import NetText
from pytsn.data.class_names import CLASS_NAMES
from pytsn.data.datasets import DATASETS
from pytsn.data.modalities import MODALITIES, READ_MODALITIES
from pytsn.data.video_file import is_video_name
from pytsn.models.prototxt import snippet_net
from pytsn.runtime.words import one_of
from pytsn.weights.identify import BVLC, INVSTD, NO_BN, Identity, identify
from pytsn.weights.known_nets import BN_INCEPTION
from pytsn.weights.name_check import stream_under_test
from pytsn.weights.released_models import promised


@dataclass(frozen=True)
class KnownNet:
    """A weight file that needs no prototxt. ``net``: the deploy prototxt that was made for it; bn_style: None where the
    file does not tell; labels: class names, empty if they are not held here; label_note: whose names they are, where
    only their number tells, else ""; notes: further lines for the user."""

    weights: str
    stream: str
    net: NetText
    bn_style: str | None
    labels: tuple[str, ...]
    label_note: str
    notes: tuple[str, ...]


def divide(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Videos and weight files among the paths of a command line: by their names, else by their first bytes. Raises
    PytsnError for a prototxt, which goes with the stream of its net."""
    for path in paths:
        if path.endswith(".prototxt"):
            raise PytsnError(f"{path}: a prototxt goes with its net's stream: --rgb PROTO WEIGHTS, --flow ...")
    weights = [path for path in paths if _is_weights(path)]
    return [path for path in paths if path not in weights], weights


def _is_weights(path: str) -> bool:
    if has_weight_name(path):
        return not os.path.isdir(path)
    if is_video_name(os.path.basename(path)) or not os.path.isfile(path):
        return False
    kind = kind_of(path)
    return kind is not None and kind.is_weights


def know(path: str | os.PathLike) -> KnownNet:
    """What `identify` finds, made into a net. Raises PytsnError that says what could not be told, and which option
    says it instead."""
    found = identify(path)
    if found.damage:
        raise PytsnError(f"{path}: {found.damage[0]}; `pytsn identify` tells more")
    if not found.holds_weights:
        raise PytsnError(f"{path}: no weights, but {found.kind}{f': {found.advice}' if found.advice else ''}")
    doubt = _doubt(found)
    if doubt:
        streams = one_of([f"--{name}" for name in MODALITIES])
        raise PytsnError(
            f"{path}: {doubt}; give its prototxt: {streams} PROTO WEIGHTS, in Python nets={{'rgb': (PROTO, WEIGHTS)}}"
        )
    assert found.channels is not None
    assert found.classes is not None
    assert found.score_layer is not None
    text = snippet_net(found.channels, found.classes, found.score_layer)
    notes = [f"{path}: {text}" for text in found.contradictions]
    inverse = found.bn == INVSTD and found.kind == CAFFEMODEL.name
    if inverse:
        notes.append(
            f"{path}: BN is read as the inverse standard deviation, as files from before 27 April 2016 hold it"
        )
    style, net = "invstd" if inverse else None, NetText(text, f"{path}'s {BN_INCEPTION}")
    return KnownNet(str(path), _stream(found), net, style, *_labels(found), tuple(notes))


def _doubt(found: Identity) -> str:
    """What the weights leave open; "" if nothing."""
    if found.net != BN_INCEPTION:
        what = f"the layers of {found.net}" if found.net else "the layers of no net known here"
        return f"{what}, and {BN_INCEPTION} alone is made without a prototxt"
    if found.bn in (BVLC, NO_BN):
        return f"{BN_INCEPTION} {'with the BatchNorm of BVLC Caffe' if found.bn == BVLC else 'without BN'}"
    if found.classes is None:
        return f"{BN_INCEPTION} without a layer that scores"
    if found.channels not in {MODALITIES[name].channels for name in READ_MODALITIES}:
        return f"{found.channels} input channels, those of no modality"
    return ""


def _stream(found: Identity) -> str:
    by_channels = {MODALITIES[name].channels: name for name in READ_MODALITIES}
    return stream_under_test(by_channels[found.channels or 0], found.path)


def _labels(found: Identity) -> tuple[tuple[str, ...], str]:
    """The names of the classes, and a note where only their number tells whose they are."""
    promise = promised(found.path)
    named = promise.dataset if promise else None
    for dataset, names in CLASS_NAMES.items():
        if len(names) == found.classes and named in (None, dataset):
            title = DATASETS[dataset].title
            note = f"{found.path}: {len(names)} classes, taken for {title}'s; labels give other names"
            return names, "" if named else note
    return (), ""
