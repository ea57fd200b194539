"""An ablation of lists that name video files: which modalities it has, and what it trains on."""

from pytsn.ablation.data import load_data
from pytsn.ablation.options import AblationOptions
from tests.flow.flow_videos import make_video


def test_lists_of_video_files(tmp_path):
    """rgb and RGB difference; flow would have to be computed again and again, and is left out with a line."""
    for name, count in {"a": 5, "b": 9, "c": 7}.items():
        make_video(tmp_path / f"{name}.avi", count)
    (tmp_path / "train.txt").write_text("a.avi 4 0\nb.avi 0 1\n")
    (tmp_path / "val.txt").write_text("c.avi 1\n")
    lists = {"train_list": str(tmp_path / "train.txt"), "val_list": str(tmp_path / "val.txt")}
    data = load_data(AblationOptions("custom", str(tmp_path), str(tmp_path / "out"), **lists))
    assert data.modalities == ("rgb", "rgbdiff")
    assert any(note.startswith("flow is left out") for note in data.notes)
    data.write_list("train", "rgb", tmp_path / "list.txt")
    assert (tmp_path / "list.txt").read_text() == f"{tmp_path}/a.avi 4 0\n{tmp_path}/b.avi 8 1\n"
    assert [video.rgb_count for video in data.videos["test"]["rgb"]] == [6]
