"""Converted weights on disk: `.safetensors` and `.pth`, plain state dicts with metadata about their source."""

import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from converter.errors import PytsnError
from converter.file_kinds import SAFETENSORS, kind_of
from converter.files import atomic_path
from converter.ports import find_origin, origin_metadata, rename_state
from converter.torch_tensors import is_harmless, load_tensors

_METADATA_KEY = "pytsn"
_SAFE_METADATA = "__metadata__"
_PARALLEL = "module."  # DataParallel's prefix of every key


def write_state(path: str | os.PathLike, state: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Writes a state dict, whole or not at all. The suffix chooses the format. Equal content gives equal bytes.

    `.pth` is a plain state dict, so ``model.load_state_dict(torch.load(path))`` works anywhere; the metadata is in the
    attribute where torch keeps module versions.
    """
    tensors = OrderedDict((key, value.detach().cpu().contiguous()) for key, value in state.items())
    with atomic_path(path) as temporary:
        if Path(path).suffix.lower() == ".safetensors":
            from safetensors.torch import save_file

            save_file(tensors, temporary, metadata={"format": "pt", **metadata})
            _sort_metadata(temporary)
        else:
            carried = OrderedDict({_METADATA_KEY: dict(metadata)})
            tensors._metadata = carried  # type: ignore[attr-defined]  # torch's own attribute of state dicts
            with open(temporary, "wb") as file:  # of a path, torch writes the name into the file
                torch.save(tensors, file)


def _sort_metadata(path: Path) -> None:
    """Rewrites the header of a safetensors file with its metadata in alphabetical order, which is random otherwise."""
    with open(path, "rb+") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header[_SAFE_METADATA] = dict(sorted(header[_SAFE_METADATA].items()))
        ordered = {_SAFE_METADATA: header.pop(_SAFE_METADATA), **header}
        text = json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) <= size:  # equal but for the order; a header is padded with spaces
            file.seek(8)
            file.write(text.ljust(size))


@dataclass(frozen=True)
class StateFile:
    """A state dict under our keys, its metadata ({}: none), and why none of our nets can load it ("": one may)."""

    state: dict[str, torch.Tensor]
    metadata: dict[str, str]
    unread: str = ""


def read_state(path: str | os.PathLike) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Reads a state dict and its metadata ({} if it has none). Never runs code from a file.

    Also reads checkpoints of other ports (converter/ports.py): {"state_dict": ...} with any other entries, "module."
    before every key, the port's own names. Raises PytsnError for damaged files, for state dicts that hold anything but
    tensors, and for nets of other ports that cannot be read.
    """
    found = read_state_file(path)
    if found.unread:
        raise PytsnError(f"{path}: {found.unread}")
    return found.state, found.metadata


def read_state_file(path: str | os.PathLike) -> StateFile:
    """Like ``read_state``, but returns the reason when the net cannot be read."""
    kind = kind_of(path)
    loaded, metadata = (_read_safetensors if kind is SAFETENSORS else _read_pth)(path)
    state = loaded["state_dict"] if isinstance(loaded.get("state_dict"), dict) else loaded
    strangers = [key for key, value in state.items() if not (isinstance(key, str) and _is_plain(value))]
    if strangers or not state:
        raise PytsnError(
            f"{path}: not a state dict (entry {strangers[:1]} is not a tensor)" if strangers else f"{path}: no tensors"
        )
    if all(key.startswith(_PARALLEL) for key in state):
        state = {key.removeprefix(_PARALLEL): value for key, value in state.items()}
    origin = find_origin(state)
    if origin is None:
        return StateFile(dict(state), metadata)
    renamed = rename_state(state, origin)
    return StateFile(renamed, origin_metadata(origin, loaded, renamed) | metadata, origin.unread)


def _is_plain(value: object) -> bool:
    """Whether it is a dense tensor of real numbers in memory: not sparse, nested, quantised, complex or meta."""
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided:
        return False
    return not (value.is_nested or value.is_quantized or value.is_complex() or value.is_meta)


def _read_safetensors(path) -> tuple[dict, dict]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118 no dict
    except (SafetensorError, ValueError, RuntimeError, OSError) as error:
        raise PytsnError(f"{path}: damaged, or not a safetensors file: {error}") from None


def _read_pth(path) -> tuple[dict, dict]:
    """The content of a PyTorch file, and pytsn's own metadata."""
    if not is_harmless(path):
        return _content_of(path, _read_mixed(path))
    try:
        with open(path, "rb") as file:  # given a path, torch might read it as safetensors because of its name
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # damaged (many exception types), or more than tensors, which the next reader skips
        loaded = _read_mixed(path)
    return _content_of(path, loaded)


def _content_of(path, loaded: object) -> tuple[dict, dict]:
    if not isinstance(loaded, dict):
        raise PytsnError(f"{path}: holds a {type(loaded).__name__}, a state dict was expected")
    metadata = getattr(loaded, "_metadata", None)
    own = metadata.get(_METADATA_KEY) if isinstance(metadata, dict) else None
    own = own if isinstance(own, dict) else {}
    return loaded, {key: text for key, text in own.items() if isinstance(key, str) and isinstance(text, str)}


def _read_mixed(path) -> object:
    try:
        return load_tensors(path)
    except PytsnError:
        raise
    except Exception as error:  # struct.error, AssertionError, LookupError ...
        reason = str(error).splitlines()[0][:150] if str(error) else type(error).__name__
        raise PytsnError(f"{path}: damaged, or not a PyTorch file: {reason}") from None
