"""Confusion-matrix pictures: the numbers, names and titles on their axes, and the files."""

import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.data.frame_images import load_cv2
from pytsn.scores.confusion_picture import confusion_figure, draw_confusion_matrices, draw_confusion_matrix

NAMES = ("Archery", "Bowling", "Diving")
MATRIX = np.array([[4, 0, 1], [2, 3, 0], [0, 0, 0]])  # rows: true classes; the last has no video


def test_cells_names_and_titles():
    axis, right, bar = confusion_figure([(MATRIX, "rgb: 70.0%"), (MATRIX.T, "flow")], NAMES, "both").axes
    cells = {tuple(int(v) for v in text.get_position()[::-1]): text.get_text() for text in axis.texts}
    assert cells == {(0, 0): "4", (0, 2): "1", (1, 0): "2", (1, 1): "3"}  # (row, column): zeros stay empty
    assert [label.get_text() for label in axis.get_xticklabels()] == list(NAMES)
    assert [label.get_text() for label in axis.get_yticklabels()] == list(NAMES)
    assert (axis.get_ylabel(), axis.get_xlabel()) == ("true class", "predicted class")
    assert (axis.get_title(), right.get_title()) == ("rgb: 70.0%", "flow")
    assert "share" in bar.get_ylabel()


def test_colour_is_the_share_of_the_row():
    axis = confusion_figure([(MATRIX, "rgb")], NAMES).axes[0]
    shown = np.asarray(axis.images[0].get_array())
    np.testing.assert_allclose(shown, [[0.8, 0, 0.2], [0.4, 0.6, 0], [0, 0, 0]], rtol=1e-12)
    assert axis.images[0].get_clim() == (0, 1)


def test_ink_is_readable_on_dark_and_light_cells():
    texts = {text.get_text(): text.get_color() for text in confusion_figure([(MATRIX, "x")], NAMES).axes[0].texts}
    assert (texts["4"], texts["1"]) == ("white", "black")  # 80 % and 20 % of the row


def test_many_classes_are_numbered_without_counts():
    axis = confusion_figure([(np.eye(101, dtype=int), "ucf101")], [f"class {k}" for k in range(101)]).axes[0]
    assert not axis.texts
    assert not any(label.get_text().startswith("class") for label in axis.get_xticklabels())


def test_png_files(tmp_path):
    draw_confusion_matrix(tmp_path / "one.png", MATRIX, NAMES, "one")
    draw_confusion_matrices(tmp_path / "two.png", [(MATRIX, "a"), (MATRIX, "b")], NAMES)
    one, two = (load_cv2().imread(str(tmp_path / name)) for name in ("one.png", "two.png"))
    assert one.shape[0] > 300
    assert two.shape[1] > one.shape[1] + 200
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "two.png"]


@pytest.mark.parametrize("matrix", [MATRIX[:2], MATRIX / 2, -MATRIX])
def test_what_is_no_confusion_matrix(matrix, tmp_path):
    with pytest.raises(PytsnError, match=r"confusion matrix 'bad': counts \(3, 3\) expected"):
        draw_confusion_matrix(tmp_path / "x.png", matrix, NAMES, "bad")
    assert not list(tmp_path.iterdir())


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(PytsnError, match="no such file or folder"):
        draw_confusion_matrix(tmp_path / "absent" / "x.png", MATRIX, NAMES, "x")
