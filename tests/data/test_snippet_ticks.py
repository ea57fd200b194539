"""Frame sampling against the rule written out as the original evaluates it."""

import pytest

from converter.errors import PytsnError
from pytsn.data.modalities import MODALITIES
from pytsn.data.snippet_ticks import flow_indices, frame_ticks


def original_rule(frame_count: int, num_frames: int, stack: int) -> list[int]:
    """Limits, comparison and fallback in the order in which eval_net.py states them, with its floor division."""
    step = (frame_count - stack) // (num_frames - 1)
    if step > 0:
        return list(range(1, min(2 + step * (num_frames - 1), frame_count + 1), step))
    return [1] * num_frames


@pytest.mark.parametrize("stack", [1, 3, 5, 10])
@pytest.mark.parametrize("num_frames", [2, 3, 7, 25, 26, 100])
def test_ticks_equal_the_original_rule_and_are_always_complete(num_frames, stack):
    for frame_count in range(1, 2001):
        ticks = frame_ticks(frame_count, num_frames, stack)
        assert ticks == original_rule(frame_count, num_frames, stack)
        assert len(ticks) == num_frames  # what the original asserts
        assert ticks[0] >= 1
        assert ticks[-1] + stack - 1 <= max(frame_count, stack)


@pytest.mark.parametrize(
    ("frame_count", "stack", "expected"),
    [
        (12, 1, [1] * 25),  # fewer frames than snippets: the first frame again and again
        (24, 1, [1] * 25),
        (25, 1, list(range(1, 26))),
        (60, 1, list(range(1, 50, 2))),
        (26, 5, [1] * 25),
        (29, 5, list(range(1, 26))),
        (3, 5, [1] * 25),  # shorter than a stack: (3 - 5) // 24 is -1, not 0
    ],
)
def test_ticks_by_hand(frame_count, stack, expected):
    assert frame_ticks(frame_count, 25, stack) == expected


@pytest.mark.parametrize(("frame_count", "stack", "middle"), [(9, 1, 5), (10, 1, 5), (9, 5, 3), (4, 5, 1), (1, 1, 1)])
def test_a_single_snippet_lies_in_the_middle(frame_count, stack, middle):
    assert frame_ticks(frame_count, 1, stack) == [middle]


def test_flow_indices_repeat_the_last_image():
    assert flow_indices(1, 40) == [1, 2, 3, 4, 5]
    assert flow_indices(38, 40) == [38, 39, 40, 40, 40]
    assert flow_indices(1, 3, stack=4) == [1, 2, 3, 3]
    stacks = {name: row.stack for name, row in MODALITIES.items()}
    assert stacks == {"rgb": 1, "flow": 5, "warped": 5, "rgbdiff": 6}


@pytest.mark.parametrize("arguments", [(0, 25, 1), (-3, 25, 1), (10, 0, 1), (10, 25, 0)])
def test_nonsense_is_refused(arguments):
    with pytest.raises(PytsnError):
        frame_ticks(*arguments)


def test_more_snippets_than_memory_holds_are_refused():
    with pytest.raises(PytsnError, match="999999999999 snippets a video asked for; 100000 at most"):
        frame_ticks(10, 999_999_999_999)
