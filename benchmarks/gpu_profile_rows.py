"""Rows of benchmarks/gpu.py from the profiler: the share of time that the GPU is busy, and launches per step."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from flow_contestants import frame_pairs
from gpu_evaluation import make_net
from gpu_place import Place, row
from gpu_profile import profile_steps
from train_contestants import training, write_dataset

from pytsn.evaluation.pipeline import Pipeline
from pytsn.flow.tvl1.compute import compute_flow
from pytsn.training.hardware import Hardware
from pytsn.training.settings import default_workers


def profiles(place: Place) -> None:
    """Of a forward, of a training iteration with and without CUDA graphs, and of a batch of TV-L1."""
    precision = place.precisions[0]
    with tempfile.TemporaryDirectory() as folder:
        net = make_net(place, folder, precision)
        _rows(place, f"forward {precision}", Pipeline(net)._forward, place.pick(20, 1))
    device = torch.device(place.device)
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_dataset(Path(folder), "rgb", place.pick(32, 1), place.pick(64, 2))
        for record in (True, False):
            run = training(dataset, Hardware(device, precision, record=record), default_workers(device, 1))
            try:
                how = run.loop.work.note or ("graphs" if record else "no graphs")
                _rows(place, f"train rgb {precision}, {how}", run.loop.step, place.pick(10, 1))
            finally:
                run.close()
    side = place.pick(32, 1)
    grays = [torch.from_numpy(pair).to(place.device) for pair in frame_pairs().values()]
    gray0, gray1 = (gray.repeat(side // len(gray) + 1, 1, 1)[:side] for gray in grays)
    if place.tiny:
        gray0, gray1 = (gray[:, :64, :72].contiguous() for gray in (gray0, gray1))
    flow = partial(compute_flow, gray0, gray1, "opencv2.4-cuda", place.device)
    _rows(place, f"TV-L1 opencv2.4-cuda, {side} pairs", flow, place.pick(3, 1))


def _rows(place: Place, what: str, step: Callable[[], object], steps: int) -> None:
    for _ in range(place.pick(5, 1)):  # compiles, records, searches
        step()
    found = profile_steps(step, steps, place.wait, place.cuda)
    names = "; ".join(f"{share:.0%} {name[:40]}" for name, share in found.longest)
    counts = f"a step: {found.launches:.0f} launches, {found.waits:.0f} waits, {found.kernels:.0f} kernels or copies"
    row(f"busy, {what}", 100 * found.busy, "%", f"{counts}; longest: {names}")
