"""Predicts one video: runs the nets on the snippets of every stream. Letters: T snippets, C crops, K classes."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from converter.errors import PytsnError
from converter.proto import NetFile
from pytsn.data.decoded_snippets import FlowSource, VideoFacts, look_through, video_snippets
from pytsn.data.frame_images import frame_path, load_cv2, read_image, read_rgb
from pytsn.data.frame_size import Size, default_frame_size
from pytsn.data.modalities import MODALITIES, PREFIXES
from pytsn.data.snippet_reader import SnippetOptions, read_videos, video_ticks
from pytsn.data.sources import Kinds, Source, find_sources, folder_video
from pytsn.data.ten_crops import FRAME_SIZE
from pytsn.data.videos import Video
from pytsn.evaluation.action_net import ActionNet, NetOptions
from pytsn.predict.result import Prediction, default_weights
from pytsn.scores.aggregation import Aggregation, parse_aggregation

#: number of frames kept for the picture
THUMBNAILS = 8
#: snippets per call of a net, at least
_LEAST_BATCH = 5

#: progress(iterable, what, total or None, unit) -> iterable
Progress = Callable[[Iterable, str, int | None, str], Iterable]


@dataclass(frozen=True)
class Sampling:
    """num_frames snippets spread over a video, or snippet_rate snippets per second if given. video_fps: frame rate,
    None: from the video file. warped_frames: root folder of the warped flow, for frame folders. kinds: prefixes or
    patterns of rgb, flow x and flow y files in folders (pytsn/data/frame_names.py)."""

    num_frames: int = 25
    snippet_rate: Fraction | None = None
    video_fps: Fraction | None = None
    warped_frames: str | None = None
    kinds: Kinds = PREFIXES

    def ticks(self, video: Video, stream: str) -> list[int]:
        """First image of each snippet; see ``pytsn.data.snippet_reader.video_ticks``."""
        return video_ticks(video, self.options(stream))

    def names(self, stream: str) -> tuple[str, ...]:
        """The kinds that the stream reads."""
        return self.kinds[1:] if MODALITIES[stream].is_flow else self.kinds[:1]

    def options(self, stream: str) -> SnippetOptions:
        return SnippetOptions(
            stream, self.num_frames, *self.kinds, snippet_rate=self.snippet_rate, video_fps=self.video_fps
        )


def needs_flow(streams: Iterable[str]) -> bool:
    """Whether flow must be computed for a video."""
    return any(MODALITIES[stream].is_flow for stream in streams)


def load_nets(
    files: Mapping[str, tuple[NetFile, str]], options: NetOptions, bn_styles: Mapping[str, str] | None = None
) -> dict[str, ActionNet]:
    """Loads the nets of the streams from (prototxt, weights) by stream. bn_styles: of streams that have another one
    than the ``options`` say.

    Raises PytsnError for a net of another modality than its stream, and for nets with different numbers of classes.
    """
    nets: dict[str, ActionNet] = {}
    for stream, (proto, weights) in files.items():
        style = (bn_styles or {}).get(stream, options.bn_style)
        nets[stream] = net = ActionNet(proto, weights, replace(options, bn_style=style))
        wanted = MODALITIES[stream].channels
        if net.channels != wanted:
            raise PytsnError(
                f"{proto}: takes {net.channels} planes ({net.modality}), but --{stream} feeds {wanted}: net in the "
                "wrong place?"
            )
        first = next(iter(nets))
        if net.num_classes != nets[first].num_classes:
            raise PytsnError(
                f"{proto}: {net.num_classes} classes, but {files[first][0]} has {nets[first].num_classes}; streams of "
                "one dataset can be fused"
            )
    return nets


class Predictor:
    """Nets and settings, ready to predict videos. ``from_zero``: whether a folder so far has frames numbered from 0."""

    def __init__(
        self,
        nets: Mapping[str, ActionNet],
        weights: Mapping[str, float] | None = None,
        aggregation: Aggregation | None = None,
        sampling: Sampling = Sampling(),
        flow: FlowSource | None = None,
        frame_size: Size | None = None,
        labels: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """flow: required for video files if a stream is flow or warped. frame_size: (width, height) that crops are cut
        from, None: chosen for each net's crops (pytsn/data/frame_size.py). labels: class names, (): numbers. notes:
        lines for the user about the nets."""
        self.labels, self.notes = tuple(labels), tuple(notes)
        self.nets, self.weights = nets, weights or default_weights(tuple(nets))
        self.from_zero = False  # whether a folder has frames numbered from 0
        self.aggregation, self.sampling, self.flow = aggregation or parse_aggregation("mean"), sampling, flow
        self.frame_sizes = {stream: frame_size or default_frame_size(net.crop_size) for stream, net in nets.items()}

    def predict(self, source: Source | str | os.PathLike, progress: Progress = lambda items, *_: items) -> Prediction:
        """Predicts one video: the path of a video file, of a folder of frames or of its zip. Raises PytsnError that
        names the file when it cannot be read, sampled or scored, and for a folder of several videos."""
        source = source if isinstance(source, Source) else _only_source(source, self.sampling.kinds)
        if source.is_video:
            return self._predict_video(source, progress)
        return self._predict_folder(source, progress)

    def _predict_video(self, source: Source, progress: Progress) -> Prediction:
        if self.flow is None and needs_flow(self.nets):
            raise PytsnError(f"{source.path}: flow has to be computed for a video; give the predictor a FlowWork")
        facts = look_through(source.path, lambda frames: progress(frames, "counting frames", None, "frame"))
        sampling = self.sampling
        if sampling.video_fps is None and facts.fps is not None:
            sampling = replace(sampling, video_fps=Fraction(facts.fps).limit_denominator(1001))
        video = Video(source.name, 0, source.path, facts.images, facts.images)
        ticks = {stream: sampling.ticks(video, stream) for stream in self.nets}
        wanted, kept = set(_thumbnail_ticks(ticks)), []

        def keep(number: int, frame: np.ndarray) -> None:
            if number in wanted:
                kept.append((number, _in_shape(frame, facts)))

        distinct = {stream: sorted(set(numbers)) for stream, numbers in ticks.items()}
        snippets = self._video_snippets(source.path, distinct, facts.images, keep)
        total = sum(map(len, distinct.values()))
        scores = self._score(progress(snippets, source.name, total, "snippet"), ticks)
        return self._prediction(source, facts.images, facts.fps, ticks, scores, kept)

    def _video_snippets(self, path: str, ticks: Mapping[str, Sequence[int]], count: int, keep: Callable) -> Iterator:
        """Yields (stream, snippet), in one pass over the video per frame size; ``keep`` gets the first stream's."""
        first = self.frame_sizes[next(iter(ticks))]
        for size in dict.fromkeys(self.frame_sizes[stream] for stream in ticks):
            streams = {stream: ticks[stream] for stream in ticks if self.frame_sizes[stream] == size}
            on_frame = keep if size == first else lambda number, frame: None
            yield from video_snippets(path, streams, count, self.flow, on_frame, size)

    def _predict_folder(self, source: Source, progress: Progress) -> Prediction:
        videos = {stream: self._folder(source, stream) for stream in self.nets}
        ticks = {stream: self.sampling.ticks(video, stream) for stream, video in videos.items()}
        total = sum(len(set(numbers)) for numbers in ticks.values())
        snippets = self._folder_snippets(videos)
        scores = self._score(progress(snippets, source.name, total, "snippet"), ticks)
        first = next(iter(videos))
        self.from_zero |= any(video.first_number(stream) == 0 for stream, video in videos.items())
        kept = [(number, _picture(videos[first], number, self.sampling.kinds)) for number in _thumbnail_ticks(ticks)]
        fps = self.sampling.video_fps
        count = videos[first].frame_count(first)
        return self._prediction(source, count, float(fps) if fps else None, ticks, scores, kept)

    def _folder(self, source: Source, stream: str) -> Video:
        path = source.path
        if MODALITIES[stream].own_folders:
            if self.sampling.warped_frames is None:
                raise PytsnError(f"{path}: warped flow lies in folders of its own; name their root by --warped_frames")
            path = os.path.join(
                self.sampling.warped_frames, os.path.basename(os.path.abspath(path)).removesuffix(".zip")
            )
        images = MODALITIES[stream].images
        video = folder_video(path, source.name, self.sampling.kinds, (images.name,))
        if not video.frame_count(stream):
            kind = f"{images.title} ({', '.join(self.sampling.names(stream))})"
            raise PytsnError(f"{path}: no {kind} in it, which --{stream} needs")
        return video

    def _folder_snippets(self, videos: Mapping[str, Video]) -> Iterator[tuple[str, np.ndarray]]:
        for stream, video in videos.items():
            options = replace(self.sampling.options(stream), frame_size=self.frame_sizes[stream])
            for _, planes in read_videos([video], options):
                yield from ((stream, snippet) for snippet in planes)

    def _score(self, snippets: Iterable[tuple[str, np.ndarray]], ticks: Mapping[str, list[int]]) -> dict:
        """Scores float32 (T, C, K) by stream; repeated ticks get the same scores."""
        waiting: dict[str, list[np.ndarray]] = {stream: [] for stream in self.nets}
        done: dict[str, list[np.ndarray]] = {stream: [] for stream in self.nets}

        def run(stream: str) -> None:
            done[stream].append(self.nets[stream].score_snippets(np.stack(waiting[stream])))
            waiting[stream].clear()

        for stream, planes in snippets:
            waiting[stream].append(planes)
            net = self.nets[stream]
            if len(waiting[stream]) >= max(_LEAST_BATCH, net.batch_size // net.crops):
                run(stream)
        for stream in self.nets:
            if waiting[stream]:
                run(stream)
        places = {stream: {tick: i for i, tick in enumerate(sorted(set(numbers)))} for stream, numbers in ticks.items()}
        return {
            stream: np.concatenate(done[stream])[[places[stream][tick] for tick in ticks[stream]]] for stream in ticks
        }

    def _prediction(self, source, images, fps, ticks, scores, thumbnails) -> Prediction:
        for stream, values in scores.items():
            if not np.isfinite(values).all():
                raise PytsnError(
                    f"{source.path}: the {stream} net's scores are not finite; damaged weights, or another --bn_style?"
                )
        return Prediction(source, images, fps, ticks, scores, self.weights, self.aggregation, thumbnails, self.labels)


def _only_source(path: str | os.PathLike, kinds: Kinds) -> Source:
    found = find_sources([os.fspath(path)], kinds)
    if len(found) > 1:
        raise PytsnError(f"{path}: {len(found)} videos; predict them one by one, or all by `pytsn predict`")
    return found[0]


def _thumbnail_ticks(ticks: Mapping[str, Sequence[int]]) -> list[int]:
    """Ticks of the first stream nearest to the middles of equal parts of the video, one part per thumbnail."""
    distinct = sorted(set(next(iter(ticks.values()))))
    count = min(THUMBNAILS, len(distinct))
    return [distinct[round((place + 0.5) * (len(distinct) - 1) / count)] for place in range(count)]


def _in_shape(frame: np.ndarray, facts: VideoFacts) -> np.ndarray:
    """A frame, resized to height 256 and the aspect ratio of the video."""
    width = max(1, round(FRAME_SIZE[1] * facts.width / facts.height))
    return load_cv2().resize(frame, (width, FRAME_SIZE[1]))


def _picture(video: Video, number: int, kinds: Kinds) -> np.ndarray:
    """Image ``number`` (from 1) of a folder: uint8 (H, W, 3) BGR, the frame, or the flow's x image if there are no
    frames."""
    if video.rgb_count >= number:
        return read_rgb(video.folder, kinds[0], number - 1 + video.rgb_first)
    return read_image(frame_path(video.folder, kinds[1], number - 1 + video.flow_first), load_cv2().IMREAD_COLOR)
