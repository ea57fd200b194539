"""The VideoData layer: batches of snippets of listed videos, drawn and ordered as the fork's video_data_layer.cpp does.

Everything random or ordered happens here, in the net's process, as *plans* (which frames, which crop, mirrored or not).
Worker processes only read the frames of the plans, so their number does not change the results. Symbols: N batch, C =
segments * length * planes, S the crop's side, P the planes read: C, and for differences those of one more frame per
segment.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from pytsn.caffe_random.generator import CaffeRng
from pytsn.data.rgb_difference import frame_differences
from pytsn.data.video_list import check_labels
from pytsn.training.input.mean import Mean
from pytsn.training.input.order import VideoOrder
from pytsn.training.input.reader_pool import ReaderPool, SampleBuffer
from pytsn.training.input.sample import SamplePlan, load_sample, read_options, sample_size

#: replaces the transform seed of layers that draw nothing for their transform
NO_SEED = -1


@dataclass
class _Pending:
    """A planned batch: the order's state before it and its transform seed, from which it can be planned again; its
    plans; its slot, and the tasks that fill it."""

    before: dict
    seed: int
    plans: list[SamplePlan]
    slot: int
    tasks: list = field(default_factory=list)
    pixels: np.ndarray | None = None


class VideoData:
    """One running VideoData layer.

    ``rng`` is the generator of the whole run; None makes a new one from the system's entropy. Seeds are drawn from it
    when Caffe draws them: in the constructor (transform, shuffle, frames, transform again) and each time a batch is
    handed out (the next one's transform). ``ahead`` batches are planned and read in advance; more than 1 draws those
    seeds earlier, which changes nothing unless others draw from ``rng`` in between.

    ``rank`` of ``world`` processes starts at batch ``rank`` of the list and skips world - 1 batches after each.
    ``workers`` processes read (0: this one, on demand); ``pool`` lets several layers share them.

    ``tops``, ``shapes`` (of the tops), ``pixel_shape`` (of the bytes read for a batch), ``options``, ``mean``,
    ``videos``; ``notes``: lines for the user; ``seconds_waited``: time spent waiting for frames in ``next_*``.
    """

    def __init__(
        self,
        layer: pb.LayerParameter,
        phase: str,
        rng: CaffeRng | None = None,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
        pool: ReaderPool | None = None,
        ahead: int = 1,
    ) -> None:
        """Raises PytsnError naming the layer, the list and its line, or the first video's file."""
        self.name = layer.name
        self._rng = rng if rng is not None else CaffeRng.from_entropy()
        self._batch, self._skip = layer.video_data_param.batch_size, world - 1
        try:
            self._set_up(layer, phase, rank)
        except PytsnError as error:
            raise PytsnError(f"layer '{layer.name}' (VideoData): {error}") from None
        self.tops, self.seconds_waited = tuple(layer.top), 0.0
        self._ahead, self._next_slot = max(ahead, 1), 0
        self._own_pool = ReaderPool(workers) if workers and pool is None else None
        self._pool = pool or self._own_pool
        self._buffer = SampleBuffer((self._ahead + 1, *self.pixel_shape)) if self._pool else None
        self._pending, self._saved_seeds = deque[_Pending](), deque[int]()
        self._plan(skip=0)

    def _set_up(self, layer: pb.LayerParameter, phase: str, rank: int) -> None:
        if not self._batch:
            raise PytsnError("batch_size is missing, or 0")
        transform = layer.transform_param
        self.options = read_options(layer, phase)
        self._mirror = transform.mirror
        self._seeded = transform.mirror or (phase == "TRAIN" and transform.crop_size > 0)
        if self._seeded:
            self._rng.raw()  # the seed drawn at the layer's set-up, which its first prefetch replaces
        self._order = VideoOrder(layer.video_data_param, self.options, phase, self._rng)
        self.videos, self.notes = self._order.videos, self._order.notes
        size = sample_size(self._order.probe(), self.options)
        planes = self._order.segments * self.options.planes  # of one frame per segment
        self.shapes = [(self._batch, planes * layer.video_data_param.new_length, *size), (self._batch,)]
        self.pixel_shape = (self._batch, planes * self._order.length, *size)
        self.mean = Mean(transform, self.shapes[0][1])
        if self.mean.image is not None:
            self.options = replace(self.options, frame_size=self.mean.image.shape[1:])
        self._order.advance(rank * self._batch)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, S, S) of the net's data."""
        return self.shapes[0]

    def _plan(self, skip: int) -> None:
        """Plans one more batch and submits it for reading."""
        self._order.advance(skip * self._batch)
        before = self._order.state()
        seed = self._saved_seeds.popleft() if self._saved_seeds else self._rng.raw() if self._seeded else NO_SEED
        transform = CaffeRng(seed) if self._seeded else None
        plans = [self._plan_sample(transform) for _ in range(self._batch)]
        pending = _Pending(before, seed, plans, self._next_slot)
        if self._pool and self._buffer is not None:
            self._next_slot = (self._next_slot + 1) % self._buffer.shape[0]
            pending.tasks = self._pool.submit(self._buffer, pending.slot, plans, self.options)
        self._pending.append(pending)

    def _plan_sample(self, transform: CaffeRng | None) -> SamplePlan:
        video, frames = self._order.next_sample()
        if transform is None:  # no random mirroring or cropping
            return SamplePlan(video.folder, frames, video.label, False, ())
        mirror = self._mirror and transform.raw() % 2 == 1
        draws = tuple(transform.raw() for _ in range(self.options.crop.draws))
        return SamplePlan(video.folder, frames, video.label, mirror, draws)

    def _read(self, batch: _Pending) -> np.ndarray:
        """The planned batch's pixels; waits for them or reads them here."""
        if batch.pixels is None:
            started = time.perf_counter()
            if self._pool and self._buffer is not None:
                self._pool.wait(batch.tasks)
                batch.pixels = self._buffer.array[batch.slot]
            else:
                batch.pixels = np.empty(self.pixel_shape, np.uint8)
                for plan, row in zip(batch.plans, batch.pixels, strict=True):
                    load_sample(plan, self.options, row)
            self.seconds_waited += time.perf_counter() - started
        return batch.pixels

    def _take(self) -> tuple[torch.Tensor, torch.Tensor, list[SamplePlan]]:
        pixels, labels = self.peek_uint8()
        batch = self._pending.popleft()
        while len(self._pending) < self._ahead:
            self._plan(self._skip)
        return pixels, labels, batch.plans

    def peek_uint8(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What ``next_uint8`` will return, without handing it out: no random number is drawn. So a batch can be copied
        to a device while ``state`` is still that before it. Valid until the second next call of ``next_uint8``. Raises
        the same errors."""
        batch = self._pending[0]
        labels = torch.tensor([plan.label for plan in batch.plans], dtype=torch.int64)
        return torch.from_numpy(np.asarray(self._read(batch))), labels

    @property
    def buffer(self) -> np.ndarray | None:
        """The memory that the reading processes fill, uint8 (slots, N, P, S, S); None without processes."""
        return self._buffer.array if self._buffer else None

    def next_uint8(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The next batch before differences, mean and scale: pixels uint8 (N, P, S, S), labels int64 (N,).

        The data may be in shared memory and is valid until the next call. Raises PytsnError naming the file that cannot
        be read, or saying that a reading process was killed.
        """
        return self._take()[:2]

    def next_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The next batch: data float32 (N, C, S, S), (value - mean) * scale; labels int64 (N,). Raises PytsnError."""
        pixels, labels, plans = self._take()
        return self.mean.apply(self.values(pixels), plans, self.options), labels

    def values(self, pixels: torch.Tensor) -> torch.Tensor:
        """The net's data from pixels uint8 (N, P, S, S), on any device, before mean and scale: (N, C, S, S), the pixels
        themselves, or their frames' differences as float32."""
        if self.options.difference is None:
            return pixels
        return frame_differences(pixels, self._order.length, self._order.segments, self.options.difference)

    def check_labels(self, classes: int) -> None:
        """Raises PytsnError naming the first line of the list whose label is not below ``classes``."""
        check_labels(self.videos, classes, self._order.source)

    def state(self) -> dict:
        """The state needed to continue with the next batch, bit for bit: a dict of arrays and numbers. It does not
        include ``rng``, which its owner must save."""
        seeds = [*(pending.seed for pending in self._pending), *self._saved_seeds]
        return {**self._pending[0].before, "seeds": np.array(seeds, np.int64)}

    def load_state(self, state: Mapping) -> None:
        """Continues from a ``state`` of a layer with the same list. Raises PytsnError for another list."""
        try:
            seeds = np.asarray(state["seeds"], np.int64).tolist()
            self._order.load_state(state)
        except (KeyError, TypeError, ValueError) as error:
            raise PytsnError(f"layer '{self.name}' (VideoData): its saved state is damaged: {error}") from None
        self._drop_pending()
        self._saved_seeds = deque(seeds)  # seeds beyond this layer's ``ahead`` wait for their batches
        for index in range(min(len(seeds), self._ahead)):
            self._plan(self._skip if index else 0)

    def _drop_pending(self) -> None:
        for task in (task for pending in self._pending for task in pending.tasks):
            if not task.cancel():
                task.exception()  # waits; the result does not matter, the batch is dropped
        self._pending.clear()

    def close(self) -> None:
        """Stops reading ahead, ends the layer's own reading processes and frees the memory."""
        self._drop_pending()
        if self._own_pool:
            self._own_pool.close()
        if self._buffer:
            self._buffer.close()
