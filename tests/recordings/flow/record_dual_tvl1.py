"""Writes dual_tvl1.npz: made-up frames, and their flow by OpenCV's CPU DualTVL1 (opencv-contrib-python-headless 4.14).

Run in an environment that has it. gray0, gray1: uint8 (2, 56, 72); flow, flow_no_median: float32 (2, 56, 72, 2).
"""

import cv2
import numpy as np


def scene(moves, seed, height=56, width=72):
    """A textured background that moves by moves[0] behind a disc that moves by moves[1], (right, down) pixels."""
    y, x = np.mgrid[:height, :width].astype(float)
    disc = np.hypot(x - 30 - moves[1][0], y - 26 - moves[1][1]) < 15
    layers = []
    for layer, (right, down) in enumerate(moves):
        waves = np.zeros((height, width))
        angles = np.random.default_rng(seed + layer).uniform((0, 6, 0), (np.pi, 30, 2 * np.pi), (20, 3))
        for angle, length, phase in angles:
            along = (x - right) * np.cos(angle) + (y - down) * np.sin(angle)
            waves += np.sin(2 * np.pi * along / length + phase)
        layers.append(waves)
    return np.rint(127.5 + 16 * np.where(disc, layers[1], layers[0])).clip(0, 255).astype(np.uint8)


def main():
    still = ((0, 0), (0, 0))
    moved = ((0.6, -0.3), (2.5, 1.75)), ((-1.5, 0.75), (5.0, -4.0))
    gray0 = np.stack([scene(still, seed) for seed in (0, 10)])
    gray1 = np.stack([scene(moves, seed) for moves, seed in zip(moved, (0, 10))])
    flows = {}
    for name, median in (("flow", 5), ("flow_no_median", 1)):
        tvl1 = cv2.optflow.DualTVL1OpticalFlow_create()
        tvl1.setMedianFiltering(median)
        flows[name] = np.stack([tvl1.calc(*pair, None) for pair in zip(gray0, gray1)])
    np.savez_compressed("dual_tvl1.npz", gray0=gray0, gray1=gray1, **flows)


if __name__ == "__main__":
    main()
