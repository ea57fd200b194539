"""The contestants of benchmarks/flow_speed.py: our presets, and OpenCV in a separate environment."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pytsn.flow.tvl1.compute import solve
from pytsn.flow.tvl1.cpu_solver import OptflowOptions, solve_counted
from pytsn.flow.tvl1.presets import PRESETS, find_preset

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("PYTSN_SHARED", ROOT.parent / "shared"))
MAKE_CONTRIB = "python -m venv ENV && ENV/bin/pip install 'opencv-contrib-python-headless<5'"
OURS = tuple(PRESETS)


def frame_pairs() -> dict[str, np.ndarray]:
    """gray0, gray1: uint8 (2, 256, 340), an almost still pair and one with much motion; recorded, or made if absent."""
    recorded = SHARED / "golden" / "flow" / "tvl1_pairs.npz"
    if recorded.exists():
        with np.load(recorded, allow_pickle=False) as pairs:
            return {name: pairs[name] for name in ("gray0", "gray1")}
    still = np.stack([moving_texture(0, 0)] * 2)
    return {"gray0": still, "gray1": np.stack([moving_texture(0.2, 0.1), moving_texture(6.5, -4.3)])}


def moving_texture(right: float, down: float, height: int = 256, width: int = 340) -> np.ndarray:
    """Waves in many directions; about half of the image is shifted by (right, down) pixels: uint8 (H, W)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width].astype(float)
    moves = x + 40 * np.sin(y / 50) > width / 2
    x, y = x - right * moves, y - down * moves
    waves = np.zeros((height, width))
    for angle, length, phase in rng.uniform((0, 5, 0), (np.pi, 60, 2 * np.pi), (40, 3)):
        waves += np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / length + phase)
    return np.rint(127.5 + 12 * waves).clip(0, 255).astype(np.uint8)


class OpenCv:
    """OpenCV's DualTVL1 in a separate process; a call computes the flow of every pair and waits for it."""

    def __init__(self, python: str, pairs: Path):
        command = [python, str(Path(__file__).with_name("flow_opencv.py")), str(pairs)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._to, self._from = self.process.stdin, self.process.stdout
        found = json.loads(self._from.readline() or "{}")
        if not found.get("has_tvl1"):
            raise SystemExit(f"{python}: no OpenCV with DualTVL1 there; make one with: {MAKE_CONTRIB}")
        self.version = found["version"]

    def __call__(self, **options) -> None:
        print(json.dumps(options), file=self._to, flush=True)
        if not self._from.readline():
            raise SystemExit("OpenCV's process ended; its message is above")

    def close(self) -> None:
        """Ends the process."""
        self._to.close()
        self.process.wait()


def preset_flow(name: str, gray0: torch.Tensor, gray1: torch.Tensor, kernels: bool = True) -> Callable[[], tuple]:
    """A function without arguments that returns flow (B, H, W, 2) and iterations [b][level][warp] of a preset.

    kernels: on a GPU, use the Triton kernels where they apply.
    """
    return lambda: solve(gray0, gray1, find_preset(name), kernels=kernels)


def fixed_iterations(name: str, gray0: torch.Tensor, gray1: torch.Tensor, iterations: int) -> Callable[[], tuple]:
    """As ``preset_flow``, with one level, one warp and a fixed number of iterations."""
    if name == "opencv-cpu":
        options = OptflowOptions(**opencv_fixed(iterations))
        return lambda: solve_counted(gray0, gray1, gray0.device, options)
    preset = replace(find_preset(name), levels=1, warps=1, epsilon=0.0, max_iterations=iterations)
    return lambda: solve(gray0, gray1, preset)


def opencv_fixed(iterations: int) -> dict:
    """Parameters of DualTVL1 for one level, one warp and fixed iterations: up to 30, or a multiple of 30."""
    inner = min(iterations, 30)
    return {
        "scales_number": 1,
        "warpings_number": 1,
        "epsilon": 0.0,
        "inner_iterations": inner,
        "outer_iterations": iterations // inner,
    }
