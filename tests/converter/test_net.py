"""CaffeNet as a graph: which blobs come out, when they are freed, what shapes they have, what is refused."""

import gc
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from converter import load_net
from converter.errors import PytsnError
from converter.shapes import by_running, top_shapes
from tests.converter.nets import BRANCHED, build, pixels


def by_hand(net, x):
    """BRANCHED written out in plain torch."""
    conv, fc = net.a_conv, net.fc_action
    a = F.relu(F.conv2d(x, conv.weight, conv.bias))
    b = F.max_pool2d(a, 2, 2, ceil_mode=True)
    d = F.avg_pool2d(2 * a, 2, 2, ceil_mode=True)
    return {"a": a, "b": b, "d": d, "e": b + d, "fc-action": F.linear((b + d).flatten(1), fc.weight, fc.bias)}


def test_every_blob_has_the_value_that_plain_torch_gives():
    net, x = build(BRANCHED), pixels(2, 3, 9, 11)
    want = by_hand(net, x)
    found = net(x, blobs=want)
    assert list(found) == list(want)
    for blob, value in want.items():
        torch.testing.assert_close(found[blob], value)  # same operations in the same order: torch's own tolerance


def test_gradients_of_the_weighted_losses_reach_inputs_and_parameters():
    net, label = build(BRANCHED), torch.tensor([3.0, 1.0])
    x = pixels(2, 3, 9, 11).requires_grad_()
    net.total_loss(net({"data": x, "label": label}, blobs=net.loss_weights)).backward()
    got = [x.grad.clone(), net.a_conv.weight.grad.clone(), net.fc_action.bias.grad.clone()]
    x.grad = None
    net.zero_grad()
    blobs = by_hand(net, x)
    (0.5 * F.cross_entropy(blobs["fc-action"], label.long()) + 0.25 * (blobs["b"] ** 2).sum()).backward()
    want = [x.grad, net.a_conv.weight.grad, net.fc_action.bias.grad]
    for mine, theirs in zip(got, want, strict=True):
        # Sums of 1e5 products in another order: float32 leaves 1e-5 of the largest.
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5 * theirs.abs().max().item())


def test_default_blobs_are_those_nobody_consumes():
    net = build(BRANCHED)
    assert net.outputs == ("loss", "side")
    out = net({"data": pixels(2, 3, 9, 11), "label": torch.zeros(2)})
    assert list(out) == ["loss", "side"]
    assert net.loss_weights == {"loss": 0.5, "side": 0.25}


def test_only_what_is_needed_runs():
    net, ran = build(BRANCHED), []
    for step, module in net.layers():
        module.register_forward_hook(lambda *_, name=step.param.name: ran.append(name))
    net(pixels(2, 3, 9, 11), blobs=("d",))  # no label is needed either
    assert ran == ["a/conv", "a/relu", "c", "d"]


def test_a_blob_is_freed_after_its_last_use():
    net, alive = build(BRANCHED), {}

    def watch(name):
        def hook(module, inputs, output):
            gc.collect()
            alive[name] = sorted(blob for blob, ref in refs.items() if ref() is not None)
            refs[name] = weakref.ref(output)

        return hook

    refs: dict = {}
    for step, module in net.layers():
        module.register_forward_hook(watch(step.param.name))
    with torch.no_grad():
        net(pixels(2, 3, 9, 11), blobs=("fc-action",))
    # a/conv's output dies when a/relu has run, a/relu's when its last reader c has, b and d when e has.
    assert alive["b"] == ["a/relu"]
    assert alive["d"] == ["b", "c"]
    assert alive["fc-action"] == ["e"]


def test_batch_size_may_differ_from_the_prototxts():
    net, x = build(BRANCHED), pixels(7, 3, 9, 11)
    whole = net(x, blobs=("fc-action",))["fc-action"]
    single = net(x[4:5], blobs=("fc-action",))["fc-action"]
    torch.testing.assert_close(whole[4:5], single, rtol=1e-5, atol=1e-4)  # gemm blocks differ with the batch


def test_blob_by_the_name_of_caffes_copy():
    net, x = build(BRANCHED), pixels(2, 3, 9, 11)
    found = net(x, blobs=("a_a/relu_0_split_1", "a"))
    assert torch.equal(found["a_a/relu_0_split_1"], found["a"])


def test_in_place_value_read_before_it_changes():
    # The reader stands before the in-place layer: Caffe runs in file order, so it sees the value without ReLU.
    net = build(
        'input: "data" input_shape { dim: 1 dim: 2 dim: 3 dim: 4 }'
        'layer { name: "p" type: "Power" bottom: "data" top: "p" }'
        'layer { name: "early" type: "AbsVal" bottom: "p" top: "early" }'
        'layer { name: "r" type: "ReLU" bottom: "p" top: "p" }'
    )
    x = pixels(1, 2, 3, 4)
    found = net(x)
    assert torch.equal(found["early"], x.abs())
    assert torch.equal(found["p"], x.clamp(min=0))
    assert torch.equal(x, pixels(1, 2, 3, 4))  # and the input itself is untouched


