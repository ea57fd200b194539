"""Caffemodels that Caffe wrote, files of other tools and eras made by hand, and damage of every kind."""

import numpy as np
import pytest

from converter import caffe_tsn_pb2 as pb
from converter.caffemodel import parse_caffemodel, read_caffemodel, write_caffemodel
from converter.errors import PytsnError

RUNS = ("det_fixed", "det_multistep_itersize", "det_step_clip", "rgb_step", "rgb_itersize")


def arrays(model):
    return {layer.name: [blob.array() for blob in layer.blobs] for layer in model.layers}


@pytest.fixture
def tiny(recordings):
    return recordings / "tiny" / "det_fixed" / "snap_iter_20.caffemodel"


@pytest.mark.parametrize("run", RUNS)
def test_reads_what_protobuf_reads(recordings, run):
    for path in (recordings / "tiny" / run).glob("*.caffemodel"):
        model, message = read_caffemodel(path), pb.NetParameter.FromString(path.read_bytes())
        with_blobs = [layer for layer in message.layer if layer.blobs]
        assert [(layer.name, layer.type) for layer in model.layers] == [(la.name, la.type) for la in with_blobs]
        assert [layer.name for layer in model.net.layer] == [layer.name for layer in message.layer]
        assert model.unknown_fields == 0
        for mine, theirs in zip(model.layers, with_blobs, strict=True):
            for blob, reference in zip(mine.blobs, theirs.blobs, strict=True):
                assert blob.shape == tuple(reference.shape.dim)
                np.testing.assert_array_equal(blob.data, np.float32(reference.data))


@pytest.mark.parametrize("run", RUNS)
def test_writing_back_gives_caffes_file_byte_for_byte(recordings, run, tmp_path):
    for path in (recordings / "tiny" / run).glob("*.caffemodel"):
        model = read_caffemodel(path)
        write_caffemodel(tmp_path / "again.caffemodel", model.net, arrays(model))
        assert (tmp_path / "again.caffemodel").read_bytes() == path.read_bytes()


def test_v1_file_with_legacy_shapes():
    old = pb.NetParameter(name="old")
    layer = old.layers.add(name="fc", type=pb.V1LayerParameter.INNER_PRODUCT, bottom=["data"], top=["fc"])
    layer.inner_product_param.num_output = 2
    layer.blobs.add(num=1, channels=1, height=2, width=3, data=range(6))
    layer.blobs.add(num=1, channels=1, height=1, width=2, data=[6, 7])
    model = parse_caffemodel(old.SerializeToString())
    assert [(la.name, la.type) for la in model.layers] == [("fc", "InnerProduct")]
    assert [blob.shape for blob in model.layers[0].blobs] == [(1, 1, 2, 3), (1, 1, 1, 2)]
    assert all(blob.legacy for blob in model.layers[0].blobs)
    assert model.net.layer[0].inner_product_param.num_output == 2


def bvlc_layer(name: str, layer_type: str, number: int, payload: bytes) -> bytes:
    """A layer as BVLC Caffe 1.0 writes it, with a parameter under BVLC's number, and one weight."""
    bare = pb.LayerParameter(name=name, type=layer_type)
    bare.blobs.add(data=[1.0]).shape.dim.append(1)
    return bare.SerializeToString() + _field(number, payload)


def _field(number: int, payload: bytes) -> bytes:
    from converter.wire import write_bytes_field

    return b"".join(write_bytes_field(number, payload))


def test_bvlc_numbers_that_the_fork_uses_otherwise():
    elu = b"\x0d" + np.float32(0.25).tobytes()  # alpha = 1: float
    bias = b"\x08\x02\x10\x01"  # axis = 1: int32 2, num_axes = 2: 1
    scale = b"\x08\x03\x20\x01"  # axis 3, bias_term (4) true
    embed = b"\x08\x07\x10\x09\x18\x00"  # num_output 7, input_dim 9, bias_term false
    layers = [
        bvlc_layer("e", "ELU", 140, elu),
        bvlc_layer("b", "Bias", 141, bias),
        bvlc_layer("s", "Scale", 142, scale),
        bvlc_layer("m", "Embed", 137, embed),
    ]
    model = parse_caffemodel(b"".join(_field(100, layer) for layer in layers))
    e, b, s, m = model.net.layer
    assert e.elu_param.alpha == 0.25
    assert not e.HasField("video_data_param")
    assert (b.bias_param.axis, b.bias_param.num_axes) == (2, 1)
    assert (s.scale_param.axis, s.scale_param.bias_term) == (3, True)
    assert (m.embed_param.num_output, m.embed_param.input_dim, m.embed_param.bias_term) == (7, 9, False)
    assert model.unknown_fields == 0


