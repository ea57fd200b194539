"""Converted weights on disk: `.safetensors` and `.pth`, plain state dicts with a word about where they come from."""

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch

from converter.errors import PytsnError
from converter.files import atomic_path, read_bytes

SUFFIXES = (".safetensors", ".pth", ".pt")
_METADATA_KEY = "pytsn"
_PREFIXES = ("module.", "base_model.")  # what DataParallel and earlier ports put before the keys


def is_state_file(path: str | os.PathLike) -> bool:
    """Whether the name says state dict (.safetensors, .pth, .pt) rather than caffemodel."""
    return Path(path).suffix.lower() in SUFFIXES


def write_state(path: str | os.PathLike, state: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Writes a state dict, whole or not at all. The suffix chooses the format.

    `.pth` is a plain state dict, so that ``model.load_state_dict(torch.load(path))`` works anywhere; the metadata rides
    on the attribute where torch keeps module versions.
    """
    tensors = OrderedDict((key, value.detach().cpu().contiguous()) for key, value in state.items())
    with atomic_path(path) as temporary:
        if Path(path).suffix.lower() == ".safetensors":
            from safetensors.torch import save_file

            save_file(tensors, temporary, metadata={"format": "pt", **metadata})
        else:
            carried = OrderedDict({_METADATA_KEY: dict(metadata)})
            tensors._metadata = carried  # type: ignore[attr-defined]  # torch's own attribute of state dicts
            torch.save(tensors, temporary)


def read_state(path: str | os.PathLike) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """A state dict and its metadata ({} when it has none). Nothing but tensors is ever unpickled.

    Files of other ports are understood too: {"state_dict": ...} around it, "module." before every key. Raises
    PytsnError for damaged files and for files that hold anything but tensors.
    """
    if not read_bytes(path)[:1]:
        raise PytsnError(f"{path}: the file is empty")
    safe = Path(path).suffix.lower() == ".safetensors"
    state, metadata = (_read_safetensors if safe else _read_pth)(path)
    strangers = [key for key, value in state.items() if not (isinstance(key, str) and _is_plain(value))]
    if strangers or not state:
        raise PytsnError(
            f"{path}: not a state dict (entry {strangers[:1]} is no tensor)" if strangers else f"{path}: no tensors"
        )
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state, metadata


def _is_plain(value: object) -> bool:
    """Whether it is a tensor of real numbers in memory: not sparse, nested, quantised, complex, or on no device."""
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
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (
        RuntimeError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        EOFError,
        OSError,  # a file cut short: torch seeks behind its end
        ValueError,
        LookupError,  # torch's restricted unpickler, on damaged opcodes
        TypeError,
        AttributeError,
    ) as error:
        reason = str(error).splitlines()[0][:150] if str(error) else type(error).__name__
        raise PytsnError(f"{path}: damaged, or not a PyTorch file of tensors only: {reason}") from None
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict):
        raise PytsnError(f"{path}: holds a {type(loaded).__name__}, a state dict was expected")
    metadata = getattr(loaded, "_metadata", None)
    own = metadata.get(_METADATA_KEY) if isinstance(metadata, dict) else None
    return dict(loaded), dict(own) if isinstance(own, dict) else {}
