"""Copies weights from a caffemodel to a CaffeNet or a state dict, and back. Reports every layer that does not match.

Source of the matching rules: Net::CopyTrainedLayersFrom and Blob::FromProto of the fork.
"""

import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from converter.caffemodel import FIRST_VARIANCE_AT_LEAST, Caffemodel, LayerBlobs, read_caffemodel, write_caffemodel
from converter.errors import PytsnError
from converter.file_kinds import is_state_file
from converter.names import state_names
from converter.ports import origin_notes, trained_means
from converter.state_files import read_state
from converter.text_table import amount
from converter.wire import Blob

#: content of BN's fourth blob; "invstd" files were saved before 27 April 2016
BN_STYLES = ("var", "invstd")


@dataclass
class LoadReport:
    """The result of loading weights: layer names ``matched``, ``missing`` (in the net, not in the file: they keep their
    initial values), ``unused`` (in the file, not in the net); ``notes`` and ``warnings`` are lines for the user."""

    source: str
    bn_style: str
    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)  # of a converted file, or a port's checkpoint
    notes: list[str] = field(default_factory=list)

    def require_complete(self) -> None:
        """Raises PytsnError unless every layer of the net got its weights."""
        if self.missing:
            names = ", ".join(f"'{name}'" for name in self.missing[:5]) + (" ..." if len(self.missing) > 5 else "")
            total = len(self.matched) + len(self.missing)
            raise PytsnError(
                f"{self.source}: weights of another net? {len(self.missing)} of the net's {total} layers with weights"
                f" are not in it: {names}"
            )

    def lines(self) -> list[str]:
        """The report as lines to print."""
        matched = amount(len(self.matched), "layer")
        rows = [f"weights: {matched} matched, {len(self.missing)} missing, {len(self.unused)} unused"]
        rows += [f"  missing: {name}" for name in self.missing]
        rows += [f"  unused: {name}" for name in self.unused]
        rows += [f"BN style: {self.bn_style}"]
        return rows + self.remarks()

    def remarks(self) -> list[str]:
        """Notes and warnings as lines to print."""
        return [f"note: {text}" for text in self.notes] + [f"warning: {text}" for text in self.warnings]

    def means(self, channels: int) -> np.ndarray | None:
        """The means subtracted from pixels in the weights' training, float32 (C, 1, 1); None if not in the file."""
        return trained_means(self.metadata, channels)


def load_weights(net, source: str | os.PathLike | Caffemodel, bn_style: str = "var") -> LoadReport:
    """Copies a caffemodel's weights into ``net`` (CaffeNet) by layer name. Returns the report.

    Raises PytsnError if a shape or number of blobs differs, or if no layer matches.
    """
    check_bn_style(bn_style)
    model = source if isinstance(source, Caffemodel) else read_caffemodel(source)
    report = LoadReport(model.source, bn_style)
    by_name = {layer.name: layer for layer in model.layers}
    for step, module in net.layers():
        if not module.blob_names:
            continue
        layer = by_name.pop(step.param.name, None)
        if layer is None:
            report.missing.append(step.param.name)
            continue
        _copy_layer(model.source, layer, step, module, bn_style)
        report.matched.append(step.param.name)
    report.unused = list(by_name)
    if not report.matched:
        have = ", ".join(f"'{name}'" for name in report.unused[:3])
        raise PytsnError(f"{model.source}: weights of another net: no layer name matches (the file holds {have} ...)")
    report.warnings = _warnings(model, net, bn_style)
    return report


def load_any_weights(net, path: str | os.PathLike, bn_style: str = "var") -> LoadReport:
    """Copies the weights of any file into ``net`` (CaffeNet): a caffemodel, a converted file, a port's checkpoint.

    The file's content decides which. Raises PytsnError as ``load_weights`` and ``load_state`` do.
    """
    if not is_state_file(path):
        return load_weights(net, path, bn_style)
    state, metadata = read_state(path)
    report = load_state(net, state, str(path))
    report.metadata, report.notes = metadata, origin_notes(metadata)
    return report


