"""Small nets as ONNX: in-place chains, consensus, places, names, batches that are fixed, and what is refused."""

import numpy as np
import onnx
import pytest
import torch

from converter.errors import PytsnError
from converter.net import CaffeNet
from converter.onnx_export import export_onnx
from tests.converter.nets import build

pytest.importorskip("onnxruntime", reason="the files are run with onnxruntime")
from tests.converter.onnx_runs import check_other_batch, run

# What neither recordings nor the table of numpy oracles hold; CaffeNet, compared with those, is the measure here.
COMPOSED = {
    "in_place": """
        input: "data" input_shape { dim: 2 dim: 3 dim: 9 dim: 7 }
        layer { name: "a/conv" type: "Convolution" bottom: "data" top: "a/conv"
          convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
        layer { name: "a/bn" type: "BN" bottom: "a/conv" top: "a/bn"
          bn_param { frozen: true slope_filler { type: "uniform" min: -1 max: 1 } bias_filler { value: 0.1 } } }
        layer { name: "a/relu" type: "ReLU" bottom: "a/bn" top: "a/bn" }
        layer { name: "a/scale" type: "Scale" bottom: "a/bn" top: "a/bn"
          scale_param { filler { type: "gaussian" std: 1 } } }
        layer { name: "both" type: "Concat" bottom: "a/conv" bottom: "a/bn" top: "both" }
        layer { name: "fc-action" type: "InnerProduct" bottom: "both" top: "fc-action"
          inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }""",
    "consensus": """
        input: "data" input_shape { dim: 2 dim: 6 dim: 4 dim: 5 }
        layer { name: "split" type: "Reshape" bottom: "data" top: "snippets"
          reshape_param { shape { dim: [-1, 2, 4, 5] } } }
        layer { name: "fc" type: "InnerProduct" bottom: "snippets" top: "fc"
          inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
        layer { name: "join" type: "Reshape" bottom: "fc" top: "join" reshape_param { shape { dim: [-1, 1, 3, 7] } } }
        layer { name: "consensus" type: "Pooling" bottom: "join" top: "consensus"
          pooling_param { pool: AVE kernel_h: 3 kernel_w: 1 } }""",
    "eps": """
        input: "data" input_shape { dim: 2 dim: 3 dim: 4 dim: 5 }
        layer { name: "bn" type: "BN" bottom: "data" top: "bn" bn_param { eps: 0.5 slope_filler { value: 2 } } }
        layer { name: "stored" type: "BatchNorm" bottom: "data" top: "stored" batch_norm_param { eps: 0.25 } }
        layer { name: "own" type: "BatchNorm" bottom: "data" top: "own"
          batch_norm_param { eps: 0.125 use_global_stats: false } }
        layer { name: "mvn" type: "MVN" bottom: "data" top: "mvn" mvn_param { eps: 0.75 } }""",
    "places": """
        input: "data" input_shape { dim: 2 dim: 3 dim: 6 dim: 9 }
        layer { name: "pool" type: "Pooling" bottom: "data" top: "most" top: "where"
          pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 } }""",
    "global_places": """
        input: "data" input_shape { dim: 2 dim: 3 dim: 6 dim: 9 }
        layer { name: "pool" type: "Pooling" bottom: "data" top: "most" top: "where"
          pooling_param { pool: MAX global_pooling: true } }""",
    "slices": """
        input: "data" input_shape { dim: 2 dim: 9 dim: 4 }
        layer { name: "s" type: "Slice" bottom: "data" top: "s0" top: "s1" top: "s2"
          slice_param { slice_point: [1, 4] } }
        layer { name: "t" type: "Slice" bottom: "data" top: "t0" top: "t1" slice_param { axis: 2 } }
        layer { name: "u" type: "Split" bottom: "t0" top: "u0" top: "u1" }""",
    "batch_sliced": """
        input: "data" input_shape { dim: 4 dim: 3 }
        layer { name: "s" type: "Slice" bottom: "data" top: "s0" top: "s1" slice_param { axis: 0 slice_point: 1 } }""",
    "arg_max": """
        input: "data" input_shape { dim: 3 dim: 2 dim: 7 }
        layer { name: "a" type: "ArgMax" bottom: "data" top: "a" argmax_param { top_k: 3 } }
        layer { name: "b" type: "ArgMax" bottom: "data" top: "b" argmax_param { top_k: 4 out_max_val: true } }
        layer { name: "c" type: "ArgMax" bottom: "data" top: "c" argmax_param { axis: 2 top_k: 2 } }
        layer { name: "d" type: "ArgMax" bottom: "data" top: "d" argmax_param { axis: -1 out_max_val: true } }""",
    "batch_norm": """
        input: "data" input_shape { dim: 3 dim: 4 dim: 5 dim: 6 }
        layer { name: "stored" type: "BatchNorm" bottom: "data" top: "stored" }
        layer { name: "batch" type: "BatchNorm" bottom: "data" top: "batch"
          batch_norm_param { use_global_stats: false } }
        layer { name: "mvn" type: "MVN" bottom: "data" top: "mvn" mvn_param { normalize_variance: false } }
        layer { name: "flat" type: "Reduction" bottom: "data" top: "flat" reduction_param { axis: 1 } }
        layer { name: "line" type: "BatchNorm" bottom: "flat" top: "line" }
        layer { name: "flat_mvn" type: "MVN" bottom: "stored" top: "flat_mvn" mvn_param { across_channels: true } }""",
}


