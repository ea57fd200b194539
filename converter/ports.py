"""Checkpoints of other PyTorch ports of TSN: their origin, their keys under our names, and their input means.

The beginnings of the keys identify the port, and one layer's name the net; nothing is guessed from shapes. Sources
(facts only): yjxiong/tsn-pytorch, models.py and main.py; its tf_model_zoo/bninception/bn_inception.yaml, whose layers
have Caffe's names with ``_`` for ``/``; open-mmlab/mmaction, bninception.py, cls_head.py and
configs/TSN/ucf101/tsn_rgb_bninception.py; open-mmlab/mmaction2, tsn_head.py and resnet.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from converter.errors import printable
from converter.recording import input_means

BN_INCEPTION = "BN-Inception"
_FIRST = "conv1_7x7_s2.weight"  # a key that only BN-Inception has
_CLASSIFIER = "fc_action."
#: a key of a net that cannot be read -> the net
_OTHER_NETS = {
    "layer1.0.conv1.weight": "a ResNet",
    "layer1.0.conv1.conv.weight": "a ResNet",
    "features.0.weight": "a VGG",
    "conv_Conv2D.weight": "an Inception V3",
}


@dataclass(frozen=True)
class Port:
    """name: the port. base: prefix of the keys of the net's own layers. renames: beginnings of keys and their names
    here; the first match counts. nets_read: whether only the nets of ``means`` can be read. means: net -> input
    channels -> the means subtracted from them, where Caffe's nets subtract others."""

    name: str
    base: str
    renames: tuple[tuple[str, str], ...]
    means: Mapping[str, Mapping[int, tuple[float, ...]]] = field(default_factory=dict)

    def rename(self, key: str) -> str:
        """The key under our names."""
        return next((new + key.removeprefix(old) for old, new in self.renames if key.startswith(old)), key)


#: flow nets subtract 128 as Caffe's do; RGB differences need no subtraction
_TORCH_MEANS = {BN_INCEPTION: {3: (104.0, 117.0, 128.0)}}
PORTS = (
    Port(
        "tsn-pytorch",
        "base_model.",
        # with dropout 0 the classifier replaces the ImageNet one inside the net, otherwise it stands beside the net
        (("base_model.fc.", _CLASSIFIER), ("base_model.", ""), ("new_fc.", _CLASSIFIER)),
        _TORCH_MEANS,
    ),
    Port("mmaction", "backbone.", (("backbone.", ""), ("cls_head.fc_cls.", _CLASSIFIER)), _TORCH_MEANS),
    Port("pytsn.models.TSN", "base.", (("base.", ""),)),
)


@dataclass(frozen=True)
class Origin:
    """A port's checkpoint: the port, the net (None: unknown), and why it cannot be read ("": it can)."""

    port: Port
    net: str | None
    unread: str = ""


def find_origin(keys: Mapping[str, object]) -> Origin | None:
    """The port whose checkpoint has these keys (without ``module.``); None: no known port.

    A key of a Caffe net has one dot, a key of a port's net at least two.
    """
    for port in PORTS:
        own = [key for key in keys if key.startswith(port.base) and "." in key.removeprefix(port.base)]
        if not own:
            continue
        if f"{port.base}{_FIRST}" in keys:
            return Origin(port, BN_INCEPTION)
        other = next((net for key, net in _OTHER_NETS.items() if f"{port.base}{key}" in keys), None)
        if other is None or not port.means:
            return Origin(port, None)
        return Origin(port, None, f"a {port.name} checkpoint of {other}; of this port only BN-Inception is read")
    return None


def rename_state(state: Mapping[str, torch.Tensor], origin: Origin) -> dict[str, torch.Tensor]:
    """A port's state dict under our names. BN tensors of shape (1, C), as in the ImageNet file, become (C,)."""
    renamed = {origin.port.rename(key): value for key, value in state.items()}
    for key in [key for key in renamed if key.endswith(".running_mean")]:
        layer = key.removesuffix("running_mean")
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = renamed.get(layer + name)
            if value is not None and value.dim() == 2 and len(value) == 1:
                renamed[layer + name] = value[0]
    return renamed


def origin_metadata(origin: Origin, loaded: Mapping, state: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """A checkpoint's own metadata, as strings: origin_port, origin_epoch, origin_best (accuracy, in %), means.

    {} for an unknown net. ``loaded``: the whole file's content; ``state``: its renamed weights.
    """
    if origin.net is None and not origin.unread:
        return {}
    meta = loaded.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    found = {"origin_port": origin.port.name}
    for name, value in (("epoch", loaded.get("epoch", meta.get("epoch"))), ("best", loaded.get("best_prec1"))):
        number = _number(value)
        if number is not None:
            found[f"origin_{name}"] = f"{number:.4g}"
    channels = state[_FIRST].shape[1] if origin.net == BN_INCEPTION and state[_FIRST].dim() == 4 else 0
    means = origin.port.means.get(origin.net or "", {}).get(channels)
    return found | ({"means": ",".join(f"{mean:g}" for mean in means)} if means else {})


def _number(value: object) -> float | None:
    if isinstance(value, torch.Tensor):
        value = value.item() if value.numel() == 1 and not value.is_complex() else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def trained_means(metadata: Mapping[str, str], channels: int | None = None) -> np.ndarray | None:
    """The means subtracted from the net's input in training, from a file's metadata, float32 (C, 1, 1).

    None if the metadata has no usable means, or not for ``channels`` channels.
    """
    try:
        values = np.array([float(text) for text in metadata.get("means", "").split(",")], np.float32)
    except (ValueError, AttributeError):
        return None
    fits = channels in (None, len(values)) and np.isfinite(values).all()
    return values.reshape(-1, 1, 1) if fits else None


def _unlike_caffe(metadata: Mapping[str, str]) -> tuple[str, str] | None:
    """The means and those of Caffe's nets, in words; None if they agree or none are given."""
    means = trained_means(metadata)
    if means is None:
        return None
    own = input_means(len(means))
    return None if np.array_equal(means, own) else (_listed(means), _listed(own))


def _listed(means: np.ndarray) -> str:
    return ", ".join(f"{mean:g}" for mean in means.reshape(-1))


def origin_notes(metadata: Mapping[str, str]) -> list[str]:
    """Lines for the user: the port of the checkpoint, and its means if they differ from those of Caffe's nets."""
    port = metadata.get("origin_port")
    if not port:
        return []
    words = f"converted from a {port} checkpoint" if "format_version" in metadata else f"{port} checkpoint"
    facts = [f"{name} {metadata[f'origin_{name}']}" for name in ("epoch", "best") if f"origin_{name}" in metadata]
    notes = [printable(", ".join([words, *facts]))[:200]]
    if pair := _unlike_caffe(metadata):
        notes.append(
            f"trained on pixels minus {pair[0]} (Caffe's nets: minus {pair[1]}): eval-net, predict and features"
            " subtract the same"
        )
    return notes


def lost_means(metadata: Mapping[str, str]) -> str:
    """Warns of means that a caffemodel cannot store; "" if the net's means are those of Caffe's nets."""
    pair = _unlike_caffe(metadata)
    if not pair:
        return ""
    return (
        f"a caffemodel does not record that this net was trained on pixels minus {pair[0]}: tests with it subtract"
        f" {pair[1]}, and scores are slightly off; keep a .safetensors or .pth for them"
    )
