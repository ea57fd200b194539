"""What a recording may hold: every kind of entry and input, files that are none, and recordings of our own."""

import numpy as np
import pytest

from converter.errors import PytsnError
from converter.parity import compare_blobs, first_beyond
from converter.recording import input_means, random_inputs, read_recording, record_blobs, run_net
from tests.converter.nets import build

NET = """
    input: "data" input_shape { dim: 2 dim: 3 dim: 5 dim: 7 }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
      convolution_param { num_output: 4 kernel_size: 2 weight_filler { type: "xavier" } bias_filler { value: 0.5 } } }
    layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
    layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
      inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }"""
INPUTS = {"data": (2, 3, 5, 7)}


def write(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_views_of_every_kind(tmp_path):
    random = np.random.default_rng(0)
    blob = random.normal(size=(5, 4, 3, 2)).astype(np.float32)
    path = write(
        tmp_path / "r.npz",
        **{
            "mean:a/b": blob.mean((2, 3)),
            "std:a/b": np.sqrt(((blob - blob.mean((2, 3), keepdims=True)) ** 2).mean((2, 3))),
            "full:a/b": blob[[3, 1]][:, :2],
            "a/b": blob,
            "full:c": blob[:1, :3],
            "mean:missing": blob.mean((2, 3)),
        },
    )
    recording = read_recording(path, INPUTS)
    assert recording.blobs() == ["a/b", "c", "missing"]
    views = recording.views({"a/b": blob, "c": blob})
    assert list(views) == ["mean:a/b", "std:a/b", "full:a/b", "a/b", "full:c"]
    for difference in compare_blobs({key: recording.entries[key] for key in views}, views, 1e-6):
        assert difference.ok, difference
    moved = recording.views({"a/b": np.roll(blob, 1, axis=0)})  # other samples: every entry must tell
    assert not any(each.ok for each in compare_blobs({key: recording.entries[key] for key in moved}, moved))


def test_full_samples_say_which(tmp_path):
    blob = np.arange(24.0).reshape(4, 3, 2, 1)
    path = write(tmp_path / "r.npz", **{"full:a": blob[[2, 0]], "full_samples": np.array([2, 0])})
    recording = read_recording(path, INPUTS)
    np.testing.assert_array_equal(recording.views({"a": blob})["full:a"], blob[[2, 0]])
    with pytest.raises(PytsnError, match="2 samples"):
        recording.views({"a": blob[:2]})


@pytest.mark.parametrize(
    ("entries", "blob", "message"),
    [
        ({"full:a": np.float64(1)}, np.ones((2, 3, 4)), r"'full:a' has shape \(\)"),
        ({"full:a": np.ones((1, 2))}, np.ones(2), r"the blob \(2,\)"),
        ({"mean:a": np.ones((2, 3))}, np.ones(2), "has no pixels"),
        ({"full:a": np.ones((3, 2, 4))}, np.ones((2, 3, 4)), "holds 3 samples"),
    ],
)
def test_entries_that_fit_no_blob(entries, blob, message, tmp_path):
    recording = read_recording(write(tmp_path / "r.npz", **entries), INPUTS)
    with pytest.raises(PytsnError, match=message):
        recording.views({"a": blob})


def test_means_that_cannot_tell_samples_leave_the_first_ones(tmp_path):
    blob = np.arange(24.0).reshape(4, 3, 2, 1)
    for means in (np.ones(4), np.ones((4, 1))):
        path = write(tmp_path / "r.npz", **{"full:a": blob[[3, 1]][:, :2], "mean:a": means})
        views = read_recording(path, INPUTS).views({"a": blob})
        np.testing.assert_array_equal(views["full:a"], blob[:2, :2])


def test_inputs_that_do_not_fit_the_net(tmp_path):
    for shape in ((2, 3, 5), (2, 4, 5, 7), (2, 3, 1, 7), (2, 3, 6, 7)):
        with pytest.raises(PytsnError):
            run_net(build(NET), {"data": np.zeros(shape, np.float32)}, ["fc"])
    with pytest.raises(PytsnError, match="missing"):
        run_net(build(NET), {}, ["fc"])


def test_inputs_under_each_name(tmp_path):
    x = np.arange(210).reshape(2, 3, 5, 7)
    mean = np.array([104, 117, 123]).reshape(3, 1, 1)
    for key, values, wanted in (
        ("input", x, x),
        ("input:data", x, x),
        ("data", x, x),
        ("crops_uint8", x.astype(np.uint8), x - mean),
    ):
        inputs = read_recording(write(tmp_path / "r.npz", **{key: values, "fc": np.ones(2)}), INPUTS).inputs
        assert inputs["data"].dtype == np.float32
        np.testing.assert_array_equal(inputs["data"], wanted)
    recording = read_recording(write(tmp_path / "r.npz", input=x, data=x + 1), INPUTS)
    assert list(recording.entries) == ["data"]  # beside an input of that name, the blob is there to be compared
    np.testing.assert_array_equal(recording.inputs["data"], x)
    assert read_recording(write(tmp_path / "r.npz", fc=np.ones(2)), INPUTS).inputs == {}


def test_means_by_the_number_of_planes():
    assert input_means(3).reshape(-1).tolist() == [104, 117, 123]
    assert input_means(6).reshape(-1).tolist() == [104, 117, 123] * 2
    assert input_means(10).reshape(-1).tolist() == [128] * 10
    assert input_means(30).reshape(-1).tolist() == [128] * 30  # three segments of flow
    assert input_means(1).shape == (1, 1, 1)


def test_random_inputs_are_pixels_minus_means_and_repeat():
    inputs = random_inputs({"data": (1, 3, 20, 30), "label": (1,), "other": (4, 2)}, batch=5)
    assert {name: (values.shape, values.dtype) for name, values in inputs.items()} == {
        "data": ((5, 3, 20, 30), np.float32),
        "label": ((5,), np.float32),
        "other": ((4, 2), np.float32),
    }
    pixels = inputs["data"] + input_means(3)
    assert set(np.unique(pixels)) == set(range(256))
    np.testing.assert_array_equal(random_inputs({"data": (1, 3, 20, 30)}, batch=5)["data"], inputs["data"])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 no zip",
        b"layer { }",
    ],
)
def test_files_that_are_no_recordings(content, tmp_path):
    (tmp_path / "r.npz").write_bytes(content)
    with pytest.raises(PytsnError, match="of plain arrays"):
        read_recording(tmp_path / "r.npz", INPUTS)


