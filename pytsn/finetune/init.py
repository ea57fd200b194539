"""Start weights: a caffemodel or converted file for the same net, for other classes, or of an RGB net for flow."""

import os

from torch import Tensor

from converter.names import state_name
from converter.ports import origin_notes
from converter.text_table import amount
from converter.weights import load_state, read_any_weights, same_shape
from pytsn.finetune.net import caffe_base
from pytsn.models.cross_modality import RGB_CHANNELS, inflate_weights
from pytsn.models.tsn import TSN

_CONSENSUS = "consensus.weight"


def start_from(tsn: TSN, path: str | os.PathLike, bn_style: str = "var") -> list[str]:
    """Loads weights of any kind (converter/weights.py) into ``tsn``, whose base is a CaffeNet. Returns notes.

    The classifier keeps its initial fill if the file's has another shape or name. The first convolution's filters are
    averaged over the colours if the file is of an rgb net and this net takes other input. Raises PytsnError for any
    other missing layer or other shape.
    """
    state, metadata = read_any_weights(path, bn_style)
    about = origin_notes(metadata)
    lines = [_inflate(tsn, state), _drop_classifier(tsn, state), _take_consensus(tsn, state)]
    report = load_state(tsn.base, state, str(path))
    missing = [name for name in report.missing if name != tsn.about.classifier]
    if missing:
        report.missing = missing
        report.require_complete()
    if report.missing and not lines[1]:
        lines[1] = f"classifier '{tsn.about.classifier}': not in the file, starts afresh"
    told = f"{amount(len(report.matched), 'layer')} from {path}, {len(report.unused)} of its entries not used"
    return [told, *about, *filter(None, lines)]


def _inflate(tsn: TSN, state: dict[str, Tensor]) -> str:
    """Cross-modality initialisation: ECCV paper, section 3.2."""
    import torch

    first = next((step.param for step, _ in caffe_base(tsn).layers() if step.param.type == "Convolution"), None)
    key = f"{state_name(first.name)}.weight" if first is not None else ""
    own, found = tsn.base.state_dict().get(key), state.get(key)
    if first is None or own is None or found is None or found.dim() != own.dim() or found.shape[1] == own.shape[1]:
        return ""
    if found.shape[1] != RGB_CHANNELS or found.shape[2:] != own.shape[2:]:
        return ""  # load_state reports the mismatch
    state[key] = torch.from_numpy(inflate_weights(found.float().numpy(), own.shape[1]))
    return f"'{first.name}': filters of rgb averaged over the colours for {own.shape[1]} channels (cross-modality)"


def _drop_classifier(tsn: TSN, state: dict[str, Tensor]) -> str:
    """Removes a classifier with another number of classes from ``state``."""
    name, wanted = state_name(tsn.about.classifier), tsn.base.state_dict()
    own = [key for key in (f"{name}.weight", f"{name}.bias") if key in state and key in wanted]
    if all(same_shape(tuple(state[key].shape), tuple(wanted[key].shape)) for key in own):
        return ""
    classes = max(state[key].shape[0] for key in own)
    for key in own:
        del state[key]
    return f"classifier '{tsn.about.classifier}': {classes} classes in the file, {tsn.num_classes} here: starts afresh"


def _take_consensus(tsn: TSN, state: dict[str, Tensor]) -> str:
    found, own = state.pop(_CONSENSUS, None), dict(tsn.consensus.named_parameters()).get("weight")
    if found is None:
        return ""
    if own is None or found.shape != own.shape:
        return "the file's learned consensus is of another kind or size: not used"
    own.data.copy_(found)
    return "consensus as in the file"
