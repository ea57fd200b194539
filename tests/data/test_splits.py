"""Split files: the released ones, whose sizes are published, and hand-made ones with mistakes."""

import pytest

from converter.errors import PytsnError
from pytsn.data.splits import parse_split_file


@pytest.mark.golden
@pytest.mark.parametrize(
    ("dataset", "train", "test", "classes"),
    [("ucf101", (9537, 9586, 9624), (3783, 3734, 3696), 101), ("hmdb51", (3570,) * 3, (1530,) * 3, 51)],
)
def test_released_splits_have_the_published_sizes(shared, dataset, train, test, classes):
    splits = parse_split_file(dataset, shared / "tsn/data")
    assert tuple(len(split.train) for split in splits) == train
    assert tuple(len(split.test) for split in splits) == test
    for split in splits:
        assert {label for _, label in split.train} == {label for _, label in split.test} == set(range(classes))
        names = [name for name, _ in split.train + split.test]
        assert len(set(names)) == len(names)


@pytest.mark.golden
def test_released_labels(shared):
    ucf101 = parse_split_file("ucf101", shared / "tsn/data")
    assert ucf101[0].test[0] == ("v_ApplyEyeMakeup_g01_c01", 0)
    assert ucf101[2].train[-1][1] == 100
    class_list = (shared / "tsn/data/hmdb51_splits/class_list.txt").read_text().split()
    hmdb51 = parse_split_file("hmdb51", shared / "tsn/data")
    listing = (shared / "tsn/data/hmdb51_splits/climb_stairs_test_split2.txt").read_text().split("\n")
    expected = [line.split()[0][:-4] for line in listing if line.strip().endswith(" 2")]
    label = class_list.index("climb_stairs")
    assert [name for name, own in hmdb51[1].test if own == label] == expected
    assert len(expected) == 30


@pytest.mark.golden
def test_hmdb51_comes_by_class_in_alphabetical_order(shared):
    class_list = (shared / "tsn/data/hmdb51_splits/class_list.txt").read_text().split()
    order = list(dict.fromkeys(label for _, label in parse_split_file("hmdb51", shared / "tsn/data")[0].train))
    assert [class_list[label] for label in order] == sorted(class_list)


@pytest.fixture
def ucf101(tmp_path):
    folder = tmp_path / "ucf101_splits"
    folder.mkdir()
    (folder / "classInd.txt").write_text("1 Archery\r\n2 YoYo\r\n")
    for number in (1, 2, 3):
        train = "YoYo/v_YoYo_g01_c01.avi 2\n\nArchery/v_Archery_g01_c01.avi 1\n"
        (folder / f"trainlist{number:02d}.txt").write_text(train)
        (folder / f"testlist{number:02d}.txt").write_text(f"YoYo/v_YoYo_g0{number}_c09.avi\n")
    return folder


def test_ucf101_lines(ucf101):
    splits = parse_split_file("ucf101", ucf101.parent)
    assert splits[1].train == (("v_YoYo_g01_c01", 1), ("v_Archery_g01_c01", 0))
    assert splits[1].test == (("v_YoYo_g02_c09", 1),)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("classInd.txt", "Archery 1\n", r"classInd.txt, line 1: 'Archery 1'"),
        ("testlist02.txt", "Archery/a.avi\nSwimming/v.avi\n", r"testlist02.txt, line 2: 'Swimming/v.avi'"),
        ("trainlist03.txt", "v_YoYo_g01_c01.avi 2\n", r"trainlist03.txt, line 1"),
    ],
)
def test_lines_that_do_not_parse_are_named(ucf101, name, text, message):
    (ucf101 / name).write_text(text)
    with pytest.raises(PytsnError, match=message):
        parse_split_file("ucf101", ucf101.parent)


def test_missing_files_and_folders_are_named(ucf101):
    (ucf101 / "testlist03.txt").unlink()
    with pytest.raises(PytsnError, match=r"testlist03.txt: no such file"):
        parse_split_file("ucf101", ucf101.parent)
    with pytest.raises(PytsnError, match=r"hmdb51_splits.class_list.txt: no such file"):
        parse_split_file("hmdb51", ucf101.parent)


def test_hmdb51_flags(tmp_path):
    folder = tmp_path / "hmdb51_splits"
    folder.mkdir()
    (folder / "class_list.txt").write_text("wave\nclap\n")
    for number in (1, 2, 3):
        (folder / f"wave_test_split{number}.txt").write_text("b#1.avi 1 \na.avi 2 \nc.avi 0 \n")
        (folder / f"clap_test_split{number}.txt").write_text("z.avi 1 \n")
    splits = parse_split_file("hmdb51", tmp_path)
    assert splits[2].train == (("z", 1), ("b#1", 0))
    assert splits[2].test == (("a", 0),)
    (folder / "clap_test_split2.txt").write_text("z.avi 3 \n")
    with pytest.raises(PytsnError, match=r"clap_test_split2.txt, line 1: 'z.avi 3'"):
        parse_split_file("hmdb51", tmp_path)
    (folder / "clap_test_split2.txt").unlink()
    (folder / "jump_test_split2.txt").write_text("j.avi 1\n")
    with pytest.raises(PytsnError, match="class 'jump' is not in class_list"):
        parse_split_file("hmdb51", tmp_path)


def test_other_datasets_are_refused_with_what_there_is():
    with pytest.raises(PytsnError, match=r"'activitynet_1.2'.*ucf101, hmdb51.*custom"):
        parse_split_file("activitynet_1.2")
