"""The report's numbers against plain loops over the scores."""

import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.evaluation.fused_scores import fuse
from pytsn.report.curves import MOST_POINTS, svg_points, video_curves
from pytsn.report.findings import find
from pytsn.scores.score_file import ScoreFile
from tests.report.made_scores import (
    CLASSES,
    LABELS,
    WEIGHTS,
    best,
    fused_streams,
    raw_scores,
    slow_softmax,
    slow_videos,
)


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    return fused_streams(tmp_path_factory.mktemp("streams"))


@pytest.fixture(scope="module")
def found(scores):
    return find(scores)


@pytest.fixture(scope="module")
def videos():
    """Fused scores of every video, K numbers each."""
    return slow_videos([raw_scores(0), raw_scores(1)], WEIGHTS)


def made(rows, labels, **settings) -> ScoreFile:
    """A score file of one snippet and crop a video: rows of K numbers."""
    arrays = [np.array(row, np.float32)[None, None] for row in rows]
    names = tuple(f"v{index}" for index in range(len(rows)))
    return ScoreFile("made.npz", arrays, np.array(labels), names, settings)


def counted(labels, predictions) -> dict:
    counts: dict = {}
    for pair in zip(labels, predictions, strict=True):
        counts[pair] = counts.get(pair, 0) + 1
    return counts


def test_accuracies_of_the_streams_and_of_their_sum(found, videos):
    streams = [slow_videos([raw_scores(seed)], (1,)) for seed in (0, 1)]
    assert [row.name for row in found.accuracies] == ["rgb", "flow", "fused"]
    assert [row.weight for row in found.accuracies] == [1, 1.5, None]
    for row, rows in zip(found.accuracies, [*streams, videos], strict=True):
        predictions = [best(values) for values in rows]
        by_class = {}
        for label, predicted in zip(LABELS, predictions, strict=True):
            by_class.setdefault(label, []).append(predicted == label)
        assert row.mean_class == pytest.approx(sum(sum(v) / len(v) for v in by_class.values()) / len(by_class))
        assert row.videos == pytest.approx(sum(a == b for a, b in zip(LABELS, predictions, strict=True)) / len(LABELS))
        five = [
            label in sorted(range(CLASSES), key=lambda k: -values[k])[:5]
            for label, values in zip(LABELS, rows, strict=True)
        ]
        assert row.top5 == pytest.approx(sum(five) / len(five))
        assert (row.mean_ap, row.hits) == (None, {})


def test_the_matrix_the_classes_and_the_pairs(found, videos):
    predictions = [best(values) for values in videos]
    counts = counted(LABELS, predictions)
    assert found.predictions.tolist() == predictions
    assert [[counts.get((i, j), 0) for j in range(CLASSES)] for i in range(CLASSES)] == found.matrix.tolist()

    rows = {}
    for label in sorted(set(LABELS)):
        wrong = [(n, -j) for (i, j), n in counts.items() if i == label != j]
        most = max(wrong, default=None)
        rows[label] = (LABELS.count(label), counts.get((label, label), 0), most and (-most[1], most[0]))
    assert {row.label: (row.videos, row.right, row.taken_for) for row in found.classes} == rows
    accuracies = [row.accuracy for row in found.classes]
    assert accuracies == sorted(accuracies)
    assert accuracies == pytest.approx([rows[row.label][1] / rows[row.label][0] for row in found.classes])

    pairs = [(-n, LABELS.count(i), i, j) for (i, j), n in counts.items() if i != j]
    want = [(i, j, -n, total, counts.get((j, i), 0)) for n, total, i, j in sorted(pairs)]
    got = [(pair.true, pair.predicted, pair.videos, pair.total, pair.back) for pair in found.pairs(100)]
    assert len(want) > 10
    assert got == want
    assert [pair.true for pair in found.pairs(3)] == [row[0] for row in want[:3]]


def test_the_most_confidently_wrong_come_first(found, videos):
    margins = []
    for index, (label, values) in enumerate(zip(LABELS, videos, strict=True)):
        if best(values) != label:
            margins.append((values[label] - max(values), index))
    assert found.worst(100) == [index for _, index in sorted(margins)]
    assert len(margins) > 10
    assert found.worst(4) == [index for _, index in sorted(margins)[:4]]
    for index, values in enumerate(videos):
        assert found.probabilities[index] == pytest.approx(slow_softmax(values), rel=1e-4)


