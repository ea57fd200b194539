"""Fused nets against the unfused CaffeNet in float64, pattern by pattern, and against what Caffe recorded."""

import copy
import lzma

import numpy as np
import pytest
import torch

from converter import fused_layers
from converter.errors import PytsnError
from converter.fused import PRECISIONS, fuse
from converter.net import CaffeNet, load_net
from converter.proto import filter_net, parse_net

# A few chained sums of at most 200 float32 products: each keeps 6e-8 of its largest term, together well under 2e-6 of
# the blob's largest magnitude. The smallest mistake that folding can make, an eps left out, moves blobs by over 1e-4.
TOLERANCE = 2e-6
SHAPE = (3, 18, 11, 14)  # (N, C, H, W); from 16 channels on the weights are packed
INPUT = 'input: "x" input_shape { dim: 2 dim: 18 dim: 11 dim: 14 } '

CONV = 'layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param { %s } }'
PLAIN = CONV % "num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: 'xavier' }"
POINTWISE = (
    "layer {{ name: '{0}' type: 'Convolution' bottom: '{1}' top: '{0}' convolution_param {{ {2} kernel_size: 1 }} }}"
)
POOL = "layer {{ name: 'pool' type: 'Pooling' bottom: 'x' top: 'pool' pooling_param {{ {0} }} }}"


def layer(kind, bottom, top=None, param="", name=None):
    top = top or bottom
    return f'layer {{ name: "{name or kind + "_" + top}" type: "{kind}" bottom: "{bottom}" top: "{top}" {param} }} '


BN = layer("BN", "conv", "bn", "bn_param { frozen: true eps: 1e-3 }")
RELU = layer("ReLU", "bn")


def make(*layers, seed=1, given=INPUT):
    """A net with weights and statistics of a trained net's spread; some variances are so small that eps counts."""
    torch.manual_seed(seed)
    net = CaffeNet(filter_net(parse_net(given + "".join(layers)), "TEST"))
    with torch.no_grad():
        for key, tensor in (*net.named_parameters(), *net.named_buffers()):
            if key.endswith("running_var"):
                tensor.uniform_(1e-3, 2)
            elif key.endswith("scale_factor"):
                tensor.fill_(1.7)
            elif tensor.dim() > 1:
                tensor.normal_(0, tensor[0].numel() ** -0.5)
            else:
                tensor.normal_()
    return net


