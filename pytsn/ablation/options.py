"""The options of an ablation, and values that may differ by net and modality."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from converter.errors import PytsnError
from pytsn.data.modalities import FLOW, MODALITIES, RGB
from pytsn.evaluation.action_net import NUM_CROPS
from pytsn.models.consensus import make_consensus
from pytsn.training.overrides import Override

TABLES = ("modalities", "consensus", "depth")
CONSENSUS = ("max", "average", "weighted", "topk:2", "attention")
BUILT_IN = "bn-inception"
#: options that may be given by net and modality -> type of the value
CHOICES = {"init": str, "solver": str, "epochs": float, "iterations": int, "lr": float, "dropout": float}


@dataclass(frozen=True)
class NetChoice:
    """A named snippet net. files: modality -> deploy prototxt, with key "" for all other modalities; empty: the
    BN-Inception of pytsn/models."""

    name: str
    files: Mapping[str, str] = field(default_factory=dict)

    def file(self, modality: str) -> str | None:
        """The user's file for a modality. Raises PytsnError when there are files, but none for this modality."""
        found = self.files.get(modality, self.files.get(""))
        if self.files and found is None:
            raise PytsnError(f"--net {self.name}: no file for {modality}: give {self.name}:{modality}=FILE")
        return found


@dataclass(frozen=True)
class AblationOptions:
    """One ablation; None: the default of `pytsn finetune`.

    dataset: ucf101, hmdb51 or custom (train_list, val_list). frame_path: root of the frames; warped_path: of the warped
    flow. title: name of the videos (None: dataset and split). rgb_pattern, flow_pattern: image names as in VideoData
    layers. segments: of the consensus table and the "+ TSN" row. nets: the first also serves the other tables.
    choices: option -> key -> value, with keys as in ``find_choice``. snippets, crops: of a test.
    """

    dataset: str
    frame_path: str
    out: str
    split: int = 1
    split_path: str = "data"
    train_list: str | None = None
    val_list: str | None = None
    warped_path: str | None = None
    allow_missing: bool = False
    title: str | None = None
    rgb_pattern: str = RGB.name_pattern
    flow_pattern: str = FLOW.name_pattern
    tables: tuple[str, ...] = TABLES
    modalities: tuple[str, ...] = tuple(MODALITIES)
    consensus: tuple[str, ...] = CONSENSUS
    segments: int = 3
    nets: tuple[NetChoice, ...] = (NetChoice(BUILT_IN),)
    score_name: str | None = None
    seeds: tuple[int, ...] = (0,)
    choices: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    batch_size: int = 32
    accumulate: int | None = None
    bn_style: str = "var"
    partial_bn: bool | None = None
    overrides: tuple[Override, ...] = ()
    snippets: int = 25
    crops: int = NUM_CROPS
    device: str = "auto"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        sizes = {"num_segments": self.segments, "num_frame_per_video": self.snippets, "batch_size": self.batch_size}
        for name, value in sizes.items():
            if value < 1:
                raise PytsnError(f"--{name} {value}: must be above 0")
        _among("--tables", self.tables, TABLES)
        _among("--modalities", self.modalities, MODALITIES)
        if "consensus" in self.tables:
            if self.segments == 1:
                raise PytsnError("--num_segments 1: nothing to agree on: the consensus table needs at least 2")
            for text in self.consensus:
                make_consensus(text, self.segments, 1)
        for name in ("tables", "modalities", "consensus", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise PytsnError(f"--{name} {','.join(map(str, values))}: at least one, and each once, was expected")
        if [bool(self.train_list), bool(self.val_list)] != [self.dataset == "custom"] * 2:
            raise PytsnError("dataset 'custom' goes with --train_list FILE and --val_list FILE, and they with it")
        if self.choices.get("epochs") and self.choices.get("iterations"):
            raise PytsnError("--epochs and --iterations both say how long to train: leave out one")

    def find_choice(self, option: str, net: str, modality: str):
        """The value for a net and modality, by the first key given: net:modality, net, modality, "" (all); else
        None."""
        values = self.choices.get(option, {})
        return next((values[key] for key in (f"{net}:{modality}", net, modality, "") if key in values), None)


def _among(option: str, found: Sequence[str], known: Collection[str]) -> None:
    for name in found:
        if name not in known:
            raise PytsnError(f"{option} {name}: one of {', '.join(known)} was expected")


def parse_nets(texts: Sequence[str]) -> tuple[NetChoice, ...]:
    """Nets from ``NAME=FILE`` and ``NAME:MODALITY=FILE``, in the order of their names; ``bn-inception`` needs no file.

    Raises PytsnError for other forms, an unknown modality, and a name that is a modality.
    """
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        key, equals, path = text.partition("=")
        name, colon, modality = key.partition(":")
        if name in MODALITIES or not name or "/" in name or bool(equals) != bool(path):
            raise PytsnError(f"--net {text}: NAME=FILE or NAME:MODALITY=FILE was expected, NAME not a modality's")
        if colon:
            _among(f"--net {text}:", [modality], tuple(MODALITIES))
        if not equals and name != BUILT_IN:
            raise PytsnError(f"--net {text}: only {BUILT_IN} needs no file; NAME=FILE was expected")
        files = found.setdefault(name, {})
        if path:
            files[modality] = path
    return tuple(NetChoice(name, files) for name, files in found.items())


def parse_choices(option: str, texts: Sequence[str], nets: Sequence[NetChoice]) -> dict[str, Any]:
    """The values of ``VALUE`` or ``KEY=VALUE`` by key: a modality, a net's name, NET:MODALITY, or "" for all.

    Raises PytsnError for an unknown key, and for a value that is not a number where one is needed.
    """
    names = [net.name for net in nets]
    known = {"", *MODALITIES, *names, *(f"{name}:{modality}" for name in names for modality in MODALITIES)}
    found: dict[str, Any] = {}
    for text in texts:
        key, value = text.split("=", 1) if "=" in text else ("", text)
        if key not in known:
            wanted = f"a modality, a net ({', '.join(names)}) or NET:MODALITY"
            raise PytsnError(f"--{option} {text}: before '=' stands {wanted}")
        try:
            found[key] = CHOICES[option](value)
        except ValueError:
            raise PytsnError(f"--{option} {text}: '{value}' is not a number") from None
        if CHOICES[option] is not str and not (found[key] > 0 or (option == "dropout" and found[key] == 0)):
            raise PytsnError(f"--{option} {text}: must be above 0")
    return found
