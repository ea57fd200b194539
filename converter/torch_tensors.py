"""Reads PyTorch files that torch's restricted reader refuses because they hold more than tensors, such as options.

Nothing in a file is executed (converter/torch_pickle.py), and memory is bounded by the file's size. Source:
torch/serialization.py for the two layouts: a zip archive since 1.6, several pickles in a row before that.
"""

import io
import os
import pickle
import zipfile
from typing import Any, BinaryIO

import torch

from converter.errors import PytsnError
from converter.torch_pickle import StandIn, Unpickler

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # of the layout before 1.6


class _Storages:
    """The numbers of a file's tensors by key; at most ``size`` bytes, the size of the file."""

    def __init__(self, size: int) -> None:
        self._known: dict[str, torch.Tensor] = {}
        self._room = size

    def find(self, dtype: Any, key: Any, location: object, count: Any, view: Any = None) -> torch.Tensor:
        """One storage, (count,), as a persistent id names it; ``view``: (key, offset, count) of a part of it."""
        if not isinstance(dtype, torch.dtype) or not isinstance(key, str) or not isinstance(count, int) or count < 0:
            raise pickle.UnpicklingError("a storage of no kind that is known")
        if key not in self._known:
            self._room -= count * dtype.itemsize
            if self._room < 0:
                raise pickle.UnpicklingError("its tensors claim more than the file has")
            self._known[key] = self._make(dtype, key, count)
        if view is None:
            return self._known[key]
        _, offset, size = view
        return self._known[key].narrow(0, offset, size)

    def _make(self, dtype: torch.dtype, key: str, count: int) -> torch.Tensor:
        raise NotImplementedError


class _Claims(_Storages):
    """What the tensors claim, without their numbers. Kinds that only torch knows count a byte a number."""

    def find(self, dtype: Any, key: Any, location: object, count: Any, view: Any = None) -> torch.Tensor:
        return super().find(dtype if isinstance(dtype, torch.dtype) else torch.uint8, key, location, count, view)

    def _make(self, dtype: torch.dtype, key: str, count: int) -> torch.Tensor:
        return torch.empty(0, dtype=dtype)


class _ZipStorages(_Storages):
    """For the current layout: one file in the archive per storage."""

    def __init__(self, size: int, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(size)
        self._archive, self._folder = archive, folder

    def _make(self, dtype: torch.dtype, key: str, count: int) -> torch.Tensor:
        data = bytearray(_member(self._archive, f"{self._folder}data/{key}"))
        return torch.frombuffer(data, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)


class _TrailingStorages(_Storages):
    """For the layout before 1.6: the numbers follow the pickles, so storages are filled after the pickles are read."""

    def _make(self, dtype: torch.dtype, key: str, count: int) -> torch.Tensor:
        return torch.zeros(count, dtype=dtype)

    def fill(self, keys: Any, file: BinaryIO) -> None:
        """Reads the data after the pickles: for each key its count, 8 bytes, and its numbers."""
        for key in keys:
            storage = self._known[key]
            count, size = int.from_bytes(file.read(8), "little"), storage.numel() * storage.dtype.itemsize
            data = file.read(size)
            if count != storage.numel() or len(data) != size:
                raise pickle.UnpicklingError("cut short inside its tensors")
            if count:
                storage.copy_(torch.frombuffer(bytearray(data), dtype=storage.dtype))


def load_tensors(path: str | os.PathLike) -> Any:
    """The content of the pickle at ``path``: containers, numbers, strings, tensors (on the CPU), and StandIns.

    Raises PytsnError for a pickled model or program, and any error of pickle, zipfile or torch for a damaged file.
    """
    with open(path, "rb") as file:
        loaded = _load_zip(file) if file.read(2) == b"PK" else _load_pickles(file)
    if isinstance(loaded, StandIn):
        raise PytsnError(
            f"{path}: holds a whole object ({loaded.label[:80]}), which only its own code could bring back: save"
            " model.state_dict() there"
        )
    return loaded


def is_harmless(path: str | os.PathLike) -> bool:
    """Whether torch's own reader can be trusted with the file's time and memory: its pickle can be read, keys are text
    or numbers, and the tensors claim no more than the file has."""
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"PK"
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            if zipped:
                with zipfile.ZipFile(file) as archive:
                    pickled: BinaryIO = io.BytesIO(_member(archive, _main_pickle(archive)))
            else:
                pickled = file
                for _ in range(3):  # before the content: magic number, version, sizes of C's types
                    Unpickler(pickled).load()
            reader = Unpickler(pickled, _Claims(size), tensors=False)
            reader.load()
            keys = [] if zipped else Unpickler(pickled).load()  # of the numbers that follow
            return reader.simple and isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    except Exception:  # whatever damage raises
        return False


def _main_pickle(archive: zipfile.ZipFile) -> str:
    """The name of the member that holds everything but the numbers."""
    for name in archive.namelist():
        if name.endswith("data.pkl") and name.count("/") < 2:
            return name
    raise pickle.UnpicklingError("no data.pkl in the archive")


def _load_zip(file: BinaryIO) -> Any:
    size = file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        main = _main_pickle(archive)
        folder = main.removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and _member(archive, f"{folder}byteorder") != b"little":
            raise pickle.UnpicklingError("written on a big-endian machine")
        return Unpickler(io.BytesIO(_member(archive, main)), _ZipStorages(size, archive, folder)).load()


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A file of the archive. torch never compresses; anything that would unpack to more than the archive is refused."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise pickle.UnpicklingError(f"{name} is compressed")
    return archive.read(name)


def _load_pickles(file: BinaryIO) -> Any:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if Unpickler(file).load() != _MAGIC_NUMBER:
        raise pickle.UnpicklingError("not PyTorch's magic number")
    Unpickler(file).load()  # the protocol's version
    Unpickler(file).load()  # sizes of C's types
    storages = _TrailingStorages(size)
    loaded = Unpickler(file, storages).load()
    storages.fill(Unpickler(file).load(), file)
    return loaded
