"""Scores videos one after another and keeps the GPU busy: reading, upload, forward and download overlap.

A batch may hold crops of several videos. All batches have the same size (the last one is filled up with old crops), so
one CUDA graph serves them all and the scores of a crop depend only on the crop.
"""

from collections import deque
from collections.abc import Generator, Iterable
from typing import TypeVar

import numpy as np
import torch

from pytsn.evaluation.action_net import ActionNet
from pytsn.runtime.cuda_graph import Replayed

#: videos whose scores may be on their way back while later ones are uploaded
_IN_FLIGHT = 4
Item = TypeVar("Item")


class _Scores:
    """The scores of one video: collected on the device from batches; when complete, copied to the host."""

    def __init__(self, item, crops: int) -> None:
        self.item, self._missing = item, crops
        self._pieces: list[torch.Tensor] = []
        self._host: torch.Tensor | None = None
        self._arrived: torch.cuda.Event | None = None

    def add(self, piece: torch.Tensor) -> None:
        """Adds the scores (n, K) of some crops; the tensor must be a copy."""
        self._pieces.append(piece)
        self._missing -= len(piece)
        if self._missing == 0:
            self._send(torch.cat(self._pieces))
            self._pieces.clear()

    def _send(self, scores: torch.Tensor) -> None:
        if scores.device.type != "cuda":
            self._host = scores
            return
        self._host = torch.empty(scores.shape, dtype=scores.dtype, pin_memory=True)
        self._host.copy_(scores, non_blocking=True)
        self._arrived = torch.cuda.Event()
        self._arrived.record()

    @property
    def is_sent(self) -> bool:
        """Whether all batches with its crops have been started."""
        return self._host is not None

    def array(self, crops: int) -> np.ndarray:
        """float32 (T, crops, K); waits for it."""
        assert self._host is not None
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._host.unflatten(0, (-1, crops)).numpy().copy()  # a copy: pinned memory returns to its pool


class Pipeline:
    """Feeds ``net`` so that its device stays busy. Works on a CPU too, without CUDA graphs and overlap."""

    def __init__(self, net: ActionNet) -> None:
        self._net, self._device = net, net.device
        shape = (net.batch_size, net.planes, net.crop_size, net.crop_size)
        self._batch = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        self._forward = Replayed(lambda: net.score_crops(self._batch), self._device)
        self._filled = 0
        self._owners: list[tuple[_Scores, int]] = []  # the videos with crops in the batch, and how many crops
        self._waiting: deque[_Scores] = deque()
        self._uploads = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None

    @property
    def note(self) -> str:
        """Why no CUDA graph is used for the forward; "" where one is, and on a CPU."""
        return self._forward.note

    @torch.inference_mode()
    def scores(self, videos: Iterable[tuple[Item, np.ndarray]]) -> Generator[tuple[Item, np.ndarray], None, None]:
        """Yields each item with the scores of its snippets, float32 (T, crops, K), in order.

        videos: items with snippets uint8 (T, P, H, W) as for ActionNet.score_snippets. Later videos are fetched before
        the scores of earlier ones are yielded. Raises PytsnError as score_snippets does.
        """
        for item, snippets in videos:
            self._net.check_planes(snippets)
            self._add(item, snippets)
            yield from self._finished(_IN_FLIGHT)
        self._run()
        yield from self._finished(0)

    def _add(self, item, snippets: np.ndarray) -> None:
        scores = _Scores(item, len(snippets) * self._net.crops)
        self._waiting.append(scores)
        step = max(1, len(self._batch) // self._net.crops)
        for start in range(0, len(snippets), step):  # an untrimmed video's crops would not fit at once
            self._put(scores, self._net.cut(self._upload(snippets[start : start + step])))

    def _upload(self, snippets: np.ndarray) -> torch.Tensor:
        """Copies to the device on a separate stream, while the forward of the previous batch runs."""
        tensor = torch.from_numpy(snippets)
        if self._uploads is None:
            return tensor
        current = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._uploads):
            there = tensor.pin_memory().to(self._device, non_blocking=True)
        current.wait_stream(self._uploads)
        there.record_stream(current)
        return there

    def _put(self, scores: _Scores, crops: torch.Tensor) -> None:
        """Copies crops (n, P, S, S) into the batch and runs it whenever it is full."""
        while len(crops):
            part = crops[: len(self._batch) - self._filled]
            self._batch[self._filled : self._filled + len(part)].copy_(part)
            self._owners.append((scores, len(part)))
            self._filled += len(part)
            crops = crops[len(part) :]
            if self._filled == len(self._batch):
                self._run()

    def _run(self) -> None:
        """Runs the net on the batch, old crops included, and gives each video its rows."""
        if not self._filled:
            return
        rows = self._forward()[: self._filled].clone()  # a replay overwrites its result
        self._net.compare_with_fp32(self._batch[: self._filled], rows)
        for (owner, _), piece in zip(self._owners, rows.split([count for _, count in self._owners]), strict=True):
            owner.add(piece)
        self._owners.clear()
        self._filled = 0

    def _finished(self, most: int) -> Generator[tuple, None, None]:
        """Yields the first videos until ``most`` are in flight; a video whose batch has not run stays."""
        while len(self._waiting) > most and self._waiting[0].is_sent:
            first = self._waiting.popleft()
            yield first.item, first.array(self._net.crops)
