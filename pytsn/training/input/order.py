"""Chooses the next video and its frames: the part of a VideoData layer that draws from its own generators."""

import os
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.text_table import amount
from pytsn.caffe_random.generator import CaffeRng
from pytsn.data.folder_names import case_notes, find_renamed
from pytsn.data.frame_store import has_frame
from pytsn.data.video_list import ListedVideo, read_video_list, spaces_notes
from pytsn.training.input.sample import ReadOptions, SamplePlan, file_names, first_number
from pytsn.training.input.video_files import refuse_flow_of_files, with_counts


class VideoOrder:
    """The listed videos in their order of use, shuffled at the start and at each wrap if ``shuffle`` is set.

    The constructor draws a shuffle seed (if it shuffles) and a frame seed from ``rng``, and one number per segment from
    its own frame generator, as Caffe does to find a sample's shape. A sample has ``segments`` of ``length`` frames (for
    differences one more than new_length). Source: video_data_layer.cpp.
    """

    def __init__(self, param: pb.VideoDataParameter, options: ReadOptions, phase: str, rng: CaffeRng) -> None:
        self.source, self._train = param.source, phase == "TRAIN"
        if not (param.num_segments and param.new_length):
            found = f"{param.num_segments} and {param.new_length}"
            raise PytsnError(f"num_segments and new_length must be above 0, found {found}")
        self.segments, self.length = param.num_segments, options.frames(param.new_length)
        self.videos, notes = _listed(param.source)
        if options.flow:
            refuse_flow_of_files(self.videos, param.source)
        self.videos = with_counts(self.videos, param.source)
        if options.difference:
            _refuse_single_frames(self.videos, param.source)
        self._order = np.arange(len(self.videos))
        self._last_frame = _short_videos(self.videos, self.length, options)
        self.notes = [*notes, *self._notes()]
        if first_number(self.videos[0].folder, options) == 0:
            self.notes.append(f"{self.source}: frames are numbered from 0 (each folder is asked when it is read)")
        self._shuffle = CaffeRng(rng.raw()) if param.shuffle else None
        self._reorder()
        self._frames = CaffeRng(rng.raw())
        self._frames.raws(self.segments)
        self._cursor = 0

    def _notes(self) -> list[str]:
        short = [video for video in self.videos if video.frames // self.segments < self.length]
        if not short:
            return []
        first = short[0]
        repeat = f"; {len(self._last_frame)} with fewer frames repeat their last one" if self._last_frame else ""
        too_short = f"too short for {amount(self.segments, 'segment')} of {amount(self.length, 'frame')}"
        return [
            f"{self.source}: {amount(len(short), 'video is', 'videos are')} {too_short}, first '{first.folder}' "
            f"({amount(first.frames, 'frame')}, line {first.line}): all segments start at frame 1{repeat}"
        ]

    def _reorder(self) -> None:
        if self._shuffle is not None:
            order = self._order.tolist()
            self._shuffle.shuffle(order)
            self._order = np.array(order)

    def advance(self, videos: int = 1) -> None:
        """Advances by that many videos."""
        for _ in range(videos):
            self._cursor += 1
            if self._cursor == len(self.videos):
                self._cursor = 0
                self._reorder()

    def next_sample(self) -> tuple[ListedVideo, tuple[int, ...]]:
        """The next video and its frames, counted from 1 whatever their files are called, segments outermost."""
        index = int(self._order[self._cursor])
        frames = self._numbers(index, self._offsets(self.videos[index].frames // self.segments))
        self.advance()
        return self.videos[index], frames

    def _offsets(self, average: int) -> list[int]:
        """Number of frames before each segment's first; ``average``: frames of a video per segment, rounded down."""
        room = average - self.length + 1
        if room < 1:
            return [0] * self.segments
        starts = self._frames.raws(self.segments) % room if self._train else [room // 2] * self.segments
        return [int(start) + segment * average for segment, start in enumerate(starts)]

    def _numbers(self, index: int, offsets: list[int]) -> tuple[int, ...]:
        last = self._last_frame.get(index)
        numbers = [offset + 1 + frame for offset in offsets for frame in range(self.length)]
        return tuple(numbers if last is None else [min(number, last) for number in numbers])

    def probe(self) -> SamplePlan:
        """The first frame of the first video, to find the frame size."""
        video = self.videos[self._order[0]]
        return SamplePlan(video.folder, (1,), video.label)

    def state(self) -> dict:
        """The current position, as arrays and numbers that do not change afterwards."""
        shuffle = self._shuffle.state() if self._shuffle is not None else np.zeros(0, np.uint32)
        return {"cursor": self._cursor, "order": self._order, "shuffle": shuffle, "frames": self._frames.state()}

    def load_state(self, state: Mapping) -> None:
        """Restores the position of ``state``. Raises PytsnError if it does not fit the list."""
        order, cursor = np.asarray(state["order"]), int(state["cursor"])
        if not np.array_equal(np.sort(order), np.arange(len(self.videos))) or not 0 <= cursor < len(order):
            raise PytsnError(
                f"{self.source}: {amount(len(self.videos), 'video')}, but the saved state is of {len(order)}: "
                "resume with the list that the run was started with"
            )
        if self._shuffle is not None:
            self._shuffle.set_state(state["shuffle"])
        self._frames.set_state(state["frames"])
        self._order, self._cursor = order.astype(np.int64), cursor


def _listed(source: str) -> tuple[list[ListedVideo], list[str]]:
    """The videos of a list, their folders as they are called on disk, and lines for the user."""
    videos = read_video_list(source)
    renamed = find_renamed([video.folder for video in videos])
    if renamed:
        videos = [replace(video, folder=renamed.get(video.folder, video.folder)) for video in videos]
    return videos, [*spaces_notes(videos, source), *(f"{source}: {note}" for note in case_notes(renamed))]


def _refuse_single_frames(videos: list[ListedVideo], source: str) -> None:
    for video in videos:
        if video.frames < 2:
            raise PytsnError(
                f"{source}, line {video.line}: video '{video.folder}' has 1 frame; a difference takes two: leave it out"
            )


def _short_videos(videos: list[ListedVideo], length: int, options: ReadOptions) -> dict[int, int]:
    """Index -> number of the last frame, for videos with fewer frames than a snippet, in the list and on disk. Caffe
    looks for the missing files for ever; here the last frame is repeated."""
    return {
        index: video.frames
        for index, video in enumerate(videos)
        if video.frames < length and not _has_frame(video.folder, length, options)
    }


def _has_frame(folder: str, frame: int, options: ReadOptions) -> bool:
    number = frame - 1 + first_number(folder, options)
    return all(has_frame(*os.path.split(os.path.join(folder, name))) for name in file_names(options, number))
