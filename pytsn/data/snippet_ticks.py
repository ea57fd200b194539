"""The frames of a video that the net sees at test time, by the rule of the original ``tools/eval_net.py``."""

from converter.errors import PytsnError

#: most snippets per video; a larger number is taken for a typo, as it would fill the memory
MOST_SNIPPETS = 100_000


def frame_ticks(frame_count: int, num_frames: int = 25, stack: int = 1) -> list[int]:
    """First frame number (1-based) of each of ``num_frames`` snippets of ``stack`` frames.

    The original's rule: step = floor((frame_count - stack) / (num_frames - 1)). A positive step gives ticks 1,
    1 + step, 1 + 2 step, ...; otherwise the video is too short (perhaps shorter than ``stack``) and every tick is
    frame 1. There are always exactly ``num_frames`` ticks: the original's upper limit, min(2 + step (n - 1),
    frame_count + 1), never removes one because step (n - 1) <= frame_count - stack, so it is omitted here.

    ``num_frames == 1`` divides by zero in the original. Here the single snippet lies in the middle:
    1 + floor((frame_count - stack) / 2), or frame 1 when the video is shorter than ``stack``.

    Raises PytsnError when the video has no frames, and when ``num_frames`` is below 1 or above MOST_SNIPPETS.
    """
    if frame_count < 1:
        raise PytsnError(f"a video of {frame_count} frames cannot be sampled")
    if num_frames < 1 or stack < 1:
        raise PytsnError(f"{num_frames} snippets of {stack} frames asked for; both must be at least 1")
    if num_frames > MOST_SNIPPETS:
        raise PytsnError(f"{num_frames} snippets a video asked for; {MOST_SNIPPETS} at most")
    if num_frames == 1:
        return [1 + max(frame_count - stack, 0) // 2]
    step = max((frame_count - stack) // (num_frames - 1), 0)
    return [1 + step * snippet for snippet in range(num_frames)]


def flow_indices(tick: int, frame_count: int, stack: int = 5) -> list[int]:
    """Numbers (1-based) of the ``stack`` flow or rgb images of the snippet at ``tick``; past the end of a short video
    the last image repeats."""
    return [min(frame_count, tick + offset) for offset in range(stack)]