def read_any_weights(
    path: str | os.PathLike, bn_style: str = "var", eps: float = 1e-5
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Reads any weight file, without a prototxt, as a state dict under our keys and its metadata ({}: none).

    Raises PytsnError as ``caffemodel_state_dict`` and converter.state_files.read_state do.
    """
    if is_state_file(path):
        return read_state(path)
    return dict(caffemodel_state_dict(read_caffemodel(path), bn_style, eps)), {}


def check_bn_style(bn_style: str) -> None:
    """Raises PytsnError for an unknown style."""
    if bn_style not in BN_STYLES:
        raise PytsnError(f"BN style '{bn_style}': one of {', '.join(BN_STYLES)} was expected")


def _copy_layer(source: str, layer: LayerBlobs, step, module, bn_style: str) -> None:
    if len(layer.blobs) != len(module.blob_names):
        raise PytsnError(
            f"{source}: {step.label} needs {len(module.blob_names)} blobs, the file holds {len(layer.blobs)}:"
            " weights of another net?"
        )
    for index, (name, blob) in enumerate(zip(module.blob_names, layer.blobs, strict=True)):
        want = module.caffe_shape(name)
        if not same_shape(blob.shape, want):
            raise PytsnError(
                f"{source}: {step.label}, blob {index} ({name}): {blob.shape} in the file, {tuple(want)} in the net:"
                " weights of another net?"
            )
        tensor = getattr(module, name).detach()
        values = blob.data
        if is_fork_bn(step.param.type, index) and bn_style == "invstd":
            values = variance_from_invstd(values, module.eps, f"{source}: {step.label}")
        np.copyto(tensor.numpy(), values.reshape(tuple(tensor.shape)))


def same_shape(found: tuple[int, ...], want: tuple[int, ...]) -> bool:
    """Whether two blob shapes have the same layout: equal except for axes of length 1.

    Old 4-D files match this way: an InnerProduct weight (1, 1, out, in) is (out, in), a bias (1, 1, 1, n) is (n,), a
    BN's (1, C, 1, 1) or (1, 1, 1, C) is (1, C). The order of the numbers is the same.
    """
    return tuple(dim for dim in found if dim != 1) == tuple(dim for dim in want if dim != 1)


def is_fork_bn(layer_type: str, blob_index: int) -> bool:
    """Whether this blob is the fourth of the fork's BN layer."""
    return layer_type == "BN" and blob_index == 3


def variance_from_invstd(values: np.ndarray, eps: float, label: str) -> np.ndarray:
    """Running variance, float32, from the running inverse standard deviation: var = invstd^-2 - eps, at least 0."""
    if not (values > 0).all():
        raise PytsnError(f"{label}: holds values <= 0, so it is not an inverse standard deviation: use BN style 'var'")
    return np.maximum(values.astype(np.float64) ** -2 - eps, 0).astype(np.float32)


def _warnings(model: Caffemodel, net, bn_style: str) -> list[str]:
    texts = []
    if model.unknown_fields:
        texts.append(f"{model.source}: {model.unknown_fields} unknown fields skipped (written by another Caffe?)")
    bad = [layer.name for layer in model.layers if not all(np.isfinite(blob.data).all() for blob in layer.blobs)]
    if bad:
        texts.append(f"{model.source}: infinite or NaN weights in layer '{bad[0]}' and {len(bad) - 1} more")
    fourth = [layer for layer in model.layers if layer.type == "BN" and len(layer.blobs) == 4]
    negative = [layer.name for layer in fourth if (layer.blobs[3].data < 0).any()]
    if negative and bn_style == "var":
        texts.append(f"{model.source}: negative variance in layer '{negative[0]}' and {len(negative) - 1} more")
    if bn_style == "var" and _looks_like_invstd(fourth, net):
        texts.append(
            f"{model.source}: the fourth blob of '{fourth[0].name}' looks like an inverse standard deviation (from"
            " before 27 April 2016?): try --bn_style invstd"
        )
    return texts


def _looks_like_invstd(fourth: list[LayerBlobs], net) -> bool:
    """Whether the first BN layer's values are too small for the variance of a response to pixels (0 to 255)."""
    if not fourth or not any(shape and len(shape) == 4 for shape in net.inputs.values()):
        return False
    values = fourth[0].blobs[3].data
    return bool(values.size) and 0 < float(np.median(values)) < FIRST_VARIANCE_AT_LEAST


def caffemodel_state_dict(
    model: Caffemodel, bn_style: str = "var", eps: float = 1e-5
) -> OrderedDict[str, torch.Tensor]:
    """Reads a caffemodel as a state dict without a prototxt, for BNInception and for earlier PyTorch ports.

    Keys: layer names as in converter.names.state_name. BN tensors are (C,); old 4-D shapes lose their leading ones.
    Raises PytsnError for layer types whose blobs have no names here.
    """
    check_bn_style(bn_style)
    keys = state_names(layer.name for layer in model.layers)
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    for layer in model.layers:
        names = _BLOB_NAMES.get(layer.type)
        if names is None or len(layer.blobs) > len(names):
            raise PytsnError(
                f"{model.source}: layer '{layer.name}' ({layer.type}): cannot tell its blobs without a prototxt"
            )
        for index, (name, blob) in enumerate(zip(names, layer.blobs, strict=False)):
            values = blob.data
            if is_fork_bn(layer.type, index) and bn_style == "invstd":
                values = variance_from_invstd(values, eps, f"{model.source}: layer '{layer.name}'")
            shape = _modern_shape(layer.type, index, blob)
            state[f"{keys[layer.name]}.{name}"] = torch.from_numpy(values.reshape(shape).copy())
    return state


_BLOB_NAMES = {
    "Convolution": ("weight", "bias"),
    "Deconvolution": ("weight", "bias"),
    "InnerProduct": ("weight", "bias"),
    "BN": ("weight", "bias", "running_mean", "running_var"),
    "BatchNorm": ("running_mean", "running_var", "scale_factor"),
    "Scale": ("weight", "bias"),
    "Bias": ("bias",),
    "PReLU": ("weight",),
}


def _modern_shape(layer_type: str, index: int, blob: Blob) -> tuple[int, ...]:
    if index or layer_type in ("BN", "BatchNorm"):
        return (blob.data.size,)
    if layer_type == "InnerProduct":
        return blob.shape[-2:]
    return blob.shape


def load_state(net, state: Mapping[str, torch.Tensor], source: str) -> LoadReport:
    """Copies a converted state dict into ``net`` (CaffeNet). Ignores BatchNorm's num_batches_tracked counters.

    Raises PytsnError if a shape differs or no key matches.
    """
    report, rest = LoadReport(source, "var"), dict(state)
    for (step, module), key in zip(net.layers(), net.module_names, strict=True):
        names = [f"{key}.{name}" for name in module.blob_names]
        if not names:
            continue
        if not all(name in rest for name in names):
            report.missing.append(step.param.name)
            continue
        for name, full in zip(module.blob_names, names, strict=True):
            _copy_tensor(getattr(module, name), rest.pop(full), f"{source}: '{full}'")
        report.matched.append(step.param.name)
    report.unused = [name for name in rest if not name.endswith("num_batches_tracked")]
    if not report.matched:
        raise PytsnError(f"{source}: weights of another net: no key matches (it holds '{next(iter(state), '')}' ...)")
    return report


def _copy_tensor(target: torch.Tensor, value: torch.Tensor, label: str) -> None:
    if not same_shape(tuple(value.shape), tuple(target.shape)):
        raise PytsnError(
            f"{label}: shape {tuple(value.shape)}, the net has {tuple(target.shape)}: weights of another net?"
        )
    with torch.no_grad():
        target.copy_(value.reshape(target.shape))


def net_blobs(net) -> dict[str, list[np.ndarray]]:
    """The weights of a CaffeNet as Caffe would save them: layer name -> float32 arrays in Caffe's order and shapes."""
    return {
        step.param.name: [
            getattr(module, name).detach().cpu().float().numpy().reshape(module.caffe_shape(name))
            for name in module.blob_names
        ]
        for step, module in net.layers()
        if module.blob_names
    }


def save_caffemodel(path: str | os.PathLike, net) -> None:
    """Writes a CaffeNet as a caffemodel: names and order of its prototxt, BN blobs (1, C), the fourth a variance."""
    write_caffemodel(path, net.param, net_blobs(net))
