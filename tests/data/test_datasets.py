"""The table of datasets, and what follows from a row."""

import pytest

from pytsn.data import splits
from pytsn.data.datasets import ANNOTATED_DATASETS, CLASS_INDEX, DATASETS, SPLIT_DATASETS, SPLITS, Dataset
from pytsn.data.splits import parse_split_file
from pytsn.models.training_settings import RELEASED_TRAINING

#: classes as the datasets' authors count them
CLASSES = {"ucf101": 101, "hmdb51": 51, "activitynet_1.2": 100, "activitynet_1.3": 200, "kinetics": 400}


@pytest.mark.parametrize("name", CLASSES)
def test_classes(name):
    assert DATASETS[name].classes == CLASSES[name]


def test_which_have_split_files():
    assert SPLIT_DATASETS == ("ucf101", "hmdb51")
    assert ANNOTATED_DATASETS == ("activitynet_1.2", "activitynet_1.3")
    assert {name: row.splits for name, row in DATASETS.items() if row.layout} == {
        "ucf101": 3,
        "hmdb51": 3,
        "activitynet_1.2": 2,
        "activitynet_1.3": 2,
    }
    assert SPLITS == (1, 2, 3)


def test_test_videos_are_told_for_every_split_or_for_none():
    assert all(len(row.test_videos) in (0, row.splits) for row in DATASETS.values())


def test_released_trainings_are_of_known_datasets():
    assert set(RELEASED_TRAINING) <= set(DATASETS)


def test_a_new_row_is_read_by_its_layout_and_its_number_of_splits(tmp_path, monkeypatch):
    row = Dataset("birds", "Birds", 2, r"birds", layout=CLASS_INDEX, splits=1)
    monkeypatch.setitem(DATASETS, "birds", row)
    monkeypatch.setattr(splits, "SPLIT_DATASETS", (*SPLIT_DATASETS, "birds"))
    folder = tmp_path / "birds_splits"
    folder.mkdir()
    (folder / "classInd.txt").write_text("1 Owl\n2 Wren\n")
    (folder / "trainlist01.txt").write_text("Wren/a.avi 2\n")
    (folder / "testlist01.txt").write_text("Owl/b.avi\n")
    (split,) = parse_split_file("birds", tmp_path)
    assert (split.train, split.test) == ((("a", 1),), (("b", 0),))
