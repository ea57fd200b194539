"""Aggregation against what the original's functions returned, and against loops written out in full."""

import math

import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.scores.aggregation import (
    default_aggregation,
    fusion,
    multiscale_aggregation,
    parse_aggregation,
    sliding_window_aggregation,
    softmax,
    top_k_aggregation,
)

TOLERANCE = 1e-6  # absolute; the figure. Scores are of order 1 to 10, float32


@pytest.fixture(scope="module")
def recorded(recordings):
    return np.load(recordings / "eval/aggregation.npz")


@pytest.fixture(scope="module")
def scores(recorded):
    return recorded["scores"]  # (37, 10, 13)


#: key of the recording -> what gives it
RECORDED_CALLS = {
    "default": lambda s: default_aggregation(s),
    "default_raw_max": lambda s: default_aggregation(s, normalization=False, crop_agg="max"),
    "topk_1": lambda s: top_k_aggregation(s, 1),
    "topk_3": lambda s: top_k_aggregation(s, 3),
    "topk_50": lambda s: top_k_aggregation(s, 50),
    "topk_3_raw_max": lambda s: top_k_aggregation(s, 3, normalization=False, crop_agg="max"),
    "window": lambda s: sliding_window_aggregation(s),
    "window_fps2": lambda s: sliding_window_aggregation(s, fps=2),
    "window_raw": lambda s: sliding_window_aggregation(s, spans=(1, 3), overlap=0.5, norm=False),
}


@pytest.mark.parametrize("key", RECORDED_CALLS)
def test_recorded_results(recorded, scores, key):
    result = RECORDED_CALLS[key](scores)
    assert result.shape == (13,)
    np.testing.assert_allclose(result, recorded[key], rtol=0, atol=TOLERANCE)


def test_every_recorded_entry_is_checked(recorded):
    assert set(recorded.files) == {*RECORDED_CALLS, "scores", "fusion", "fusion_a", "fusion_b"}


def test_recorded_fusion_and_its_inputs_stay_as_they_are(recorded):
    a, b = recorded["fusion_a"], recorded["fusion_b"]
    kept = a.copy()
    np.testing.assert_allclose(fusion(a, [b], [1.5]), recorded["fusion"], rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(a, kept)
    np.testing.assert_allclose(fusion(a, [b, a], [1.5, -2], norm=False), 1.5 * b - a, rtol=0, atol=1e-12)


def test_softmax_by_hand_and_without_overflow():
    np.testing.assert_allclose(softmax(np.log([1.0, 2.0, 5.0])), [0.125, 0.25, 0.625], rtol=1e-12)
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0], [-1000.0, 0.0]])), [[0.5, 0.5], [0, 1]], atol=1e-12)
    np.testing.assert_allclose(softmax(np.log([1.0, 3.0]), temperature=2), [0.1, 0.9], rtol=1e-12)


