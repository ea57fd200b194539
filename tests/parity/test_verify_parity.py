"""The verify_parity command: passes on what Caffe recorded, fails on a damaged weight, and names the first blob."""

import sys

import numpy as np
import pytest

from converter.caffemodel import read_caffemodel, write_caffemodel
from converter.onnx_run import run_onnx
from converter.recording import random_inputs, record_blobs
from converter.state_files import write_state
from converter.weights import save_caffemodel
from pytsn.cli import run_command
from pytsn.models.net_spec import NetSpec
from pytsn.models.prototxt import deploy_prototxt
from tests.converter.nets import build
from tests.models.recipe_nets import deploy_net, recipe_state

NET = """
    input: "data" input_shape { dim: 1 dim: 3 dim: 9 dim: 7 }
    layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
      convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
    layer { name: "pool" type: "Pooling" bottom: "conv1" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
    layer { name: "relu" type: "ReLU" bottom: "pool" top: "pool" }
    layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
      inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }"""


def verify(*arguments) -> int:
    return run_command("verify-parity", [str(argument) for argument in arguments])


@pytest.fixture
def small(tmp_path):
    """(prototxt, caffemodel, recording) of a small net."""
    net = build(NET)
    (tmp_path / "net.prototxt").write_text(NET)
    save_caffemodel(tmp_path / "net.caffemodel", net)
    record_blobs(net, random_inputs(net.inputs, batch=3), tmp_path / "net.npz")
    return tmp_path / "net.prototxt", tmp_path / "net.caffemodel", tmp_path / "net.npz"


def damage(source, target, layer_name: str, amount: float):
    """A copy of a caffemodel with one weight of one layer moved."""
    model = read_caffemodel(source)
    blobs = {layer.name: [blob.array().copy() for blob in layer.blobs] for layer in model.layers}
    blobs[layer_name][0].reshape(-1)[7] += amount
    write_caffemodel(target, model.net, blobs)
    return target


def test_agreement(small, capsys):
    prototxt, caffemodel, recording = small
    assert verify(prototxt, caffemodel, "--recording", recording) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "PASS"
    assert any(line.startswith("recording: 4 compared, all within 3e-05") for line in lines)
    assert any(line.startswith("ONNX: 3 compared, all within 3e-05") for line in lines)
    assert "BNInception: not compared (the net is not BN-Inception)" in lines
    rows = [line.split()[:2] for line in lines if line.startswith(("data", "conv1", "pool", "fc"))]
    assert rows == [["data", "3x3x9x7"], ["conv1", "3x4x7x5"], ["pool", "3x4x4x3"], ["fc", "3x5"]]


def test_a_damaged_weight_fails_and_the_first_blob_is_named(small, tmp_path, capsys):
    prototxt, caffemodel, recording = small
    for layer in ("conv1", "fc"):
        damaged = damage(caffemodel, tmp_path / "damaged.caffemodel", layer, 0.01)
        assert verify(prototxt, damaged, "--recording", recording) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1] == "FAIL"
        assert f"first blob beyond tolerance: {layer} (recording, {layer}): off by" in lines[-2]
        failed = {line.split()[0] for line in lines[:-2] if "FAIL" in line}
        assert failed == ({"conv1", "pool", "fc"} if layer == "conv1" else {"fc"})
    assert verify(prototxt, damaged, "--recording", recording, "--tolerance", "0.5") == 0
    assert verify(prototxt, damaged, "--recording", recording, "--blobs", "conv1", "pool") == 0
    assert verify(prototxt, damaged) == 0  # our own ways to run it agree about the damaged net, too


def test_onnx_by_its_own_evaluator_where_onnxruntime_is_missing(small, capsys, monkeypatch):
    prototxt, caffemodel, _ = small
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert verify(prototxt, caffemodel) == 0
    assert "ONNX: 3 compared" in (printed := capsys.readouterr().out)
    assert "onnxruntime is not installed" in printed


def test_a_wrong_onnx_file_would_be_noticed(small, capsys, monkeypatch):
    prototxt, caffemodel, _ = small
    monkeypatch.setattr("pytsn.parity.runs.run_onnx", _off)
    assert verify(prototxt, caffemodel) == 1
    assert "first blob beyond tolerance: pool (ONNX, pool)" in capsys.readouterr().out


