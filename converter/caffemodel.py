"""Reads and writes `.caffemodel` files: layers with their weights, which are views of the file's bytes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from converter import caffe_tsn_pb2 as pb
from converter import dialect, wire
from converter.errors import PytsnError
from converter.files import atomic_path, explain_os_error, read_bytes
from converter.text_table import amount

_LAYER, _V1_LAYERS = 100, 2  # NetParameter's fields
_BLOBS = {_LAYER: 7, _V1_LAYERS: 6}  # where each form of layer keeps its weights
_MAGIC = {
    b"PK\x03\x04": "a zip file, perhaps PyTorch's .pth",
    b"\x89HDF": "an HDF5 file: save the net in Caffe with snapshot_format BINARYPROTO",
    b"\xfd7zXZ": "compressed with xz: unpack it first",
    b"\x1f\x8b": "compressed with gzip: unpack it first",
}
#: the fourth blob of a net's first BN shows whether a file holds variances or inverse standard deviations: pixel inputs
#: give the first convolution a variance of tens to thousands, whose inverse square root is far below this
FIRST_VARIANCE_AT_LEAST = 0.5


@dataclass
class LayerBlobs:
    """One layer of a caffemodel that holds weights: name, Caffe type and blobs in Caffe's order."""

    name: str
    type: str
    blobs: list[wire.Blob]


@dataclass
class Caffemodel:
    """A caffemodel: ``net`` is its NetParameter without weights, ``layers`` the layers with weights, in file order."""

    source: str
    net: pb.NetParameter
    layers: list[LayerBlobs] = field(default_factory=list)
    unknown_fields: int = 0


def read_caffemodel(path: str | os.PathLike) -> Caffemodel:
    """Reads a caffemodel of the fork or of BVLC Caffe, in the current or the V1 form.

    Raises PytsnError for files that are empty, truncated, text, of another format, or without layers or weights.
    """
    model = parse_caffemodel(read_bytes(path), str(path))
    for layer in model.layers:
        if not isinstance(layer.name, str) or not isinstance(layer.type, str):
            raise PytsnError(f"{path}: damaged: a layer's name or type is not UTF-8 text: {str(layer.name)[:60]}")
    return model


def parse_caffemodel(data: bytes, source: str = "caffemodel") -> Caffemodel:
    """Like read_caffemodel, from bytes. A name or type that is not UTF-8 stays bytes, as protobuf returns it."""
    _refuse_other_formats(data, source)
    try:
        model = _parse(memoryview(data), source)
    except PytsnError as error:
        raise PytsnError(f"{source}: damaged or not a caffemodel: {error}") from None
    except (DecodeError, UnicodeDecodeError, RecursionError):
        raise PytsnError(f"{source}: damaged or not a caffemodel (a layer's description cannot be read)") from None
    if not model.layers:
        found = amount(len(model.net.layer), "layer") if model.net.layer else "no layers"
        raise PytsnError(f"{source}: holds {found} and no weights: not a trained caffemodel")
    return model


def _refuse_other_formats(data: bytes, source: str) -> None:
    if not data:
        raise PytsnError(f"{source}: the file is empty (a download that failed?)")
    for magic, name in _MAGIC.items():
        if data.startswith(magic):
            raise PytsnError(f"{source}: not a caffemodel but {name}")
    head = data[:1024]
    # A binary NetParameter holds tags above 0x7f (layer is field 100) and control bytes at once; text holds neither.
    if all(byte in b"\t\r\n" or 0x20 <= byte < 0x7F for byte in head):
        kind = "an HTML page (a download that failed?)" if head.lstrip()[:1] == b"<" else "text (a prototxt?)"
        raise PytsnError(f"{source}: not a binary caffemodel but {kind}")


def _parse(buffer: memoryview, source: str) -> Caffemodel:
    skeleton: list[bytes | memoryview] = []
    blobs: dict[int, list[list[wire.Blob]]] = {_LAYER: [], _V1_LAYERS: []}
    for item in wire.fields(buffer):
        if item.number in _BLOBS and item.kind == wire.BYTES:
            bare, weights = _split_layer(item.payload, _BLOBS[item.number])
            skeleton += wire.write_bytes_field(item.number, bare)
            blobs[item.number].append(weights)
        else:
            skeleton.append(buffer[item.start : item.end])
    net = pb.NetParameter.FromString(b"".join(skeleton))
    all_blobs = blobs[_LAYER] or blobs[_V1_LAYERS]
    dialect.upgrade_net(net)
    for layer in net.layer:
        dialect.from_bvlc_numbers(layer)
    layers = [LayerBlobs(layer.name, layer.type, own) for layer, own in zip(net.layer, all_blobs, strict=True) if own]
    unknown = _count_unknown(net) + sum(blob.unknown_fields for layer in layers for blob in layer.blobs)
    return Caffemodel(source, net, layers, unknown)


def _split_layer(buffer: memoryview, blobs_field: int) -> tuple[bytes, list[wire.Blob]]:
    """Splits a layer into its bytes without weights and its weights."""
    rest, blobs, name = [], [], "?"
    try:
        for item in wire.fields(buffer):
            if item.number == blobs_field and item.kind == wire.BYTES:
                blobs.append(wire.parse_blob(item.payload))
                continue
            if item.number == (1 if blobs_field == 7 else 4) and item.kind == wire.BYTES:
                name = bytes(item.payload).decode("utf-8", "replace")
            rest.append(buffer[item.start : item.end])
    except PytsnError as error:
        place = f", blob {len(blobs)}" if blobs else ""
        raise PytsnError(f"layer '{name}'{place}: {error}") from None
    return b"".join(rest), blobs


def _count_unknown(message: Message) -> int:
    """Counts the unknown fields of the message and of all messages inside it."""
    count = len(UnknownFieldSet(message))
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            children = [value] if isinstance(value, Message) else value
            count += sum(_count_unknown(child) for child in children)
    return count


def write_caffemodel(path: str | os.PathLike, net: pb.NetParameter, blobs: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Writes ``net`` with ``blobs`` (layer name -> float32 arrays in Caffe's order and shapes), whole or not at all.

    Layers keep the net's order and names; layers without blobs are written too, as Caffe does. Raises PytsnError for
    blobs of a layer that the net lacks, and if the file cannot be written.
    """
    unknown = set(blobs) - {layer.name for layer in net.layer}
    if unknown:
        raise PytsnError(f"{path}: no layer named {', '.join(sorted(unknown))} in the net to be written")
    head = pb.NetParameter(name=net.name, input=net.input)  # what Net::ToProto keeps besides the layers
    with atomic_path(path) as temporary:
        try:
            with open(temporary, "wb") as file:
                file.write(head.SerializeToString(deterministic=True))
                for layer in net.layer:
                    file.writelines(_layer_pieces(layer, blobs.get(layer.name, ())))
        except OSError as error:
            raise explain_os_error(error, path) from None


def _layer_pieces(layer: pb.LayerParameter, blobs: Sequence[np.ndarray]) -> list[bytes | memoryview]:
    bare = pb.LayerParameter()
    bare.CopyFrom(layer)
    bare.ClearField("blobs")
    data = memoryview(dialect.layer_to_wire(bare))
    # Caffe writes fields by number: weights (7) come after name, type, bottom, top, loss_weight, param (1 to 6).
    cut = next((item.start for item in wire.fields(data) if item.number > _BLOBS[_LAYER]), len(data))
    weights = [piece for blob in blobs for piece in wire.write_bytes_field(_BLOBS[_LAYER], *wire.write_blob(blob))]
    return wire.write_bytes_field(_LAYER, data[:cut], *weights, data[cut:])
