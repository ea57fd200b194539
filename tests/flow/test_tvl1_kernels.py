"""The Triton kernels, run by Triton's interpreter on the CPU: against slow loops and against PyTorch's operations."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pytsn.flow.tvl1 import gpu_tiles
from pytsn.flow.tvl1.gpu_solver import next_check
from pytsn.flow.tvl1.gpu_tiles import TILES, Tile
from pytsn.flow.tvl1.presets import DEFAULT_PRESET, PRESETS
from tests.flow import interpreted
from tests.flow import tvl1_oracles as oracle
from tests.flow.tvl1_pairs import mixed_batch
from tests.interpreter import needs_triton

pytestmark = needs_triton

A = PRESETS[DEFAULT_PRESET]
#: PyTorch fuses multiply-adds on CPUs that have them, and then nothing but square roots rounds otherwise
FUSES = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


@pytest.fixture(scope="module")
def run(interpreted_run):
    """Calls a function of tests/flow/interpreted.py in the interpreter's process."""
    return interpreted_run


def random_fields(height: int, width: int, pairs: int = 2, seed: int = 5):
    """Flow (B, 2, H, W), duals (B, 2, 2, H, W), rho_c (B, H, W), gradient (B, 2, H, W), float64 of float32 numbers."""
    random = np.random.default_rng(seed)
    size = (height, width)
    fields = random.normal(0, 1, (pairs, 2, *size)), random.normal(0, 0.3, (pairs, 2, 2, *size))
    gradient, rho_c = random.normal(0, 3, (pairs, 2, *size)), random.normal(0, 2, (pairs, *size))
    fields[1][:, 0, :, :, -1] = fields[1][:, 1, :, -1] = 0  # as after any number of iterations from 0
    gradient[:, :, 1, 2:4] = 0  # flat pixels
    return [field.astype(np.float32).astype(float) for field in (*fields, rho_c, gradient)]


