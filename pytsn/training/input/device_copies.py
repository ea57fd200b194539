"""Copies batches to a GPU in parallel to its work, from memory that readers fill and CUDA can read."""

import numpy as np
import torch

from pytsn.training.input.video_data import VideoData

Pair = tuple[torch.Tensor, torch.Tensor]


class DeviceCopies:
    """One data layer's batches on a device, as bytes.

    On CUDA the readers' shared memory is registered with the driver once ("pinned"), so a copy needs neither the CPU
    nor a second buffer, and runs on its own stream.
    """

    def __init__(self, data: VideoData) -> None:
        self._data = data
        self._stream: torch.cuda.Stream | None = None
        self._sent: tuple[Pair, torch.cuda.Event] | None = None  # and the event of its arrival
        self._means: dict[torch.device, torch.Tensor] = {}
        self._registered: np.ndarray | None = None

    def mean(self, device: torch.device) -> torch.Tensor:
        """The mean subtracted from each channel: float32 (C, 1, 1), on the device."""
        if device not in self._means:
            self._means[device] = torch.from_numpy(self._data.mean.values).to(device)[:, None, None]
        return self._means[device]

    def next(self, device: torch.device) -> Pair:
        """The next batch: pixels uint8 (N, P, S, S), labels int64 (N,). Raises PytsnError as VideoData.next_uint8."""
        if device.type != "cuda":
            pixels, labels = self._data.next_uint8()
            return pixels.to(device), labels.to(device, non_blocking=True)
        pair, arrived = self._sent or self._send(device)
        self._sent = None
        current = torch.cuda.current_stream(device)
        current.wait_event(arrived)
        for tensor in pair:
            tensor.record_stream(current)  # made on the other stream: must not be reused before this one is done
        arrived.synchronize()  # the readers may refill that memory once the batch is handed out
        self._data.next_uint8()
        return pair

    def send_ahead(self, device: torch.device) -> None:
        """Starts the copy of the next batch, once; only ``next`` hands it out. Does nothing on a CPU."""
        if device.type == "cuda" and self._sent is None:
            self._sent = self._send(device)

    def _send(self, device: torch.device) -> tuple[Pair, torch.cuda.Event]:
        if self._stream is None:
            self._stream = torch.cuda.Stream(device)
            self._register()
        pixels, labels = self._data.peek_uint8()
        arrived = torch.cuda.Event()
        with torch.cuda.stream(self._stream):
            pair = pixels.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            arrived.record(self._stream)
        return pair, arrived

    def forget(self) -> None:
        """Drops a batch that was sent ahead, because the data position changes."""
        if self._sent is not None:
            self._sent[1].synchronize()
            self._sent = None

    def _register(self) -> None:
        """Pins the shared memory. Without it (no reading processes, or the driver refuses) copies use CUDA's memory."""
        buffer = self._data.buffer
        if buffer is not None and not int(torch.cuda.cudart().cudaHostRegister(buffer.ctypes.data, buffer.nbytes, 0)):
            self._registered = buffer

    def close(self) -> None:
        """Unregisters the memory."""
        self.forget()
        if self._registered is not None:
            torch.cuda.cudart().cudaHostUnregister(self._registered.ctypes.data)
            self._registered = None
