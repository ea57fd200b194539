"""Flow images of a video without an extraction: computed, quantised and JPEG-coded in memory."""

import functools
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytsn.data.decoded_snippets import Pair
from pytsn.data.frame_images import load_cv2
from pytsn.data.jpeg import through_jpeg
from pytsn.flow.methods import FlowFunction, make_flow
from pytsn.flow.quantise import quantise_flow
from pytsn.flow.warp.camera_motion import warped_flows

#: pairs of frames at a time, on a GPU and on a CPU thread
GPU_PAIRS, CPU_PAIRS = 32, 4


@dataclass(frozen=True)
class FlowWork:
    """How to compute flow: the function (pytsn.flow.methods) and the number of pairs per call."""

    function: FlowFunction
    batch_size: int = CPU_PAIRS

    def images(self, pairs: Sequence[Pair], streams: Iterable[str]) -> dict[str, np.ndarray]:
        """Flow images of pairs of grey frames uint8 (H, W): stream (flow, warped) -> uint8 (B, 2, H, W), x then y, as
        read back from JPEG."""
        gray0, gray1 = (np.stack(side) for side in zip(*pairs, strict=True))
        found = {"flow": self.function(gray0, gray1)}  # (B, H, W, 2)
        if "warped" in streams:
            results = warped_flows(gray0, gray1, self.function, found["flow"])
            found["warped"] = np.stack([result.flow for result in results])
        return {stream: _flow_images(found[stream]) for stream in streams}


@dataclass(frozen=True)
class FlowMethod:
    """FlowWork's settings as names, which can be sent to worker processes: each makes its function on first use.

    devices: of TV-L1; worker i computes on the (i % len)-th. stream: flow, or warped for flow without the camera's
    motion. Threads of a process may share it; on a GPU they take turns.
    """

    algorithm: str = "tvl1"
    preset: str = "opencv2.4-cuda"
    devices: tuple[str, ...] = ("cpu",)
    stream: str = "flow"

    @property
    def batch_size(self) -> int:
        return CPU_PAIRS if self.devices[0] == "cpu" else GPU_PAIRS

    @property
    def title(self) -> str:
        """For settings of score files: ``tvl1 opencv2.4-cuda``, ``dis``, ``warped tvl1 opencv2.4-cuda``."""
        words = [self.stream] * (self.stream != "flow") + [self.algorithm] + [self.preset] * (self.algorithm == "tvl1")
        return " ".join(words)

    def for_worker(self, number: int) -> "FlowMethod":
        """The method for worker process ``number``, on its device."""
        return replace(self, devices=(self.devices[number % len(self.devices)],))

    def images(self, pairs: Sequence[Pair], streams: Iterable[str]) -> dict[str, np.ndarray]:
        """Like FlowWork.images. Raises PytsnError for an unknown algorithm, preset or device."""
        return FlowWork(_function(self.algorithm, self.preset, self.devices[0])).images(pairs, streams)


@functools.cache
def _function(algorithm: str, preset: str, device: str) -> FlowFunction:
    function = make_flow(algorithm, preset, device)
    if device == "cpu":
        return function
    turn = threading.Lock()  # parallel reading threads would each fill the GPU's memory

    def in_turn(gray0: np.ndarray, gray1: np.ndarray) -> np.ndarray:
        with turn:
            return function(gray0, gray1)

    return in_turn


def _flow_images(flow: np.ndarray) -> np.ndarray:
    """float32 (B, H, W, 2), pixels -> uint8 (B, 2, H, W)."""
    levels = np.ascontiguousarray(np.moveaxis(quantise_flow(flow), -1, 1))  # (B, H, W, 2) -> (B, 2, H, W)
    cv2 = load_cv2()
    return np.stack([[through_jpeg(image, cv2.IMREAD_GRAYSCALE) for image in pair] for pair in levels])
