"""Rows of benchmarks/gpu.py on TV-L1 flow: pairs at hand, and the whole of build-of."""

import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from flow_contestants import ROOT, frame_pairs
from gpu_place import Place, row, seconds

from pytsn.demo.videos import Clip, render, write_video
from pytsn.flow.tvl1 import cpu_triton, gpu_triton
from pytsn.flow.tvl1.compute import compute_flow


def tvl1(place: Place) -> None:
    """Pairs per second, for batches of the recorded pairs or of moving textures."""
    grays = [torch.from_numpy(pair).to(place.device) for pair in frame_pairs().values()]
    for preset, batch in (("opencv2.4-cuda", 128), ("opencv2.4-cuda", 32), ("opencv-cpu", 128)):
        size = place.pick(batch, 1)
        gray0, gray1 = (gray.repeat(size // len(gray) + 1, 1, 1)[:size] for gray in grays)
        if place.tiny:
            gray0, gray1 = (gray[:, :64, :72].contiguous() for gray in (gray0, gray1))
        taken = seconds(place, partial(compute_flow, gray0, gray1, preset, place.device), place.pick(3, 1), warm_up=1)
        row(f"TV-L1 {preset}, {size} pairs at once", size / taken, "pairs/s", kernels_of(place, preset))
    with np.load(ROOT / "tests" / "recordings" / "flow" / "dual_tvl1_fast.npz") as recorded:
        before, after, truth = (recorded[name][: place.pick(99, 1)] for name in ("gray0", "gray1", "flow"))
    found = compute_flow(before, after, "opencv-cpu", place.device)
    row("TV-L1 opencv-cpu, numbers unlike OpenCV's", int((found != truth).sum()), "", f"of {truth.size}")


def kernels_of(place: Place, preset: str) -> str:
    """What computes the flow of a preset on this device."""
    if not place.cuda:
        return ""
    file = cpu_triton if preset == "opencv-cpu" else gpu_triton
    return str(file.chosen_tile(torch.empty(0, device=place.device).device) or "PyTorch's operations")


def build_of(place: Place) -> None:
    """The whole of build-of on videos of 340x256: its start, decoding, flow and JPEGs. Counted twice, with few videos
    and with many, so that the difference is its pace once it runs."""
    frames, few, many = place.pick(100, 3), place.pick(8, 1), place.pick(72, 2)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "made.avi")
        write_video(source, render(Clip("v_made_g01_c01", "Star", "Rocks", frames, (0,))))
        taken = {}
        for count in (few, many):
            videos = Path(folder, f"videos{count}")
            videos.mkdir()
            for index in range(count):
                (videos / f"v_{index:03d}.avi").hardlink_to(source)
            command = [sys.executable, "-m", "pytsn", "build-of", str(videos), str(Path(folder, f"frames{count}"))]
            begun = time.perf_counter()
            subprocess.run(command, check=True, stdout=sys.stderr)
            taken[count] = time.perf_counter() - begun
    pairs = frames - 1
    row(f"build-of, {many} videos of {frames} frames, all in", many * pairs / taken[many], "pairs/s")
    pace = (many - few) * pairs / max(taken[many] - taken[few], 1e-9)
    row("build-of, its start left out", pace, "pairs/s", f"start: {taken[few] - few * pairs / pace:.1f} s")
