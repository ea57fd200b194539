"""Preset opencv-cpu rounds as OpenCV does: what a last bit decides on fast motion, and flow equal to recordings."""

import hashlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from pytsn.flow.tvl1 import cpu_iterations
from pytsn.flow.tvl1.compute import compute_flow
from pytsn.flow.tvl1.cpu_lengths import CHUNK, Lengths, double_lengths
from pytsn.flow.tvl1.cpu_solver import OptflowOptions, Pyramid
from tests.flow import tvl1_cpu_oracle as oracle

fused = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="OpenCV's recordings are made with fused multiply-adds; PyTorch has none on this CPU",
)

# x and y of gradients whose length lies within 1e-7 of a last bit of halfway between two float32
HALFWAY = [
    (-0.06401979178190231, 0.004931892268359661),
    (-0.05183730274438858, -0.00015905137115623802),
    (-0.01838011108338833, -0.0006869977223686874),
    (0.10104908049106598, -0.0004170308238826692),
    (0.04595668613910675, -0.0036412354093044996),
    (0.05564165115356445, -0.00022900303883943707),
]
# of the recorded pairs of frames; the second takes 300 iterations at every warp
CLIP = [0, pytest.param(1, marks=pytest.mark.slow), 7, 16, 25, 33]


@pytest.fixture(scope="module")
def recorded(recordings):
    with np.load(recordings / "flow" / "dual_tvl1_fast.npz", allow_pickle=False) as recording:
        return {name: recording[name] for name in recording.files}


@pytest.fixture(scope="module")
def clip(shared):
    """All frames as recorded: resized to 340x256 and grey."""
    capture = cv2.VideoCapture(str(shared / "video" / "plastering.avi"))
    frames = []
    while (read := capture.read())[0]:
        frames.append(cv2.cvtColor(cv2.resize(read[1], (340, 256)), cv2.COLOR_BGR2GRAY))
    return frames


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_lengths_round_to_the_nearest(scale):
    """Hard ones in the first and in the last piece, zeros, and any others; more than one piece."""
    vectors = torch.randn(2, CHUNK + 100, generator=torch.Generator().manual_seed(4)) * scale
    vectors[:, :6] = vectors[:, -6:] = torch.tensor(HALFWAY).T
    vectors[:, 6:9] = torch.tensor([[0, 0, -3], [0, 1e-12, 4]])
    lengths = Lengths(vectors.view(2, 2, 1, -1), torch.empty(2, 1, vectors.shape[1] // 2)).update()
    expected = [oracle.length(*each) for each in vectors.T.numpy()]
    np.testing.assert_array_equal(lengths.flatten().numpy(), np.array(expected))
    np.testing.assert_array_equal(double_lengths(vectors).float().numpy(), np.array(expected))  # for other devices


def test_sums_near_the_bound_are_in_turn():
    """A large change first: each later one is under half of the sum's last bit, so that OpenCV loses all of them."""
    change = torch.full((2, 1, 4096), 1.6e-4)
    change[:, 0, 0] = torch.tensor([0.6, 0.8])
    assert oracle.sum_in_turn(*change.numpy()) == pytest.approx(1, abs=1e-7)
    assert cpu_iterations._squares(change, near=1.0001).item() == oracle.sum_in_turn(*change.numpy())
    assert cpu_iterations._squares(change, near=2.0).item() == pytest.approx(1 + 4095 * 2 * 1.6e-4**2, abs=2e-5)


def test_the_bound_is_float32():
    """A sum that equals the rounded bound ends a warp, also where the bound was rounded up."""
    bound = 0.01**2 * 20 * 28
    assert float(np.float32(bound)) > bound
    level = SimpleNamespace(shape=(1, 20, 28), iterate=lambda near: torch.tensor([np.float32(bound)]))
    options = OptflowOptions(median_filtering=1)
    assert Pyramid((1, 20, 28), options, torch.device("cpu"))._iterate(level).tolist() == [1]


@fused
def test_fast_motion_equals_opencv(recorded):
    """Made-up scenes, each of which one wrong last bit of a length moves (record_dual_tvl1_fast.py)."""
    flow = compute_flow(recorded["gray0"], recorded["gray1"], "opencv-cpu")
    assert np.linalg.norm(recorded["flow"], axis=-1).mean() > 5
    np.testing.assert_array_equal(flow, recorded["flow"])


@fused
@pytest.mark.golden
@pytest.mark.parametrize("index", CLIP)
def test_clip_equals_opencv(recorded, clip, index):
    pair = [clip[number] for number in recorded["clip_pairs"][index]]
    if _digest(*pair) != recorded["clip_gray"][index]:
        pytest.skip("this OpenCV decodes or resizes the clip to other frames than the recorded ones")
    flow = compute_flow(*(gray[None] for gray in pair), "opencv-cpu")[0]
    assert _digest(flow) == recorded["clip_flow"][index]


def _digest(*arrays):
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