def pixels(shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


def types(net):
    return [step.param.type for step in net.graph.steps]


def check(net, fused, x=None, tolerance=TOLERANCE):
    """Every blob that the fused net still has, against the same net run in float64."""
    x = pixels() if x is None else x
    with torch.no_grad():
        expected = copy.deepcopy(net).double()(x.double(), net.blob_names)
    found = fused(x, fused.blob_names)
    assert fused.outputs == net.outputs
    assert set(fused.outputs) <= set(found)
    for blob, value in found.items():
        assert value.dtype == torch.float32
        assert value.shape == expected[blob].shape
        error = (value - expected[blob]).abs().max() / expected[blob].abs().max()
        assert error <= tolerance, f"{blob}: {error:.1e}"


@pytest.fixture(params=["onednn", "torch"], autouse=True)
def operators(request, monkeypatch):
    """Both ways to run a convolution: the oneDNN operator, and the plain ones that other devices use."""
    if request.param == "torch":
        monkeypatch.setattr(fused_layers, "onednn_fuses", lambda dtype: False)
    elif not fused_layers.onednn_fuses(torch.float32):
        pytest.skip("this torch has no fused oneDNN convolution")


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("channels", [18, 5])
def test_bn_and_relu_go_into_the_convolution(channels, channels_last):
    net = make(PLAIN, BN, RELU, given=INPUT.replace("18", str(channels)))
    fused = fuse(net, channels_last=channels_last)
    assert types(fused) == ["Convolution"]
    assert fused.blob_names == ("x", "bn")
    check(net, fused, pixels((3, channels, 11, 14)))


def test_everything_in_place_keeps_the_blob_of_the_convolution():
    chain = [
        layer("BatchNorm", "conv", param="batch_norm_param { use_global_stats: true eps: 1e-3 }"),
        layer("Scale", "conv", param="scale_param { bias_term: true }"),
        layer("ReLU", "conv"),
    ]
    net = make(PLAIN, *chain)
    fused = fuse(net)
    assert types(fused) == ["Convolution"]
    assert fused.blob_names == ("x", "conv")
    check(net, fused)


@pytest.mark.parametrize("kind", ["Scale", "Bias"])
def test_scale_and_bias_alone(kind):
    net = make(PLAIN, layer(kind, "conv", "y"))
    fused = fuse(net)
    assert types(fused) == ["Convolution"]
    check(net, fused)


@pytest.mark.parametrize("slope", [0.1, 1.5, -0.5])
def test_leaky_relu(slope):
    net = make(PLAIN, BN, layer("ReLU", "bn", param=f"relu_param {{ negative_slope: {slope} }}"))
    fused = fuse(net)
    assert types(fused) == ["Convolution"]
    check(net, fused)


@pytest.mark.parametrize(
    "options",
    [
        "num_output: 4 kernel_h: 2 kernel_w: 5 stride_h: 3 stride_w: 2 pad_h: 1 pad_w: 2 group: 2",
        "num_output: 9 kernel_size: 3 dilation: 2 pad: 1 group: 3",
        "num_output: 6 kernel_size: 3 group: 6 bias_term: false",
        "num_output: 7 kernel_size: 1 stride: 2 pad: 1",
    ],
)
def test_grouped_dilated_and_lopsided_convolutions(options):
    net = make(CONV % options, BN, RELU)
    fused = fuse(net)
    assert types(fused) == ["Convolution"]
    check(net, fused)


def test_a_convolution_read_twice_keeps_its_blob():
    net = make(PLAIN, BN, RELU, layer("Sigmoid", "conv", "other"))
    fused = fuse(net)
    assert types(fused) == ["Convolution", "BN", "ReLU", "Sigmoid"]
    check(net, fused)


def test_only_what_follows_without_a_gap_is_folded():
    net = make(PLAIN, layer("ReLU", "conv", "relu"), layer("BN", "relu", "bn", "bn_param { eps: 1e-3 }"))
    fused = fuse(net)
    assert types(fused) == ["Convolution", "BN"]
    check(net, fused)


@pytest.mark.parametrize(
    "follower",
    [
        layer("BatchNorm", "conv", "y", "batch_norm_param { use_global_stats: false }"),
        layer("Scale", "conv", "y", "scale_param { axis: 2 num_axes: 1 }"),
        layer("Scale", "conv", "y", "scale_param { axis: 1 num_axes: 3 }"),
        layer("Bias", "conv", "y", "bias_param { axis: 3 }"),
        layer("PReLU", "conv", "y"),
        'layer { name: "s" type: "Scale" bottom: "conv" bottom: "conv" top: "y" scale_param { axis: 0 } }',
    ],
)
def test_what_is_not_one_number_a_channel_stays(follower):
    net = make(PLAIN, follower)
    fused = fuse(net)
    assert len(types(fused)) == 2
    check(net, fused)


def test_pointwise_siblings_become_one_convolution():
    widths = {"a": "num_output: 5", "b": "num_output: 2", "c": "num_output: 3 bias_term: false"}
    heads = [POINTWISE.format(name, "x", options) + layer("ReLU", name) for name, options in widths.items()]
    after = 'layer { name: "cat" type: "Concat" bottom: "c" bottom: "a" top: "cat" }'
    last = PLAIN.replace('"conv"', '"b3"').replace('"x"', '"b"')
    net = make(*heads, after, last)
    fused = fuse(net)
    assert types(fused) == ["Convolution", "Concat", "Convolution"]
    assert set(fused.blob_names) == {"x", "a", "b", "c", "cat", "b3"}
    check(net, fused)
    assert torch.equal(fused(pixels(), "b")["b"], fused(pixels(), fused.blob_names)["b"])


def test_siblings_that_differ_stay_apart():
    net = make(
        POINTWISE.format("a", "x", "num_output: 5"),
        POINTWISE.format("b", "x", "num_output: 2") + layer("ReLU", "b"),
        POINTWISE.format("c", "x", "num_output: 4 group: 2"),
        POINTWISE.format("d", "x", "num_output: 4 stride: 2"),
        POINTWISE.format("e", "x", "num_output: 4 pad: 1"),
    )
    fused = fuse(net)
    assert len(types(fused)) == 6 - 1  # only the ReLU of b is gone
    check(net, fused)


PROJECTION = POINTWISE.format("conv", "pool", "num_output: 4")


@pytest.mark.parametrize(
    "pool", ["kernel_size: 3 pad: 1 pool: AVE", "kernel_h: 1 kernel_w: 5 pad_h: 0 pad_w: 2 pool: AVE"]
)
def test_a_projection_goes_before_average_pooling(pool):
    net = make(POOL.format(pool), PROJECTION, BN, RELU)
    fused = fuse(net)
    assert types(fused) == ["Convolution", "Pooling", "Convolution"]  # the last is the bias and the ReLU
    assert fused.blob_names == ("x", "bn")
    check(net, fused)
    assert types(fuse(net, reorder=False)) == ["Pooling", "Convolution"]
    check(net, fuse(net, reorder=False))


@pytest.mark.parametrize(
    ("pool", "rest"),
    [
        ("kernel_size: 3 pad: 1 pool: MAX", PROJECTION),
        ("kernel_size: 3 pad: 1 stride: 2 pool: AVE", PROJECTION),
        ("kernel_h: 2 kernel_w: 5 pad_h: 0 pad_w: 2 pool: AVE", PROJECTION),
        ("global_pooling: true pool: AVE", PROJECTION),
        ("kernel_size: 3 pad: 1 pool: AVE", POINTWISE.format("conv", "pool", "num_output: 18")),
        ("kernel_size: 3 pad: 1 pool: AVE", POINTWISE.format("conv", "pool", "num_output: 4 stride: 2")),
        ("kernel_size: 3 pad: 1 pool: AVE", PROJECTION + layer("AbsVal", "pool", "other")),
    ],
)
def test_other_poolings_stay_where_they_are(pool, rest):
    net = make(POOL.format(pool), rest, BN, RELU)
    fused = fuse(net)
    assert types(fused)[:2] == ["Pooling", "Convolution"]
    assert "pool" in fused.blob_names
    check(net, fused)


PRODUCT = "inner_product_param { num_output: 4 %s }"
GLOBAL = POOL.format("global_pooling: true pool: AVE")


@pytest.mark.parametrize("bottom", ["pool", "vector"])
def test_products_of_vectors_take_in_what_follows(bottom):
    vector = layer("Flatten", "pool", "vector")
    followers = layer("BN", "fc", "bn", "bn_param { eps: 1e-3 }") + RELU
    net = make(GLOBAL, vector, layer("InnerProduct", bottom, "fc", PRODUCT % ""), followers)
    fused = fuse(net)
    assert [kind for kind in types(fused) if kind != "Flatten"] == ["Pooling", "InnerProduct"]
    assert fused(pixels())["bn"].shape == (3, 4)
    check(net, fused)


@pytest.mark.parametrize("options", ["", "transpose: true", "axis: 2"])
def test_other_products_stay(options):
    product = layer("InnerProduct", "pool" if "transpose" in options else "x", "fc", PRODUCT % options)
    net = make(GLOBAL, product, layer("ReLU", "fc"))
    fused = fuse(net)
    assert "ReLU" in types(fused)
    check(net, fused)


def test_a_map_where_a_vector_belongs_is_one_line():
    small = POOL.format("kernel_h: 11 kernel_w: 14 pool: AVE")
    fused = fuse(make(small, layer("InnerProduct", "pool", "fc", PRODUCT % "")))
    with pytest.raises(PytsnError, match="must have 18 channels, found 36"):
        fused(pixels((3, 18, 12, 14)))


@pytest.mark.parametrize("operators", ["onednn"], indirect=True)  # a promise for the CPU's fast path alone
def test_scores_do_not_depend_on_batch_and_threads():
    head = GLOBAL.replace("'x'", "'bn'") + layer(
        "InnerProduct", "pool", "fc", "inner_product_param { num_output: 101 }"
    )
    fused = fuse(make(PLAIN.replace("num_output: 8", "num_output: 300"), BN, RELU, head))
    x, before = pixels((23, 18, 11, 14)), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found += [torch.cat([fused(part, "fc")["fc"] for part in x.split(size)]) for size in (1, 4, 10, 23)]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(scores, found[0]) for scores in found)


