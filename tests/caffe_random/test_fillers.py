"""A net filled, and dropout drawn, from Caffe's own random stream: Caffe's numbers, bit for bit."""

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.caffemodel import read_caffemodel
from converter.errors import PytsnError
from converter.fillers import fill
from converter.layers import LAYERS, Context
from converter.net import CaffeNet, load_net
from converter.proto import filter_net, parse_net
from pytsn.caffe_random.generator import CaffeRng


@pytest.mark.parametrize(("case", "seed"), [("rgb_step", 7), ("rgb_itersize", 3)])
def test_initial_weights_are_caffes(recordings, case, seed):
    """xavier, msra, gaussian: every float32 of the net that Caffe wrote right after building it."""
    rng, folder = CaffeRng(seed), recordings / "tiny" / case
    # mirror, shuffle: the data layer takes a transform, a shuffle and a frame seed, and the transform's again
    net = load_net(
        folder / "train_val.prototxt",
        phase="TRAIN",
        generator=rng,
        on_data_layer=lambda layer: {} if len(rng.raws(4)) else None,
    )
    modules = {step.param.name: module for step, module in net.layers()}
    layers = read_caffemodel(folder / "init_iter_0.caffemodel").layers
    assert len(layers) == 6
    for layer in layers:
        names = modules[layer.name].blob_names
        assert len(names) == len(layer.blobs)
        for name, blob in zip(names, layer.blobs, strict=True):
            found = getattr(modules[layer.name], name).detach().numpy()
            np.testing.assert_array_equal(found.ravel(), blob.array().ravel(), err_msg=f"{layer.name} {name}")


def filled(text, shape, seed):
    rng, tensor = CaffeRng(seed), torch.empty(shape)
    fill(tensor, text_format.Parse(text, pb.FillerParameter()), rng)
    return tensor.numpy(), rng


def test_sparse_gaussian_draws_all_values_then_the_mask():
    values, rng = filled('type: "gaussian" mean: 1 std: 2 sparse: 3', (7, 5), 4)
    other = CaffeRng(4)
    wanted = other.gaussian(35, 1, 2) * other.bernoulli(35, np.float32(3) / np.float32(7), single=True)
    np.testing.assert_array_equal(values.ravel(), wanted.astype(np.float32))
    assert 0 < (values != 0).sum() < 35
    assert rng.raw() == other.raw()


def test_the_sparse_mask_is_compared_in_float32():
    class Recorder(CaffeRng):
        def bernoulli(self, count, p, single=False):
            asked.append((count, type(p), p, single))
            return super().bernoulli(count, p, single)

    asked, filler = [], pb.FillerParameter(type="gaussian", std=1, sparse=3)
    fill(torch.empty(7, 5), filler, Recorder(1))
    assert asked == [(35, np.float32, np.float32(3) / np.float32(7), True)]


def test_uniform_and_unitball():
    values, _ = filled('type: "uniform" min: -1 max: 3', (4, 3), 5)
    np.testing.assert_array_equal(values.ravel(), CaffeRng(5).uniform(12, -1, 3))
    values, _ = filled('type: "positive_unitball"', (2, 5), 6)
    for row, draws in zip(values, CaffeRng(6).uniform(10, 0, 1).reshape(2, 5), strict=True):
        total = np.float32(0)
        for draw in draws:
            total += draw
        np.testing.assert_array_equal(row, draws / total)


@pytest.mark.parametrize("norm", ["FAN_OUT", "AVERAGE"])
def test_xavier_bound_is_rounded_as_in_caffe(norm):
    values, _ = filled(f'type: "xavier" variance_norm: {norm}', (6, 5, 3, 2), 5)
    connections = {"FAN_OUT": 36, "AVERAGE": (30 + 36) / 2}[norm]
    bound = np.sqrt(np.float32(3) / np.float32(connections))
    np.testing.assert_array_equal(values.ravel(), CaffeRng(5).uniform(180, -bound, bound))


def dropout(ratio):
    param = pb.LayerParameter(name="drop", type="Dropout", bottom=["x"], top=["x"])
    param.dropout_param.dropout_ratio = ratio
    return LAYERS["Dropout"](param, [(2, 3, 4, 5)], Context("TRAIN"))


def test_dropout_from_a_stream():
    """Values and gradients against draws made one by one: a raw output up to (1 - ratio) * (2^32 - 1) keeps a value."""
    layer = dropout(0.8).train()
    layer.stream = CaffeRng(12)
    x = torch.randn(2, 3, 4, 5, requires_grad=True)
    y = layer(x)
    ratio = float(np.float32(0.8))
    kept = np.array([raw <= (1 - ratio) * (2**32 - 1) for raw in CaffeRng(12).raws(120).tolist()]).reshape(2, 3, 4, 5)
    scale = np.float32(1 / (1 - ratio))
    np.testing.assert_array_equal(y.detach().numpy(), x.detach().numpy() * kept * scale)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), kept * scale)
    assert 5 < kept.sum() < 50
    assert layer.stream.raw() == CaffeRng(12).raws(121)[120]


def test_dropout_in_test_mode_draws_nothing():
    layer = dropout(0.5).eval()
    layer.stream = CaffeRng(1)
    x = torch.randn(2, 3, 4, 5)
    assert torch.equal(layer(x), x)
    assert layer.stream.raw() == CaffeRng(1).raw()


NET = """
layer { name: "a" type: "VideoData" top: "x" top: "label" video_data_param { batch_size: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "uniform" max: 1 } bias_term: false } }
layer { name: "b" type: "VideoData" top: "z" top: "more" }
layer { name: "fc2" type: "InnerProduct" bottom: "fc" top: "fc2"
  inner_product_param { num_output: 2 weight_filler { type: "uniform" max: 1 } bias_term: false } }
"""


def test_data_layers_have_their_turn_in_file_order():
    rng, seen = CaffeRng(2), []

    def on_data(layer):
        seen.append((layer.name, rng.raw()))
        return {"x": (2, 5)} if layer.name == "a" else None

    net = CaffeNet(filter_net(parse_net(NET), "TRAIN"), "TRAIN", generator=rng, on_data_layer=on_data)
    raws = CaffeRng(2).raws(1 + 15 + 1 + 6)
    assert seen == [("a", raws[0]), ("b", raws[16])]
    np.testing.assert_allclose(net.fc.weight.detach().ravel(), raws[1:16] / 2**32, rtol=1e-6)  # float32
    np.testing.assert_allclose(net.fc2.weight.detach().ravel(), raws[17:] / 2**32, rtol=1e-6)
    assert net.inputs["x"] == (2, 5)
    assert net(torch.ones(4, 5), ["fc2"])["fc2"].shape == (4, 2)


def test_a_shape_that_nobody_tells():
    param = filter_net(parse_net(NET), "TRAIN")
    with pytest.raises(PytsnError, match=r"layer 'fc' .* the shape of its bottom 'x' is not known"):
        CaffeNet(param, "TRAIN", on_data_layer=lambda layer: None)
    with pytest.raises(PytsnError, match="shape of input 'x'"):
        CaffeNet(param, "TRAIN")
