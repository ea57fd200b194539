"""Ticks at a given number of snippets per second, for untrimmed video with windows in seconds."""

import re
from fractions import Fraction

from converter.errors import PytsnError


def rate_ticks(frame_count: int, snippet_rate: Fraction, video_fps: Fraction, stack: int = 1) -> list[int]:
    """First frames (1-based) of a video's snippets, ``snippet_rate`` per second from its first frame on.

    Snippet i starts at i / snippet_rate seconds, at frame 1 + floor(i * video_fps / snippet_rate), as long as its
    ``stack`` frames lie in the video. A video too short for one snippet is sampled once, at frame 1. One per second at
    30 frames per second is the rule of anet2016-cuhk (every 30th frame). Exact for rates such as 30000/1001.

    Raises PytsnError when there are no frames, or when the rate exceeds the video's frame rate.
    """
    if frame_count < 1:
        raise PytsnError("it has no frames")
    if not 0 < snippet_rate <= video_fps:
        raise PytsnError(
            f"{float(snippet_rate):g} snippets a second of a video of {float(video_fps):g} frames a second"
        )
    step, last = Fraction(video_fps) / Fraction(snippet_rate), frame_count - stack
    count = int(max(last, 0) // step) + 1
    ticks = [1 + int(index * step) for index in range(count)]
    # floor(i * step) <= last may hold for one i more than i * step <= last does
    return [*ticks, 1 + int(count * step)] if int(count * step) <= last else ticks


def parse_rate(text: str) -> Fraction:
    """A rate per second from a command line, as an exact number: ``1``, ``0.5``, ``29.97`` or ``30000/1001``.

    Raises PytsnError for other texts and for zero.
    """
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(?:/([0-9]{1,6}))?", text)
    if not match or Fraction(match[1]) == 0 or int(match[2] or 1) == 0:
        raise PytsnError(f"'{text}' is no rate: a number such as 1, 29.97 or 30000/1001 was expected")
    return Fraction(match[1]) / int(match[2] or 1)
