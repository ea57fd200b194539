"""The parts of GPU TV-L1 around the iteration: pyramids, flow to a finer level, gradients, the cubic warp."""

import numpy as np
import pytest
import torch

from pytsn.flow.tvl1 import gpu_pyramid as pyramid
from pytsn.flow.tvl1 import gpu_warp as tvl1_warp
from pytsn.flow.tvl1.presets import PRESETS, Preset
from tests.flow import tvl1_oracles as oracle

#: float32 against float64 on grey levels 0..255: 255 * 2^-24 a rounding, a few dozen of them
GREY = 2e-4

A, B249, C3 = (PRESETS[name] for name in ("opencv2.4-cuda", "opencv2.4.9-cuda", "opencv3-cuda"))


def grey(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(sum(shape)).uniform(0, 255, shape).astype(np.float32))


@pytest.mark.golden
@pytest.mark.parametrize(
    ("preset", "key"), [(A, "opencv24_cuda"), (B249, "opencv249_cuda"), (C3, "opencv3_cuda")], ids=lambda v: str(v)[:24]
)
def test_level_sizes_as_recorded(golden, preset, key):
    recorded = np.load(golden / "flow" / "tvl1_variants.npz", allow_pickle=False)[f"sizes_{key}"]  # coarse to fine
    assert pyramid.level_sizes(256, 340, preset) == [tuple(size) for size in recorded[::-1].tolist()]


def test_level_sizes_of_the_facts_page():
    assert pyramid.level_sizes(256, 340, A) == [(256, 340), (128, 170), (64, 85), (32, 43), (16, 22)]
    assert pyramid.level_sizes(256, 340, C3) == [(256, 340), (205, 272), (164, 218), (131, 174), (105, 139)]


def test_a_level_with_a_side_under_16_ends_the_pyramid():
    assert pyramid.level_sizes(61, 400, A) == [(61, 400), (31, 200), (16, 100)]  # the next would be 8 rows
    assert pyramid.level_sizes(30, 400, A) == [(30, 400)]  # the next would be 15
    assert pyramid.level_sizes(7, 9, A) == [(7, 9)]  # level 0 stays
    assert pyramid.level_sizes(20, 24, C3) == [(20, 24), (16, 19)]


def test_sides_round_half_to_even():
    halving = Preset("x", "x", pyramid="bilinear", scale=0.5)
    assert [pyramid.coarser_side(n, halving) for n in (33, 35, 37)] == [16, 18, 18]


