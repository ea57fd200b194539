"""Reads untrusted pickles: builds tensors and replaces everything else by a stand-in that does nothing.

torch's own restricted reader refuses a whole checkpoint for one argparse.Namespace or NumPy number in it. A pickle is a
program that names classes and calls them. Here every name except the few in ``_NAMES`` gives a stand-in that ignores
all operations on it, and attributes are never set, so no code from a file, and none that a file chooses, runs.

Source: pickletools.py, and what torch/_utils.py and NumPy write into pickles.
"""

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar, Protocol

import torch

_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
#: NumPy's type code -> struct's format, little-endian
_NUMBERS = {"f4": "<f", "f8": "<d", "i4": "<i", "i8": "<q", "u1": "<B", "b1": "<?"}
#: bytes asked for at once above which the file is asked whether it has them
_WORTH_A_LOOK = 1 << 16
#: what a dict's keys may be
_SIMPLE = (str, int, float, bytes, type(None))
#: (module, name) in a pickle -> its replacement here
_NAMES = {
    ("collections", "OrderedDict"): "make_dict",
    ("torch", "Size"): "make_size",
    ("torch._utils", "_rebuild_tensor"): "make_tensor",
    ("torch._utils", "_rebuild_tensor_v2"): "make_tensor",
    ("torch._utils", "_rebuild_parameter"): "make_parameter",
    ("_codecs", "encode"): "make_bytes",
    ("numpy", "dtype"): "make_number_type",
    ("numpy.core.multiarray", "scalar"): "make_number",
    ("numpy._core.multiarray", "scalar"): "make_number",
}


class Storages(Protocol):
    """The source of the tensors' numbers."""

    def find(self, dtype: Any, key: Any, location: Any, count: Any, view: Any = None) -> torch.Tensor:
        """One storage, (count,), as a persistent id names it; ``view``: (key, offset, count) of a part of it."""


class Bounded:
    """A file to read pickles from. ``BufferedReader`` takes memory for as many bytes as it is asked for; a pickle may
    ask for more than any file has."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        at = file.tell()
        self._size = file.seek(0, io.SEEK_END)
        file.seek(at)
        self.readline = file.readline

    def read(self, count: int) -> bytes:
        """``count`` bytes. Raises UnpicklingError if fewer follow."""
        if count >= _WORTH_A_LOOK and count > self._size - self._file.tell():
            raise pickle.UnpicklingError("cut short: it claims more bytes than follow")
        return self._file.read(count)


class StandIn:
    """An object of a file that is not a tensor; ``label`` names its class. Operations on it have no effect."""

    label = "object"

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __call__(self, *_: object, **__: object) -> "StandIn":
        return self

    def append(self, *_: object) -> None:
        """Nothing."""

    extend = append


class _NumberType(StandIn):
    def __init__(self, code: object) -> None:
        self.code = code if isinstance(code, str) else ""


class Unpickler(pickle._Unpickler):  # the Python version: the one in C allocates as much as a pickle claims
    """Reads one pickle from ``file``."""

    dispatch: ClassVar[dict] = {**pickle._Unpickler.dispatch}
    stack: list  # pickle's own, as is pop_mark
    pop_mark: Callable[[], list]

    def __init__(self, file: BinaryIO, storages: Storages | None = None, tensors: bool = True) -> None:
        """``tensors``: False for a look at the structure; a stand-in then takes the place of each tensor."""
        super().__init__(Bounded(file), encoding="utf-8")  # type: ignore[arg-type]  # all that pickle calls
        self._storages, self._tensors = storages, tensors
        self.simple = True  # whether all keys of dicts and members of sets were text or numbers

    def find_class(self, module: str, name: str) -> object:
        if name in _STORAGES and module in ("torch", "torch.cuda", "torch.storage"):
            return _STORAGES[name]
        known = _NAMES.get((module, name))
        return getattr(self, known) if known else type("StandIn", (StandIn,), {"label": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> torch.Tensor:
        if self._storages is None or not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise pickle.UnpicklingError("a reference to nothing that is known")
        return self._storages.find(*pid[1:])

    def load_build(self) -> None:
        self.stack.pop()  # an object's attributes

    def load_setitem(self) -> None:
        self._update([self.stack.pop(-2), self.stack.pop()])

    def load_setitems(self) -> None:
        self._update(self.pop_mark())

    def _update(self, items: list) -> None:
        if isinstance(self.stack[-1], dict):
            self.stack[-1].update(self._simple_items(items[::2], items[1::2]))

    def _simple_items(self, keys: list, values: list) -> list[tuple]:
        """The items whose keys are text or numbers. Others are left out: a tuple of the same tuple twice, of the same
        tuple twice ..., takes a few bytes, and its hash takes for ever."""
        self.simple = self.simple and all(isinstance(key, _SIMPLE) for key in keys)
        return [(key, value) for key, value in zip(keys, values, strict=True) if isinstance(key, _SIMPLE)]

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.stack.append(dict(self._simple_items(items[::2], items[1::2])))

    def load_additems(self) -> None:
        self._simple_items(*[self.pop_mark()] * 2)  # a set's items

    def load_frozenset(self) -> None:
        self._simple_items(*[self.pop_mark()] * 2)
        self.stack.append(StandIn())

    def load_bytearray(self) -> None:
        raise pickle.UnpicklingError("a bytearray")  # it would be allocated as large as the pickle claims

    def make_dict(self, items: Any = ()) -> OrderedDict:
        pairs = (
            [item for item in items if isinstance(item, (list, tuple)) and len(item) == 2]
            if isinstance(items, list)
            else []
        )
        return OrderedDict(self._simple_items([key for key, _ in pairs], [value for _, value in pairs]))

    def make_size(self, dims: Any = ()) -> tuple:
        return dims if isinstance(dims, tuple) else ()

    def make_tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: object) -> object:
        if not self._tensors:
            return StandIn()
        if not isinstance(storage, torch.Tensor) or not isinstance(size, tuple) or not isinstance(stride, tuple):
            raise pickle.UnpicklingError("a tensor of no storage or size")
        return storage.as_strided(size, stride, offset)  # torch refuses what lies outside the storage

    def make_parameter(self, data: object, *_: object) -> object:
        return data

    def make_bytes(self, text: object, *_: object) -> bytes:
        return text.encode("latin1") if isinstance(text, str) else b""

    def make_number_type(self, code: object = "", *_: object) -> _NumberType:
        return _NumberType(code)

    def make_number(self, kind: object, data: object = b"") -> object:
        form = _NUMBERS.get(kind.code) if isinstance(kind, _NumberType) else None
        if form is None or not isinstance(data, bytes) or struct.calcsize(form) != len(data):
            return StandIn()
        return struct.unpack(form, data)[0]


for _code, _load in (
    (pickle.BUILD, Unpickler.load_build),
    (pickle.SETITEM, Unpickler.load_setitem),
    (pickle.SETITEMS, Unpickler.load_setitems),
    (pickle.ADDITEMS, Unpickler.load_additems),
    (pickle.FROZENSET, Unpickler.load_frozenset),
    (pickle.DICT, Unpickler.load_dict),
    (pickle.BYTEARRAY8, Unpickler.load_bytearray),
):
    Unpickler.dispatch[_code[0]] = _load
