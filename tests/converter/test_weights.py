"""Weights into a net and out again: matching by name, shapes of all eras, BN's two styles, the report."""

import numpy as np
import pytest
import torch

from converter import caffe_tsn_pb2 as pb
from converter import load_net
from converter.caffemodel import parse_caffemodel, read_caffemodel
from converter.errors import PytsnError
from converter.names import state_name, state_names
from converter.state_files import read_state, write_state
from converter.weights import (
    caffemodel_state_dict,
    load_any_weights,
    load_state,
    load_weights,
    net_blobs,
    save_caffemodel,
)
from tests.converter.nets import build, pixels

RUNS = ("det_fixed", "det_multistep_itersize", "det_step_clip", "rgb_step", "rgb_itersize")
NET = """
input: "data" input_shape { dim: 2 dim: 3 dim: 8 dim: 9 }
layer { name: "conv/7" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "conv/7_bn" type: "BN" bottom: "c" top: "b" bn_param { eps: 0.001 } }
layer { name: "fc" type: "InnerProduct" bottom: "b" top: "f" inner_product_param { num_output: 5 } }
"""


def blobs_of(net):
    """Distinct numbers in every blob, variances positive."""
    values = net_blobs(net)
    rng = np.random.default_rng(1)
    return {name: [rng.uniform(0.5, 2, blob.shape).astype(np.float32) for blob in own] for name, own in values.items()}


def model_of(blobs, *, drop=(), change=None, legacy=False):
    """A caffemodel file's bytes, read back."""
    net = pb.NetParameter(name="n")
    types = {"conv/7": "Convolution", "conv/7_bn": "BN", "fc": "InnerProduct", "other": "InnerProduct"}
    for name, own in {**blobs, **(change or {})}.items():
        if name in drop:
            continue
        layer = net.layer.add(name=name, type=types[name])
        for blob in own:
            message = layer.blobs.add(data=blob.ravel())
            if legacy:
                four = (1,) * (4 - blob.ndim) + blob.shape
                message.num, message.channels, message.height, message.width = four
            else:
                message.shape.dim.extend(blob.shape)
    return parse_caffemodel(net.SerializeToString(), "m.caffemodel")


@pytest.mark.parametrize("legacy", [False, True])
def test_every_number_lands_where_it_belongs(legacy):
    net = build(NET)
    blobs = blobs_of(net)
    report = load_weights(net, model_of(blobs, legacy=legacy))
    assert report.matched == ["conv/7", "conv/7_bn", "fc"]
    assert not report.missing
    assert not report.unused
    state = net.state_dict()
    np.testing.assert_array_equal(state["conv_7.weight"], blobs["conv/7"][0])
    for index, name in enumerate(("weight", "bias", "running_mean", "running_var")):
        np.testing.assert_array_equal(state[f"conv_7_bn.{name}"], blobs["conv/7_bn"][index][0])  # (1, C) -> (C,)
    np.testing.assert_array_equal(state["fc.weight"], blobs["fc"][0])


def test_bn_blobs_are_two_dimensional_in_a_caffemodel():
    shapes = {name: [blob.shape for blob in own] for name, own in net_blobs(build(NET)).items()}
    assert shapes == {"conv/7": [(4, 3, 3, 3), (4,)], "conv/7_bn": [(1, 4)] * 4, "fc": [(5, 168), (5,)]}


def test_report_names_missing_and_unused_and_missing_keep_their_fill():
    net = build(NET)
    before = net.fc.weight.clone()
    extra = {"other": [np.zeros((2, 2), np.float32)]}
    report = load_weights(net, model_of(blobs_of(net), drop=("fc",), change=extra))
    assert (report.missing, report.unused) == (["fc"], ["other"])
    assert torch.equal(net.fc.weight, before)
    assert "  missing: fc" in report.lines()
    with pytest.raises(PytsnError, match=r"weights of another net.*'fc'"):
        report.require_complete()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"fc": [np.zeros((7, 168), np.float32), np.zeros(5, np.float32)]},
            r"layer 'fc' .*blob 0 .*\(7, 168\).*\(5, 168\)",
        ),
        ({"fc": [np.zeros((168, 5), np.float32), np.zeros(5, np.float32)]}, r"\(168, 5\) in the file"),
        ({"fc": [np.zeros((5, 168), np.float32)]}, "layer 'fc' .*needs 2 blobs, the file holds 1"),
    ],
)
def test_shape_mismatch_is_an_error_that_names_the_layer(change, words):
    net = build(NET)
    with pytest.raises(PytsnError, match=words):
        load_weights(net, model_of(blobs_of(net), change=change))


