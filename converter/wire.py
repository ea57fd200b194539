"""The part of the protobuf wire format needed to read and write a caffemodel's weights without copying them.

Parsing 40 to 500 MB of floats into protobuf's Python objects is slow and turns signalling NaNs into quiet ones; here
weights stay the file's own bytes. Format: https://protobuf.dev/programming-guides/encoding
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

import numpy as np

from converter.errors import PytsnError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}

# BlobProto's field numbers
_LEGACY_DIMS = (1, 2, 3, 4)  # num, channels, height, width
_DATA, _DIFF, _SHAPE, _DOUBLE_DATA, _DOUBLE_DIFF = 5, 6, 7, 8, 9
_LARGEST_RANK = 32  # Caffe's kMaxBlobAxes


@dataclass(frozen=True)
class Field:
    """One field of a message: number, wire type, value (int, or memoryview of the payload), extent in the buffer."""

    number: int
    kind: int
    value: int | memoryview
    start: int
    end: int

    @property
    def integer(self) -> int:
        """The value of a VARINT field."""
        assert isinstance(self.value, int)
        return self.value

    @property
    def payload(self) -> memoryview:
        """The value of any other field."""
        assert isinstance(self.value, memoryview)
        return self.value


@dataclass
class Blob:
    """Weights of one blob: ``data`` float32 in C order, flat; ``shape`` as in the file, which may be ()."""

    data: np.ndarray
    shape: tuple[int, ...]
    legacy: bool = False  # num, channels, height, width, from files older than BlobShape
    unknown_fields: int = 0

    def array(self) -> np.ndarray:
        """The data in its shape (a view)."""
        return self.data.reshape(self.shape)


@dataclass
class _BlobParts:
    floats: list[np.ndarray] = field(default_factory=list)
    dims: list[int] = field(default_factory=list)
    legacy: dict[int, int] = field(default_factory=dict)
    has_shape: bool = False
    unknown: int = 0


def read_varint(buffer: memoryview, at: int) -> tuple[int, int]:
    """The varint at ``at`` and the position after it. Raises PytsnError if the buffer ends or the varint overflows."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(buffer):
            raise PytsnError("the file ends inside a number (cut short?)")
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise PytsnError("not a protobuf message (a number of more than ten bytes)")


def write_varint(value: int) -> bytes:
    """The number as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_bytes_field(number: int, *payload: bytes | memoryview) -> list[bytes | memoryview]:
    """The pieces of a length-delimited field; payloads are not copied."""
    size = sum(len(piece) for piece in payload)
    return [write_varint(number << 3 | BYTES) + write_varint(size), *payload]


def fields(buffer: memoryview) -> Iterator[Field]:
    """The message's fields in file order. Raises PytsnError if the buffer is not a complete, well-formed message."""
    at = 0
    while at < len(buffer):
        start = at
        tag, at = read_varint(buffer, at)
        number, kind = tag >> 3, tag & 7
        if number == 0 or number >= 1 << 29:
            raise PytsnError(f"not a protobuf message (field number {number})")
        value: int | memoryview
        if kind == VARINT:
            value, at = read_varint(buffer, at)
        else:
            size, at = _payload_size(buffer, at, kind)
            if size > len(buffer) - at:
                missing = size - (len(buffer) - at)
                raise PytsnError(f"the file ends {missing} bytes before the end of field {number} (cut short?)")
            value, at = buffer[at : at + size], at + size
        yield Field(number, kind, value, start, at)


def _payload_size(buffer: memoryview, at: int, kind: int) -> tuple[int, int]:
    if kind == BYTES:
        return read_varint(buffer, at)
    if kind in _FIXED_SIZES:
        return _FIXED_SIZES[kind], at
    raise PytsnError(f"not a protobuf message, or not one of Caffe's (wire type {kind})")


def parse_blob(buffer: memoryview) -> Blob:
    """Parses a BlobProto. Float data is a view into ``buffer``; BVLC's double data is converted to float32.

    Raises PytsnError if shape and number of values disagree.
    """
    parts = _BlobParts()
    for item in fields(buffer):
        _add_to_blob(parts, item)
    data = parts.floats[0] if len(parts.floats) == 1 else np.concatenate([np.empty(0, np.float32), *parts.floats])
    shape, legacy = _blob_shape(parts, data.size)
    return Blob(data, shape, legacy, parts.unknown)


def _add_to_blob(parts: _BlobParts, item: Field) -> None:
    if item.number == _DATA and item.kind in (BYTES, FIXED32):
        parts.floats.append(_numbers(item.payload, "<f4", "data"))
    elif item.number == _DOUBLE_DATA and item.kind in (BYTES, FIXED64):
        with np.errstate(over="ignore"):  # beyond float32 there is infinity, which who checks weights reports
            parts.floats.append(_numbers(item.payload, "<f8", "double_data").astype(np.float32))
    elif item.number == _SHAPE and item.kind == BYTES:
        parts.has_shape = True
        parts.dims += _read_dims(item.payload)
    elif item.number in _LEGACY_DIMS and item.kind == VARINT:
        parts.legacy[item.number] = item.integer
    elif item.number not in (_DIFF, _DOUBLE_DIFF):
        parts.unknown += 1


def _numbers(payload: memoryview, dtype: str, name: str) -> np.ndarray:
    width = np.dtype(dtype).itemsize
    if len(payload) % width:
        raise PytsnError(f"{name} of {len(payload)} bytes is not a whole count of {width}-byte numbers")
    return np.frombuffer(payload, dtype)


def _read_dims(buffer: memoryview) -> list[int]:
    dims: list[int] = []
    for item in fields(buffer):
        if item.number != 1:
            continue
        if item.kind == VARINT:
            dims.append(item.integer)
        elif item.kind == BYTES:
            at = 0
            while at < len(item.payload) and len(dims) <= _LARGEST_RANK:
                value, at = read_varint(item.payload, at)
                dims.append(value)
    return dims


def _blob_shape(parts: _BlobParts, count: int) -> tuple[tuple[int, ...], bool]:
    if parts.has_shape:
        shape, legacy = tuple(parts.dims), False
    elif parts.legacy:
        shape, legacy = tuple(parts.legacy.get(number, 0) for number in _LEGACY_DIMS), True
    else:
        shape, legacy = (count,), False
    if len(shape) > _LARGEST_RANK or any(dim >= 1 << 31 for dim in shape):
        raise PytsnError(f"an impossible shape: {shape[:8]}")
    if prod(shape) != count:
        raise PytsnError(f"shape {shape} means {prod(shape)} values, the file holds {count}")
    return shape, legacy


def write_blob(data: np.ndarray) -> list[bytes | memoryview]:
    """The pieces of a BlobProto that holds ``data`` (any shape) as float32, fields in Caffe's order."""
    flat = np.ascontiguousarray(data, "<f4")
    dims = b"".join(write_varint(dim) for dim in data.shape)
    payload = flat.reshape(-1).data.cast("B") if flat.size else b""
    return [*write_bytes_field(_DATA, payload), *write_bytes_field(_SHAPE, *write_bytes_field(1, dims))]
