"""The Triton kernels of preset opencv-cpu, run by Triton's interpreter: equal to the CPU's route to the last bit."""

import warnings

import numpy as np
import pytest
import torch

from pytsn.flow.tvl1 import compute, cpu_triton
from pytsn.flow.tvl1.cpu_resampling import sample_cubic
from pytsn.flow.tvl1.cpu_solver import OptflowOptions, solve_counted
from pytsn.flow.tvl1.gpu_tiles import Tile
from pytsn.flow.tvl1.presets import PRESETS
from tests.flow import interpreted_cpu as interpreted
from tests.flow import tvl1_cpu_oracle as oracle
from tests.flow.tvl1_pairs import mixed_batch, tensors
from tests.interpreter import needs_triton

FUSES = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="the kernels fuse multiply-adds as OpenCV does; PyTorch has none on this CPU",
)
SMALL = OptflowOptions(scales_number=2, warpings_number=2, inner_iterations=2, outer_iterations=2, epsilon=0.06)


@needs_triton
@FUSES
def test_flow_and_iterations_equal_the_cpus(interpreted_run):
    """Two levels and warps, medians between, several tiles, room for a pair more; stops at and before the last
    iteration of a launch, and none."""
    grays = [side[[1, 2]] for side in mixed_batch(23, 37)]
    flow, counts = interpreted_run(interpreted.solved, grays, SMALL, Tile(16, 32, 3, 4))
    with compute.denormals_as_zero():
        expected, counts_expected = solve_counted(*tensors(grays), "cpu", SMALL)
    np.testing.assert_array_equal(counts, counts_expected)
    assert set(counts.ravel().tolist()) == {2, 3, 4}
    np.testing.assert_array_equal(flow, expected)


@needs_triton
@FUSES
def test_the_warp_equals_the_cpus(interpreted_run):
    """Inside, where a tap misses the image, far outside, halfway between two 1/32."""
    random = np.random.default_rng(2)
    height, width = 11, 14
    image0, layers = random.uniform(0, 255, (2, height, width)), random.uniform(-99, 255, (2, 3, height, width))
    flow = random.normal(0, 3, (2, 2, height, width)).astype(np.float32)
    flow[0, 0, 5, :6] = [-30, 1e6, -1e6, 0, 1 / 64, 3 / 64]
    image0, layers = image0.astype(np.float32), layers.astype(np.float32)
    constant, gradient_x, gradient_y = interpreted_run(interpreted.linearised, image0, layers, flow).swapaxes(0, 1)
    y, x = (torch.arange(side, dtype=torch.float32) for side in (height, width))
    u, v = torch.from_numpy(flow).unbind(1)
    warped, x, y = sample_cubic(torch.from_numpy(layers).transpose(0, 1).contiguous(), x + u, y[:, None] + v)
    np.testing.assert_array_equal(gradient_x, x)
    np.testing.assert_array_equal(gradient_y, y)
    np.testing.assert_array_equal(constant, warped - x * u - y * v - torch.from_numpy(image0))


@needs_triton
def test_medians_are_exact_and_only_where_due(interpreted_run):
    """Borders and ties; a pair within a round of 30 iterations and one that has stopped are left alone."""
    random = np.random.default_rng(3)
    flow = random.normal(size=(4, 2, 7, 9)).astype(np.float32)
    flow[0, :, 2:5] = flow[0, :, 2:3]
    state = np.array([(0, 300, 0, 0), (60, 61, 1, 0), (31, 300, 0, 0), (30, 30, 1, 0)], np.int32)
    found = interpreted_run(interpreted.smoothed, flow, state)
    for pair, component in np.ndindex(2, 2):
        np.testing.assert_array_equal(found[pair, component], oracle.median(flow[pair, component], 5))
    assert np.isnan(found[2:]).all()


def rounding_squares(count: int) -> np.ndarray:
    """Numbers whose sum in float32 depends on the order: first nothing, then much, then less than half a last bit, ties
    among them; the sum passes several powers of two."""
    random = np.random.default_rng(4)
    squares = random.uniform(0, 2e-6, count)
    squares[:70], squares[70:200] = 0, random.uniform(0, 0.05, 130)
    squares[1000:1040] = 2.0**-22 * random.choice([0.5, 1, 1.5], 40)
    squares[2100], squares[2500:4000] = 1.7, 1.6e-7
    return squares.astype(np.float32)