def test_bvlc_field_goes_out_under_bvlcs_number(tmp_path):
    net = pb.NetParameter()
    net.layer.add(name="e", type="ELU").elu_param.alpha = 0.5
    write_caffemodel(tmp_path / "e.caffemodel", net, {"e": [np.zeros(1, np.float32)]})
    raw = (tmp_path / "e.caffemodel").read_bytes()
    assert _field(140, b"\x0d" + np.float32(0.5).tobytes()) in raw
    assert read_caffemodel(tmp_path / "e.caffemodel").net.layer[0].elu_param.alpha == 0.5


def test_unknown_fields_are_counted(tiny):
    data = tiny.read_bytes() + _field(777, b"later")
    layer = pb.LayerParameter(name="x", type="ReLU").SerializeToString() + _field(999, b"a") + _field(998, b"b")
    model = parse_caffemodel(data + _field(100, layer))
    assert model.unknown_fields == 3


def damaged(tiny, tmp_path):
    whole = tiny.read_bytes()
    rng = np.random.default_rng(0)
    yield "empty", b"", "is empty"
    yield "half", whole[: len(whole) // 2], "cut short"
    yield "one byte short", whole[:-1], "cut short"
    yield "text", b'name: "net"\nlayer { name: "conv" }\n', r"text \(a prototxt"
    yield "html", b"<!DOCTYPE html><html>404</html>", "an HTML page"
    yield "pth", b"PK\x03\x04" + bytes(100), "zip file"
    yield "xz", b"\xfd7zXZ\x00" + bytes(100), "compressed with xz"
    yield "random", rng.bytes(5000), "damaged or not a caffemodel"
    yield "huge length", b"\xa2\x06\xff\xff\xff\xff\x7f" + bytes(10), "cut short"
    yield "no weights", pb.NetParameter(name="n", layer=[pb.LayerParameter(name="a")]).SerializeToString(), "no weights"
    yield "zeros", bytes(64), "damaged or not a caffemodel"
    yield "name", whole.replace(b"a/pool_proj", b"a/pool_pro\xff"), "is not UTF-8 text"


def test_damage_is_one_line_that_names_the_file(tiny, tmp_path):
    for name, data, words in damaged(tiny, tmp_path):
        path = tmp_path / f"{name}.caffemodel"
        path.write_bytes(data)
        with pytest.raises(PytsnError, match=words) as caught:
            read_caffemodel(path)
        assert str(caught.value).startswith(str(path)), name
        assert "\n" not in str(caught.value)


def test_cut_inside_a_layer_names_the_layer(tiny):
    data = bytearray(tiny.read_bytes())
    at = data.index(b"a/pool_proj\x12\x0bConvolution")  # name, then type
    shape = data.index(b"\x3a\x06\x0a\x04", at)  # shape field of its first blob: dims 6, 8, 1, 1
    data[shape + 4] = 7
    with pytest.raises(PytsnError, match=r"layer 'a/pool_proj'.*means 56 values, the file holds 48"):
        parse_caffemodel(bytes(data))


def test_failed_write_leaves_the_old_file(tiny, tmp_path):
    model = read_caffemodel(tiny)
    target = tmp_path / "w.caffemodel"
    target.write_bytes(b"old")
    with pytest.raises(PytsnError, match="no layer named nosuch"):
        write_caffemodel(target, model.net, {"nosuch": [np.zeros(1, np.float32)]})
    with pytest.raises(ValueError, match="not an array"):  # a defect in the middle of writing
        write_caffemodel(target, model.net, {**arrays(model), "fc-action": ["not an array"]})
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["w.caffemodel"]


def test_unwritable_folder_is_one_line(tiny, tmp_path):
    with pytest.raises(PytsnError, match="no such file or folder"):
        write_caffemodel(tmp_path / "nowhere" / "w.caffemodel", read_caffemodel(tiny).net, {})