def test_kept_blobs_and_folded_ones():
    net = make(POOL.format("kernel_size: 3 pad: 1 pool: AVE"), PROJECTION, BN, RELU)
    kept = fuse(net, keep=("pool", "conv"))
    assert types(kept) == ["Pooling", "Convolution", "BN", "ReLU"]
    check(net, kept)
    with pytest.raises(PytsnError, match=r"'pool' was folded away.*keep=\('pool',\)"):
        fuse(net)(pixels(), ("bn", "pool"))
    with pytest.raises(PytsnError, match="did you mean 'pool'"):
        fuse(net, keep=("pol",))
    with pytest.raises(PytsnError, match="no blob named 'zz'"):
        fuse(net)(pixels(), "zz")


def test_what_cannot_be_fused():
    param = filter_net(parse_net(INPUT + PLAIN + BN), "TRAIN")
    with pytest.raises(PytsnError, match="phase TEST"):
        fuse(CaffeNet(param, "TRAIN"))
    with pytest.raises(PytsnError, match=r"precision 'fp8'.*fp32, tf32x3, tf32, bf16"):
        fuse(make(PLAIN), precision="fp8")


def test_the_net_itself_is_left_alone():
    net = make(PLAIN, BN, RELU, layer("InnerProduct", "bn", "fc", "inner_product_param { num_output: 5 }"))
    before = copy.deepcopy(net.state_dict())
    fused = fuse(net)
    scores = fused(pixels())["fc"].clone()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert net.conv.weight.requires_grad
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert torch.equal(fused(pixels())["fc"], scores)


