"""The annotation file of ActivityNet: classes, videos, the original's splits, and files that are no such thing."""

import json

import pytest

from converter.errors import PytsnError
from pytsn.data.activitynet import activitynet_path, frame_folder_names, read_activitynet


def make_file(**changes) -> dict:
    node = dict.fromkeys(("nodeId", "parentId"), 0)
    annotate = lambda label, start, end: {"label": label, "segment": [start, end]}  # noqa: E731 a table of them follows
    return {
        "version": "VERSION 1.2",
        "taxonomy": [
            {**node, "nodeName": "Root", "parentName": None},
            {**node, "nodeName": "Sports", "parentName": "Root"},
            {**node, "nodeName": "Zumba", "parentName": "Sports"},
            {**node, "nodeName": "Archery", "parentName": "Sports"},
            {**node, "nodeName": "Mowing the lawn", "parentName": "Root"},
        ],
        "database": {
            "zz-1": {"subset": "training", "duration": 9.5, "annotations": [annotate("Zumba", 0.5, 4)]},
            "aa_2": {
                "subset": "validation",
                "duration": 60,
                "annotations": [annotate("Archery", 1, 3), annotate("Zumba", 3, 9), annotate("Archery", 9, 12)],
            },
            "v_3x": {"subset": "validation", "duration": 5, "annotations": [annotate("Mowing the lawn", 5, 0)]},
            "tt": {"subset": "testing", "duration": 5, "annotations": []},
        },
        **changes,
    }


@pytest.fixture
def write(tmp_path):
    def write(content) -> str:
        path = tmp_path / "anet.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


def test_classes_are_the_leaves_in_alphabetical_order(write):
    assert read_activitynet(write(make_file())).classes == ("Archery", "Mowing the lawn", "Zumba")


def test_videos_of_a_subset_and_their_labels(write):
    db = read_activitynet(write(make_file()), "1.2")
    assert [(video.name, video.labels) for video in db.subset("validation")] == [("aa_2", (2, 0)), ("v_3x", (1,))]
    assert [video.duration for video in db.videos] == [9.5, 60.0, 5.0, 5.0]
    assert [video.name for video in db.subset("testing")] == ["tt"]
    assert db.subset("testing")[0].labels == ()
    with pytest.raises(PytsnError, match="no subset 'test'; there are training, validation, testing"):
        db.subset("test")


def test_the_originals_splits_list_clips(write):
    first, second = read_activitynet(write(make_file())).clip_splits()
    assert first.train == (("zz-1_0", 2),)
    assert first.test == (("aa_2_0", 0), ("aa_2_1", 2), ("aa_2_2", 0), ("v_3x_0", 1))
    assert second.train == first.train + first.test
    assert second.test == (("tt", 0),)


def test_splits_of_whole_videos(write):
    first, second = read_activitynet(write(make_file())).video_splits()
    assert (first.train, first.test) == ((("zz-1", 2),), (("aa_2", 2), ("v_3x", 1)))
    assert (second.train, second.test) == (first.train + first.test, (("tt", 0),))


def test_folders_carry_the_id_or_the_name_of_the_file():
    assert frame_folder_names(["abc", "v_x"]) == {"v_abc": "abc", "abc": "abc", "v_v_x": "v_x", "v_x": "v_x"}
    assert frame_folder_names(["x", "v_x"])["v_x"] == "v_x"  # an id that looks like another's folder comes first


def test_where_the_file_lies():
    path = activitynet_path("activitynet_1.3", "somewhere")
    assert path.as_posix() == "somewhere/activitynet_splits/activity_net.v1-3.min.json"


def test_another_version_is_refused(write):
    with pytest.raises(PytsnError, match=r"is 'VERSION 1\.2', but ActivityNet 1.3 was asked for"):
        read_activitynet(write(make_file()), "1.3")
    assert read_activitynet(write(make_file(version="my own subset")), "1.3").classes


def broken_video(**changes) -> dict:
    return make_file(database={"bad one": {"subset": "training", "duration": 1, "annotations": [], **changes}})


BROKEN = {
    "not json": ("{", "no JSON"),
    "empty": ("", "no JSON"),
    "deep": ("[" * 100000, "no JSON"),
    "huge number": ('{"database": ' + "9" * 5000 + "}", "no JSON"),
    "a list": ([1, 2], "not an ActivityNet annotation file"),
    "no taxonomy": ({"database": {}}, "not an ActivityNet annotation file"),
    "taxonomy of numbers": (make_file(taxonomy=[1, {"nodeName": 3}]), "no classes"),
    "taxonomy in a ring": (make_file(taxonomy=[{"nodeName": "a", "parentName": "a"}]), "no classes"),
    "taxonomy no list": (make_file(taxonomy={"nodeName": "a"}), "no classes"),
    "no videos": (make_file(database={}), "holds no videos"),
    "database a list": (make_file(database=[1]), "holds no videos"),
    "a video that is a text": (make_file(database={"bad one": "x"}), "video 'bad one' has no 'subset'"),
    "unknown subset": (broken_video(subset="train"), "video 'bad one' has no 'subset'"),
    "subset a list": (broken_video(subset=[]), "video 'bad one' has no 'subset'"),
    "annotations a text": (broken_video(annotations="x"), "'annotations' is not a list"),
    "annotation without label": (broken_video(annotations=[{"segment": [0, 1]}]), "has no 'label'"),
    "unknown label": (broken_video(annotations=[{"label": "Sports", "segment": [0, 1]}]), "'Sports' is no class"),
    "no segment": (broken_video(annotations=[{"label": "Zumba"}]), "is not \\[start, end\\]"),
    "nan segment": (
        json.dumps(broken_video(annotations=[{"label": "Zumba", "segment": [0, float("nan")]}])),
        "is not \\[start, end\\]",
    ),
    "a line break in a name": (make_file(database={"a\nb": 3}), r"video 'a\\nb': this id cannot be"),
    "half a character": ('{"taxonomy": [{"nodeName": "a"}], "database": {"\\ud800": 3}}', "this id cannot be"),
    "a path for an id": (make_file(database={"../x": 3}), "this id cannot be"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_of_another_form_is_one_line(write, kind):
    content, words = BROKEN[kind]
    path = write(content)
    with pytest.raises(PytsnError, match=words) as caught:
        read_activitynet(path)
    assert str(caught.value).startswith(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path):
    with pytest.raises(PytsnError, match="no such file"):
        read_activitynet(tmp_path / "gone.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(PytsnError, match=r"bytes\.json"):
        read_activitynet(tmp_path / "bytes.json")
