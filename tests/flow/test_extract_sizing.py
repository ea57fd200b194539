"""How many workers and pairs at once build-of takes when it is not told."""

import argparse
from types import SimpleNamespace

import pytest
import torch

from pytsn.cli import run_command
from pytsn.commands import build_of
from pytsn.flow.extract import plan
from pytsn.flow.extract.sizing import default_batch, default_workers

GB = 10**9


@pytest.mark.parametrize(
    ("gpus", "cores", "workers"),
    [(0, 1, 1), (0, 16, 16), (1, 1, 1), (1, 2, 1), (1, 4, 2), (1, 16, 4), (1, 128, 4), (4, 16, 8), (4, 2, 4)],
)
def test_workers(gpus, cores, workers):
    assert default_workers(gpus, cores) == workers


@pytest.mark.parametrize(
    ("memory", "workers", "batch"),
    [(None, 1, 4), (80 * GB, 4, 128), (80 * GB, 1, 128), (24 * GB, 4, 32), (16 * GB, 2, 64), (4 * GB, 4, 16)],
)
def test_batches(memory, workers, batch):
    assert default_batch(memory, workers) == batch


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    build_of.add_arguments(parser)
    return parser.parse_args(["src", "out", *given])


@pytest.fixture
def two_cards(monkeypatch):
    """80 GB and 16 GB, 16 cores."""
    memory = {"cuda:0": 80 * GB, "cuda:1": 16 * GB}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=memory[device])
    )
    monkeypatch.setattr(plan, "cpu_count", lambda: 16)


@pytest.mark.parametrize(
    ("given", "devices", "workers", "batch"),
    [
        ((), ("cuda:0", "cuda:1"), 8, 32),  # the smaller card counts
        (("--num_gpu", "1"), ("cuda:0",), 4, 128),
        (("--device", "cuda:1"), ("cuda:1",), 4, 32),
        (("--num_worker", "2"), ("cuda:0", "cuda:1"), 2, 128),
        (("--batch_size", "7"), ("cuda:0", "cuda:1"), 8, 7),
        (("--device", "cpu"), ("cpu",), 16, 4),
        (("--algorithm", "dis"), ("cpu",), 16, 4),
    ],
)
def test_what_the_user_says_comes_first(two_cards, given, devices, workers, batch):
    made = plan.make_plan(arguments(*given))
    assert (made.devices, made.workers, made.batch_size) == (devices, workers, batch)


def test_help_tells_the_defaults(capsys):
    with pytest.raises(SystemExit):
        run_command("build-of", ["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "one per CPU core; 1 to 4 per GPU, by cores" in said
    assert "CPU 4, GPU 16 to 128" in said