#: changes of the flow in three iterations, the state before, the state after; the sum to be at most is about 5
CLOSE = -1.0
CASES = [
    ((9, 8, 7), (6, 300, 0, 0), (9, 300, 1, 0)),  # goes on
    ((9, 8, 0.5), (6, 300, 1, 0), (9, 9, 0, 0)),  # stops
    ((9, 0.5, 0.4), (6, 300, 1, 0), (6, 8, 1, 0)),  # should have stopped: again, two iterations
    ((9, 0.5, 7), (6, 8, 1, 0), (8, 8, 0, 0)),  # those two
    ((9, 0.5, 0.5), (29, 300, 0, 0), (30, 300, 1, 0)),  # one iteration was made, as a median is due
    ((CLOSE, 9, 9), (6, 300, 0, 0), (6, 7, 0, 0)),  # rounding may decide: again, up to there
    ((9, 9, 9), (298, 300, 0, 0), (300, 300, 1, 0)),  # the limit
    ((0, 0, 0), (5, 5, 1, 0), (5, 5, 1, 0)),  # at rest
]


@needs_triton
def test_the_device_decides_as_opencv_does(interpreted_run):
    """Two tiles. Where rounding decides, the bound is the sum in turn, and one step of float32 more and less."""
    tile, size = Tile(64, 64, 3, 4), (60, 70)
    squares = rounding_squares(size[0] * size[1])
    in_turn = np.float32(0)
    for square in squares:
        in_turn += square
    close = squares.sum(dtype=np.float64)
    assert 4 < in_turn < 6
    assert abs(close / in_turn - 1) > 1e-5  # the order matters
    for bound, stops in ((in_turn, True), (np.nextafter(in_turn, 9), True), (np.nextafter(in_turn, 0), False)):
        cases = [*CASES, ((CLOSE, 9, 9), (6, 7, 0, 0), (7, 7 if stops else 300, 1, 0))]
        sums = np.array([[close if change == CLOSE else change for change in changes] for changes, _, _ in cases])
        partial = np.stack((0.75 * sums, 0.25 * sums), 1)
        state = np.array([before for _, before, _ in cases], np.int32)
        found = interpreted_run(interpreted.decided, state, partial, squares.reshape(size), bound, tile)
        assert [tuple(row) for row in found.tolist()] == [after for _, _, after in cases]


def broken(device, tile):
    raise RuntimeError("no compiler\nat all")


def test_without_kernels_a_gpu_computes_as_before(monkeypatch):
    cpu_triton.chosen_tile.cache_clear()
    monkeypatch.setattr(cpu_triton, "difference", broken)
    monkeypatch.setattr(torch.cuda, "device", lambda device: warnings.catch_warnings())  # any context
    pair = tensors([side[:2] for side in mixed_batch(17, 20)])
    with pytest.warns(UserWarning, match=r"RuntimeError: no compiler\); PyTorch's operations serve") as found:
        flow, counts = cpu_triton.solve_on_gpu(*pair)
    cpu_triton.chosen_tile.cache_clear()
    assert len(found) == 1
    expected, counts_expected = compute.solve(*pair, PRESETS["opencv-cpu"])
    assert torch.equal(flow, expected)
    assert counts.tolist() == counts_expected


@pytest.mark.gpu
@needs_triton
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("tile", cpu_triton.TILES, ids=str)
def test_flow_equals_opencvs_on_the_card(recordings, monkeypatch, tile):
    """Fast motion, in which one wrong last bit moves pixels; no warning, so graphs are captured. Iterations as well."""
    assert cpu_triton.difference(torch.device("cuda"), tile) == 0
    monkeypatch.setattr(cpu_triton, "chosen_tile", lambda device: tile)
    with np.load(recordings / "flow" / "dual_tvl1_fast.npz", allow_pickle=False) as recorded:
        gray0, gray1, truth = (recorded[name] for name in ("gray0", "gray1", "flow"))
    pair = tensors((gray0, gray1))
    flow, counts = compute.solve(*(gray.cuda() for gray in pair), PRESETS["opencv-cpu"])
    np.testing.assert_array_equal(flow.cpu().numpy(), truth)
    assert counts == compute.solve(*pair, PRESETS["opencv-cpu"])[1]