def randomize(net: CaffeNet) -> CaffeNet:
    """Stored statistics as after training: positive, and for BatchNorm sums over 4 batches."""
    generator = torch.Generator().manual_seed(1)
    for name, buffer in net.named_buffers():
        buffer.copy_(torch.rand(buffer.shape, generator=generator) + (0.5 if "var" in name else 0))
        if name.endswith("scale_factor"):
            buffer.fill_(4)
    return net


@pytest.mark.parametrize("name", COMPOSED)
def test_small_nets_at_two_batch_sizes(name, tmp_path):
    net = randomize(build(COMPOSED[name]))
    exported = export_onnx(net, tmp_path / "net.onnx", all_blobs=True)
    assert exported.batch == "N"
    assert exported.values.keys() == set(net.blob_names) - set(net.inputs)
    for batch in (next(iter(net.inputs.values()))[0], 5):
        check_other_batch(net, tmp_path / "net.onnx", batch)


def test_of_equal_values_arg_max_prefers_the_larger_index(tmp_path):
    net = build(COMPOSED["arg_max"])
    export_onnx(net, tmp_path / "net.onnx")
    x = np.tile(np.array([1, 3, 3, 0, 3, 1, 2], np.float32), (3, 2, 1))
    found = run(tmp_path / "net.onnx", {"data": x})
    assert found["c"][0, 0].tolist() == [4, 2]
    assert found["a"][0, 0, :, 0].tolist() == [11, 9, 8]  # both rows of a sample in one line


def test_names_follow_the_net(tmp_path):
    net = build(COMPOSED["in_place"])
    exported = export_onnx(net, tmp_path / "net.onnx", metadata={"classes": "5"})
    model = onnx.load(tmp_path / "net.onnx")
    assert [entry.name for entry in model.graph.output] == ["fc-action"]
    made = [output for node in model.graph.node for output in node.output]
    assert [name for name in made if "~" not in name] == ["a/conv", "a/bn@0", "a/bn@1", "a/bn", "both", "fc-action"]
    weights = {entry.name: tuple(entry.dims) for entry in model.graph.initializer}
    state = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    assert weights.keys() == state.keys()
    assert {key for key in state if weights[key] != state[key]} == {"a_scale.weight"}  # (C, 1, 1) there
    assert {entry.key: entry.value for entry in model.metadata_props} == {"classes": "5"}
    assert (model.opset_import[0].version, model.ir_version) == (17, 8)
    assert exported.inputs == {"data": ("N", 3, 9, 7)}
    assert exported.outputs == {"fc-action": ("N", 5)}


def test_an_input_written_in_place_keeps_its_name(tmp_path):
    net = build("""input: "data" input_shape { dim: 2 dim: 3 }
        layer { name: "power" type: "Power" bottom: "data" top: "data" power_param { scale: 2 } }
        layer { name: "tanh" type: "TanH" bottom: "data" top: "data" }
        layer { name: "abs" type: "AbsVal" bottom: "data" top: "abs" }""")
    exported = export_onnx(net, tmp_path / "net.onnx", outputs=["abs", "data"])
    assert exported.values == {"abs": "abs", "data": "data@2"}
    x = np.array([[-1, 0, 2]], np.float32)
    found = run(tmp_path / "net.onnx", {"data": x})
    np.testing.assert_allclose(found["data@2"], np.tanh(2 * x), rtol=1e-6)
    np.testing.assert_allclose(found["abs"], np.abs(np.tanh(2 * x)), rtol=1e-6)


