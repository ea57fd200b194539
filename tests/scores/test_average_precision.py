"""Average precision and hit@k: by hand, against sklearn where the definitions agree, and against slow loops."""

import numpy as np
import pytest
import sklearn.metrics

from converter.errors import PytsnError
from pytsn.scores.average_precision import average_precision, hit_at_k, label_matrix, mean_average_precision


def loop_interpolated(relevant, scores):
    """VOC 2011 by its definition: at each relevant video's recall, the best precision at any cut that reaches it."""
    cuts = []
    for threshold in sorted(set(scores), reverse=True):
        kept = [r for r, s in zip(relevant, scores, strict=True) if s >= threshold]
        cuts.append((sum(kept), sum(kept) / len(kept)))
    total = 0.0
    for found in range(1, sum(relevant) + 1):
        total += max(precision for count, precision in cuts if count >= found)
    return total / sum(relevant)


def test_by_hand():
    relevant, scores = [True, False, False, True, True], [0.9, 0.8, 0.7, 0.6, 0.5]
    # precisions at the three hits: 1, 2/4, 3/5; the second is lifted to the third's
    assert average_precision(relevant, scores) == pytest.approx((1 + 0.6 + 0.6) / 3, rel=1e-12)
    assert average_precision(relevant, scores, interpolated=False) == pytest.approx((1 + 0.5 + 0.6) / 3, rel=1e-12)
    assert average_precision([False, True], [2.0, 1.0]) == 0.5
    assert average_precision([True, True], [0.0, 3.0]) == 1.0


def test_equal_scores_enter_together_in_any_order():
    for relevant in ([True, False, False, True], [False, True, True, False]):
        # one cut at the top two (precision 1/2, recall 1/2), one at all four (1/2)
        assert average_precision(relevant, [1.0, 1.0, 0.0, 0.0]) == 0.5
    assert average_precision([True, False, True], [np.nan, 0.0, 1.0]) == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("levels", [1000000, 6])  # without and with many equal scores
def test_against_sklearn_and_loops(levels):
    rng = np.random.default_rng(levels)
    for count in (1, 2, 9, 70):
        relevant = rng.random(count) < 0.3
        relevant[rng.integers(count)] = True
        scores = rng.integers(0, levels, count) / levels
        stepwise = sklearn.metrics.average_precision_score(relevant, scores)
        assert average_precision(relevant, scores, interpolated=False) == pytest.approx(stepwise, rel=1e-12)
        assert average_precision(relevant, scores) == pytest.approx(loop_interpolated(relevant, scores), rel=1e-12)
        assert average_precision(relevant, scores) >= stepwise - 1e-12


def test_mean_over_the_classes_that_occur():
    rng = np.random.default_rng(4)
    scores, relevant = rng.normal(size=(40, 7)), rng.random((40, 7)) < 0.15
    relevant[:, 2] = False
    result = mean_average_precision(relevant, scores)
    assert result.classes.tolist() == [0, 1, 3, 4, 5, 6]
    want = [loop_interpolated(relevant[:, k], scores[:, k]) for k in result.classes]
    np.testing.assert_allclose(result.values, want, rtol=1e-12)
    assert result.mean == pytest.approx(np.mean(want), rel=1e-12)
    stepwise = mean_average_precision(relevant, scores, interpolated=False).mean
    kept = np.delete(np.arange(7), 2)
    expected = sklearn.metrics.average_precision_score(relevant[:, kept], scores[:, kept], average="macro")
    assert stepwise == pytest.approx(expected, rel=1e-12)


def test_hits_by_hand():
    relevant = label_matrix([[0], [1, 3], [2], []], 4)
    scores = np.array([[4.0, 3, 2, 1], [4, 3, 2, 1], [1, 1, 1, 1], [9, 0, 0, 0]])
    assert hit_at_k(relevant, scores, 1) == pytest.approx(1 / 3)
    assert hit_at_k(relevant, scores, 2) == pytest.approx(2 / 3)  # the third ties: its class comes third
    assert hit_at_k(relevant, scores, 3) == 1.0
    assert hit_at_k(relevant, scores, 2, average=True) == pytest.approx((1 + 0.5 + 0) / 3)
    assert hit_at_k(relevant, scores, 4, average=True) == 1.0
    assert hit_at_k(relevant, scores, 9) == 1.0
    assert hit_at_k([[False, True]], [[0.0, np.nan]], 1) == 0.0


def test_hits_of_single_labels_are_top_k_accuracy():
    rng = np.random.default_rng(8)
    scores, labels = rng.normal(size=(60, 9)), rng.integers(0, 9, 60)
    relevant = label_matrix([[label] for label in labels], 9)
    for k in (1, 3, 5):
        expected = sklearn.metrics.top_k_accuracy_score(labels, scores, k=k, labels=range(9))
        assert hit_at_k(relevant, scores, k) == pytest.approx(expected, rel=1e-12)
        assert hit_at_k(relevant, scores, k, average=True) == pytest.approx(expected, rel=1e-12)


def test_bad_input_is_refused():
    with pytest.raises(PytsnError, match="the class has no video"):
        average_precision([False, False], [1.0, 2.0])
    with pytest.raises(PytsnError, match="labels \\(2,\\) for scores \\(3,\\)"):
        average_precision([True, False], [1.0, 2.0, 3.0])
    with pytest.raises(PytsnError, match="no average precision"):
        mean_average_precision(np.zeros((3, 2), bool), np.zeros((3, 2)))
    with pytest.raises(PytsnError, match="no hit@k"):
        hit_at_k(np.zeros((3, 2), bool), np.zeros((3, 2)))
    with pytest.raises(PytsnError, match="\\(videos, classes\\)"):
        mean_average_precision(np.zeros((3, 2), bool), np.zeros((3, 4)))
    with pytest.raises(PytsnError, match="video number 2 has label 4"):
        label_matrix([[0], [1, 4]], 4)
