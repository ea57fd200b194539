"""Several score files in one order: by name, by place, or not at all."""

import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.scores.alignment import align
from pytsn.scores.score_file import ScoreFile


def score_file(path, labels, names=None, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    scores = [rng.normal(size=(2 + index, 10, classes)).astype(np.float32) for index in range(len(labels))]
    return ScoreFile(path, scores, np.array(labels), None if names is None else tuple(names))


def test_by_name_in_the_order_of_the_first():
    rgb = score_file("rgb.npz", [0, 1, 3], "abc")
    flow = score_file("flow.npz", [3, 0, 1], "cab", seed=1)
    both = align([rgb, flow])
    assert both.names == ("a", "b", "c")
    assert both.labels.tolist() == [0, 1, 3]
    assert both.num_classes == 4
    assert both.warnings == ()
    for index, place in enumerate((1, 2, 0)):
        np.testing.assert_array_equal(both.scores[0][index], rgb.scores[index])
        np.testing.assert_array_equal(both.scores[1][index], flow.scores[place])


def test_by_place_with_a_warning_where_names_are_absent():
    for first, second in (("abc", None), (None, "abc"), (None, None)):
        both = align([score_file("rgb.npz", [0, 1, 3], first), score_file("flow.npz", [0, 1, 3], second, seed=1)])
        (warning,) = both.warnings
        assert "matched by place" in warning
        assert ("rgb.npz" in warning) == (first is None)
        assert ("flow.npz" in warning) == (second is None)
        assert both.names == (tuple(first) if first else None)


def test_a_single_file_needs_no_names():
    assert align([score_file("rgb.npz", [0, 1])]).warnings == ()


def test_contradicting_labels_are_refused():
    named = [score_file("rgb.npz", [0, 1, 3], "abc"), score_file("flow.npz", [3, 0, 2], "cab")]
    with pytest.raises(PytsnError, match=r"video 'b' has label 1 in rgb\.npz, but label 2 in flow\.npz"):
        align(named)
    with pytest.raises(PytsnError, match=r"video number 2 has label 1 in rgb\.npz, but label 0 in flow\.npz"):
        align([score_file("rgb.npz", [0, 1, 3]), score_file("flow.npz", [0, 0, 3])])


def test_other_videos_are_refused_and_named():
    with pytest.raises(PytsnError, match=r"flow\.npz: holds no scores of 1 video of rgb\.npz: b"):
        align([score_file("rgb.npz", [0, 1], "ab"), score_file("flow.npz", [0, 1], "ac")])
    with pytest.raises(PytsnError, match=r"rgb\.npz: holds no scores of 2 videos of flow\.npz: c, d"):
        align([score_file("rgb.npz", [0, 1], "ab"), score_file("flow.npz", [0, 1, 0, 0], "abdc")])
    with pytest.raises(PytsnError, match=r"rgb\.npz has 2 videos, flow\.npz has 3"):
        align([score_file("rgb.npz", [0, 1]), score_file("flow.npz", [0, 1, 0])])


def test_other_class_counts_are_refused():
    with pytest.raises(PytsnError, match=r"rgb\.npz has 4 classes, flow\.npz has 5"):
        align([score_file("rgb.npz", [0, 1]), score_file("flow.npz", [0, 1], classes=5)])


def test_warnings_of_the_files_are_passed_on():
    file = score_file("rgb.npz", [0])
    assert align([ScoreFile(file.path, file.scores, file.labels, warnings=("careful",))]).warnings == ("careful",)