def test_shapes_are_those_of_the_blobs():
    net = build(BRANCHED)
    out = net({"data": pixels(2, 3, 9, 11), "label": torch.zeros(2)}, blobs=net.blob_names)
    assert net.blob_shapes == {blob: tuple(value.shape) for blob, value in out.items()}


@pytest.mark.golden
@pytest.mark.parametrize(
    "name",
    [
        "ucf101/tsn_bn_inception_flow_train_val",
        "bvlc/bvlc_googlenet",
        "bvlc/bvlc_alexnet",
        "action_recognition/vgg_16_flow_train_val_fast",
    ],
)
def test_shape_rules_agree_with_running_the_layers(shared, name):
    net = load_net(shared / "tsn" / "models" / f"{name}.prototxt", phase="TRAIN")
    for step, module in net.layers():
        bottoms = [net.value_shapes[value] for value in step.bottoms]
        assert top_shapes(step.param.type, module, bottoms) == by_running(module, bottoms), step.label


@pytest.mark.golden
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_every_original_net_builds_in_both_phases(shared, phase):
    paths = [p for p in sorted((shared / "tsn" / "models").rglob("*.prototxt")) if "solver" not in p.name]
    assert len(paths) == 14
    for path in paths:
        net = load_net(path, phase=phase)
        assert net.training == (phase == "TRAIN")
        expected = "loss" if "train_val" in path.name else ("fc8" if "vgg" in path.name else "fc-action")
        assert net.outputs[0].startswith("prob" if "bvlc" in str(path) else expected)


@pytest.mark.golden
@pytest.mark.slow
@pytest.mark.parametrize("name", ["bvlc_alexnet", "bvlc_googlenet"])
def test_reference_nets_run_forward_and_backward(shared, name):
    net = load_net(shared / "tsn" / "models" / "bvlc" / f"{name}.prototxt", phase="TRAIN")
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():  # the deploy files name no fillers, so all weights are 0
        scale = (2 / parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.1
        parameter.data.normal_(0, scale, generator=generator)
    x = pixels(2, *next(iter(net.inputs.values()))[1:]) / 64  # small, or the softmax saturates
    x.requires_grad_()
    prob = net(x)["prob"]
    torch.testing.assert_close(prob.sum(1), torch.ones(2))
    prob[:, 7].sum().backward()
    assert x.grad.abs().max() > 0
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.golden
def test_video_data_is_an_input_of_caffes_shape(shared):
    folder = shared / "tsn" / "models" / "ucf101"
    rgb = load_net(folder / "tsn_bn_inception_rgb_train_val.prototxt", phase="TRAIN")
    flow = load_net(folder / "tsn_bn_inception_flow_train_val.prototxt", phase="TEST")
    assert rgb.inputs == {"data": (32, 9, 224, 224), "label": (32,)}  # 3 segments of 3 planes
    assert flow.inputs == {"data": (1, 30, 224, 224), "label": (1,)}  # 3 segments of 5 pairs


def test_shared_parameters_are_one_tensor():
    net = build(
        'input: "data" input_shape { dim: 2 dim: 3 }'
        'layer { name: "one" type: "InnerProduct" bottom: "data" top: "one" param { name: "w" } param { name: "b" }'
        "        inner_product_param { num_output: 3 weight_filler { type: 'xavier' } } }"
        'layer { name: "two" type: "InnerProduct" bottom: "one" top: "two" param { name: "w" } param { name: "b" }'
        "        inner_product_param { num_output: 3 weight_filler { type: 'xavier' } } }"
    )
    assert net.one.weight is net.two.weight
    assert len(list(net.parameters())) == 2


def test_layer_names_that_torch_uses_itself_still_work():
    net = build(
        'input: "data" input_shape { dim: 2 dim: 3 }'
        'layer { name: "forward" type: "ReLU" bottom: "data" top: "x" }'
        'layer { name: "type" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }'
    )
    assert set(net.state_dict()) == {"type_.weight", "type_.bias"}
    assert net(pixels(2, 3))["y"].shape == (2, 2)


DATA = 'input: "data" input_shape { dim: 2 dim: 3 dim: 9 dim: 11 } '


def layer(name: str, layer_type: str, bottom: str = "data", top: str = "x", more: str = "") -> str:
    return f'layer {{ name: "{name}" type: "{layer_type}" bottom: "{bottom}" top: "{top}" {more} }} '


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            layer("x", "Convolutoin"),
            "layer 'x' (Convolutoin): unknown layer type 'Convolutoin'; did you mean 'Convolution'?",
        ),
        (layer("x", "ReLU", bottom="dta"), "bottom 'dta' is made by no layer before it; did you mean 'data'?"),
        (layer("x", "ReLU") + layer("x", "ReLU", "x", "y"), "two layers are named 'x'"),
        (layer("x", "ReLU") + layer("y", "ReLU"), "layer 'y' (ReLU): top 'x' is made by another layer"),
        (
            layer("c", "Convolution", more="convolution_param { num_output: 2 kernel_size: 12 }"),
            "'c' (Convolution): kernel",
        ),
        (
            layer("c", "Convolution", more="convolution_param { kernel_size: 3 }"),
            "'c' (Convolution): num_output is missing",
        ),
        (layer("f", "InnerProduct", more="inner_product_param { num_output: 4000000000 }"), "'f' (InnerProduct): "),
        ("", "no layers"),
    ],
)
def test_bad_nets_are_refused_in_one_line(tmp_path, text, words):
    path = tmp_path / "bad.prototxt"
    path.write_text(DATA + text)
    with pytest.raises(PytsnError) as caught:
        load_net(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("x", "blobs", "words"),
    [
        (pixels(2, 3, 9, 11), ("fc_action",), "no blob named 'fc_action'; did you mean 'fc-action'?"),
        (pixels(2, 3, 9, 11), None, "need 2 inputs"),
        ({"label": torch.zeros(2)}, ("a",), "input 'data' is missing"),
        ({"image": pixels(2, 3, 9, 11)}, ("a",), "'image' is not an input"),
        (pixels(2, 4, 9, 11), ("a",), "input 'data' has shape (2, 4, 9, 11)"),
        (pixels(3, 9, 11), ("a",), "input 'data' has shape (3, 9, 11)"),
    ],
)
def test_wrong_calls_are_one_line(x, blobs, words):
    with pytest.raises(PytsnError) as caught:
        build(BRANCHED)(x, blobs)
    assert words in str(caught.value)