def data_term(rho_c: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """As gpu_warp.DataTerm says: offset, Ix, Iy, scale (B, 4, H, W)."""
    square = (gradient**2).sum(1)
    scale = np.where(square > 1.19e-7, -1 / np.maximum(square, 1e-30), -1e30)
    return np.stack((rho_c * scale, *gradient.swapaxes(0, 1), scale), 1).astype(np.float32)


# one tile; tiles in either direction; a level that ends with a tile; one pixel more
@pytest.mark.parametrize(
    ("size", "tile"),
    [
        ((5, 7), Tile(8, 8, 2, 4)),
        ((9, 21), Tile(8, 8, 2, 4)),
        ((12, 16), Tile(8, 8, 2, 4)),
        ((13, 17), Tile(8, 8, 2, 4)),
        ((11, 9), Tile(8, 8, 1, 4)),
        ((9, 11), Tile(8, 8, 3, 4)),
        ((3, 20), Tile(4, 16, 1, 4)),
    ],
)
def test_iterations_equal_the_loop(run, size, tile):
    """Two pairs that end at different iterations, blocks of ``steps``: every pixel after every block, and the error."""
    flow, dual, rho_c, gradient = random_fields(*size)
    until = [5, 3]
    fields = np.concatenate((flow, dual.reshape(2, 4, *size)), 1).astype(np.float32)
    launches = run(interpreted.advanced, fields, data_term(rho_c, gradient), until, A, tile)
    assert [list(done) for _, done, _ in launches] == [
        [min(end, (launch + 1) * tile.steps) for end in until] for launch in range(-(-5 // tile.steps))
    ]
    truth = [[(flow[pair], dual[pair], None)] for pair in range(2)]
    for pair in range(2):
        for _ in range(until[pair]):
            truth[pair].append(oracle.iteration(*truth[pair][-1][:2], rho_c[pair], gradient[pair]))
    for found, done, change in launches:
        for pair in range(2):
            flow_now, dual_now, error = truth[pair][done[pair]]
            np.testing.assert_allclose(found[pair, :2], flow_now, rtol=0, atol=2e-5)
            np.testing.assert_allclose(found[pair, 2:], dual_now.reshape(4, *size), rtol=0, atol=2e-5)
            if done[pair] == until[pair]:
                assert change[pair] == pytest.approx(error, rel=1e-4)


def test_linearise_equals_the_loop(run):
    """End points inside, at the edge and far outside; float32 against float64 of values up to 255."""
    random = np.random.default_rng(2)
    height, width = 11, 14
    image0, image1 = (random.uniform(0, 255, (2, height, width)).astype(np.float32) for _ in range(2))
    flow = random.normal(0, 3, (2, 2, height, width)).astype(np.float32)
    flow[0, 0, 0, :5] = [-30, 1e6, -1e6, 0, 0.5]
    layers = np.stack([np.stack((image, *oracle.gradients(image))) for image in image1]).astype(np.float32)
    offset, gradient_x, gradient_y, scale = run(interpreted.linearised, image0, layers, flow, A).swapaxes(0, 1)
    for pair in range(2):
        warped, *gradient = (oracle.warp(layer.astype(float), flow[pair]) for layer in layers[pair])
        np.testing.assert_allclose(gradient_x[pair], gradient[0], rtol=0, atol=2e-3)
        np.testing.assert_allclose(gradient_y[pair], gradient[1], rtol=0, atol=2e-3)
        square = gradient[0] ** 2 + gradient[1] ** 2
        sharp = (square > 1) & (np.abs(flow[pair]).max(0) < 1e3)
        assert sharp.mean() > 0.9
        np.testing.assert_allclose(scale[pair][sharp], (-1 / square)[sharp], rtol=5e-3)
        rho_c = warped - (np.stack(gradient) * flow[pair]).sum(0) - image0[pair]
        np.testing.assert_allclose((offset[pair] / scale[pair])[sharp], rho_c[sharp], rtol=0, atol=1e-2)


def test_flat_pixels_have_the_scale_of_flat_pixels(run):
    image = np.full((1, 6, 9), 90, np.float32)
    layers = np.concatenate((image, 0 * image, 0 * image))[None]
    term = run(interpreted.linearised, image + 1, layers, np.zeros((1, 2, 6, 9), np.float32), A)
    np.testing.assert_array_equal(term[0, 3], np.float32(-1e30))
    np.testing.assert_array_equal(term[0, 0], np.float32(1e30))  # rho_c is -1


@pytest.mark.parametrize("tiles", [1, 3])
def test_the_device_decides_as_the_host_does(run, tiles):
    """Many pairs in one launch: within a block, at a look, at the limit, at rest; errors from 0 to hundreds of S."""
    tile, preset = Tile(8, 8, 2, 4), replace(A, epsilon=0.1, max_iterations=21)
    stop = preset.stopping_error(8 + 4 * (tiles - 1), 4)
    pairs = [(done, until) for until in range(2, 22) for done in range(max(0, until - 4), until + 1)]
    random = np.random.default_rng(1)
    errors = stop * random.choice([0, 0.5, 1, 1.01, 3, 7.7, 400], len(pairs))
    share = random.dirichlet(np.ones(tiles), len(pairs))
    state = np.array([(done, until, done % 2, 0) for done, until in pairs], np.int32)
    after = run(interpreted.decided, state, errors[:, None] * share, preset, tile)
    for (done, until), error, row, found in zip(pairs, (errors[:, None] * share).sum(1), state, after, strict=True):
        steps = min(2, until - done)
        expected = [done + steps, until, row[2] ^ (steps > 0), 0]
        if steps and done + steps == until < 21 and not error <= stop:
            expected[1] = min(next_check(until, error, stop, 21) + 1, 21)
        if abs(error - stop) > 1e-9 * stop or not steps:  # a sum in another order may fall on the other side
            assert found.tolist() == expected, (done, until, error / stop)


@pytest.mark.parametrize(
    ("name", "tile", "whole"),
    [
        ("opencv2.4-cuda", Tile(32, 32, 2, 4), True),
        ("opencv2.4-cuda", Tile(16, 32, 3, 4), False),
        ("opencv2.4.9-cuda", Tile(32, 32, 1, 4), True),
        ("opencv3-cuda", Tile(32, 32, 4, 4), True),
    ],
)
def test_flow_and_iterations_are_pytorchs(run, name, tile, whole):
    """Pairs that stop at different iterations, in one batch: the same counts and, roundings alike, the same bits."""
    preset = replace(PRESETS[name], warps=2, max_iterations=11, epsilon=0.1)
    grays = [side[[0, 2, 3]] for side in mixed_batch(33, 36)]
    (found, counts), (expected, counts_expected) = run(
        interpreted.solved, grays, preset, tile, whole, [[0, 1, 2]], FUSES
    )
    assert counts == counts_expected
    assert len({sum(map(sum, pair)) for pair in counts}) == 3
    if FUSES:
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


def test_pairs_do_not_meet(run):
    """In any order, in part of a workspace that a larger batch has used before, and whatever the tiles."""
    preset = replace(A, warps=1, max_iterations=5, epsilon=0.1)
    grays = [side[[0, 2, 3]] for side in mixed_batch(33, 36)]
    calls = [[0, 1, 2], [2, 0], [1]]
    found = run(interpreted.solved, grays, preset, Tile(32, 32, 3, 4), True, calls, False)
    flow, counts = found[0]
    for pairs, (part, counts_part) in zip(calls, found, strict=False):
        np.testing.assert_array_equal(part, flow[pairs])
        assert counts_part == [counts[pair] for pair in pairs]
    other = run(interpreted.solved, grays, preset, Tile(32, 16, 2, 4), False, calls[:1], False)[0]
    np.testing.assert_array_equal(other[0], flow)
    assert other[1] == counts


def test_a_warp_without_looks_runs_to_its_limit(run):
    """As the benchmarks ask for: epsilon 0. Frames whose pixels lie column by column."""
    preset = replace(A, levels=1, warps=1, max_iterations=7, epsilon=0.0)
    grays = [side[2:3].transpose(0, 2, 1) for side in mixed_batch(34, 20)]
    for whole in (True, False):
        (found, counts), (expected, _) = run(interpreted.solved, grays, preset, Tile(16, 32, 2, 4), whole, [[0]], FUSES)
        assert counts == [[[7]]]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("tile", TILES[:2], ids=str)
def test_the_self_check_accepts_what_is_right(run, tile):
    from pytsn.flow.tvl1 import gpu_triton

    assert run(interpreted.difference, tile) <= gpu_triton.TOLERANCE


@pytest.mark.parametrize(("side", "tile", "steps"), [(8, 8, 1), (9, 8, 1), (340, 64, 4), (256, 32, 4), (3, 16, 2)])
def test_tiles_cover_a_level(side, tile, steps):
    """Each pixel is written by exactly one tile, none by more."""
    count = Tile(tile, tile, steps, 4).grid(side, side)[0]
    written = np.zeros(side, int)
    for index in range(count):
        start = index * (tile - 2 * steps)
        first, last = start + (steps if index else 0), start + tile - (steps if index < count - 1 else 0)
        written[first:last] += 1
    assert (written == 1).all()
    assert count == 1 or (count - 1) * (tile - 2 * steps) + 2 * steps < side  # the last is needed


def test_small_levels_are_one_tile():
    for size, tile in (((16, 22), (16, 32)), ((32, 43), (32, 64)), ((3, 64), (16, 64)), ((64, 64), (64, 64))):
        found = gpu_tiles.whole_level(*size)
        assert (found.rows, found.columns, found.steps) == (*tile, 0)
    assert gpu_tiles.whole_level(64, 85) is None
