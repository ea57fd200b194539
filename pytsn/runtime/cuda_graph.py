"""CUDA graphs: a run of kernels recorded once and started with one call, where Python would launch them one by one."""

from collections.abc import Callable
from typing import Any

import torch

#: calls that run as they are before one is recorded: cuDNN looks for its fastest kernels in them, allocators fill
WARM_UP = 3


class Replayed:
    """A function without arguments whose tensors stay where they are: the same work, on the same memory, at each call.

    On a CUDA device the first WARM_UP calls run as they are, the next is recorded and from then on replayed. On a CPU
    every call runs as it is. Either way a call does the work exactly once. The function must not wait for the device
    (``.item()``, printing, a branch on a value), and whatever it reads must be written in place between calls.

    Results are the function's own; from a recording they are the same tensors at every call, overwritten by the next.
    ``note``: "" or why recording failed; then every call runs as it is. Source: PyTorch's notes on CUDA graphs.
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
        """The call as it is, on the stream that the recording will use: autograd remembers streams."""
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
            # thread_local: reading threads of this process may copy and pin memory meanwhile
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self._result = self._function()
        except RuntimeError as error:
            self._result = None
            self.note = f"CUDA graphs are off: {str(error).splitlines()[0]}"
            return
        self._graph = graph
