"""The layers of an untrusted PyTorch or safetensors file: executes nothing and limits memory."""

import os
import zipfile
from collections.abc import Mapping

import numpy as np

from converter import wire
from converter.caffemodel import LayerBlobs
from converter.errors import PytsnError
from converter.ports import origin_notes


def read_state_layers(path: str | os.PathLike, size: int) -> tuple[list[LayerBlobs], list[str]]:
    """The layers of the file of ``size`` bytes, with Caffe's type names, and notes: a checkpoint's port, a converted
    file's source. Layers of other ports' checkpoints get our names (converter/ports.py).

    Raises PytsnError for files that are damaged, claim more than they hold, or hold anything but tensors.
    """
    from converter.state_files import read_state_file

    if trouble := _zip_trouble(path, size):
        raise PytsnError(trouble)
    try:
        found = read_state_file(path)
    except PytsnError:
        raise
    except (
        Exception
    ) as error:  # torch's unpickler fails on damaged files in a dozen ways: IndexError, AttributeError, ...
        raise PytsnError(f"damaged ({type(error).__name__} while reading it)") from None
    layers = _layers_of_state(found.state, size)
    return layers, [*_notes(found.metadata), *filter(None, [found.unread])]


def _notes(metadata: Mapping[str, str]) -> list[str]:
    source = metadata.get("origin_source_weights", metadata.get("source_weights", ""))
    return [*origin_notes(metadata), *([f"converted from {source}"] if source else [])]


def _zip_trouble(path: str | os.PathLike, size: int) -> str:
    """What is wrong with a PyTorch file's zip archive; "" if nothing is, or if it is not an archive."""
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            return ""
        file.seek(max(0, size - 22))
        end = file.read(22)  # torch writes no comment after it
    if end[:4] != b"PK\x05\x06":
        return "cut short: the archive's table of contents, at its end, is missing"
    if int.from_bytes(end[12:16], "little") > 16 << 20:
        return "the archive's table of contents is too large to be a net's"
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        return f"damaged archive: {error}"
    return f"would unpack from {size:,} to {unpacked:,} bytes; not read" if unpacked > 4 * size + (1 << 20) else ""


def _layers_of_state(state: Mapping, size: int) -> list[LayerBlobs]:
    """A state dict's tensors as layers; the part of a key before the last dot is the layer's name."""
    groups: dict[str, dict[str, wire.Blob]] = {}
    held = 0
    for key, tensor in state.items():
        layer, _, name = key.rpartition(".")
        if name != "num_batches_tracked":
            blob = groups.setdefault(layer, {})[name] = _blob(key, tensor, size)
            held += blob.data.nbytes
        if held > 4 * size + (1 << 20):  # views of a few numbers, each as large as the file; int8 grows fourfold
            raise PytsnError(f"its tensors claim more than {held:,} bytes, the file has {size:,}")
    return [LayerBlobs(layer, _type_of(parts), _in_order(parts)) for layer, parts in groups.items()]


def _blob(key: str, tensor, size: int) -> wire.Blob:
    if tensor.numel() * tensor.element_size() > size:  # a view with strides of 0 can claim any shape
        raise PytsnError(f"'{key}' claims the shape {tuple(tensor.shape)}, more than the file's {size:,} bytes")
    values = tensor.detach().float().contiguous().numpy().reshape(-1).astype(np.float32, copy=False)
    return wire.Blob(values, tuple(tensor.shape))


_ORDER = ("weight", "bias", "running_mean", "running_var")


def _in_order(parts: Mapping[str, wire.Blob]) -> list[wire.Blob]:
    return [parts[name] for name in (*_ORDER, *sorted(set(parts) - set(_ORDER))) if name in parts]


def _type_of(parts: Mapping[str, wire.Blob]) -> str:
    """The Caffe type of a layer with these tensors, "" if unknown."""
    if set(_ORDER) <= set(parts):
        return "BN"
    rank = len(parts["weight"].shape) if "weight" in parts else 0
    return {2: "InnerProduct", 3: "Convolution", 4: "Convolution", 5: "Convolution", 1: "Scale"}.get(rank, "")
