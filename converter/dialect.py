"""Upgrades old forms and BVLC Caffe's forms of a net to the one form that the rest of the code reads.

Sources: the fork's and BVLC Caffe 1.0's caffe.proto and util/upgrade_proto.cpp (facts only: which field became which).
"""

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.wire import write_bytes_field

#: BVLC field numbers that clash with the fork's: layer type -> (the fork's field, the number, BVLC's field)
CLASHES = {
    "ELU": ("video_data_param", 140, "elu_param"),
    "Embed": ("bn_param", 137, "embed_param"),
    "Bias": ("seg_data_param", 141, "bias_param"),
    "Scale": ("bvlc_scale_param", 142, "scale_param"),
}
#: our stand-ins, whose private numbers no file may use
_PRIVATE_FIELDS = ("elu_param", "embed_param")

#: V1 enum names whose current type name is not simply the capitalised words joined
_V1_TYPES = {
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "ELU": "ELU",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
_V1_SPECIAL = {"type", "blobs", "blobs_lr", "weight_decay", "param", "blob_share_mode"}


def from_bvlc_numbers(layer: pb.LayerParameter) -> None:
    """Moves fields that a binary BVLC file has under numbers the fork uses otherwise; the layer's type decides."""
    if layer.type not in CLASHES:
        return
    fork_field, _, bvlc_field = CLASHES[layer.type]
    if layer.HasField(fork_field):
        raw = getattr(layer, fork_field).SerializeToString()  # includes fields unknown to the fork's message
        layer.ClearField(fork_field)
        try:
            getattr(layer, bvlc_field).MergeFromString(raw)
        except DecodeError:
            raise PytsnError(f"layer '{layer.name}' ({layer.type}): damaged {bvlc_field}") from None


def layer_to_wire(layer: pb.LayerParameter) -> bytes:
    """The layer as bytes that Caffe reads: fields with private numbers are written under BVLC's numbers."""
    private = [name for name in _PRIVATE_FIELDS if layer.HasField(name)]
    if not private:
        return layer.SerializeToString(deterministic=True)
    bare = pb.LayerParameter()
    bare.CopyFrom(layer)
    extra = b""
    for name in private:
        number = next(number for _, number, field in CLASHES.values() if field == name)
        extra += b"".join(write_bytes_field(number, getattr(layer, name).SerializeToString(deterministic=True)))
        bare.ClearField(name)
    return bare.SerializeToString(deterministic=True) + extra


def upgrade_net(net: pb.NetParameter) -> None:
    """In place: V1 `layers` become `layer`, `input_dim` becomes `input_shape`. Raises PytsnError on mixtures."""
    if net.layers and net.layer:
        raise PytsnError("mixes old `layers { }` with new `layer { }`: use one form")
    for old in net.layers:
        net.layer.append(upgrade_v1_layer(old))
    net.ClearField("layers")
    _upgrade_inputs(net)


def _upgrade_inputs(net: pb.NetParameter) -> None:
    if net.input_dim:
        if net.input_shape:
            raise PytsnError("gives both input_dim and input_shape: keep one")
        if len(net.input_dim) != 4 * len(net.input):
            raise PytsnError(f"{len(net.input)} inputs need {4 * len(net.input)} input_dim, found {len(net.input_dim)}")
        for start in range(0, len(net.input_dim), 4):
            net.input_shape.add().dim.extend(net.input_dim[start : start + 4])
        net.ClearField("input_dim")
    if len(net.input_shape) not in (0, len(net.input)):
        raise PytsnError(f"{len(net.input)} inputs, but {len(net.input_shape)} input_shape")


def upgrade_v1_layer(old: pb.V1LayerParameter) -> pb.LayerParameter:
    """Converts a layer from the form used before 2015 to the current one, including its weights (`blobs`)."""
    layer = pb.LayerParameter(type=v1_type_name(old))
    for descriptor, value in old.ListFields():
        if descriptor.name in _V1_SPECIAL:
            continue
        if descriptor.message_type and not isinstance(value, type(old)) and hasattr(value, "CopyFrom"):
            getattr(layer, descriptor.name).CopyFrom(value)
        elif hasattr(value, "extend"):
            getattr(layer, descriptor.name).extend(value)
        else:
            setattr(layer, descriptor.name, value)
    layer.blobs.extend(old.blobs)
    _upgrade_param_specs(old, layer)
    return layer


def v1_type_name(old: pb.V1LayerParameter) -> str:
    """The current type name of a V1 layer: INNER_PRODUCT -> InnerProduct. Raises PytsnError if it has no type."""
    if not old.type:
        raise PytsnError(
            f"layer '{old.name}': no type (the nested form of 2013 is not supported: upgrade it with Caffe)"
        )
    name = pb.V1LayerParameter.LayerType.Name(old.type)
    return _V1_TYPES.get(name) or "".join(word.capitalize() for word in name.split("_"))


def _upgrade_param_specs(old: pb.V1LayerParameter, layer: pb.LayerParameter) -> None:
    """Turns blobs_lr, weight_decay, param (names) and blob_share_mode, each indexed by blob, into ParamSpecs."""
    columns: dict[str, Sequence[float] | Sequence[str]] = {
        "lr_mult": old.blobs_lr,
        "decay_mult": old.weight_decay,
        "name": old.param,
        "share_mode": old.blob_share_mode,
    }
    for index in range(max(len(column) for column in columns.values())):
        spec = layer.param.add()
        for name, column in columns.items():
            if index < len(column):
                setattr(spec, name, column[index])
