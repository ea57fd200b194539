"""TV-L1 of the GPU presets: against OpenCV's own recordings, known motion; batches; bad input."""

import itertools

import numpy as np
import pytest
import torch

from converter.errors import PytsnError
from pytsn.flow.quantise import dequantise_flow, quantise_flow
from pytsn.flow.tvl1 import compute as tvl1
from pytsn.flow.tvl1 import cpu_solver as optflow_cpu
from pytsn.flow.tvl1.presets import DEFAULT_PRESET, PRESETS
from tests.flow.tvl1_pairs import RECORDED, endpoint_error, mixed_batch, moved_texture, tensors

A = PRESETS[DEFAULT_PRESET]


@pytest.mark.golden
@pytest.mark.parametrize("index", [0, 1], ids=["still", "moving"])
@pytest.mark.parametrize("preset", RECORDED)
def test_flow_as_opencv_recorded_it(golden, preset, index):
    """Bounds of the issue. The recording itself, with and without fused multiply-add, differs by .023 and .035 px."""
    key, bound = RECORDED[preset]
    pairs = np.load(golden / "flow" / "tvl1_pairs.npz", allow_pickle=False)
    recording = np.load(golden / "flow" / "tvl1_variants.npz", allow_pickle=False)
    grey = [torch.from_numpy(pairs[name][index : index + 1]) for name in ("gray0", "gray1")]
    flow, counts = tvl1.solve(*grey, PRESETS[preset])
    found, truth = quantise_flow(flow[0].numpy()), quantise_flow(recording[f"flow_{key}"][index])
    assert endpoint_error(dequantise_flow(found), dequantise_flow(truth)).mean() <= bound
    assert (np.abs(found.astype(int) - truth) <= 1).mean() >= 0.99
    # isolated pixels jump with rounding, so that a warp may stop a check or two earlier or later (1896 in all)
    taken, recorded = np.array(counts[0]), recording[f"iters_{key}"][index]
    assert taken.shape == recorded.shape
    assert abs(taken.sum() - recorded.sum()) <= 0.01 * recorded.sum()


@pytest.mark.golden
def test_the_presets_are_told_apart_by_the_recordings(golden):
    """A solver that mixed them up would fail above: the recordings lie further apart than the bounds."""
    recording = np.load(golden / "flow" / "tvl1_variants.npz", allow_pickle=False)
    moving = {name: recording[f"flow_{key}"][1].astype(np.float32) for name, (key, _) in RECORDED.items()}
    for one, other in itertools.combinations(moving, 2):
        assert endpoint_error(moving[one], moving[other]).mean() > max(RECORDED[one][1], RECORDED[other][1])


@pytest.mark.parametrize("preset", RECORDED)
def test_a_known_shift_is_found(preset):
    """(1.5, -0.75): the facts page measured .010 px. 8 pixels at the border see texture that left the frame."""
    gray0, gray1 = moved_texture(120, 161, (1.5, -0.75), 0)
    error = endpoint_error(tvl1.compute_flow(gray0[None], gray1[None], preset)[0], (1.5, -0.75))
    assert error[8:-8, 8:-8].mean() < 0.02
    assert error[8:-8, 8:-8].max() < 0.2


def test_the_pyramid_finds_what_one_level_cannot():
    """9 px are far beyond the linearisation at full size: a solver that lost its levels would not find them."""
    gray0, gray1 = moved_texture(120, 161, (9, -5), 1)
    error = endpoint_error(tvl1.compute_flow(gray0[None], gray1[None])[0], (9, -5))
    assert np.median(error[16:-16, 16:-16]) < 0.05


def test_every_pair_is_as_if_alone():
    """Bit for bit, and the counts too, though the batch is compacted on the way; and in any order."""
    gray0, gray1 = tensors(mixed_batch())
    alone, counts = tvl1.solve(gray0, gray1, A, batch=1)
    # the still pair and the one without texture stop at once, the unrelated one never, the others in between
    assert [sum(map(sum, pair)) for pair in counts][::4] == [20, 20]
    assert len({sum(map(sum, pair)) for pair in counts}) == 4
    assert len(counts[0]) == 2
    assert len(counts[0][0]) == 5
    for order in ([0, 1, 2, 3, 4], [3, 1, 4, 0, 2]):
        together, counts_together = tvl1.solve(gray0[order], gray1[order], A, batch=5)
        assert torch.equal(together, alone[order])
        assert counts_together == [counts[pair] for pair in order]


def test_batch_sizes_that_do_not_divide():
    gray0, gray1 = tensors(mixed_batch(20, 33))
    alone = tvl1.solve(gray0, gray1, A)[0]
    assert torch.equal(tvl1.solve(gray0, gray1, A, batch=2)[0], alone)


def test_a_still_pair_has_no_flow_and_takes_the_least_iterations():
    gray0, _ = moved_texture(40, 57, (0, 0), 4)
    flow, counts = tvl1.solve(*tensors((gray0[None], gray0[None])), A)
    assert flow.abs().max() < 1e-3
    assert counts == [[[2] * 5] * 2]


