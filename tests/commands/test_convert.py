"""The convert command: what it writes, that weights come back bit by bit, what it prints and what it refuses."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from safetensors import safe_open

from converter.caffemodel import read_caffemodel
from converter.files import sha256_of
from converter.net import load_net
from converter.state_files import read_state
from converter.weights import save_caffemodel
from pytsn.cli import run_command
from pytsn.models import BNInception
from tests.converter.nets import build

NET = """
    name: "small"
    input: "data" input_dim: 1 input_dim: 3 input_dim: 6 input_dim: 8
    layer { name: "conv/a" type: "Convolution" bottom: "data" top: "conv/a" convolution_param { num_output: 4
      kernel_size: 3 stride: 2 weight_filler { type: "xavier" } bias_filler { type: "gaussian" std: 1 } } }
    layer { name: "conv/a_bn" type: "BN" bottom: "conv/a" top: "conv/a_bn" bn_param {
      slope_filler { type: "uniform" min: 0.5 max: 1.5 } bias_filler { type: "gaussian" std: 1 } } }
    layer { name: "relu" type: "ReLU" bottom: "conv/a_bn" top: "conv/a_bn" }
    layer { name: "fc-action" type: "InnerProduct" bottom: "conv/a_bn" top: "fc-action"
      inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }"""
KEYS = [
    "conv_a.weight",
    "conv_a.bias",
    "conv_a_bn.weight",
    "conv_a_bn.bias",
    "conv_a_bn.running_mean",
    "conv_a_bn.running_var",
    "fc_action.weight",
    "fc_action.bias",
]


@pytest.fixture
def small(tmp_path):
    """(prototxt, caffemodel) of a small net with statistics as after training."""
    net = build(NET)
    net.conv_a_bn.running_mean.copy_(torch.tensor([3.0, -2, 0.5, 10]))
    net.conv_a_bn.running_var.copy_(torch.tensor([900.0, 400, 2500, 1.5e4]))
    (tmp_path / "net.prototxt").write_text(NET)
    save_caffemodel(tmp_path / "net.caffemodel", net)
    return tmp_path / "net.prototxt", tmp_path / "net.caffemodel"


def convert(*arguments) -> int:
    return run_command("convert", [str(argument) for argument in arguments])


def weights(path) -> dict[str, list[tuple[tuple[int, ...], bytes]]]:
    """Layer -> shape and bytes of each of its blobs."""
    layers = read_caffemodel(path).layers
    return {layer.name: [(blob.shape, blob.data.tobytes()) for blob in layer.blobs] for layer in layers}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".pt"])
def test_state_dict_and_back_to_the_same_bytes(small, suffix, tmp_path, capsys):
    prototxt, caffemodel = small
    state_file, back = tmp_path / f"net2{suffix}", tmp_path / "back.caffemodel"
    assert convert(prototxt, caffemodel, "-o", state_file) == 0
    assert "3 layers matched, 0 missing, 0 unused" in capsys.readouterr().out
    assert convert(prototxt, state_file, "-o", back) == 0
    assert weights(back) == weights(caffemodel)
    assert [shape for shape, _ in weights(back)["conv/a_bn"]] == [(1, 4)] * 4
    assert back.read_bytes() == caffemodel.read_bytes()


def test_what_a_state_dict_holds_and_says(small, tmp_path):
    prototxt, caffemodel = small
    for name in ("net.pth", "net.safetensors"):
        assert convert(prototxt, caffemodel, "-o", tmp_path / name) == 0
        state, metadata = read_state(tmp_path / name)
        assert list(state) == KEYS if name == "net.pth" else sorted(state) == sorted(KEYS)
        assert state["conv_a_bn.running_var"].tolist() == [900, 400, 2500, 1.5e4]
        assert metadata["source_weights"] == "net.caffemodel"
        assert metadata["source_weights_sha256"] == sha256_of(caffemodel)
        assert metadata["source_prototxt_sha256"] == sha256_of(prototxt)
        told = {key: metadata[key] for key in ("num_classes", "channels", "means", "bn_style", "output", "input_shape")}
        assert told == {
            "num_classes": "5",
            "channels": "3",
            "means": "104,117,123",
            "bn_style": "var",
            "output": "fc-action",
            "input_shape": "N,3,6,8",
        }
    plain = torch.load(tmp_path / "net.pth", weights_only=True)
    build(NET).load_state_dict(plain, strict=True)
    with safe_open(tmp_path / "net.safetensors", "pt") as file:
        assert file.metadata()["num_classes"] == "5"


def test_the_origin_survives_a_second_conversion(small, tmp_path):
    prototxt, caffemodel = small
    convert(prototxt, caffemodel, "-o", tmp_path / "a.pth")
    convert(prototxt, tmp_path / "a.pth", "-o", tmp_path / "b.safetensors")
    convert(prototxt, tmp_path / "b.safetensors", "-o", tmp_path / "c.pth")
    _, metadata = read_state(tmp_path / "c.pth")
    assert metadata["source_weights"] == "b.safetensors"
    assert metadata["origin_source_weights"] == "net.caffemodel"
    assert metadata["origin_source_weights_sha256"] == sha256_of(caffemodel)


def test_inverse_standard_deviations_become_variances(small, tmp_path, capsys):
    prototxt, caffemodel = small
    net = load_net(prototxt, caffemodel)
    variance = net.conv_a_bn.running_var.clone()
    net.conv_a_bn.running_var.copy_((variance + 1e-5).rsqrt())
    save_caffemodel(tmp_path / "old.caffemodel", net)
    assert convert(prototxt, tmp_path / "old.caffemodel", "-o", tmp_path / "warned.pth") == 0
    assert "try --bn_style invstd" in capsys.readouterr().out
    assert convert(prototxt, tmp_path / "old.caffemodel", "-o", tmp_path / "new.pth", "--bn_style", "invstd") == 0
    state, metadata = read_state(tmp_path / "new.pth")
    np.testing.assert_allclose(state["conv_a_bn.running_var"], variance, rtol=1e-6)
    assert metadata["bn_style"] == "invstd"
    assert "BN style: invstd" in capsys.readouterr().out
    assert convert(prototxt, tmp_path / "new.pth", "-o", tmp_path / "x.pth", "--bn_style", "invstd") == 2
    assert "converted already" in capsys.readouterr().err


def test_onnx_is_checked_run_and_described(small, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    prototxt, caffemodel = small
    assert convert(prototxt, caffemodel, "-o", tmp_path / "net.onnx") == 0
    printed = capsys.readouterr().out
    assert "data ['N', 3, 6, 8], fc-action ['N', 5]" in printed
    assert "onnxruntime: largest difference from the net: fc-action" in printed
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert properties["source_weights_sha256"] == sha256_of(caffemodel)
    assert (properties["num_classes"], properties["means"]) == ("5", "104,117,123")


def test_onnx_without_onnxruntime(small, tmp_path, capsys, monkeypatch):
    prototxt, caffemodel = small
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert convert(prototxt, caffemodel, "-o", tmp_path / "net.onnx") == 0
    assert "onnxruntime is not installed: the file was not run" in capsys.readouterr().out
    assert (tmp_path / "net.onnx").stat().st_size > 0


def test_several_outputs_at_once_and_the_table(small, tmp_path, capsys):
    prototxt, caffemodel = small
    assert convert(prototxt, caffemodel, "-o", tmp_path / "a.pth", "-o", tmp_path / "a.caffemodel", "--inspect") == 0
    lines = capsys.readouterr().out.splitlines()
    cells = [line.split() for line in lines[:6]]
    assert cells == [
        ["layer", "type", "tops", "weights", "parameters"],
        ["data", "input", "1x3x6x8"],
        ["conv/a", "Convolution", "1x4x2x3", "4x3x3x3", "4", "112"],
        ["conv/a_bn", "BN", "1x4x2x3", "1x4", "1x4", "1x4", "1x4", "16"],
        ["relu", "ReLU", "1x4x2x3"],
        ["fc-action", "InnerProduct", "1x5", "5x24", "5", "125"],
    ]
    assert len({line.index(word) for line, word in zip(lines[:3], ("type", "input", "Convolution"), strict=True)}) == 1
    assert lines[6] == "4 layers, 253 parameters (0.0 MB)"
    assert (tmp_path / "a.pth").exists()
    assert (tmp_path / "a.caffemodel").exists()


def test_missing_layers_stop_the_conversion_unless_allowed(small, tmp_path, capsys):
    prototxt, caffemodel = small
    prototxt.write_text(NET.replace('"fc-action"', '"fc-other"'))
    assert convert(prototxt, caffemodel, "-o", tmp_path / "a.pth") == 2
    printed = capsys.readouterr()
    assert "weights: 2 layers matched, 1 missing, 1 unused" in printed.out
    assert "missing: fc-other" in printed.out
    assert "unused: fc-action" in printed.out
    assert "'fc-other'" in printed.err
    assert not (tmp_path / "a.pth").exists()
    assert convert(prototxt, caffemodel, "-o", tmp_path / "a.pth", "--allow_missing") == 0
    assert (tmp_path / "a.pth").exists()


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (["a.npz"], "'.npz' is not one of .safetensors, .pth, .pt, .onnx, .caffemodel"),
        (["a"], "not one of"),
        (["ok.pth", "a.h5"], "'.h5'"),
        (["net.caffemodel"], "is read by this very command"),
        (["a.pth", "a.pth"], "is given twice"),
        (["absent/a.pth"], "no such file or folder"),
        (["absent/a.onnx"], "no such file or folder"),
        ([], "nothing to do"),
    ],
)
def test_outputs_that_are_refused(small, outputs, message, tmp_path, capsys):
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    arguments = [part for name in outputs for part in ("-o", tmp_path / name)]
    assert convert(*small, *arguments) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert len(printed.splitlines()) == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.golden
def test_the_golden_caffemodel_comes_back_and_fits_bn_inception(shared, rgb_caffemodel, tmp_path):
    prototxt = shared / "tsn" / "models" / "ucf101" / "tsn_bn_inception_rgb_deploy.prototxt"
    assert convert(prototxt, rgb_caffemodel, "-o", tmp_path / "a.pth", "-o", tmp_path / "a.safetensors") == 0
    original = {name: [data for _, data in blobs] for name, blobs in weights(rgb_caffemodel).items()}
    for suffix in (".pth", ".safetensors"):
        back = tmp_path / f"back{suffix}.caffemodel"
        assert convert(prototxt, tmp_path / f"a{suffix}", "-o", back) == 0
        assert {name: [data for _, data in blobs] for name, blobs in weights(back).items()} == original
        state, metadata = read_state(tmp_path / f"a{suffix}")
        BNInception(num_classes=101).load_state_dict(state, strict=True)
        assert (metadata["num_classes"], metadata["channels"]) == ("101", "3")


MEASURED = """
import os, sys
import converter, pytsn
from pytsn.cli import run_command

