"""dense_flow's mapping between flow in pixels and 8-bit images."""

import numpy as np

#: pixels per frame beyond which flow is clipped: the original's ``-b 20``
FLOW_BOUND = 20.0


def quantise_flow(flow: np.ndarray, bound: float = FLOW_BOUND) -> np.ndarray:
    """Flow in pixels, any shape, float -> uint8: clipped to [-bound, bound], then round(255 (v + bound) / (2 bound)).

    Halves go to the even number, so 0 pixels become 128, not 127. NaN, which no preset produces, would be 0. Source:
    dense_flow, common.cpp (convertFlowToImage; its cvRound is half to even).
    """
    clipped = np.clip(np.nan_to_num(flow.astype(np.float64), nan=-bound), -bound, bound)
    return np.rint(255.0 * (clipped + bound) / (2 * bound)).astype(np.uint8)


def dequantise_flow(images: np.ndarray, bound: float = FLOW_BOUND) -> np.ndarray:
    """Flow images, uint8 of any shape -> float32 pixels: the middle of each grey level's range."""
    return (images.astype(np.float32) * np.float32(2 * bound / 255)) - np.float32(bound)
