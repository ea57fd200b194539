"""The one format of lists: spaces in paths, tabs, byte-order marks and line ends, for every command alike."""

import pytest

from pytsn.data.frame_folders import parse_list_file
from pytsn.data.video_list import ListedVideo, read_video_list, spaces_notes

FORMS = {
    "plain": "a/My videos/clip 1 30 2\nb 7 0\n",
    "mark": "\ufeffa/My videos/clip 1 30 2\nb 7 0\n",
    "crlf": "a/My videos/clip 1 30 2\r\nb 7 0\r\n",
    "old mac": "a/My videos/clip 1 30 2\rb 7 0",
    "tabs": "a/My videos/clip 1\t30\t2\nb\t7\t0\t\n",
    "blanks": "\n  a/My videos/clip 1   30  2  \n\n \t\nb 7 0",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_list(tmp_path, form):
    path = tmp_path / "list.txt"
    path.write_bytes(FORMS[form].encode())
    found = read_video_list(path)
    assert [(video.folder, video.frames, video.label) for video in found] == [
        ("a/My videos/clip 1", 30, 2),
        ("b", 7, 0),
    ]
    videos = parse_list_file(path)
    assert [(v.name, v.folder, v.rgb_count, v.flow_count, v.label, v.line) for v in videos] == [
        ("clip 1", "a/My videos/clip 1", 30, 30, 2, found[0].line),
        ("b", "b", 7, 7, 0, found[1].line),
    ]


def test_what_caffe_would_not_read_is_noted():
    videos = [ListedVideo("a", 3, 0, 1), ListedVideo("My videos/b", 3, 0, 2), ListedVideo("c\td", 3, 0, 3)]
    assert spaces_notes(videos, "list.txt") == [
        "list.txt: 2 paths hold spaces, first 'My videos/b' (line 2): read as they are, but Caffe would end the list "
        "there"
    ]
    assert spaces_notes(videos[:1], "list.txt") == []


def test_videos_without_frames_are_for_tests_alone(tmp_path):
    """build-file-list writes 0 where a modality has no images; tests name such videos, training refuses them."""
    (tmp_path / "list.txt").write_text("a 0 1\n")
    assert parse_list_file(tmp_path / "list.txt")[0].rgb_count == 0