def test_curves_are_the_softmax_of_each_snippet(scores, found):
    place = found.worst(1)[0]
    label, predicted = LABELS[place], int(found.predictions[place])
    streams = [raw_scores(seed)[place] for seed in (0, 1)]
    curves = video_curves(scores, found.names, place, label, predicted)
    assert [curve.name for curve in curves] == ["fused", "rgb", "flow"]
    merged = [[[sum(map(float, crops)) / 2 for crops in snippet.T] for snippet in stream] for stream in streams]
    summed = [[a + 1.5 * b for a, b in zip(*both, strict=True)] for both in zip(*merged, strict=True)]
    for curve, rows in zip(curves, [summed, *merged], strict=True):
        assert curve.snippets == len(rows)
        assert curve.true == pytest.approx([slow_softmax(values)[label] for values in rows], rel=1e-4)
        assert curve.predicted == pytest.approx([slow_softmax(values)[predicted] for values in rows], rel=1e-4)


def test_points_of_a_curve():
    assert svg_points(np.array([0.0, 1.0, 0.25, 0.5]), 80, 60) == "10,60 30,0 50,45 70,30"
    assert svg_points(np.array([0.25]), 80, 60) == "0,45 80,45"


def test_a_long_curve_shows_means():
    rows = np.zeros((2 * MOST_POINTS + 6, 1, 2), np.float32)
    rows[::2, 0, 0] = rows[1::2, 0, 1] = 100  # class 0 and class 1 in turn
    scores = fuse([ScoreFile("long.npz", [rows], np.array([1]), ("v",))])
    (curve,) = video_curves(scores, ["long"], 0, 1, 0)
    assert (curve.snippets, len(curve.true)) == (2 * MOST_POINTS + 6, MOST_POINTS)
    assert curve.true[-1] == 0.5
    assert curve.true[0] == pytest.approx(1 / 3)  # the first parts have three


def test_equal_scores_take_the_lower_class():
    found = find(fuse([made([[1, 1, 0], [0, 2, 2], [0, 0, 0]], [1, 2, 2])]))
    assert found.predictions.tolist() == [0, 1, 0]
    assert [(pair.true, pair.predicted) for pair in found.pairs(9)] == [(1, 0), (2, 0), (2, 1)]
    assert found.classes[0].taken_for == (0, 1)
    assert found.worst(9) == [0, 1, 2]  # all margins are 0: in the order of the videos


def test_scores_that_are_no_numbers_are_predicted_and_rank_last():
    found = find(fuse([made([[0, np.nan], [0, 5], [3, 0]], [0, 0, 1])]))
    assert found.predictions.tolist() == [1, 1, 0]
    assert found.worst(9) == [1, 2, 0]


def test_videos_of_several_classes():
    """mAP and hits by hand: four videos, three classes, the last video of none."""
    rows = [[4, 1, 0], [0, 3, 2.9], [2, 0, 1], [9, 0, 0]]
    sets = [[0], [2, 1], [1], []]
    found = find(fuse([made(rows, [0, 2, 1, 0], label_sets=sets)]))
    assert found.labelled.tolist() == [0, 1, 2]
    assert found.right.tolist() == [True, True, False]  # the second is of class 1 too
    probabilities = [slow_softmax(row) for row in rows]
    precisions = {}
    for label in range(3):
        order = sorted(range(4), key=lambda video: -probabilities[video][label])
        hits = [place for place, video in enumerate(order) if label in sets[video]]
        each = [(rank + 1) / (place + 1) for rank, place in enumerate(hits)]
        precisions[label] = sum(max(each[rank:]) for rank in range(len(each))) / len(each)
    assert {row.label: row.average_precision for row in found.classes} == pytest.approx(precisions)
    assert {row.label: (row.videos, row.right) for row in found.classes} == {0: (1, 1), 1: (2, 1), 2: (1, 0)}
    assert [row.strength for row in found.classes] == sorted(precisions.values())
    assert found.fused.mean_ap == pytest.approx(sum(precisions.values()) / 3)
    assert found.fused.hits == {1: pytest.approx(2 / 3)}
    assert found.fused.videos == pytest.approx(1 / 3)  # by the label alone
    assert [(pair.true, pair.predicted) for pair in found.pairs(9)] == [(1, 0)]
    assert found.worst(9) == [2]


def test_videos_without_any_label():
    with pytest.raises(PytsnError, match=r"made\.npz: its videos have no labels"):
        find(fuse([made([[1, 0]], [0], label_sets=[[]])]))


def test_streams_of_one_kind_are_told_apart(tmp_path):
    names = []
    for paths in (("a.npz", "b.npz"), ("x/a.npz", "y/a.npz")):
        files = [ScoreFile(path, [np.zeros((1, 1, 2))], np.array([0]), None, {"modality": "rgb"}) for path in paths]
        names.append(find(fuse(files)).names)
    assert names == [("rgb (a)", "rgb (b)"), ("rgb (a) 1", "rgb (a) 2")]
    assert find(fuse([ScoreFile("old.npz", [np.zeros((1, 1, 2))], np.array([0]))])).names == ("old",)
