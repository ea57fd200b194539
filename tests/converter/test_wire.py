"""The wire reader against protobuf itself: what one writes, the other reads."""

import numpy as np
import pytest

from converter import caffe_tsn_pb2 as pb
from converter import wire
from converter.errors import PytsnError


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**32 - 1, 2**63])
def test_varints_round_trip(number):
    data = memoryview(wire.write_varint(number) + b"\x05")
    assert wire.read_varint(data, 0) == (number, len(data) - 1)


def test_fields_are_those_that_protobuf_wrote():
    layer = pb.LayerParameter(name="conv", type="Convolution", top=["a"], loss_weight=[0.5])
    layer.convolution_param.num_output = 300
    found = [(item.number, item.kind) for item in wire.fields(memoryview(layer.SerializeToString()))]
    assert found == [(1, wire.BYTES), (2, wire.BYTES), (4, wire.BYTES), (5, wire.FIXED32), (106, wire.BYTES)]


def test_blob_is_read_as_protobuf_reads_it():
    values = np.random.default_rng(0).standard_normal(24).astype(np.float32)
    message = pb.BlobProto(data=values)
    message.shape.dim.extend([2, 3, 4])
    blob = wire.parse_blob(memoryview(message.SerializeToString()))
    assert blob.shape == (2, 3, 4)
    assert not blob.legacy
    np.testing.assert_array_equal(blob.array(), values.reshape(2, 3, 4))


def test_legacy_blob_has_four_dimensions_and_zero_where_the_file_says_nothing():
    message = pb.BlobProto(num=1, channels=1, height=2, width=3, data=range(6))
    assert wire.parse_blob(memoryview(message.SerializeToString())).shape == (1, 1, 2, 3)


def test_unpacked_floats_are_read():
    # Files older than packed fields write every float with its own tag: (5 << 3 | FIXED32) = 0x2d.
    data = b"".join(b"\x2d" + np.float32(value).tobytes() for value in (1.5, -2.0))
    np.testing.assert_array_equal(wire.parse_blob(memoryview(data)).data, np.float32([1.5, -2.0]))


def test_double_data_of_bvlc_files_becomes_float32():
    message = pb.BlobProto(double_data=[0.1, 2.0])
    blob = wire.parse_blob(memoryview(message.SerializeToString()))
    assert blob.data.dtype == np.float32
    np.testing.assert_array_equal(blob.data, np.float32([0.1, 2.0]))


def test_written_blob_is_what_protobuf_writes_bit_for_bit_even_for_odd_nans():
    values = np.array([0x7F800001, 0xFFC00123, 0x3F800000], np.uint32).view(np.float32)  # a signalling NaN among them
    written = b"".join(wire.write_blob(values.reshape(1, 3)))
    blob = wire.parse_blob(memoryview(written))
    assert blob.data.tobytes() == values.tobytes()
    parsed = pb.BlobProto.FromString(written)
    assert list(parsed.shape.dim) == [1, 3]
    assert parsed.data[2] == 1.0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x2a\x0a\x00\x00", "cut short"),  # ten bytes of data promised, two there
        (b"\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "ten bytes"),
        (b"\x2a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "cut short"),  # a length of 2^63
        (b"\x2a\x03\x00\x00\x00", "whole count"),
        (b"\x2b", "wire type 3"),
        (b"\x00\x01", "field number 0"),
        (b"\x08", "cut short"),
    ],
)
def test_damage_is_named(data, words):
    with pytest.raises(PytsnError, match=words):
        wire.parse_blob(memoryview(data))


def test_shape_and_count_must_agree():
    message = pb.BlobProto(data=[1, 2, 3])
    message.shape.dim.extend([2, 2])
    with pytest.raises(PytsnError, match=r"shape \(2, 2\) means 4 values, the file holds 3"):
        wire.parse_blob(memoryview(message.SerializeToString()))
