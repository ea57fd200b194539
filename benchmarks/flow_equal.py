"""Checks that preset opencv-cpu equals OpenCV's CPU DualTVL1 to the last bit, on frame pairs from a whole video.

    python -m venv ENV && ENV/bin/pip install 'opencv-contrib-python-headless<5'
    python benchmarks/flow_equal.py VIDEO --contrib ENV/bin/python

Frames are resized to 340x256 and converted to grey; pairs are 1, 2, ... 8 frames apart in turn. Prints a line per pair;
exit status 1 if any differs.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from flow_contestants import MAKE_CONTRIB, OpenCv
from timing import print_table

from pytsn.flow.tvl1.compute import compute_flow


def read_gray(video: str) -> list[np.ndarray]:
    """All frames, uint8 (256, 340)."""
    capture = cv2.VideoCapture(video)
    frames = []
    while (read := capture.read())[0]:
        frames.append(cv2.cvtColor(cv2.resize(read[1], (340, 256)), cv2.COLOR_BGR2GRAY))
    return frames


def spread_pairs(frames: int, count: int, steps: int) -> list[tuple[int, int]]:
    """``count`` pairs of frame numbers from 0: first frames spread evenly, distances cycling through 1 to ``steps``."""
    first = np.linspace(0, frames - 1 - steps, count).astype(int).tolist()
    return [(each, each + 1 + k % steps) for k, each in enumerate(first)]


def opencv_flow(python: str, gray0: np.ndarray, gray1: np.ndarray) -> tuple[str, np.ndarray]:
    """OpenCV's version and its flow, float32 (B, 256, 340, 2)."""
    with tempfile.TemporaryDirectory() as folder:
        path, result = Path(folder, "pairs.npz"), Path(folder, "flow.npy")
        np.savez(path, gray0=gray0, gray1=gray1)
        opencv = OpenCv(python, path)
        opencv(save=str(result))
        opencv.close()
        return opencv.version, np.load(result)


def report(pair: tuple[int, int], own: np.ndarray, truth: np.ndarray) -> list[str]:
    """A row: frame numbers, mean and largest motion, and "equal" or the distance."""
    motion, apart = np.linalg.norm(truth, axis=-1), np.linalg.norm(own - truth, axis=-1)
    found = "equal" if np.array_equal(own, truth) else f"{apart.mean():.1e} px, at most {apart.max():.1e}"
    return [f"{pair[0]} {pair[1]}", f"{motion.mean():.2f}", f"{motion.max():.1f}", found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("--contrib", required=True, help=f"python that has DualTVL1, made by: {MAKE_CONTRIB}")
    parser.add_argument("--pairs", type=int, default=32, help="number of frame pairs (default: 32)")
    parser.add_argument("--steps", type=int, default=8, help="largest distance of a pair in frames (default: 8)")
    args = parser.parse_args()
    frames = read_gray(args.video)
    if len(frames) <= args.steps:
        parser.error(f"{args.video}: {len(frames)} frames that OpenCV can read; give a video of more than --steps")
    torch.set_num_threads(1)
    pairs = spread_pairs(len(frames), args.pairs, args.steps)
    gray0, gray1 = (np.stack([frames[pair[side]] for pair in pairs]) for side in (0, 1))
    version, truth = opencv_flow(args.contrib, gray0, gray1)
    own = compute_flow(gray0, gray1, "opencv-cpu")
    rows = [report(*each) for each in zip(pairs, own, truth, strict=True)]
    print_table(["frames", "mean motion, px", "largest", f"from OpenCV {version}"], rows)
    equal = sum(np.array_equal(*each) for each in zip(own, truth, strict=True))
    print(f"{equal} of {len(pairs)} pairs are equal to the last bit")
    raise SystemExit(equal < len(pairs))


if __name__ == "__main__":
    main()