def test_numpy_in_numpy_out_torch_in_torch_out():
    pair = [side[1:3] for side in mixed_batch(20, 33)]
    array, tensor = tvl1.compute_flow(*pair), tvl1.compute_flow(*tensors(pair))
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.float32
    assert array.shape == (2, 20, 33, 2)
    assert array.flags.c_contiguous
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(array, tensor.numpy())


@pytest.mark.filterwarnings("error")
def test_any_strides_and_read_only_input():
    pair = [side[1:2] for side in mixed_batch(20, 33)]
    expected = tvl1.compute_flow(*pair)
    turned = [np.ascontiguousarray(side.transpose(0, 2, 1)).transpose(0, 2, 1) for side in pair]
    backwards = [np.ascontiguousarray(side[:, ::-1])[:, ::-1] for side in pair]
    for sides in (turned, backwards):
        for side in sides:
            side.flags.writeable = False
        np.testing.assert_array_equal(tvl1.compute_flow(*sides), expected)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [(3, 3), (3, 40), (15, 4), (17, 33), (31, 31)])
def test_small_and_odd_frames_are_finite(size, preset):
    noise = np.random.default_rng(0).integers(0, 256, (2, 2, *size), dtype=np.uint8)
    flow = tvl1.compute_flow(*noise, preset)
    assert flow.shape == (2, *size, 2)
    assert np.isfinite(flow).all()


def test_black_to_white_is_finite():
    flow = tvl1.compute_flow(np.zeros((1, 20, 33), np.uint8), np.full((1, 20, 33), 255, np.uint8))
    np.testing.assert_array_equal(flow, 0)  # no gradient, no motion


@pytest.mark.parametrize("preset", PRESETS)
def test_no_pairs_give_no_flow(preset):
    empty = np.zeros((0, 20, 33), np.uint8)
    flow = tvl1.compute_flow(empty, empty, preset)
    assert flow.shape == (0, 20, 33, 2)
    assert flow.dtype == np.float32


def test_opencv_cpu_is_a_scheme_of_its_own():
    sides = [side[1:3] for side in mixed_batch(20, 33)]
    flow = tvl1.compute_flow(*sides, preset="opencv-cpu")
    np.testing.assert_array_equal(flow, optflow_cpu.solve(*tensors(sides), "cpu").numpy())
    assert endpoint_error(flow, tvl1.compute_flow(*sides, preset="opencv3-cuda")).mean() > 0.01


GOOD = np.zeros((1, 20, 33), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((GOOD[0], GOOD[0]), r"gray0 has shape \(20, 33\); give \(B, H, W\)"),
        ((GOOD, GOOD[:, :, :30]), r"\(1, 20, 33\) and ndarray \(1, 20, 30\)"),
        ((GOOD[:, :2], GOOD[:, :2]), "at least 3"),
        ((GOOD.astype(np.float32), GOOD), "gray0 has dtype float32"),
        ((GOOD, torch.zeros(1, 20, 33)), "gray1 has dtype torch.float32"),
        ((GOOD, torch.from_numpy(GOOD)), "give two of one kind"),
        (([[0]], GOOD), "gray0 is a list"),
        ((GOOD, GOOD, "opencv5"), "'opencv5' is unknown; use one of opencv2.4-cuda, opencv2.4.9-cuda"),
        ((GOOD, GOOD, DEFAULT_PRESET, "abacus"), "device 'abacus': auto, cpu"),
        ((GOOD, GOOD, DEFAULT_PRESET, "cuda:99"), "device 'cuda:99': this PyTorch sees"),
        ((GOOD, GOOD, DEFAULT_PRESET, None), "device 'None': auto, cpu"),
    ],
)
def test_bad_input_is_named(arguments, says):
    with pytest.raises(PytsnError, match=says):
        tvl1.compute_flow(*arguments)


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="a CPU without the switch")
@pytest.mark.parametrize("before", [False, True])
def test_denormals_count_as_zero_only_inside(before):
    def vanishes() -> bool:
        return torch.tensor([1e-38]).mul_(0.1).item() == 0

    torch.set_flush_denormal(before)
    try:
        with tvl1.denormals_as_zero():
            assert vanishes()
        with pytest.raises(ValueError, match="x"), tvl1.denormals_as_zero():
            raise ValueError("x")
        assert vanishes() == before
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kernels", [False, True])
@pytest.mark.parametrize("preset", RECORDED)
def test_cpu_and_cuda_agree(preset, kernels):
    """Bounds of the issue; pairs together on the GPU, one by one on the CPU; with and without Triton's kernels."""
    sides = [side[[0, 1, 2, 4]] for side in mixed_batch(120, 161)]  # unrelated frames (3) never converge
    truth = quantise_flow(tvl1.compute_flow(*sides, preset))
    flow = tvl1.solve(*(side.cuda() for side in tensors(sides)), PRESETS[preset], kernels=kernels)[0]
    found = quantise_flow(flow.cpu().numpy())
    assert endpoint_error(dequantise_flow(found), dequantise_flow(truth)).mean() <= RECORDED[preset][1]
    assert (np.abs(found.astype(int) - truth) <= 1).mean() >= 0.99
