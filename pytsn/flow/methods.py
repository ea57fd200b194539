"""Methods to compute flow between frames: TV-L1, which the released models need, and two fast ones from OpenCV."""

import threading
from collections.abc import Callable

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_images import load_cv2

ALGORITHMS = ("tvl1", "farneback", "dis")

#: uint8 (B, H, W) twice -> float32 (B, H, W, 2), pixels, x then y
FlowFunction = Callable[[np.ndarray, np.ndarray], np.ndarray]

#: pyramid scale, levels, window, iterations, polynomial size and sigma, flags: the defaults of OpenCV's GPU class,
#: which dense_flow's type 0 uses
_FARNEBACK = (0.5, 5, 13, 10, 5, 1.1, 0)


def make_flow(algorithm: str = "tvl1", preset: str = "opencv2.4-cuda", device: str = "cpu") -> FlowFunction:
    """A function from two stacks of grey frames, uint8 (B, H, W), to their flow, float32 (B, H, W, 2) in pixels.

    algorithm: one of ALGORITHMS. preset, device: of TV-L1 (flow/tvl1); the other two always run on the CPU. Raises
    PytsnError for an unknown algorithm, preset or device; the function raises it for frames that the algorithm cannot
    take.
    """
    if algorithm not in ALGORITHMS:
        raise PytsnError(f"flow algorithm '{algorithm}': one of {', '.join(ALGORITHMS)} was expected")
    return _tvl1(preset, device) if algorithm == "tvl1" else _pair_by_pair(algorithm)


def _tvl1(preset: str, device: str) -> FlowFunction:
    from pytsn.flow.tvl1.compute import compute_flow
    from pytsn.flow.tvl1.presets import PRESETS
    from pytsn.runtime.device import pick_device

    if preset not in PRESETS:
        raise PytsnError(f"TV-L1 preset '{preset}': one of {', '.join(PRESETS)} was expected")
    place = str(pick_device(device))
    return lambda gray0, gray1: compute_flow(gray0, gray1, preset=preset, device=place)


def _pair_by_pair(algorithm: str) -> FlowFunction:
    cv2 = load_cv2()
    if algorithm == "farneback":

        def pair_flow(gray0: np.ndarray, gray1: np.ndarray) -> np.ndarray:
            return cv2.calcOpticalFlowFarneback(gray0, gray1, None, *_FARNEBACK)
    else:
        own = threading.local()  # the object has its own buffers and crashes if threads share it

        def pair_flow(gray0: np.ndarray, gray1: np.ndarray) -> np.ndarray:
            if not hasattr(own, "dis"):
                own.dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
            return own.dis.calc(gray0, gray1, None)

    def flow(gray0: np.ndarray, gray1: np.ndarray) -> np.ndarray:
        _check_pairs(gray0, gray1)
        try:
            pairs = [pair_flow(*map(np.ascontiguousarray, pair)) for pair in zip(gray0, gray1, strict=True)]
        except cv2.error as error:
            height, width = gray0.shape[1:]
            raise PytsnError(f"{algorithm}: OpenCV has no flow for frames of {width}x{height} ({error})") from None
        return np.stack(pairs).astype(np.float32, copy=False) if pairs else np.zeros((*gray0.shape, 2), np.float32)

    return flow


def _check_pairs(gray0: np.ndarray, gray1: np.ndarray) -> None:
    for gray in (gray0, gray1):
        if gray.ndim != 3 or gray.dtype != np.uint8:
            raise PytsnError(f"flow: grey frames must be uint8 (B, H, W), found {gray.dtype} {gray.shape}")
    if gray0.shape != gray1.shape:
        raise PytsnError(f"flow: frames of {gray0.shape} and {gray1.shape} (B, H, W) do not pair")
