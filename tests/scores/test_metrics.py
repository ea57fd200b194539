"""Metrics against counting by hand; top-k against sklearn."""

import numpy as np
import pytest
import sklearn.metrics

from converter.errors import PytsnError
from pytsn.scores.aggregation import default_aggregation
from pytsn.scores.metrics import class_accuracy, confusion_matrix, mean_class_accuracy, top_k_accuracy
from pytsn.scores.score_file import read_scores


def counted(labels, predictions, num_classes: int) -> np.ndarray:
    """The confusion matrix, one video after another."""
    matrix = np.zeros((num_classes, num_classes), np.int64)
    for label, prediction in zip(labels, predictions, strict=True):
        matrix[label, prediction] += 1
    return matrix


def test_confusion_matrix_against_counting():
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 7, 200), rng.integers(0, 7, 200)
    found = confusion_matrix(labels, predictions, 9)  # two classes that do not occur
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, counted(labels, predictions, 9))


def test_confusion_matrix_of_few_videos():
    np.testing.assert_array_equal(confusion_matrix([], [], 3), np.zeros((3, 3)))
    np.testing.assert_array_equal(confusion_matrix([2], [0], 3), counted([2], [0], 3))
    np.testing.assert_array_equal(confusion_matrix([0, 0], [0, 0], 1), [[2]])


def test_class_accuracies_against_the_original_rule():
    rng = np.random.default_rng(1)
    labels = rng.choice([0, 2, 3, 9], 60)
    predictions = np.where(rng.random(60) < 0.5, labels, rng.choice([0, 2, 3, 9], 60))
    matrix = counted(labels, predictions, 10)[np.ix_([0, 2, 3, 9], [0, 2, 3, 9])]  # sklearn's: classes that occur
    expected = np.diag(matrix) / matrix.sum(axis=1)
    result = class_accuracy(labels, predictions)
    np.testing.assert_allclose(result.accuracies, expected, rtol=1e-15)
    assert result.classes.tolist() == [0, 2, 3, 9]
    assert result.counts.sum() == 60
    assert result.mean == pytest.approx(expected.mean(), rel=1e-15)
    assert result.only_predicted == ()


def test_a_class_that_is_only_predicted_is_left_out_and_named():
    result = class_accuracy([0, 0, 4, 4], [0, 7, 4, 2])
    assert result.classes.tolist() == [0, 4]
    assert result.accuracies.tolist() == [0.5, 0.5]
    assert result.counts.tolist() == [2, 2]
    assert result.only_predicted == (2, 7)
    (warning,) = result.warnings(num_classes=9)
    assert warning.startswith("7 of 9 classes have no test video and are left out of the mean: 1, 2, 3, 5, 6, 7, 8")
    assert warning.endswith("predicted all the same: 2, 7")


def test_nothing_to_warn_of_when_every_class_has_a_video():
    assert class_accuracy([0, 1, 2], [0, 0, 0]).warnings(3) == []
    (warning,) = class_accuracy([0], [0]).warnings(101)
    assert warning.endswith("1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...")


def test_mean_class_accuracy_differs_from_plain_accuracy():
    scores = np.eye(3)[[0, 0, 0, 1]]
    assert mean_class_accuracy(scores, [0, 0, 0, 2]) == 0.5  # classes 0: 3/3, 2: 0/1; plain accuracy would be 0.75


def test_top_k_by_hand_with_ties():
    scores = np.array([[3.0, 1, 2], [1, 1, 1], [1, 1, 1], [0, 5, 5]])
    labels = [0, 0, 2, 2]
    assert top_k_accuracy(scores, labels, 1) == 0.5
    assert top_k_accuracy(scores, labels, 2) == 0.75
    assert top_k_accuracy(scores, labels, 5) == 1.0


def test_top_k_against_sklearn_and_argmax():
    rng = np.random.default_rng(3)
    scores, labels = rng.normal(size=(80, 11)), rng.integers(0, 11, 80)
    for k in (1, 3, 5):
        expected = sklearn.metrics.top_k_accuracy_score(labels, scores, k=k, labels=range(11))
        assert top_k_accuracy(scores, labels, k) == pytest.approx(expected, rel=1e-15)
    assert top_k_accuracy(scores, labels, 1) == (scores.argmax(axis=1) == labels).mean()


def test_scores_that_are_not_a_number_are_no_hit():
    assert top_k_accuracy(np.array([[np.nan, 1.0], [1.0, 0.0]]), [0, 0], 2) == 0.5


def test_bad_input_is_refused():
    with pytest.raises(PytsnError, match="video 1 has label 5"):
        confusion_matrix([0, 5], [0, 0], 3)
    with pytest.raises(PytsnError, match="video 0 has prediction -1"):
        confusion_matrix([0, 2], [-1, 0], 3)
    with pytest.raises(PytsnError, match="2 labels for 1 predictions"):
        class_accuracy([0, 1], [0])
    with pytest.raises(PytsnError, match="no video"):
        class_accuracy([], [])
    with pytest.raises(PytsnError, match="have 3 classes"):
        top_k_accuracy(np.zeros((2, 3)), [0, 3])
    with pytest.raises(PytsnError, match="1 labels"):
        top_k_accuracy(np.zeros((2, 3)), [0])


@pytest.mark.golden
def test_what_the_original_printed(golden):
    """The last two lines of eval_net.py's recorded output, from the scores that it saved."""
    file = read_scores(golden / "eval/scores_rgb.npz")
    predictions = [int(default_aggregation(scores).argmax()) for scores in file.scores]
    result = class_accuracy(file.labels, predictions)
    lines = (golden / "eval/eval_net_rgb.txt").read_text().splitlines()
    assert [str(result.accuracies), f"Accuracy {result.mean * 100:.02f}%"] == lines[-2:]
