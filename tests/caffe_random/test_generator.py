"""Caffe's random numbers against recordings of boost 1.74 (tests/recordings/rng), bit for bit."""

import math

import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.caffe_random.generator import CaffeRng
from pytsn.caffe_random.ziggurat import unit_normals


@pytest.fixture(scope="module")
def boost(recordings):
    with np.load(recordings / "rng" / "boost.npz") as archive:
        return dict(archive)


@pytest.mark.parametrize("seed", [0, 1, 7, 2**32 - 1])
def test_raw_outputs(boost, seed):
    rng = CaffeRng(seed)
    first = [rng.raw() for _ in range(3)]
    np.testing.assert_array_equal(np.append(first, rng.raws(1297)), boost[f"raw_{seed}"])


def test_seeds_wrap_at_32_bits():
    assert CaffeRng(-1).raw() == CaffeRng(2**32 - 1).raw() != CaffeRng(0).raw()


def same_bits(found, wanted):
    assert found.dtype == wanted.dtype == np.float32
    np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))


def test_uniform(boost):
    rng = CaffeRng(5)
    for name, count, low, high in [(1, 500, -0.25, 0.25), (2, 500, 3, 3.000002), (3, 200, -3e38, 3e38), (4, 200, 2, 2)]:
        same_bits(rng.uniform(count, low, high), boost[f"uniform_{name}"])
    assert rng.raw() == boost["uniform_next"][0]  # values drawn again took their numbers


def test_gaussian(boost):
    rng = CaffeRng(11)
    same_bits(rng.gaussian(5000, 0, 1), boost["gaussian_1"])
    same_bits(rng.gaussian(333, -1.5, 0.05), boost["gaussian_2"])
    assert rng.raw() == boost["gaussian_next"][0]


def test_four_million_gaussians(boost):
    """Wedges, tails and blocks: the hash covers every bit of every value."""
    rng = CaffeRng(2026)
    values = rng.gaussian(4_000_000, 0, 1)
    same_bits(np.concatenate([values[::997], values[np.abs(values) > np.float32(4.2)]]), boost["gaussian_long"])
    powers = np.cumprod(np.append(np.uint32(1), np.full(len(values) - 1, 31, np.uint32)), dtype=np.uint32)
    assert (values.view(np.uint32) * powers[::-1]).sum(dtype=np.uint32) == boost["gaussian_long_hash"][0]
    assert rng.raw() == boost["gaussian_long_next"][0]


def test_gaussians_at_the_corners_of_the_layers(boost):
    """Where float32 and float64 edges differ, and where uniform_01 draws once more."""
    raws, wanted = boost["corner_raws"].astype(np.uint64), boost["corner_values"]
    values, used = unit_normals(raws, len(wanted))
    same_bits(values, wanted)
    assert raws[used] == boost["corner_next"][0]


def test_gaussians_one_by_one_are_the_same_stream(boost):
    rng = CaffeRng(11)
    same_bits(np.concatenate([rng.gaussian(count, 0, 1) for count in [1] * 500 + [0, 7, 4493]]), boost["gaussian_1"])


def test_bernoulli(boost):
    rng = CaffeRng(3)
    dropout, single = 1 - float(np.float32(0.8)), np.float32(5) / np.float32(12)
    np.testing.assert_array_equal(rng.bernoulli(2000, dropout), boost["bernoulli_dropout"])
    np.testing.assert_array_equal(rng.bernoulli(2000, single, single=True), boost["bernoulli_single"])
    np.testing.assert_array_equal(rng.bernoulli(10, 0), boost["bernoulli_zero"])
    np.testing.assert_array_equal(rng.bernoulli(10, 1, single=True), boost["bernoulli_one"])
    assert rng.raw() == boost["bernoulli_next"][0]


def test_uniform_int(boost):
    rng = CaffeRng(9)
    bounds = (1, 2, 3, 6, 100, 9536, 238399, 3_000_000_000, 4_294_967_294)
    assert [rng.uniform_int(bound) for bound in bounds for _ in range(40)] == boost["uniform_int"].tolist()
    assert rng.raw() == boost["uniform_int_next"][0]
    assert rng.uniform_int(0) == 0


def test_shuffle_is_fisher_yates_from_the_back():
    """Against the outputs themselves: 5 items take buckets of 2^32 / 5, 2^32 / 4, ... from the last item on."""
    raws, items = CaffeRng(4).raws(4), list("abcde")
    for last, raw in zip([4, 3, 2, 1], raws.tolist(), strict=True):
        chosen = raw * (last + 1) // 2**32  # no output of this seed falls beside a bucket's edge
        items[last], items[chosen] = items[chosen], items[last]
    rng, shuffled = CaffeRng(4), list("abcde")
    rng.shuffle(shuffled)
    assert shuffled == items != list("abcde")
    assert rng.raw() == CaffeRng(4).raws(5)[4]


def test_state_continues_the_stream():
    rng = CaffeRng(8)
    rng.gaussian(1000, 0, 1)
    state = rng.state()
    wanted = rng.gaussian(2000, 0, 1)
    other = CaffeRng(1)
    other.set_state(state)
    same_bits(other.gaussian(2000, 0, 1), wanted)
    assert other.raw() == rng.raw()


@pytest.mark.parametrize("state", [np.zeros(3, np.uint32), np.zeros(625), np.full(625, 700, np.uint32)])
def test_a_wrong_state_is_refused(state):
    with pytest.raises(PytsnError, match="random state: 625 words"):
        CaffeRng(0).set_state(state)


def test_bad_ranges():
    for low, high in [(1, 0), (math.nan, 1)]:
        with pytest.raises(PytsnError, match="uniform draws"):
            CaffeRng(0).uniform(1, low, high)
    for p in (-0.1, 1.1, math.nan):
        with pytest.raises(PytsnError, match="probability"):
            CaffeRng(0).bernoulli(1, p)