@pytest.mark.golden
@pytest.mark.slow
def test_forward_of_the_released_net_is_caffes(golden, shared, rgb_caffemodel):
    net = load_net(shared / "tsn" / "models" / "ucf101" / "tsn_bn_inception_rgb_deploy.prototxt", rgb_caffemodel)
    recording = np.load(golden / "bn_inception" / "forward_rgb.npz")
    x = torch.from_numpy(recording["crops_uint8"].astype(np.float32)) - torch.tensor([104.0, 117, 123]).view(3, 1, 1)
    wanted = {key: key[5:] for key in recording.files if key.startswith(("mean:", "full:"))}
    assert len(wanted) == 225
    with torch.no_grad():
        blobs = net(x, blobs=(*dict.fromkeys(wanted.values()), "fc-action"))
    for key, blob in wanted.items():
        value = blobs[blob].numpy()
        value = value[3:4, :6] if key.startswith("full:") else value.reshape(*value.shape[:2], -1).mean(2)
        # Caffe against itself with another BLAS moves by 2.4e-6; other summation orders of torch by a few times that.
        assert np.abs(value - recording[key]).max() <= 3e-5 * np.abs(recording[key]).max(), key
    assert np.abs(blobs["fc-action"].numpy() - recording["fc-action"]).max() <= 1e-4  # the bound; 1.2e-5 seen


def test_repr_is_a_line_a_layer_with_name_type_and_shapes():
    net = build(BRANCHED)
    head, *lines = repr(net).splitlines()
    numbers = 4 * 3 * 3 * 3 + 4 + 5 * 4 * 4 * 5 + 5  # a/conv and fc-action
    assert head == f"CaffeNet 'branched', phase TEST: 9 layers, {numbers} learned numbers"
    assert [line.split() for line in lines] == [
        ["data", "input", "2x3x9x11"],
        ["label", "input", "2"],
        ["a/conv", "Convolution", "2x4x7x9"],
        ["a/relu", "ReLU", "2x4x7x9"],
        ["b", "Pooling", "2x4x4x5"],
        ["c", "Power", "2x4x7x9"],
        ["d", "Pooling", "2x4x4x5"],
        ["e", "Eltwise", "2x4x4x5"],
        ["fc-action", "InnerProduct", "2x5"],
        ["loss", "SoftmaxWithLoss", "scalar"],
        ["side", "Reduction", "scalar"],
    ]
    columns = {(line.index(kind), line.index(shape)) for line in lines for _, kind, shape in [line.split()]}
    assert columns == {(13, 30)}, "columns are aligned"  # two spaces before, 'fc-action' and 'SoftmaxWithLoss' widest


def test_repr_of_a_layer_of_several_tops_and_of_a_name_that_no_terminal_takes():
    text = """name: "a\\nb" input: "data" input_shape { dim: 1 dim: 4 dim: 2 dim: 2 }
    layer { name: "cut" type: "Slice" bottom: "data" top: "x" top: "y" slice_param { slice_point: 1 } }"""
    head, _, cut = repr(build(text)).splitlines()
    assert head == "CaffeNet 'a\\nb', phase TEST: 1 layer, 0 learned numbers"
    assert cut.split() == ["cut", "Slice", "1x1x2x2", "1x3x2x2"]