def _off(path, inputs):
    return {name: values * (1.001 if name == "pool" else 1) for name, values in run_onnx(path, inputs).items()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--blobs", "conv2"], "no blob named 'conv2'; did you mean 'conv1'?"),
        (["--tolerance", "-1"], "--tolerance -1.0"),
        (["--tolerance", "nan"], "--tolerance nan"),
        (["--recording", "absent.npz"], "no such file"),
    ],
)
def test_bad_arguments_are_one_line(small, arguments, message, capsys):
    assert verify(*small[:2], *arguments) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert len(printed.splitlines()) == 1


def test_recordings_of_another_net_and_without_input(small, tmp_path, capsys):
    prototxt, caffemodel, _ = small
    np.savez(tmp_path / "other.npz", input=np.ones((1, 3, 9, 7)), other=np.ones(3))
    assert verify(prototxt, caffemodel, "--recording", tmp_path / "other.npz") == 2
    assert "records no blob of this net" in capsys.readouterr().err
    np.savez(tmp_path / "bare.npz", fc=np.ones((1, 5)))
    assert verify(prototxt, caffemodel, "--recording", tmp_path / "bare.npz") == 2
    assert "holds no input" in capsys.readouterr().err
    np.savez(tmp_path / "shape.npz", input=np.ones((1, 3, 9, 7)), fc=np.ones((1, 6)))
    assert verify(prototxt, caffemodel, "--recording", tmp_path / "shape.npz") == 2
    assert "'fc': shape (1, 5) against (1, 6)" in capsys.readouterr().err
    np.savez(tmp_path / "size.npz", input=np.ones((1, 2, 9, 7)), fc=np.ones((1, 5)))
    assert verify(prototxt, caffemodel, "--recording", tmp_path / "size.npz") == 2


def test_incomplete_weights_are_refused(small, capsys):
    prototxt, caffemodel, _ = small
    prototxt.write_text(NET.replace('name: "fc"', 'name: "other"'))
    assert verify(prototxt, caffemodel) == 2
    assert "'other'" in capsys.readouterr().err


@pytest.mark.parametrize(("modality", "channels"), [("rgb", 3), ("flow", 10)])
def test_bn_inception_of_the_recipe(modality, channels, recordings, tmp_path, capsys):
    """The recipe's weights and input are formulas; what Caffe made of them is recorded: mean and std of every blob."""
    folder = recordings / "bn_inception"
    (tmp_path / "net.prototxt").write_text(deploy_prototxt(NetSpec("custom", modality, num_classes=101)))
    write_state(tmp_path / "net.pth", recipe_state(recordings, deploy_net(modality), channels), {})
    pixels = np.random.RandomState(0).randint(0, 256, (2, channels, 224, 224)).astype(np.float32)
    mean = np.float32([104, 117, 123]).reshape(3, 1, 1) if channels == 3 else np.float32(128)
    with np.load(folder / f"recipe_ucf101_{modality}.npz", allow_pickle=False) as recorded:
        np.savez(tmp_path / "recording.npz", input=pixels - mean, **{key: recorded[key] for key in recorded.files})
        entries = len(recorded.files)
    assert verify(tmp_path / "net.prototxt", tmp_path / "net.pth", "--recording", tmp_path / "recording.npz") == 0
    printed = capsys.readouterr().out
    assert f"recording: {entries} compared, all within 3e-05" in printed
    assert "BNInception: 162 compared, all within 3e-05" in printed
    assert "ONNX: 162 compared, all within 3e-05" in printed


@pytest.mark.golden
@pytest.mark.slow
def test_the_rgb_net_passes_and_a_damaged_weight_is_found(shared, golden, rgb_caffemodel, tmp_path, capsys):
    prototxt = shared / "tsn" / "models" / "ucf101" / "tsn_bn_inception_rgb_deploy.prototxt"
    recording = golden / "bn_inception" / "forward_rgb.npz"
    assert verify(prototxt, rgb_caffemodel, "--recording", recording) == 0
    printed = capsys.readouterr().out
    assert "recording: 226 compared, all within 3e-05" in printed
    assert printed.endswith("PASS\n")
    damaged = damage(rgb_caffemodel, tmp_path / "damaged.caffemodel", "inception_3a/3x3", 0.01)
    assert verify(prototxt, damaged, "--recording", recording) == 1
    printed = capsys.readouterr().out
    assert "first blob beyond tolerance: inception_3a/3x3 (recording, mean:inception_3a/3x3)" in printed
    assert printed.endswith("FAIL\n")