def test_batches_and_maps_of_any_size_one_after_the_other():
    net = make(PLAIN, BN, RELU)
    fused = fuse(net)
    for shape in (SHAPE, (1, 18, 5, 7), (7, 18, 20, 3)):
        check(net, fused, pixels(shape))
    check(net, fused, pixels((18, 4, 11, 14)).transpose(0, 1))  # a layout of its own


def test_a_used_net_can_be_copied_and_loaded():
    fused, other = (fuse(make(PLAIN, BN, RELU, seed=seed)) for seed in (2, 3))
    scores = fused(pixels())["bn"]
    assert torch.equal(copy.deepcopy(fused)(pixels())["bn"], scores)
    assert not torch.equal(other(pixels())["bn"], scores)
    other.load_state_dict(fused.state_dict())
    assert torch.equal(other(pixels())["bn"], scores)


def test_several_inputs():
    total = 'layer { name: "sum" type: "Eltwise" bottom: "y" bottom: "conv" top: "sum" }'
    net = make(PLAIN, total, given=INPUT + 'input: "y" input_shape { dim: 2 dim: 8 dim: 11 dim: 14 } ')
    x, y = pixels(), pixels((3, 8, 11, 14))
    found = fuse(net)({"x": x, "y": y})["sum"]
    with torch.no_grad():
        expected = net.double()({"x": x.double(), "y": y.double()})["sum"]
    assert (found - expected).abs().max() <= TOLERANCE * expected.abs().max()