steps, ours = 0, tuple(os.path.join(os.path.dirname(package.__file__), "") for package in (converter, pytsn))

def inside(frame, event, argument):
    global steps
    steps += event == "opcode"
    return inside

def trace(frame, event, argument):
    if frame.f_code.co_filename.startswith(ours):
        frame.f_trace_opcodes = True
        return inside

sys.settrace(trace)
status = run_command("convert", sys.argv[1:])
sys.settrace(None)
# ru_maxrss is inherited from the process that started this one; VmHWM is this program's own peak
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(status, int(peak) / 1024, steps)
"""


@pytest.mark.golden
@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".onnx", ".caffemodel"])
def test_steps_and_memory_of_41_megabytes(shared, rgb_caffemodel, suffix, tmp_path):
    """Under 600 MB; and fewer steps of Python (2 million seen) than the file has weights: none goes one by one."""
    prototxt = shared / "tsn" / "models" / "ucf101" / "tsn_bn_inception_rgb_deploy.prototxt"
    command = [sys.executable, "-c", MEASURED, prototxt, rgb_caffemodel, "-o", tmp_path / f"a{suffix}"]
    printed = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
    status, megabytes, steps = map(float, printed.splitlines()[-1].split())
    assert status == 0
    assert megabytes < 600
    assert steps < rgb_caffemodel.stat().st_size / 4
