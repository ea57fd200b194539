"""When the Triton kernels serve, what is said when they do not, and on a GPU what they compute."""

import warnings

import numpy as np
import pytest
import torch

from pytsn.flow.quantise import dequantise_flow, quantise_flow
from pytsn.flow.tvl1 import compute as tvl1
from pytsn.flow.tvl1 import gpu_triton
from pytsn.flow.tvl1.gpu_tiles import TILES
from pytsn.flow.tvl1.presets import DEFAULT_PRESET, PRESETS
from tests.flow.tvl1_pairs import RECORDED, endpoint_error, mixed_batch, tensors
from tests.interpreter import needs_triton

A = PRESETS[DEFAULT_PRESET]
CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture
def choose(monkeypatch):
    """``chosen_tile`` as on first use, with the small problem and the timing replaced."""
    gpu_triton.chosen_tile.cache_clear()

    def chosen(difference, seconds=lambda device, tile: 1.0):
        monkeypatch.setattr(gpu_triton, "difference", difference)
        monkeypatch.setattr(gpu_triton, "_seconds", seconds)
        return gpu_triton.chosen_tile(CPU)

    yield chosen
    gpu_triton.chosen_tile.cache_clear()


@pytest.mark.filterwarnings("error")
def test_the_fastest_tile_serves_and_is_chosen_once(choose):
    asked = []

    def seconds(device, tile):
        asked.append(tile)
        return 1.0 if tile == TILES[1] else 2.0

    assert choose(lambda device, tile: 0.001, seconds) == TILES[1]
    assert gpu_triton.chosen_tile(CPU) == TILES[1]
    assert asked == list(TILES)


def broken(error):
    def difference(device, tile):
        raise error

    return difference


@pytest.mark.parametrize(
    ("difference", "says"),
    [
        (broken(ModuleNotFoundError("No module named 'triton'")), "ModuleNotFoundError: No module named 'triton'"),
        (broken(RuntimeError("no compiler\nat all")), r"RuntimeError: no compiler\); PyTorch's operations serve"),
        (lambda device, tile: 0.5, r"a flow 0.5 px from PyTorch's\); PyTorch's operations serve"),
        (lambda device, tile: float("nan"), "a flow nan px from PyTorch's"),
    ],
)
def test_one_line_says_why_pytorch_serves(choose, difference, says):
    with pytest.warns(UserWarning, match=says) as found:
        assert choose(difference) is None
    assert len(found) == 1
    assert "\n" not in str(found[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gpu_triton.chosen_tile(CPU) is None  # once


def test_without_kernels_a_gpu_computes_as_before(choose, monkeypatch):
    with pytest.warns(UserWarning, match="no Triton kernels here"):
        choose(broken(ImportError("none")))
    monkeypatch.setattr(torch.cuda, "device", lambda device: warnings.catch_warnings())  # any context
    pair = tensors([side[1:3] for side in mixed_batch(20, 33)])
    flow, counts = gpu_triton.solve_on_gpu(*pair, A)
    expected, counts_expected = tvl1.solve(*pair, A, batch=2)
    assert torch.equal(flow, expected)
    assert counts == counts_expected


@needs_triton
def test_workspaces_are_kept_and_grow(monkeypatch):
    monkeypatch.setattr(gpu_triton, "_workspaces", type(gpu_triton._workspaces)())

    def find(pairs, height=20, width=33):
        return gpu_triton.find_workspace(torch.zeros(pairs, height, width, dtype=torch.uint8), A, TILES[0])

    with torch.inference_mode():
        first = find(3)
    assert first.capacity == 3
    assert not first._fields.is_inference()
    assert find(2) is first
    larger = find(5)
    assert larger.capacity == 5
    other = find(1, 24)
    assert find(4) is larger
    find(1, 25)
    assert find(4) is larger  # the size used last stays
    assert find(1, 24) is not other  # the one before has gone


@needs_triton
def test_where_graphs_cannot_be_captured_launches_serve(monkeypatch):
    from pytsn.flow.tvl1.gpu_launch import captured

    def fail(device):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    calls = []
    monkeypatch.setattr(torch.cuda, "synchronize", fail)
    with pytest.warns(UserWarning, match=r"no CUDA graph here \(operation not permitted .* capturing\); kernels"):
        work = captured(lambda: calls.append(1), torch.device("cuda"))
    work()
    assert len(calls) == 2  # once so that all is compiled, once asked for


@pytest.mark.gpu
@needs_cuda
@needs_triton
@pytest.mark.parametrize("tile", TILES, ids=str)
def test_the_self_check_on_the_card(tile):
    assert gpu_triton.difference(torch.device("cuda", torch.cuda.current_device()), tile) <= gpu_triton.TOLERANCE


@pytest.mark.gpu
@needs_cuda
@needs_triton
@pytest.mark.filterwarnings("error")
@pytest.mark.golden
@pytest.mark.parametrize("index", [0, 1], ids=["still", "moving"])
@pytest.mark.parametrize("preset", RECORDED)
def test_flow_as_opencv_recorded_it_by_the_kernels(golden, preset, index):
    """test_tvl1's bounds, and the iterations; no warning, so the kernels serve and graphs are captured."""
    key, bound = RECORDED[preset]
    with np.load(golden / "flow" / "tvl1_pairs.npz", allow_pickle=False) as pairs:
        grey = [torch.from_numpy(pairs[name][index : index + 1]).cuda() for name in ("gray0", "gray1")]
    with np.load(golden / "flow" / "tvl1_variants.npz", allow_pickle=False) as recording:
        truth, recorded = quantise_flow(recording[f"flow_{key}"][index]), recording[f"iters_{key}"][index]
    flow, counts = tvl1.solve(*grey, PRESETS[preset])
    assert gpu_triton.chosen_tile(grey[0].device) in TILES
    found = quantise_flow(flow[0].cpu().numpy())
    assert endpoint_error(dequantise_flow(found), dequantise_flow(truth)).mean() <= bound
    assert (np.abs(found.astype(int) - truth) <= 1).mean() >= 0.99
    assert abs(np.sum(counts) - recorded.sum()) <= 0.01 * recorded.sum()
    if not index:
        assert counts[0] == recorded.tolist()  # nothing is in doubt where nothing moves


@pytest.mark.gpu
@needs_cuda
@needs_triton
@pytest.mark.parametrize("preset", RECORDED)
def test_kernels_and_pytorch_agree_on_the_card(preset):
    """In one batch with a pair that never converges, and alone."""
    sides = [side.cuda() for side in tensors(mixed_batch(120, 161))]
    chosen = PRESETS[preset]
    flow, counts = tvl1.solve(*sides, chosen)
    expected, counts_expected = tvl1.solve(*sides, chosen, kernels=False)
    settled = [0, 1, 2, 4]  # unrelated frames (3) never converge, so that roundings grow
    assert (flow - expected)[settled].abs().mean() <= 1e-3
    assert np.sum(counts) == pytest.approx(np.sum(counts_expected), rel=0.01)
    for pair in range(5):
        alone, count = tvl1.solve(*(side[pair : pair + 1] for side in sides), chosen)
        assert torch.equal(alone[0], flow[pair])
        assert count[0] == counts[pair]
