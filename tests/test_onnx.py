"""ONNX files against what Caffe recorded, against slow numpy, and at a batch size that the prototxt does not mention."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from layer_cases import CASES

from converter.errors import PytsnError
from converter.layers import LAYERS
from converter.net import CaffeNet
from converter.onnx_export import export_onnx
from converter.onnx_layers import MAKERS, NOT_IN_ONNX
from converter.proto import filter_net, parse_net

onnxruntime = pytest.importorskip("onnxruntime", reason="the files are run with onnxruntime")

FOLDER = Path(__file__).parent / "data" / "layers"
RECORDINGS = sorted(path.name.split(".")[0] for path in FOLDER.glob("*.test.npz"))
#: losses and accuracies serve training and scoring in Caffe; ONNX files are for inference
SKIPPED = {"softmax_loss", "softmax_loss_axis3", "softmax_loss_unnormalized"}
# Share of the largest magnitude. float32 sums of a few hundred terms in another order differ by about 1e-7 a term.
TOLERANCE = 1e-5
# The batch of these layers is part of their sizes: their files are for the prototxt's batch only.
FIXED = {"scale_two"}  # its bias has the shape of the first two axes


def make_net(text: str) -> CaffeNet:
    return CaffeNet(filter_net(parse_net(text)), "TEST", generator=torch.Generator().manual_seed(0)).eval()


def run(path: Path, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs of an ONNX file. Optimisation is off, so that what was written is what runs."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    used = {each.name for each in session.get_inputs()}
    values = session.run(names, {name: value for name, value in feeds.items() if name in used})
    return dict(zip(names, values, strict=True))


def check(found: np.ndarray, wanted: np.ndarray, what: str = "") -> None:
    assert found.dtype == np.float32
    assert found.shape == tuple(wanted.shape), what
    largest = np.abs(np.where(np.abs(wanted) > 1e30, 0, wanted)).max()  # windows outside of the image hold -FLT_MAX
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=TOLERANCE * largest, err_msg=what)


def check_other_batch(net: CaffeNet, path: Path, batch: int, positive: bool = False) -> None:
    """The file against CaffeNet with ``batch`` samples instead of the prototxt's number."""
    random = np.random.default_rng(3)
    own = next(iter(net.inputs.values()))[0]
    feeds = {}
    for name, shape in net.inputs.items():
        size = (batch, *shape[1:]) if shape[:1] == (own,) else shape
        values = random.uniform(0.5, 1.5, size) if positive else random.normal(size=size)
        feeds[name] = np.asarray(values, np.float32)
    for name, found in run(path, feeds).items():
        with torch.no_grad():
            wanted = net({key: torch.from_numpy(value) for key, value in feeds.items()}, [name])[name]
        check(found, wanted.numpy(), f"{name} of a batch of {batch}")


def test_every_layer_type_is_written_or_left_out_on_purpose():
    assert MAKERS.keys() | NOT_IN_ONNX == LAYERS.keys()
    assert not MAKERS.keys() & NOT_IN_ONNX


@pytest.mark.parametrize("name", [name for name in RECORDINGS if name not in SKIPPED])
def test_as_caffe_recorded(name, tmp_path):
    net = make_net((FOLDER / f"{name}.prototxt").read_text())
    with np.load(FOLDER / f"{name}.test.npz", allow_pickle=False) as recording:
        ((_, module),) = net.layers()
        for index, blob in enumerate(module.blob_names):
            getattr(module, blob).data.copy_(
                torch.from_numpy(recording[f"blob{index}"].reshape(-1)).view(-1).reshape(getattr(module, blob).shape)
            )
        exported = export_onnx(net, tmp_path / "net.onnx")
        found = run(tmp_path / "net.onnx", {blob: recording[blob] for blob in net.inputs})
        check(found["out"], recording["out"])
    assert exported.batch == "N"
    check_other_batch(net, tmp_path / "net.onnx", 7)


@pytest.mark.parametrize("name", sorted(SKIPPED))
def test_losses_are_refused_by_name_when_asked_for(name, tmp_path):
    net = make_net((FOLDER / f"{name}.prototxt").read_text())
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
    net = make_net(f'{dims} layer {{ name: "layer" {bottoms} top: "out" {case.text} }}')
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
