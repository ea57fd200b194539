"""Writes dual_tvl1_fast.npz: flow of fast motion by OpenCV's CPU DualTVL1 (opencv-contrib-python-headless 4.14).

Run in an environment that has it: python record_dual_tvl1_fast.py plastering.avi

gray0, gray1: made-up frames, uint8 (3, 96, 128); flow: float32 (3, 96, 128, 2). Their seeds are those of 0 to 4 at which
a gradient's length that is wrong in its last bit, now and then as torch.hypot's is, moves flow: by 0.00009, 0.000001 and
0.06 pixels in the mean, by up to 11 pixels in the last.

clip_pairs: frames of the clip, counted from 0, int64 (36, 2), 1 to 8 apart; clip_gray, clip_flow: SHA-256 of both frames,
resized to 340x256 and grey, and of their flow.
"""

import hashlib
import sys

import cv2
import numpy as np
from record_dual_tvl1 import scene

SEEDS = 0, 2, 4
HARD = [(701, 707), (882, 887)]  # lengths wrong in the last bit make 0.0045 and 0.26 pixels out of these


def moved(seed):
    """A scene and the same with both layers moved by up to 12 pixels each way."""
    moves = np.random.default_rng(seed).integers(-12, 13, (2, 2)).astype(float)
    return scene(((0, 0), (0, 0)), seed, 96, 128), scene(moves, seed, 96, 128)


def read_clip(path):
    clip = cv2.VideoCapture(path)
    frames = []
    while (read := clip.read())[0]:
        frames.append(cv2.cvtColor(cv2.resize(read[1], (340, 256)), cv2.COLOR_BGR2GRAY))
    return frames


def flow(gray0, gray1):
    return cv2.optflow.DualTVL1OpticalFlow_create().calc(gray0, gray1, None)


def digest(*arrays):
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def main():
    made = [moved(seed) for seed in SEEDS]
    frames = read_clip(sys.argv[1])
    spread = np.linspace(0, len(frames) - 9, 34).astype(int)
    pairs = HARD + [(first, first + 1 + k % 8) for k, first in enumerate(spread)]
    shown = [(frames[first], frames[second]) for first, second in pairs]
    np.savez_compressed(
        "dual_tvl1_fast.npz",
        gray0=np.stack([pair[0] for pair in made]),
        gray1=np.stack([pair[1] for pair in made]),
        flow=np.stack([flow(*pair) for pair in made]),
        clip_pairs=np.array(pairs),
        clip_gray=np.array([digest(*pair) for pair in shown]),
        clip_flow=np.array([digest(flow(*pair)) for pair in shown]),
    )


if __name__ == "__main__":
    main()
