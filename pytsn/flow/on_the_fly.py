"""Flow images of a video without an extraction: computed, quantised and taken through JPEG in memory."""

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

#: pairs of frames at a time, where a GPU computes and where a thread of the CPU does
GPU_PAIRS, CPU_PAIRS = 32, 4


@dataclass(frozen=True)
class FlowWork:
    """How flow is computed: the function (pytsn.flow.methods) and the pairs of frames that it is given at a time."""

    function: FlowFunction
    batch_size: int = CPU_PAIRS

    def images(self, pairs: Sequence[Pair], streams: Iterable[str]) -> dict[str, np.ndarray]:
        """Flow images of pairs of grey frames uint8 (H, W): stream (flow, warped) -> uint8 (B, 2, H, W), x then y, as
        read from JPEGs."""
        gray0, gray1 = (np.stack(side) for side in zip(*pairs, strict=True))
        found = {"flow": self.function(gray0, gray1)}  # (B, H, W, 2)
        if "warped" in streams:
            results = warped_flows(gray0, gray1, self.function, found["flow"])
            found["warped"] = np.stack([result.flow for result in results])
        return {stream: _flow_images(found[stream]) for stream in streams}


@dataclass(frozen=True)
class FlowMethod:
    """The same, told in words, so that it can be sent to worker processes: each makes its function when it needs it.

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
        """That of worker process ``number``, on its device."""
        return replace(self, devices=(self.devices[number % len(self.devices)],))

    def images(self, pairs: Sequence[Pair], streams: Iterable[str]) -> dict[str, np.ndarray]:
        """As FlowWork. Raises PytsnError for an unknown algorithm, preset or device."""
        return FlowWork(_function(self.algorithm, self.preset, self.devices[0])).images(pairs, streams)


@functools.cache
def _function(algorithm: str, preset: str, device: str) -> FlowFunction:
    function = make_flow(algorithm, preset, device)
    if device == "cpu":
        return function
    turn = threading.Lock()  # reading threads side by side would each fill the GPU's memory

    def in_turn(gray0: np.ndarray, gray1: np.ndarray) -> np.ndarray:
        with turn:
            return function(gray0, gray1)

    return in_turn


def _flow_images(flow: np.ndarray) -> np.ndarray:
    """float32 (B, H, W, 2), pixels -> uint8 (B, 2, H, W)."""
    levels = np.ascontiguousarray(np.moveaxis(quantise_flow(flow), -1, 1))  # (B, H, W, 2) -> (B, 2, H, W)
    cv2 = load_cv2()
    return np.stack([[through_jpeg(image, cv2.IMREAD_GRAYSCALE) for image in pair] for pair in levels])