def test_nothing_in_common_is_an_error():
    with pytest.raises(PytsnError, match="no layer name matches"):
        load_weights(build(NET), model_of({"other": [np.zeros((2, 2), np.float32)]}))


def test_inverse_standard_deviation_gives_the_same_outputs():
    net, x = build(NET), pixels(2, 3, 8, 9)
    blobs = blobs_of(net)
    load_weights(net, model_of(blobs))
    want = net(x)["f"]
    eps = 0.001  # of the prototxt: the file's number is 1 / sqrt(var + eps)
    old = [*blobs["conv/7_bn"][:3], ((blobs["conv/7_bn"][3].astype(np.float64) + eps) ** -0.5).astype(np.float32)]
    report = load_weights(net, model_of(blobs, change={"conv/7_bn": old}), bn_style="invstd")
    assert report.bn_style == "invstd"
    torch.testing.assert_close(net(x)["f"], want, rtol=1e-5, atol=1e-3)  # var comes back through one more rounding
    negative = [*old[:3], -old[3]]
    with pytest.raises(PytsnError, match="not an inverse standard deviation"):
        load_weights(net, model_of(blobs, change={"conv/7_bn": negative}), bn_style="invstd")


def test_values_that_look_like_inverse_deviations_are_warned_about(recordings):
    net = load_net(recordings / "tiny" / "rgb_step" / "train_val.prototxt")
    model = read_caffemodel(recordings / "tiny" / "rgb_step" / "snap_iter_30.caffemodel")
    assert load_weights(net, model).warnings == []  # what Caffe trained is a variance: thousands
    first = next(layer for layer in model.layers if layer.type == "BN")
    first.blobs[3].data = (first.blobs[3].data + 1e-5) ** -0.5
    assert "inverse standard deviation" in load_weights(net, model).warnings[0]


def test_bad_values_are_warned_about():
    net = build(NET)
    blobs = blobs_of(net)
    blobs["conv/7"][0][0, 0, 0, 0] = np.nan
    blobs["conv/7_bn"][3][0, 1] = -1
    warnings = load_weights(net, model_of(blobs)).warnings
    assert any("NaN weights in layer 'conv/7'" in text for text in warnings)
    assert any("negative variance in layer 'conv/7_bn'" in text for text in warnings)


@pytest.mark.parametrize("run", RUNS)
def test_caffes_files_survive_the_net_bit_for_bit(recordings, run, tmp_path):
    net = load_net(recordings / "tiny" / run / "train_val.prototxt", phase="TRAIN")
    for path in (recordings / "tiny" / run).glob("*.caffemodel"):
        model = read_caffemodel(path)
        load_weights(net, model).require_complete()
        save_caffemodel(tmp_path / "back.caffemodel", net)
        back = read_caffemodel(tmp_path / "back.caffemodel")
        assert [layer.name for layer in back.layers] == [layer.name for layer in model.layers]
        for mine, theirs in zip(back.layers, model.layers, strict=True):
            for blob, reference in zip(mine.blobs, theirs.blobs, strict=True):
                assert blob.shape == reference.shape
                assert blob.data.tobytes() == reference.data.tobytes()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_converted_files_carry_weights_and_words(suffix, tmp_path):
    net, again = build(NET), build(NET)
    load_weights(net, model_of(blobs_of(net)))
    write_state(tmp_path / f"w{suffix}", net.state_dict(), {"source": "m.caffemodel", "classes": "5"})
    report = load_any_weights(again, tmp_path / f"w{suffix}")
    report.require_complete()
    assert report.metadata["classes"] == "5"
    for key, value in net.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