def test_pickles_single_arrays_text_and_absent_files_are_refused(tmp_path):
    np.savez(tmp_path / "r.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(PytsnError, match="of plain arrays"):
        read_recording(tmp_path / "r.npz", INPUTS)
    with pytest.raises(PytsnError, match="'a' holds <U2"):
        read_recording(write(tmp_path / "r.npz", a=np.array(["no"])), INPUTS)
    np.save(tmp_path / "r.npy", np.ones(3))
    with pytest.raises(PytsnError, match="single array"):
        read_recording(tmp_path / "r.npy", INPUTS)
    with pytest.raises(PytsnError, match="no such file"):
        read_recording(tmp_path / "absent.npz", INPUTS)
    with pytest.raises(PytsnError, match="crops_uint8 has shape"):
        read_recording(write(tmp_path / "r.npz", crops_uint8=np.ones((3, 2), np.uint8)), INPUTS)


@pytest.mark.parametrize("whole", [True, False])
def test_a_net_agrees_with_its_own_recording_and_not_with_a_damaged_one(whole, tmp_path):
    net = build(NET)
    x = random_inputs(INPUTS, batch=3)
    record_blobs(net, x, tmp_path / "r.npz", whole=whole)
    recording = read_recording(tmp_path / "r.npz", net.inputs)
    np.testing.assert_array_equal(recording.inputs["data"], x["data"])
    assert recording.blobs() == ["data", "conv", "fc"]

    def differences():
        views = recording.views(run_net(net, recording.inputs, recording.blobs()))
        return compare_blobs(recording.entries, views)

    assert first_beyond(differences()) is None
    net.conv.weight.data[1, 2, 0, 1] *= 1.001
    assert first_beyond(differences()).blob == ("conv" if whole else "mean:conv")
