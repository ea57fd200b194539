"""Reads weight files of any kind as one list of layers, as far as possible; damage is reported, not raised."""

import os
import re
from dataclasses import dataclass, field

from converter import wire
from converter.caffemodel import LayerBlobs, parse_caffemodel
from converter.errors import PytsnError
from converter.file_kinds import HEAD, FileKind, sniff
from converter.files import explain_os_error, open_regular, read_bytes
from converter.solverstate import read_solverstate
from converter.text_table import amount

LARGEST = 1 << 31  # protobuf's own limit for a message
_MOST_FIELDS = 250_000  # without weights; ResNet-200 has about ten thousand. Parsing makes an object of each
_LAYER_FIELDS = {100: 1, 2: 4}  # NetParameter's layer fields, current and before 2015 -> field of the layer's name


@dataclass
class WeightFile:
    """A file's content: its kind, its layers with weights in file order (with Caffe's type names), and its faults."""

    kind: FileKind
    size: int
    net_name: str = ""
    layers: list[LayerBlobs] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_weight_file(path: str | os.PathLike) -> WeightFile:
    """Reads as much as possible. Raises PytsnError only if the file cannot be read at all."""
    size, head = _size_and_head(path)
    found = WeightFile(sniff(head, size), size)
    if not found.kind.reader:
        return found
    if size >= LARGEST:
        found.damage.append(f"{size:,} bytes, more than the 2 GiB that a weight file can have")
        return found
    _READERS[found.kind.reader](path, found)
    return found


def _size_and_head(path: str | os.PathLike) -> tuple[int, bytes]:
    try:
        with open_regular(path) as file:
            return os.fstat(file.fileno()).st_size, file.read(HEAD)
    except OSError as error:
        raise explain_os_error(error, path) from None


def _read_caffemodel(path: str | os.PathLike, found: WeightFile) -> None:
    data = read_bytes(path)
    if _count_fields(memoryview(data)) > _MOST_FIELDS:
        found.damage.append(f"more than {_MOST_FIELDS:,} fields: no net has so many")
        return
    end, trouble = _intact_part(data)
    if trouble:
        found.damage.append(trouble)
    try:
        model = parse_caffemodel(data[:end] if trouble else data, str(path))
    except PytsnError as error:
        if not trouble:
            found.damage.append(str(error).removeprefix(f"{path}: "))
        return
    found.net_name = _text(model.net.name)
    found.layers = [LayerBlobs(_text(layer.name), _text(layer.type), layer.blobs) for layer in model.layers]
    garbled = sum(isinstance(text, bytes) for layer in model.layers for text in (layer.name, layer.type))
    if garbled:
        found.damage.append(f"{amount(garbled, 'name or type of a layer is', 'names or types of layers are')} not text")
    if model.unknown_fields:
        found.notes.append(f"{amount(model.unknown_fields, 'unknown field')} (written by another Caffe?)")


def _text(value: str | bytes) -> str:
    """The value as text; protobuf returns bytes for a string that is not UTF-8."""
    return value if isinstance(value, str) else bytes(value).decode("utf-8", "replace")


def _intact_part(data: bytes) -> tuple[int, str]:
    """Where the last whole layer ends, and what is wrong after it, in words ("": nothing)."""
    buffer, end, whole = memoryview(data), 0, 0
    try:
        for item in wire.fields(buffer):
            end, whole = item.end, whole + (item.number in _LAYER_FIELDS)
    except PytsnError as error:
        zeros = len(data) - len(data.rstrip(b"\0"))
        if zeros > max(64, (len(data) - end) // 2):
            return end, f"damaged from byte {end:,} on: the last {zeros:,} bytes are zeros (a download that failed?)"
        name = _name_of_cut_layer(buffer[end:])
        where = f"inside layer '{name}'" if name else f"in what follows layer {whole}"
        return end, _in_words(str(error), where, f"byte {end:,} of {len(data):,}")
    return end, ""


def _in_words(trouble: str, where: str, place: str) -> str:
    missing = re.search(r"ends (\d+) bytes before", trouble)
    if missing and int(missing[1]) < LARGEST:
        return f"cut short {where} (which begins at {place}): {int(missing[1]):,} bytes of it are missing"
    return f"cut short {where}, {place}" if "ends inside" in trouble else f"damaged {where}, {place}: {trouble}"


def _name_of_cut_layer(rest: memoryview) -> str:
    try:
        tag, at = wire.read_varint(rest, 0)
        _, at = wire.read_varint(rest, at)
        for item in wire.fields(rest[at:]):
            if item.number == _LAYER_FIELDS.get(tag >> 3) and item.kind == wire.BYTES:
                return bytes(item.payload[:200]).decode("utf-8", "replace")
    except PytsnError:
        pass
    return ""


def _count_fields(buffer: memoryview, depth: int = 0) -> int:
    """Counts fields up to the damage, or to somewhat more than _MOST_FIELDS. Keeps none of them."""
    count, nesting = 0, _NESTING.get(depth, ())
    try:
        for item in wire.fields(buffer):
            count += 1
            if item.kind == wire.BYTES and item.number in nesting:
                count += _count_fields(item.payload, depth + 1)
            if count > _MOST_FIELDS:
                break
    except PytsnError:
        pass  # not a message, or damaged: parse_caffemodel reports it
    return count


#: depth -> fields that may hold a message: layers; anything in a layer; in a blob its shape, but never its data
_NESTING = {0: (*_LAYER_FIELDS, 6, 8), 1: range(1, 1000), 2: (1, 2, 3, 4, 7, *range(10, 50))}


def _read_state(path: str | os.PathLike, found: WeightFile) -> None:
    from pytsn.weights.state_layers import read_state_layers

    try:
        found.layers, notes = read_state_layers(path, found.size)
    except PytsnError as error:
        found.damage.append(str(error).removeprefix(f"{path}: "))
        return
    found.notes += notes


def _read_solverstate(path: str | os.PathLike, found: WeightFile) -> None:
    if _count_fields(memoryview(read_bytes(path)), depth=len(_NESTING)) > _MOST_FIELDS:
        found.damage.append(f"more than {_MOST_FIELDS:,} fields: no run has so many")
        return
    try:
        state = read_solverstate(path)
    except PytsnError as error:
        found.damage.append(str(error).removeprefix(f"{path}: "))
        return
    found.notes.append(
        f"iteration {state.iteration}, {amount(len(state.history), 'blob')} of history, net '{state.learned_net}'"
    )


_READERS = {
    "solverstate": _read_solverstate,
    "caffemodel": _read_caffemodel,
    "pth": _read_state,
    "safetensors": _read_state,
}
