"""Predicts one video: runs the nets on the snippets of every stream. Letters: T snippets, C crops, K classes."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_images import frame_path, load_cv2, read_image, read_rgb
from pytsn.data.modalities import FLOW, MODALITIES, RGB
from pytsn.data.snippet_reader import SnippetOptions, read_videos, video_ticks
from pytsn.data.sources import Source, folder_video
from pytsn.data.ten_crops import FRAME_SIZE
from pytsn.data.videos import Video
from pytsn.evaluation.action_net import ActionNet, NetOptions
from pytsn.predict.result import Prediction, default_weights
from pytsn.predict.video import FlowWork, VideoFacts, look_through, video_snippets
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
    None: from the video file. warped_frames: root folder of the warped flow, for frame folders."""

    num_frames: int = 25
    snippet_rate: Fraction | None = None
    video_fps: Fraction | None = None
    warped_frames: str | None = None

    def ticks(self, video: Video, stream: str) -> list[int]:
        """First image of each snippet; see ``pytsn.data.snippet_reader.video_ticks``."""
        return video_ticks(video, self.options(stream))

    def options(self, stream: str) -> SnippetOptions:
        return SnippetOptions(stream, self.num_frames, snippet_rate=self.snippet_rate, video_fps=self.video_fps)


def needs_flow(streams: Iterable[str]) -> bool:
    """Whether flow must be computed for a video."""
    return any(MODALITIES[stream].is_flow for stream in streams)


def load_nets(files: Mapping[str, tuple[str, str]], options: NetOptions) -> dict[str, ActionNet]:
    """Loads the nets of the streams from (prototxt, weights) by stream.

    Raises PytsnError for a net of another modality than its stream, and for nets with different numbers of classes.
    """
    nets: dict[str, ActionNet] = {}
    for stream, (proto, weights) in files.items():
        nets[stream] = net = ActionNet(proto, weights, options)
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
    """Nets and settings, ready to predict videos."""

    def __init__(
        self,
        nets: Mapping[str, ActionNet],
        weights: Mapping[str, float] | None = None,
        aggregation: Aggregation | None = None,
        sampling: Sampling = Sampling(),
        flow: FlowWork | None = None,
    ) -> None:
        """flow: required for video files if a stream is flow or warped."""
        self.nets, self.weights = nets, weights or default_weights(tuple(nets))
        self.aggregation, self.sampling, self.flow = aggregation or parse_aggregation("mean"), sampling, flow

    def predict(self, source: Source, progress: Progress = lambda items, *_: items) -> Prediction:
        """Predicts one video. Raises PytsnError that names the file when it cannot be read, sampled or scored."""
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
        snippets = video_snippets(source.path, distinct, facts.images, self.flow, keep)
        total = sum(map(len, distinct.values()))
        scores = self._score(progress(snippets, source.name, total, "snippet"), ticks)
        return self._prediction(source, facts.images, facts.fps, ticks, scores, kept)

    def _predict_folder(self, source: Source, progress: Progress) -> Prediction:
        videos = {stream: self._folder(source, stream) for stream in self.nets}
        ticks = {stream: self.sampling.ticks(video, stream) for stream, video in videos.items()}
        total = sum(len(set(numbers)) for numbers in ticks.values())
        snippets = self._folder_snippets(videos)
        scores = self._score(progress(snippets, source.name, total, "snippet"), ticks)
        first = next(iter(videos))
        kept = [(number, _picture(videos[first], number)) for number in _thumbnail_ticks(ticks)]
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
        video = folder_video(path, source.name)
        if not video.frame_count(stream):
            images = MODALITIES[stream].images
            kind = f"{images.title} ({', '.join(images.prefixes)})"
            raise PytsnError(f"{path}: no {kind} in it, which --{stream} needs")
        return video

    def _folder_snippets(self, videos: Mapping[str, Video]) -> Iterator[tuple[str, np.ndarray]]:
        for stream, video in videos.items():
            for _, planes in read_videos([video], self.sampling.options(stream)):
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
        return Prediction(source, images, fps, ticks, scores, self.weights, self.aggregation, thumbnails)


def _thumbnail_ticks(ticks: Mapping[str, Sequence[int]]) -> list[int]:
    """Ticks of the first stream nearest to the middles of equal parts of the video, one part per thumbnail."""
    distinct = sorted(set(next(iter(ticks.values()))))
    count = min(THUMBNAILS, len(distinct))
    return [distinct[round((place + 0.5) * (len(distinct) - 1) / count)] for place in range(count)]


def _in_shape(frame: np.ndarray, facts: VideoFacts) -> np.ndarray:
    """A frame of 340 x 256, resized to the aspect ratio of the video."""
    width = max(1, round(FRAME_SIZE[1] * facts.width / facts.height))
    return load_cv2().resize(frame, (width, FRAME_SIZE[1]))


def _picture(video: Video, number: int) -> np.ndarray:
    """An image of a folder: uint8 (H, W, 3) BGR, the frame, or the flow's x image if there are no frames."""
    if video.rgb_count >= number:
        return read_rgb(video.folder, RGB.prefixes[0], number)
    return read_image(frame_path(video.folder, FLOW.prefixes[0], number), load_cv2().IMREAD_COLOR)
