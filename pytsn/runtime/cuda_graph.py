"""CUDA graphs: record a sequence of kernels once and launch it with one call instead of one by one from Python."""

from collections.abc import Callable
from typing import Any

import torch

#: normal calls before one is recorded: in them cuDNN finds its fastest kernels and allocators fill
WARM_UP = 3


class Replayed:
    """Runs a function without arguments that does the same work on the same memory at each call, as a CUDA graph.

    On a CUDA device the first WARM_UP calls run normally; the next one is recorded and replayed from then on. On a CPU
    every call runs normally. Either way a call does the work exactly once. The function must not wait for the device
    (``.item()``, printing, a branch on a value), and everything it reads must be written in place between calls.

    Returns the function's results; from a recording they are the same tensors at every call, overwritten by the next.
    ``note``: "" or why recording failed; then every call runs normally. Source: PyTorch's notes on CUDA graphs.
    """

    def __init__(self, function: Callable[[], Any], device: torch.device) -> None:
        self._function, self._device, self._calls = function, device, 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._result: Any = None
        self.note = ""

    def __call__(self) -> Any:
        if self._stream is None:
            return self._function()
        self._calls += 1
        if self._graph is None and self._calls > WARM_UP and not self.note:
            self._record(self._stream)
        if self._graph is None:
            return self._beside(self._stream)
        self._graph.replay()
        return self._result

    def _beside(self, stream: torch.cuda.Stream) -> Any:
        """A normal call on the stream that the recording will use, because autograd remembers streams."""
        current = torch.cuda.current_stream(self._device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            result = self._function()
        current.wait_stream(stream)
        return result

    def _record(self, stream: torch.cuda.Stream) -> None:
        graph = torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream(self._device))
        try:
            # thread_local: this process's reading threads may copy and pin memory meanwhile
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self._result = self._function()
        except RuntimeError as error:
            self._result = None
            self.note = f"CUDA graphs are off: {str(error).splitlines()[0]}"
            return
        self._graph = graph