def test_numbers_only_in_a_reshape_fix_the_batch(tmp_path):
    net = build("""input: "data" input_shape { dim: 2 dim: 3 dim: 4 dim: 5 }
        layer { name: "fold" type: "Reshape" bottom: "data" top: "fold" reshape_param { shape { dim: [6, 1, 4, 5] } } }
        layer { name: "conv" type: "Convolution" bottom: "fold" top: "conv"
          convolution_param { num_output: 2 kernel_size: 2 weight_filler { type: "xavier" } } }""")
    exported = export_onnx(net, tmp_path / "net.onnx")
    assert exported.batch == 2
    assert exported.inputs == {"data": (2, 3, 4, 5)}
    assert "batch size 2 only" in exported.warnings[0]
    assert "'fold'" in exported.warnings[0]
    check_other_batch(net, tmp_path / "net.onnx", 2)


def test_channels_that_would_follow_the_batch_fix_it(tmp_path):
    """-1 takes what is left: with 4 samples the convolution would see 12 channels instead of 6."""
    net = build("""input: "data" input_shape { dim: 2 dim: 3 dim: 4 dim: 5 }
        layer { name: "fold" type: "Reshape" bottom: "data" top: "fold" reshape_param { shape { dim: [1, -1, 4, 5] } } }
        layer { name: "conv" type: "Convolution" bottom: "fold" top: "conv"
          convolution_param { num_output: 2 kernel_size: 2 weight_filler { type: "xavier" } } }""")
    exported = export_onnx(net, tmp_path / "net.onnx")
    assert exported.batch == 2
    assert "'conv'" in exported.warnings[0]
    check_other_batch(net, tmp_path / "net.onnx", 2)


def test_bottoms_that_would_no_longer_fit_each_other_fix_the_batch(tmp_path):
    net = build("""input: "data" input_shape { dim: 2 dim: 3 } input: "row" input_shape { dim: 1 dim: 6 }
        layer { name: "line" type: "Reshape" bottom: "data" top: "line" reshape_param { shape { dim: [1, -1] } } }
        layer { name: "rows" type: "Concat" bottom: "line" bottom: "row" top: "rows" concat_param { axis: 0 } }""")
    exported = export_onnx(net, tmp_path / "net.onnx")
    assert exported.batch == 2
    assert "'rows'" in exported.warnings[0]
    check_other_batch(net, tmp_path / "net.onnx", 2)


SCORED = """
    layer { name: "video" type: "VideoData" top: "data" top: "label" include { phase: TEST }
      video_data_param { batch_size: 2 new_height: 4 new_width: 5 modality: RGB } }
    layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
      inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
    layer { name: "top1" type: "Accuracy" bottom: "fc" bottom: "label" top: "top1" }"""


def test_a_train_val_net_gives_its_scores(tmp_path):
    net = build(SCORED)
    exported = export_onnx(net, tmp_path / "net.onnx")
    assert exported.inputs == {"data": ("N", 3, 4, 5)}
    assert exported.outputs == {"fc": ("N", 3)}
    check_other_batch(net, tmp_path / "net.onnx", 3)


def test_labels_and_what_is_silenced_are_no_results():
    net = build("""
        input: "data" input_shape { dim: 2 dim: 3 } input: "label" input_shape { dim: 2 }
        layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 } }
        layer { name: "side" type: "InnerProduct" bottom: "data" top: "side" inner_product_param { num_output: 2 } }
        layer { name: "gather" type: "Gather" bottom: "label" top: "labels" }
        layer { name: "quiet" type: "Silence" bottom: "side" }
        layer { name: "top1" type: "Accuracy" bottom: "fc" bottom: "labels" top: "top1" }""")
    assert net.graph.results() == ["fc"]


def test_what_cannot_be_written_is_refused_and_nothing_is_left(tmp_path, monkeypatch):
    net, path = build(SCORED), tmp_path / "net.onnx"
    for outputs, message in (
        (["top1"], r"'top1' \(Accuracy\)"),
        (["data"], "'data' is an input"),
        (["fcc"], "mean 'fc'"),
    ):
        with pytest.raises(PytsnError, match=message):
            export_onnx(net, path, outputs=outputs)
    net.phase = "TRAIN"
    with pytest.raises(PytsnError, match="phase TEST"):
        export_onnx(net, path)
    net.phase = "TEST"
    monkeypatch.setattr("converter.onnx_export._MAX_FLOATS", 100)
    with pytest.raises(PytsnError, match="2 GB"):
        export_onnx(net, path)
    assert not list(tmp_path.iterdir())


def test_the_same_net_gives_the_same_bytes(tmp_path):
    for name in ("a.onnx", "b.onnx"):
        export_onnx(build(COMPOSED["in_place"]), tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