@pytest.mark.parametrize("size", [(3, 4), (5, 8), (9, 6), (17, 12)])
def test_pyr_down_equals_the_loop(size):
    images = grey(2, *size)
    found = pyramid.pyr_down(images)
    assert found.shape == (2, (size[0] + 1) // 2, (size[1] + 1) // 2)
    for image, down in zip(images.numpy(), found.numpy(), strict=True):
        np.testing.assert_allclose(down, oracle.pyr_down(image), rtol=0, atol=GREY)


@pytest.mark.parametrize("size", [(21, 33), (16, 20), (24, 19)])
def test_bilinear_pyramid_reads_at_fixed_steps(size):
    """dst * 1.25 whatever the rounded size; the last reads may fall beyond the image and are clamped."""
    images = grey(2, *size)
    smaller = tuple(round(0.8 * side) for side in size)
    found = pyramid.shrink(images, smaller, 0.8)
    for image, small in zip(images.numpy(), found.numpy(), strict=True):
        np.testing.assert_allclose(small, oracle.resize(image, smaller, (1.25, 1.25), 0.0), rtol=0, atol=GREY)


@pytest.mark.parametrize(("preset", "shift", "factor"), [(A, 0.5, 2.0), (B249, 0.0, 2.0), (C3, 0.0, 1.25)])
def test_flow_to_the_finer_level(preset, shift, factor):
    """Odd sizes: the step is the ratio of the actual sizes, the factor that of the nominal ones."""
    flow, size = grey(3, 2, 5, 8) - 100, ((9, 15) if factor == 2 else (6, 10))
    found = pyramid.enlarge_flow(flow, size, preset)
    assert found.shape == (3, 2, *size)
    steps = (5 / size[0], 8 / size[1])
    for pair, component in np.ndindex(3, 2):
        expected = factor * oracle.resize(flow[pair, component].numpy(), size, steps, shift)
        np.testing.assert_allclose(found[pair, component], expected, rtol=0, atol=5 * GREY)


def test_build_pyramid_is_in_order_and_in_grey_levels():
    images = grey(2, 40, 67)
    levels = pyramid.build_pyramid(images, A)
    assert [tuple(level.shape) for level in levels] == [(2, 40, 67), (2, 20, 34)]
    np.testing.assert_allclose(levels[1][1], oracle.pyr_down(images[1].numpy()), rtol=0, atol=GREY)
    assert [tuple(level.shape[1:]) for level in pyramid.build_pyramid(images, C3)] == [
        (40, 67),
        (32, 54),
        (26, 43),
        (21, 34),
        (17, 27),
    ]


def test_image_gradients_equal_the_loop():
    images = grey(2, 4, 7)
    found = tvl1_warp.image_gradients(images)
    for image, gradient in zip(images.numpy(), found.numpy(), strict=True):
        np.testing.assert_allclose(gradient, oracle.gradients(image), rtol=0, atol=GREY)


def test_warp_equals_the_loop_inside_across_the_border_and_on_texels():
    """The loop takes the 4 or 5 texels of the recipe; a third of the flows is whole, where it takes 5 an axis."""
    layers = grey(2, 3, 6, 9)
    random = np.random.default_rng(3)
    flow = random.uniform(-4, 4, (2, 2, 6, 9)).astype(np.float32)
    flow = np.where(random.random(flow.shape) < 1 / 3, np.rint(flow), flow)
    found = tvl1_warp.warp_cubic(layers, torch.from_numpy(flow))
    for pair, layer in np.ndindex(2, 3):
        expected = oracle.warp(layers[pair, layer].numpy(), flow[pair])
        # float32 positions round at 1e-6 px, where the noise image falls by up to 400 grey levels a pixel
        np.testing.assert_allclose(found[pair, layer], expected, rtol=0, atol=2e-3)


def test_warp_by_whole_pixels_moves_texels_exactly():
    layers = grey(1, 2, 5, 8)
    flow = torch.zeros(1, 2, 5, 8)
    flow[:, 0], flow[:, 1] = 2, -1
    found = tvl1_warp.warp_cubic(layers, flow)
    np.testing.assert_array_equal(found[..., 1:, :-2], layers[..., :-1, 2:])


def test_warp_keeps_a_ramp_straight():
    """A = -0.5 reproduces linear ramps; A = -0.75, the CPU version's, does not."""
    ramp = (3 * torch.arange(12.0) + 20).expand(1, 1, 7, 12)
    flow = torch.zeros(1, 2, 7, 12)
    flow[:, 0] = 0.3
    inside = tvl1_warp.warp_cubic(ramp, flow)[..., 2:-2]
    np.testing.assert_allclose(inside, (ramp + 0.9)[..., 2:-2], rtol=0, atol=GREY)


def test_warp_from_very_far_is_the_edge_pixel_and_finite():
    layers = grey(1, 1, 4, 6)
    flow = torch.zeros(1, 2, 4, 6)
    flow[:, 0], flow[:, 1] = 1e12, -1e30
    found = tvl1_warp.warp_cubic(layers, flow)
    np.testing.assert_allclose(found, layers[..., :1, -1:].expand(1, 1, 4, 6), rtol=1e-6)


def test_the_clamp_is_the_three_branches():
    """d = gradient * clamp(offset + slope . u): every branch, g = 0 with r = 0 and r != 0, and g just under FLAT."""
    gradient = torch.tensor([[3.0, -4.0], [0.5, 0.1], [0.0, 0.0], [0.0, 0.0], [2e-4, 1e-4], [2e-4, 1e-4], [2.0, 1.0]])
    rho = torch.tensor([-30.0, 0.5, 0.0, 7.0, 2.0, 4e-9, 0.04])
    term = tvl1_warp._scaled(rho.view(1, 1, -1), gradient.T.reshape(1, 2, 1, -1))
    found = (term.gradient * term.offset.clamp(-0.045, 0.045)[:, None])[0, :, 0].T
    expected = [oracle.step(float(r), (float(g[0]), float(g[1]))) for r, g in zip(rho, gradient, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0)


def test_linearise_around_a_flow():
    image0, image1 = grey(2, 5, 8), grey(2, 8, 5).reshape(2, 5, 8)
    flow = torch.from_numpy(np.random.default_rng(1).uniform(-2, 2, (2, 2, 5, 8)).astype(np.float32))
    layers = torch.cat((image1[:, None], tvl1_warp.image_gradients(image1)), 1)
    term = tvl1_warp.linearise(image0, layers, flow)
    for b in range(2):
        gradient = [oracle.warp(layer.numpy(), flow[b].numpy()) for layer in layers[b, 1:]]
        warped = oracle.warp(image1[b].numpy(), flow[b].numpy())
        rho_c = warped - gradient[0] * flow[b, 0].numpy() - gradient[1] * flow[b, 1].numpy() - image0[b].numpy()
        square = gradient[0] ** 2 + gradient[1] ** 2
        np.testing.assert_allclose(term.gradient[b], gradient, rtol=0, atol=2e-3)
        # times g again: the quotient itself is ill-conditioned where the gradient is small
        np.testing.assert_allclose(-term.offset[b].numpy() * square, rho_c, rtol=2e-3, atol=2e-2)
        np.testing.assert_allclose(-term.slope[b].numpy() * square, gradient, rtol=2e-3, atol=2e-3)
