"""The pickled object arrays inside score files: read without running any code, written for every version of NumPy.

``np.savez`` stores an array of objects as a pickle, and an ordinary unpickler runs any code that a pickle names. This
reader allows only a few opcodes and names, and maps the names to small classes of our own: file content never reaches
a NumPy constructor, and an array is made only after its shape, type and byte count agree.
"""

import pickle
import re
from collections.abc import Callable
from typing import IO, Any

import numpy as np


class RefusedPickle(Exception):
    """The pickle holds something other than arrays and numbers; the message says what."""


class _Dtype:
    """Stands for numpy.dtype: a type code such as f4 and, once its state is set, a byte order."""

    def __init__(self, code: str | bytes, *_flags: object) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else code
        if not re.fullmatch(r"[fiu][1248]|b1|O[48]", self.code):
            raise RefusedPickle(f"an array of type {self.code!r} (numbers are expected)")
        self.order = "|"

    def __setstate__(self, state: tuple) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise RefusedPickle("an array of structured type (plain numbers are expected)")
        self.order = order

    @property
    def is_object(self) -> bool:
        return self.code.startswith("O")

    def numpy(self) -> np.dtype:
        return np.dtype(self.order + self.code)


class _Array:
    """Stands for numpy.ndarray: shape and either a list of items (objects) or an array of numbers."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, fortran, data = state
        if (
            not isinstance(dtype, _Dtype)
            or not all(type(size) is int and size >= 0 for size in shape)
            or len(shape) > 8
        ):
            raise RefusedPickle("an array whose shape or type makes no sense")
        count = 1
        for size in shape:
            count *= size
        stored: Any = list if dtype.is_object else bytes
        length = count if dtype.is_object else count * dtype.numpy().itemsize
        if type(data) is not stored or len(data) != length:
            raise RefusedPickle(f"an array of shape {shape} with another number of bytes than that takes")
        self.shape = tuple(shape)
        self.items: list | None = None
        self.numbers: np.ndarray | None = None
        if dtype.is_object:
            if fortran:
                raise RefusedPickle("an array of objects in Fortran order")
            self.items = data
        else:
            flat = np.frombuffer(data, dtype.numpy())
            self.numbers = flat.reshape(shape, order="F" if fortran else "C")


_NDARRAY = object()  # stands for the class numpy.ndarray, which is only used as an argument


def _make_array(kind: object, *_arguments: object) -> _Array:
    if kind is not _NDARRAY:
        raise RefusedPickle("a subclass of ndarray")
    return _Array()


def _make_number(dtype: _Dtype, data: bytes) -> int | float | bool:
    if not isinstance(dtype, _Dtype) or dtype.is_object or type(data) is not bytes:
        raise RefusedPickle("a scalar that is not a number")
    return np.frombuffer(data, dtype.numpy(), count=1)[0].item()


def _encode(text: str, encoding: str | bytes) -> bytes:
    if not isinstance(encoding, (str, bytes)) or encoding not in ("latin1", b"latin1", "latin-1", b"latin-1"):
        raise RefusedPickle("a string in an encoding other than Latin-1")
    return text.encode("latin-1")


#: (module, name) as pickles of NumPy 1 and 2 write them -> our stand-in
_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): _make_array,
    ("numpy._core.multiarray", "_reconstruct"): _make_array,
    ("numpy.core.multiarray", "scalar"): _make_number,
    ("numpy._core.multiarray", "scalar"): _make_number,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,  # how Python 3 writes bytes in protocol 2
}

_OPCODE_NAMES = """PROTO FRAME STOP MARK GLOBAL STACK_GLOBAL REDUCE BUILD NONE NEWTRUE NEWFALSE BININT BININT1 BININT2
    LONG1 BINFLOAT SHORT_BINSTRING BINSTRING SHORT_BINBYTES BINBYTES BINBYTES8 SHORT_BINUNICODE BINUNICODE
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET"""
_OPCODES = [getattr(pickle, name)[0] for name in _OPCODE_NAMES.split()]


class _Opcodes(dict):
    def __missing__(self, code: int) -> None:
        raise RefusedPickle(f"the pickle opcode {bytes([code])!r}, which arrays and numbers never need")


class _Unpickler(pickle._Unpickler):
    """The standard library's Python unpickler. Unlike the one in C, its opcodes can be restricted, and it allocates no
    more than the stream holds."""

    stack: list  # typeshed leaves it out
    dispatch = _Opcodes({code: pickle._Unpickler.dispatch[code] for code in _OPCODES})

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _GLOBALS:
            raise RefusedPickle(f"{module}.{name}, which is neither an array nor a number; do not open it elsewhere")
        return _GLOBALS[module, name]

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) not in (_Array, _Dtype):
            raise RefusedPickle("a state for something other than an array")
        target.__setstate__(state)

    dispatch[pickle.BUILD[0]] = load_build


def load_objects(stream: IO[bytes]) -> np.ndarray:
    """The pickled object array that starts at the stream's position (after the header of an .npy file).

    Accepts pickles of Python 2 (protocol 2, byte strings) and Python 3. Returns an object array of the same shape whose
    entries are read-only arrays of numbers, int, float or bool. Raises RefusedPickle for any other content. A damaged
    stream may raise any error of the standard unpickler (EOFError, IndexError, ...), but never runs code.
    """
    array = _Unpickler(stream, encoding="bytes").load()
    if type(array) is not _Array or array.items is None:
        raise RefusedPickle("something other than an array of objects")
    objects = np.empty(len(array.items), object)
    for index, item in enumerate(array.items):
        objects[index] = _plain(item)
    return objects.reshape(array.shape)


def _plain(item: object) -> object:
    if type(item) is _Array and item.numbers is not None:
        return item.numbers
    if type(item) in (int, float, bool):
        return item
    raise RefusedPickle(f"an entry that is neither an array of numbers nor a number ({type(item).__name__.strip('_')})")


_NUMPY_RECONSTRUCT = np.empty(0).__reduce__()[0]  # its module is numpy.core before NumPy 2 and numpy._core since


class _Pickler(pickle._Pickler):
    """Writes NumPy's _reconstruct function under the name that both NumPy 1 and 2 know."""

    write: Callable[[bytes], object]  # typeshed leaves out both this and save_global

    def save_global(self, obj: object, name: str | None = None) -> None:
        if obj is _NUMPY_RECONSTRUCT:
            self.write(b"cnumpy.core.multiarray\n_reconstruct\n")
        else:
            super().save_global(obj, name)  # type: ignore[misc]  # see above


def dump_objects(objects: np.ndarray, stream: IO[bytes]) -> None:
    """Pickles an object array of arrays and numbers (protocol 3, which ``np.load(allow_pickle=True)`` reads in any
    Python 3).

    The bytes depend only on the content. Only one item at a time is held in memory.
    """
    pickler = _Pickler(stream, protocol=3)
    pickler.fast = True  # no memo, which would keep a copy of every array's bytes
    pickler.dump(objects)
