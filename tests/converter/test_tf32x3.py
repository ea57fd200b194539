"""The precision tf32x3: its kernel in Triton's interpreter, its rounding emulated, and what serves where it cannot."""

import copy
import re
import warnings

import numpy as np
import pytest
import torch

from converter import tf32x3
from converter.fused import fuse
from converter.fused_layers import FusedConv
from converter.tf32x3 import TILES, SplitConv, Tile
from tests.converter import interpreted
from tests.interpreter import needs_triton
from tests.places import ROOT

SMALL = Tile(16, 16, 4, 2)


def looped(x, weight, bias, window, slope):
    """x (N, H, W, C), weight (O, C, h, w) -> (N, O, H', W') in float64, output by output."""
    kernel, stride, padding = window[:2], window[2:4], window[4:]
    x = np.pad(x.astype(float), ((0, 0), *((p, p) for p in padding), (0, 0)))
    size = [(x.shape[1 + axis] - kernel[axis]) // stride[axis] + 1 for axis in (0, 1)]
    out = np.zeros((len(x), len(weight), *size))
    for n, k, i, j in np.ndindex(out.shape):
        y, z = i * stride[0], j * stride[1]
        seen = x[n, y : y + kernel[0], z : z + kernel[1]]
        out[n, k, i, j] = (seen * weight[k].transpose(1, 2, 0)).sum() + (0 if bias is None else bias[k])
    return out if slope is None else np.where(out < 0, slope * out, out)


# a depth that blocks do not divide, padded; whole blocks of channels, taps that miss the image; one tap, tiles ahead
@needs_triton
@pytest.mark.parametrize(
    ("size", "outputs", "window", "slope", "biased"),
    [
        ((2, 9, 7, 3), 5, (3, 2, 2, 1, 1, 0), 0.0, True),
        ((2, 5, 4, 32), 7, (2, 3, 1, 2, 0, 2), 0.25, True),
        ((3, 4, 3, 64), 18, (1, 1, 1, 1, 0, 0), None, False),
    ],
)
def test_the_kernel_equals_the_loop(interpreted_run, size, outputs, window, slope, biased):
    random = np.random.default_rng(3)
    x = random.normal(size=size).astype(np.float32)
    weight = random.normal(size=(outputs, size[3], *window[:2])).astype(np.float32)
    bias = random.normal(size=outputs).astype(np.float32) if biased else None
    found = interpreted_run(interpreted.convolved, x, weight, bias, window, slope, SMALL)
    expected = looped(x, weight, bias, window, slope)
    assert found.shape == expected.shape
    # float32 sums of up to 192 products; without one of the three products 1e-4
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@needs_triton
def test_part_of_a_wider_tensor_is_read_in_place(interpreted_run):
    """The top of merged convolutions: channels 5 to 37 of 40, (N, H, W, C) in memory."""
    random = np.random.default_rng(4)
    x = random.normal(size=(2, 3, 5, 40)).astype(np.float32)[..., 5:37]
    weight = random.normal(size=(4, 32, 1, 1)).astype(np.float32)
    found = interpreted_run(interpreted.convolved, x, weight, None, (1, 1, 1, 1, 0, 0), None, SMALL)
    np.testing.assert_allclose(found, looped(x, weight, None, (1, 1, 1, 1, 0, 0), None), rtol=0, atol=2e-5)


def test_both_parts_have_10_bits_and_their_sum_has_22():
    value = torch.randn(3, 5, 500, generator=torch.Generator().manual_seed(1)) * torch.logspace(-20, 20, 500)
    high, low = tf32x3.split(value)
    for part in (high, low):
        assert not (part.view(torch.int32) & 0x1FFF).any()
    assert ((high - value).abs() <= 2.0**-11 * value.abs()).all()
    assert ((high.double() + low.double() - value.double()).abs() <= 2.0**-22 * value.abs()).all()


NET = (
    'input: "x" input_shape { dim: 2 dim: 4 dim: 6 dim: 5 } layer { name: "c" type: "Convolution" bottom: "x" top: "c" \
convolution_param { num_output: 3 kernel_size: 3 %s } }'
)


@pytest.mark.parametrize(("more", "kind"), [("", SplitConv), ("dilation: 2", FusedConv)])
def test_layers_that_the_kernel_knows(more, kind):
    """On a CPU they compute as for fp32; copies and loaded weights too."""
    from tests.converter.nets import build

    net, x = build(NET % more), torch.randn(2, 4, 6, 5)
    fused = fuse(net, precision="tf32x3")
    assert [type(layer) for layer in fused.modules() if isinstance(layer, FusedConv)] == [kind]
    expected = fuse(net)(x)["c"]
    assert torch.equal(copy.deepcopy(fused)(x)["c"], expected)
    fused.load_state_dict(fused.state_dict())
    assert torch.equal(fused(x)["c"], expected)


@pytest.fixture
def card(monkeypatch):
    """``works`` as on first use, on a device whose capability is given."""
    tf32x3.works.cache_clear()

    def works(capability, difference=lambda device: 0.0):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(tf32x3, "difference", difference)
        return tf32x3.works(torch.device("cuda"))

    yield works
    tf32x3.works.cache_clear()


def missing(device):
    raise ModuleNotFoundError("No module named 'triton'")


@pytest.mark.parametrize(
    ("capability", "difference", "says"),
    [
        ((7, 5), lambda device: 0.0, r"compute capability 7.5, at least 8.0 is needed\); cuDNN's float32 serves"),
        ((9, 0), missing, r"ModuleNotFoundError: No module named 'triton'"),
        ((9, 0), lambda device: 2e-4, r"off by 2.0e-04 of the largest value"),
        ((9, 0), lambda device: float("nan"), r"off by nan"),
    ],
)
def test_one_line_says_why_float32_serves(card, capability, difference, says):
    with pytest.warns(UserWarning, match=says) as found:
        assert not card(capability, difference)
    assert len(found) == 1
    assert "\n" not in str(found[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not tf32x3.works(torch.device("cuda"))  # once


def test_the_fastest_serves_for_each_shape(monkeypatch):
    layer = SplitConv(torch.ones(64, 128, 3, 3), None, (1, 1), (1, 1), (1, 1), 1)
    inputs = [torch.zeros(size, device="meta") for size in ((250, 128, 28, 28), (250, 128, 9, 9), (129, 128, 28, 28))]
    asked = []
    monkeypatch.setattr(tf32x3, "works", lambda device: True)
    monkeypatch.setattr(tf32x3, "_is_ready", lambda x: True)

    def seconds(x, tile):
        asked.append(tile)
        return {None: 2.0, TILES[1]: 1.0 if x.shape[2] == 28 else 3.0}.get(tile, 5.0)

    monkeypatch.setattr(layer, "_seconds", seconds)
    assert [layer._tile(x) for x in inputs] == [TILES[1], None, TILES[1]]
    assert asked == [None, *TILES] * 2  # the third has a batch like the first
    assert layer.tiles == (TILES[1], None)
    asked.clear()
    assert layer._tile(torch.zeros(2, 128, 9, 9, device="meta")) is None  # too little work
    layer.weight = torch.ones(64, 3, 7, 7)
    layer._tile(torch.zeros(250, 3, 224, 224, device="meta"))
    assert asked == [None, None, TILES[-1]]


@pytest.mark.golden
def test_rounding_keeps_parity(golden, shared, rgb_caffemodel, monkeypatch):
    """One crop of the recorded net, products emulated: tf32x3 is within the project's limit, tf32 far from it."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import precision_emulated as emulated

    recorded = np.load(golden / "bn_inception" / "forward_rgb.npz")
    crop = torch.from_numpy(recorded["crops_uint8"][3:4])
    off = {}
    with torch.inference_mode():
        net = emulated.recorded_net(shared, rgb_caffemodel, emulated.NetOptions("cpu"))
        for precision in ("tf32x3", "tf32"):
            emulated.emulate(net.net, precision)
            off[precision] = np.abs(net.score_crops(crop).numpy() - recorded["fc-action"][3]).max()
    assert off["tf32x3"] <= 1e-4
    assert off["tf32"] > 1e-3


@needs_triton
@pytest.mark.slow
def test_the_kernel_compiles_for_cards_that_are_not_here():
    """For compute capability 9.0: on tensor cores, within 99 kB of shared memory, everything copied by 16 bytes."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from converter.tf32x3_kernel import convolve

    if not isinstance(convolve, triton.runtime.JITFunction):
        pytest.skip("TRITON_INTERPRET is set")
    tile, names = TILES[-1], convolve.arg_names
    constants = {"BIAS": True, "RELU": "relu", "GATHER": False}
    constants |= {"PIXELS": tile.pixels, "OUTPUTS": tile.outputs, "DEPTH": tf32x3.DEPTH}
    kinds = dict.fromkeys(("x", "high", "low", "bias", "y"), "*fp32") | {"slope": "fp32"}
    kinds |= dict.fromkeys(constants, "constexpr")
    by_16 = ("x", "high", "low", "channels", "depth", "step_image", "step_row", "step_column")
    attributes = {(names.index(name),): [["tt.divisibility", 16]] for name in by_16}
    source = ASTSource(convolve, {name: kinds.get(name, "i32") for name in names}, constants, attributes)
    options = {"num_warps": tile.warps, "num_stages": tile.stages, "enable_fp_fusion": False}
    found = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    assert found.metadata.shared <= 99 * 1024
    ptx = found.asm["ptx"]
    assert "wgmma.mma_async.sync.aligned.m64n64k8.f32.tf32.tf32" in ptx
    sizes = re.findall(r"cp\.async\.c[ag]\.shared\.global \[[^]]*\], \[[^]]*\], (\w+)", ptx)
    assert len(sizes) > 10
    assert {int(size, 0) for size in sizes} == {16}


@pytest.mark.gpu
@pytest.mark.golden
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("tile", [*TILES, None], ids=str)
def test_parity_on_the_card(golden, shared, rgb_caffemodel, monkeypatch, tile):
    """Each tile for all layers, from a recording as well; the recorded crops within 1e-4 of Caffe's scores."""
    from pytsn.evaluation import action_net
    from pytsn.runtime.cuda_graph import WARM_UP, Replayed

    monkeypatch.setattr(action_net, "fastest", lambda make, run, device: make(True).to(device))
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from precision_emulated import recorded_net

    recorded = np.load(golden / "bn_inception" / "forward_rgb.npz")
    crops = torch.from_numpy(recorded["crops_uint8"]).cuda()
    net = recorded_net(shared, rgb_caffemodel, action_net.NetOptions("cuda", "tf32x3"))
    monkeypatch.setattr(SplitConv, "_tile", lambda layer, x: tile)
    assert any(isinstance(layer, SplitConv) for layer in net.net.modules())
    forward = Replayed(lambda: net.score_crops(crops), net.device)
    with torch.inference_mode():
        scores = [forward().cpu().numpy() for _ in range(WARM_UP + 2)]
    assert not forward.note
    for found in scores:
        np.testing.assert_allclose(found, recorded["fc-action"], rtol=0, atol=1e-4)
        np.testing.assert_array_equal(found, scores[0])