def test_bf16_is_close_and_answers_in_float32():
    net = make(PLAIN, BN, RELU, layer("InnerProduct", "bn", "fc", "inner_product_param { num_output: 5 }"))
    fused = fuse(net, precision="bf16")
    assert {value.dtype for value in fused.state_dict().values()} == {torch.bfloat16}
    # 8 bits: weights, pixels and each blob are off by up to 2^-9 of themselves, 0.8 % if all four added up
    check(net, fused, tolerance=8e-3)
    with torch.no_grad():
        assert not torch.equal(fused(pixels())["fc"], net(pixels())["fc"])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_tf32_is_set_for_the_forward_alone(precision, monkeypatch):
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before, seen = (products.allow_tf32, convolutions.allow_tf32), []
    fused = fuse(make(PLAIN), precision=precision)
    hook = lambda *_: seen.append((products.allow_tf32, convolutions.allow_tf32))  # noqa: E731
    fused.get_submodule(fused.module_names[0]).register_forward_hook(hook)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    fused(pixels())
    assert seen == [(precision == "tf32",) * 2]
    assert (products.allow_tf32, convolutions.allow_tf32) == before


def recorded_net(golden, tmp_path):
    model = tmp_path / "model.caffemodel"
    model.write_bytes(lzma.decompress((golden / "bn_inception" / "tsn_bn_inception_rgb.caffemodel.xz").read_bytes()))
    deploy = golden.parent / "tsn" / "models" / "ucf101" / "tsn_bn_inception_rgb_deploy.prototxt"
    return load_net(deploy, model)


@pytest.mark.golden
def test_bn_inception_as_caffe_recorded_it(golden, tmp_path):
    """All blobs that are left: spatial means of the ten crops, and single maps, within 3e-5 of the blob's largest
    magnitude; scores within 1e-4. Those are the project's limits: 12 times what Caffe moves by from one thread to two.
    """
    recorded = np.load(golden / "bn_inception" / "forward_rgb.npz")
    crops = recorded["crops_uint8"].astype(np.float32) - np.array([104, 117, 123], np.float32)[:, None, None]
    fused = fuse(recorded_net(golden, tmp_path))
    assert len(fused.graph.steps) == 83  # of 232
    names = [name for name in fused.blob_names if name == "fc-action" or f"mean:{name}" in recorded]
    assert len(names) >= 80
    found = {name: value.numpy() for name, value in fused(torch.from_numpy(crops), names).items()}
    np.testing.assert_allclose(found.pop("fc-action"), recorded["fc-action"], rtol=0, atol=1e-4)
    for name, value in found.items():
        assert_near(value.mean((2, 3), dtype=np.float64), recorded[f"mean:{name}"], name)
        if f"full:{name}" in recorded:
            assert_near(value[3, :6], recorded[f"full:{name}"], name)


def assert_near(found, recorded, name):
    error = np.abs(found - recorded.reshape(found.shape)).max() / np.abs(recorded).max()
    assert error <= 3e-5, f"{name}: {error:.1e}"


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", [False, True])
def test_on_a_gpu(compiled):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    heads = [POINTWISE.format(name, "bn", "num_output: 5") + layer("ReLU", name) for name in "ab"]
    net = make(PLAIN, BN, RELU, *heads)
    fused = fuse(net, compiled=compiled).to("cuda")
    with torch.no_grad():
        expected = net.double()(pixels().double(), ("a", "b"))
    for blob, value in fused(pixels().to("cuda"), ("a", "b")).items():
        assert (value.cpu() - expected[blob]).abs().max() <= TOLERANCE * expected[blob].abs().max()
