"""Every layer type as ONNX, against what Caffe recorded and against slow numpy, and at a second batch size."""

from pathlib import Path

import numpy as np
import pytest
import torch

from converter.errors import PytsnError
from converter.graph import SCORING_TYPES
from converter.layers import LAYERS
from converter.onnx_export import export_onnx
from converter.onnx_layers import MAKERS
from tests.converter.layer_cases import CASES
from tests.converter.nets import build

pytest.importorskip("onnxruntime", reason="the files are run with onnxruntime")
from tests.converter.onnx_runs import check, check_other_batch, run

FOLDER = Path(__file__).parent.parent / "recordings" / "layers"
RECORDINGS = sorted(path.name.split(".")[0] for path in FOLDER.glob("*.test.npz"))
#: losses and accuracies serve training and scoring in Caffe; ONNX files are for inference
SKIPPED = {"softmax_loss", "softmax_loss_axis3", "softmax_loss_unnormalized"}
# The batch of these layers is part of their sizes: their files are for the prototxt's batch only.
FIXED = {"scale_two"}  # its bias has the shape of the first two axes


def test_every_layer_type_is_written_or_left_out_on_purpose():
    assert MAKERS.keys() | SCORING_TYPES == LAYERS.keys()
    assert not MAKERS.keys() & SCORING_TYPES


@pytest.mark.parametrize("name", [name for name in RECORDINGS if name not in SKIPPED])
def test_as_caffe_recorded(name, tmp_path):
    net = build((FOLDER / f"{name}.prototxt").read_text())
    with np.load(FOLDER / f"{name}.test.npz", allow_pickle=False) as recording:
        ((_, module),) = net.layers()
        for index, blob in enumerate(module.blob_names):
            tensor = getattr(module, blob)
            tensor.data.copy_(torch.from_numpy(recording[f"blob{index}"]).reshape(tensor.shape))
        exported = export_onnx(net, tmp_path / "net.onnx")
        found = run(tmp_path / "net.onnx", {blob: recording[blob] for blob in net.inputs})
        check(found["out"], recording["out"])
    assert exported.batch == "N"
    check_other_batch(net, tmp_path / "net.onnx", 7)


@pytest.mark.parametrize("name", sorted(SKIPPED))
def test_losses_are_refused_by_name_when_asked_for(name, tmp_path):
    net = build((FOLDER / f"{name}.prototxt").read_text())
    with pytest.raises(PytsnError, match=rf"'{name}' \(SoftmaxWithLoss\)"):
        export_onnx(net, tmp_path / "net.onnx", outputs=["out"])
    assert not list(tmp_path.iterdir())


ONNX_CASES = [case for case in CASES if case.name != "euclidean"]  # a loss


@pytest.mark.parametrize("case", ONNX_CASES, ids=lambda case: case.name)
def test_equals_numpy(case, tmp_path):
    bottoms = "".join(f' bottom: "b{i}"' for i in range(len(case.shapes)))
    dims = "".join(
        f'input: "b{i}" input_shape {{ {" ".join(f"dim: {dim}" for dim in shape)} }} '
        for i, shape in enumerate(case.shapes)
    )
    net = build(f'{dims} layer {{ name: "layer" {bottoms} top: "out" {case.text} }}')
    random = np.random.default_rng(7)
    draw = (lambda size: random.uniform(0.5, 1.5, size)) if case.positive else (lambda size: random.normal(size=size))
    ((_, module),) = net.layers()
    feeds = {f"b{i}": np.asarray(draw(shape), np.float32) for i, shape in enumerate(case.shapes)}
    blobs = []
    for name in module.blob_names:
        blobs.append(np.asarray(draw(tuple(getattr(module, name).shape)), np.float32))
        getattr(module, name).data.copy_(torch.from_numpy(blobs[-1]))
    exported = export_onnx(net, tmp_path / "net.onnx")
    found = run(tmp_path / "net.onnx", feeds)["out"]
    wanted = np.asarray(case.oracle(*(array.astype(np.float64) for array in (*feeds.values(), *blobs))))
    check(found, np.maximum(wanted, -np.finfo(np.float32).max))
    assert (exported.batch == "N") == (case.name not in FIXED)
    if exported.batch == "N":
        check_other_batch(net, tmp_path / "net.onnx", 5, case.positive)