def test_pth_is_a_plain_state_dict_for_everyone(tmp_path):
    net = build(NET)
    write_state(tmp_path / "w.pth", net.state_dict(), {"source": "x"})
    plain = torch.load(tmp_path / "w.pth", weights_only=True)
    assert list(plain) == list(net.state_dict())
    torch.nn.Module.load_state_dict(build(NET), plain, strict=True)


def test_state_dicts_of_other_ports(tmp_path):
    net, again = build(NET), build(NET)
    load_weights(net, model_of(blobs_of(net)))
    state = {f"module.{key}": value for key, value in net.state_dict().items()}
    state["module.conv_7_bn.num_batches_tracked"] = torch.tensor(9)
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "port.pth")
    report = load_any_weights(again, tmp_path / "port.pth")
    assert (report.missing, report.unused) == ([], [])
    assert torch.equal(again.conv_7_bn.running_var, net.conv_7_bn.running_var)


def test_state_of_another_net_is_refused():
    net = build(NET)
    state = dict(net.state_dict())
    state["fc.weight"] = torch.zeros(7, 168)
    with pytest.raises(PytsnError, match=r"'fc.weight': shape \(7, 168\), the net has \(5, 168\)"):
        load_state(net, state, "w.pth")
    with pytest.raises(PytsnError, match="no key matches"):
        load_state(net, {"features.0.weight": torch.zeros(1)}, "w.pth")


class Bomb:
    """An object whose pickle runs code when loaded without care."""

    def __reduce__(self):
        return (open, ("bomb-went-off", "w"))


def test_damaged_and_hostile_weight_files_are_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Bomb()}, "bomb.pth")
    torch.save({"weight": 3}, "number.pth")
    torch.save([1], "list.pth")
    whole = (tmp_path / "number.pth").read_bytes()
    torch.save({"weight": torch.zeros(40000)}, "large.pth")
    large = (tmp_path / "large.pth").read_bytes()
    for name, content in (
        ("empty.pth", b""),
        ("cut.pth", whole[:100]),
        ("half.pth", large[:5000]),
        ("x.safetensors", b"nonsense" * 9),
    ):
        (tmp_path / name).write_bytes(content)
    for name in ("bomb.pth", "number.pth", "list.pth", "empty.pth", "cut.pth", "half.pth", "x.safetensors", "none.pth"):
        with pytest.raises(PytsnError) as caught:
            read_state(name)
        assert str(caught.value).startswith(f"{name}: ")
    assert not (tmp_path / "bomb-went-off").exists()


def test_state_dict_without_a_prototxt_is_the_nets_own():
    net = build(NET)
    blobs = blobs_of(net)
    for legacy in (False, True):
        model = model_of(blobs, legacy=legacy)
        load_weights(net, model)
        state = caffemodel_state_dict(model)
        assert list(state) == list(net.state_dict())
        assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())


@pytest.mark.golden
def test_converted_weights_load_strictly_into_bninception(shared, rgb_caffemodel):
    from pytsn.models import BNInception

    prototxt = shared / "tsn" / "models" / "ucf101" / "tsn_bn_inception_rgb_deploy.prototxt"
    net = load_net(prototxt, rgb_caffemodel)
    by_hand = BNInception(num_classes=101, in_channels=3).eval()
    by_hand.load_state_dict(net.state_dict(), strict=True)
    x = pixels(1, 3, 224, 224)
    names = tuple(blob for blob in net.blob_names if blob != "data")
    with torch.no_grad():
        graph, hand = net(x, blobs=names), by_hand(x, blobs=names)
    assert len(names) > 150
    for blob in names:  # the same torch operations in the same order
        scale = graph[blob].abs().max().item()
        torch.testing.assert_close(hand[blob].flatten(1), graph[blob].flatten(1), rtol=0, atol=1e-6 * scale, msg=blob)


def test_names():
    assert state_name("inception_3a/double_3x3_reduce_bn") == "inception_3a_double_3x3_reduce_bn"
    assert state_name("res2a.branch2/bn.1") == "res2a_branch2_bn_1"
    assert state_name("fc-action") == "fc_action"
    with pytest.raises(PytsnError, match=r"layers 'a\.b' and 'a/b' both become 'a_b'"):
        state_names(["a.b", "c", "a/b"])
