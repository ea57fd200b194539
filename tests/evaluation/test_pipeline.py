"""Batches that span videos: each video's scores are those of the video alone."""

import numpy as np
import pytest
import torch

from converter.weights import save_caffemodel
from pytsn.evaluation.action_net import ActionNet, NetOptions
from pytsn.evaluation.pipeline import Pipeline
from pytsn.evaluation.score_videos import EvalOptions
from tests.commands.eval_nets import NET
from tests.converter.nets import build

#: snippets of each video: one is longer than a batch of 64 crops, one has a single one
LENGTHS = (3, 9, 1, 2, 7)


@pytest.fixture
def make_net(tmp_path):
    def make(channels: int, **options) -> ActionNet:
        text = NET % channels
        (tmp_path / "net.prototxt").write_text(text)
        save_caffemodel(tmp_path / "net.caffemodel", build(text))
        return ActionNet(tmp_path / "net.prototxt", tmp_path / "net.caffemodel", NetOptions(**options))

    return make


def snippets_of(net: ActionNet) -> list[tuple[str, np.ndarray]]:
    random = np.random.default_rng(5)
    return [
        (f"v{index}", random.integers(0, 256, (length, net.planes, 28, 31), np.uint8))
        for index, length in enumerate(LENGTHS)
    ]


def assert_alone(net: ActionNet, found: list[tuple[str, np.ndarray]]) -> None:
    """Float32 sums of some hundred products of values up to 255: 1e-5 of the largest score is their rounding."""
    videos = snippets_of(net)
    assert [name for name, _ in found] == [name for name, _ in videos]
    for (_, scores), (_, snippets) in zip(found, videos, strict=True):
        alone = net.score_snippets(snippets)
        assert (scores.dtype, scores.shape) == (np.float32, alone.shape)
        np.testing.assert_allclose(scores, alone, rtol=0, atol=1e-5 * np.abs(alone).max())


@pytest.mark.parametrize("crops", [1, 10])
@pytest.mark.parametrize("batch_size", [1, 10, 64, 1000])
@pytest.mark.parametrize("channels", [3, 10, 15])
def test_scores_do_not_depend_on_neighbours(make_net, channels, batch_size, crops):
    net = make_net(channels, device="cpu", batch_size=batch_size, crops=crops)
    assert_alone(net, list(Pipeline(net).scores(iter(snippets_of(net)))))


def test_videos_come_one_by_one(make_net):
    """Scores are given while later videos are still to be read, no more videos fetched than are on their way."""
    net = make_net(3, device="cpu", batch_size=20)
    fetched = []

    def read():
        for index in range(40):
            fetched.append(index)
            yield index, np.full((2, 3, 28, 31), index, np.uint8)

    for done, _ in Pipeline(net).scores(read()):
        assert len(fetched) <= done + 6


def test_a_pipeline_serves_again(make_net):
    """The rest of an earlier batch is in nobody's scores."""
    net = make_net(3, device="cpu", batch_size=64)
    pipeline = Pipeline(net)
    for _ in range(2):
        assert_alone(net, list(pipeline.scores(iter(snippets_of(net)))))


def test_workers_on_one_gpu_are_threads_that_read(monkeypatch):
    """4 workers: 4 processes on a CPU; on GPUs one for each device that they would go to."""
    monkeypatch.setattr("pytsn.evaluation.score_videos.pick_device", torch.device)
    monkeypatch.setattr("pytsn.evaluation.score_videos.cpu_count", lambda: 16)
    cpu = EvalOptions(NetOptions("cpu"), num_worker=4)
    assert (cpu.processes, cpu.reading_threads) == (4, 4)
    one, two = (EvalOptions(NetOptions("cuda:0"), num_worker=4, gpus=gpus) for gpus in ((0,), (0, 1)))
    assert (one.processes, one.reading_threads) == (1, 15)
    assert (two.processes, two.reading_threads) == (2, 7)
    assert EvalOptions(NetOptions("cuda:0"), num_worker=40, gpus=(1,)).reading_threads == 40


@pytest.mark.gpu
@pytest.mark.parametrize("channels", [3, 10, 15])
def test_a_gpu_scores_as_the_cpu(make_net, channels):
    """Ten batches, so that the later ones come from the recorded graph. fp32 on both."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    gpu, cpu = (make_net(channels, device=device, batch_size=24) for device in ("cuda", "cpu"))
    pipeline = Pipeline(gpu)
    for _ in range(2):
        assert_alone(cpu, list(pipeline.scores(iter(snippets_of(cpu)))))
    assert pipeline.note == ""