def loop_window(scores, spans, overlap, fps):
    """Plain loops: per class, per span, per window."""
    frames, _, classes = scores.shape
    result = np.zeros(classes)
    for c in range(classes):
        frame_best = [max(float(v) for v in scores[t, :, c]) for t in range(frames)]
        for seconds in spans:
            length, windows, start = seconds * fps, [], 0
            while start < frames:
                windows.append(max(frame_best[start : start + length]))
                start += math.ceil(length * (1 - overlap))
            best = sorted(windows, reverse=True)[: max(15, len(windows) // 4)]
            result[c] += sum(best) / len(best) / len(spans)
    return result


@pytest.mark.parametrize("frames", [1, 14, 90])
def test_windows_against_loops(frames):
    scores = np.random.default_rng(frames).normal(size=(frames, 3, 5))
    result = sliding_window_aggregation(scores, (1, 3, 8), 0.2, norm=False, fps=2)
    np.testing.assert_allclose(result, loop_window(scores, (1, 3, 8), 0.2, 2), rtol=1e-12)


def loop_multiscale(scores, spans=(1, 2, 4, 8, 16), fps=1.0, crop_rule=np.mean):
    """The paper's formula in plain loops, for overlaps of 0.2: time in thousandths of a second, whole numbers."""
    frames, _, classes = scores.shape
    times = [round(1000 * t / fps) for t in range(frames)]  # when each snippet is
    result = np.zeros(classes)
    for c in range(classes):
        for span in spans:
            maxima, start = [], 0
            while start < 1000 * frames / fps:
                inside = [crop_rule(scores[t, :, c]) for t in range(frames) if start <= times[t] < start + 1000 * span]
                if inside:
                    maxima.append(max(inside))
                start += 800 * span
            best = sorted(maxima, reverse=True)[: max(15, len(maxima) // 4)]
            result[c] += sum(best) / len(best) / len(spans)
    return result


@pytest.mark.parametrize("frames", [1, 2, 13, 26, 97, 240])
def test_multiscale_against_loops(frames):
    scores = np.random.default_rng(frames).normal(size=(frames, 3, 4))
    result = multiscale_aggregation(scores, normalization=False)
    assert result.shape == (4,)
    np.testing.assert_allclose(result, loop_multiscale(scores), rtol=1e-12)
    largest = multiscale_aggregation(scores, normalization=False, crop_agg="max")
    np.testing.assert_allclose(largest, loop_multiscale(scores, crop_rule=np.max), rtol=1e-12)


@pytest.mark.parametrize("fps", [0.5, 2, 2.5])
def test_multiscale_at_other_snippet_rates(fps):
    scores = np.random.default_rng(5).normal(size=(60, 2, 3))
    result = parse_aggregation(f"multiscale:fps={fps},spans=2+4+8")(scores, normalization=False)
    np.testing.assert_allclose(result, loop_multiscale(scores, (2, 4, 8), fps), rtol=1e-12)


def test_multiscale_by_hand():
    """20 snippets, class 0 scores 0, 1, ..., 19; spans 1 and 16, one snippet a second.

    1 s: windows from 0, .8, ..., 18.4 hold snippets 0, 1, 2, 3, 4, 4, 5, ...: every fourth comes twice; the one from
    19.2 holds none. 16 s: windows from 0 and 12.8, maxima 15 and 19.
    """
    scores = np.arange(20.0)[:, None, None]  # (20, 1, 1)
    best = [19, 18, 17, 16, 16, 15, 14, 13, 12, 12, 11, 10, 9, 8, 8]
    want = (sum(best) / 15 + (15 + 19) / 2) / 2
    assert multiscale_aggregation(scores, (1, 16), normalization=False)[0] == pytest.approx(want, rel=1e-12)


def test_one_snippet_is_its_own_score():
    scores = np.random.default_rng(1).normal(size=(1, 4, 6))
    mean = scores.mean(axis=1)[0]
    np.testing.assert_allclose(parse_aggregation("multiscale")(scores, normalization=False), mean, rtol=1e-12)
    np.testing.assert_allclose(parse_aggregation("multiscale")(scores), softmax(mean), rtol=1e-12)
    for name in ("window", "anet2016"):
        result = parse_aggregation(name)(scores, normalization=False)
        np.testing.assert_allclose(result, scores.max(axis=1)[0], rtol=1e-12)


def test_anet2016_is_the_released_function_at_one_snippet_a_second(recorded, scores):
    np.testing.assert_allclose(parse_aggregation("anet2016")(scores), recorded["window"], rtol=0, atol=TOLERANCE)
    at_two = parse_aggregation("anet2016", snippet_rate=2)(scores)  # a preset: the rate does not change it
    np.testing.assert_array_equal(at_two, parse_aggregation("anet2016")(scores))


@pytest.mark.parametrize("text", ["mean", "topk:2", "window", "anet2016", "multiscale"])
def test_always_max_is_said_of_those_that_ignore_the_crop_rule(scores, text):
    aggregation = parse_aggregation(text)
    by_mean, by_max = (aggregation(scores, False, rule) for rule in ("mean", "max"))
    assert np.array_equal(by_mean, by_max) == aggregation.always_max


def test_parameters_in_the_text(recorded, scores):
    for text, rate in (("window:fps=2", 1), ("window", 2), ("window:spans=1+2+4+8+16,fps=2", 7)):
        result = parse_aggregation(text, rate)(scores)
        np.testing.assert_allclose(result, recorded["window_fps2"], rtol=0, atol=TOLERANCE)
    raw = parse_aggregation("window:overlap=0.5,spans=1+3")(scores, normalization=False)
    np.testing.assert_allclose(raw, recorded["window_raw"], rtol=0, atol=TOLERANCE)
    assert parse_aggregation("mean", 2).fps is None
    assert parse_aggregation("multiscale", 2).fps == 2
    assert parse_aggregation("multiscale:fps=0.5,spans=2", 3).fps == 0.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("window:2", "'2' is none of fps=N, overlap=SHARE and spans=A\\+B"),
        ("window:fps=0", "less than one snippet at 0 a second"),
        ("window:fps=0.5", "whole number of snippets a second, not 0.5"),
        ("window:spans=1.5", "1.5 s at 1 snippet a second are no whole number of snippets"),
        ("multiscale:fps=", "'' is not a number"),
        ("multiscale:fps=1 2", "'1 2' is not a number"),
        ("multiscale:fps=1e999999999", "'1e999999999' is not a number"),
        ("multiscale:fps=-1", "'-1' is not a number"),
        ("multiscale:fps=0.25", "windows of 1 s hold less than one snippet at 0.25 a second"),
        ("multiscale:spans=1++2", "'' is not a number"),
        ("multiscale:overlap=1", "overlap is a share of the window, from 0 to 0.99"),
        ("multiscale:fps=2,fps=2", "each given once"),
        ("multiscale:rate=2", "'rate=2' is none of"),
    ],
)
def test_bad_parameters_are_told_before_any_video_is_scored(text, words):
    with pytest.raises(PytsnError, match=words) as caught:
        parse_aggregation(text)
    assert "\n" not in str(caught.value)
    assert text in str(caught.value)


def test_top_k_against_loops():
    scores = np.random.default_rng(2).normal(size=(6, 4, 3))
    expected = [np.mean(sorted(np.mean(scores[t, :, c]) for t in range(6))[-2:]) for c in range(3)]
    np.testing.assert_allclose(top_k_aggregation(scores, 2, normalization=False), expected, rtol=1e-12)


@pytest.mark.parametrize(("text", "key"), [("mean", "default"), ("topk:3", "topk_3"), ("window", "window")])
def test_aggregations_by_name(recorded, scores, text, key):
    np.testing.assert_allclose(parse_aggregation(text)(scores), recorded[key], rtol=0, atol=TOLERANCE)
    raw = parse_aggregation(text)(scores, normalization=False)
    np.testing.assert_allclose(softmax(raw), recorded[key], rtol=0, atol=TOLERANCE)
    assert abs(raw.sum() - 1) > 0.1


def test_names_pass_the_crop_rule_on(recorded, scores):
    result = parse_aggregation("topk:3")(scores, normalization=False, crop_agg="max")
    np.testing.assert_allclose(result, recorded["topk_3_raw_max"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    "text", ["", "max", "topk", "topk:", "topk:0", "topk:-1", "topk:two", "mean:3", "window:", "anet2016:"]
)
def test_other_names_are_refused(text):
    with pytest.raises(PytsnError, match="mean, topk:K"):
        parse_aggregation(text)


def test_bad_arguments_are_refused(scores):
    with pytest.raises(PytsnError, match="2 fusion weights for 1"):
        fusion(scores[0, 0], [scores[0, 1]], [1, 2])
    with pytest.raises(PytsnError, match="shape"):
        fusion(scores[0, 0], [scores[0, 1, :5]], [1])
    with pytest.raises(PytsnError, match="median"):
        default_aggregation(scores, crop_agg="median")
    with pytest.raises(PytsnError, match="at least 1"):
        top_k_aggregation(scores, 0)
    with pytest.raises(PytsnError, match="do not advance"):
        sliding_window_aggregation(scores, overlap=1.0)
