"""Rows of benchmarks/gpu.py on training: with and without CUDA graphs, and plain PyTorch on the same crops."""

import tempfile
import time
from pathlib import Path

import torch
from eval_speed import FLOP_PER_CROP
from gpu_place import Place, product, row, seconds
from train_contestants import PlainTorch, training, write_dataset

from pytsn.training.hardware import Hardware
from pytsn.training.settings import default_workers

#: for a training crop: forward, and backward with twice the work
FLOP_PER_TRAINING_CROP = 3 * FLOP_PER_CROP


def train(place: Place, modality: str = "rgb", precisions: tuple[str, ...] = ()) -> None:
    """An iteration of pytsn train, with and without CUDA graphs, and of plain PyTorch on the same crops."""
    device = torch.device(place.device)
    count = place.pick(32, 1)
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_dataset(Path(folder), modality, count, 2 * count)
        for precision in precisions or place.training_precisions[:1]:
            limit = product(place, precision) / FLOP_PER_TRAINING_CROP
            for record in (True, False):
                run = training(dataset, Hardware(device, precision, record=record), default_workers(device, 1))
                try:
                    measure_training(place, run, dataset, f"train {modality} {precision}", record, limit)
                finally:
                    run.close()


def measure_training(place: Place, run, dataset, name: str, record: bool, limit: float) -> None:
    """Rows of one run: the loop, its share of waiting, and plain PyTorch (in the run without CUDA graphs)."""
    turns = place.pick(30, 1)
    for _ in range(place.pick(8, 1)):
        run.loop.step()
    place.wait()
    waited, start = run.train.data_seconds, time.perf_counter()
    for _ in range(turns):
        run.loop.step()
    place.wait()
    taken = time.perf_counter() - start
    waiting, rate = (run.train.data_seconds - waited) / taken, dataset.crops * turns / taken
    how = run.loop.work.note or ("graphs" if record else "no graphs")
    row(f"{name}, {how}", rate, "crops/s", f"{waiting:.1%} waiting", rate / limit, "product")
    if not record:
        raw = run.train.data_layers.next_batch(torch.device(place.device))
        plain = PlainTorch(dataset, run.options.hardware, run.train.net.state_dict())
        alone = seconds(place, lambda: plain.step(*raw.values()), place.pick(15, 1))
        row(f"{name}, plain PyTorch, data at hand", dataset.crops / alone, "crops/s")


def train_flow(place: Place) -> None:
    train(place, "flow")


def train_precisions(place: Place) -> None:
    train(place, "rgb", place.training_precisions[1:] or place.training_precisions)
