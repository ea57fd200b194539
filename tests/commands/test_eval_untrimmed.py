"""eval-net on untrimmed video: ActivityNet's annotation file, snippets at a rate, windows, several labels a video."""

import json

import numpy as np
import pytest

from pytsn.cli import run_command
from pytsn.scores.aggregation import parse_aggregation
from pytsn.scores.score_file import read_scores
from tests.commands.eval_nets import NET, write_frames
from tests.converter.nets import build

#: id -> frames, seconds, labels of its actions; the folder of the second is called as its video file
VIDEOS = {
    "zeta-1": (51, 5.0, ["B", "A", "B"]),
    "alpha_2": (24, 6.0, ["G"]),
    "short": (3, 1.5, ["C"]),
    "none": (20, 4.0, []),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    from converter.weights import save_caffemodel

    root = tmp_path_factory.mktemp("untrimmed")
    folders = {"v_" + name if name == "alpha_2" else name: count for name, (count, _, _) in VIDEOS.items()}
    write_frames(root / "frames", folders)
    database = {
        name: {
            "subset": "testing" if not labels else "validation",
            "duration": seconds,
            "annotations": [{"label": label, "segment": [0, 1]} for label in labels],
        }
        for name, (_, seconds, labels) in VIDEOS.items()
    }
    database["elsewhere"] = {"subset": "training", "duration": 3, "annotations": [{"label": "A", "segment": [0, 1]}]}
    taxonomy = [{"nodeName": name, "parentName": "Root"} for name in "GFEDCBA"]
    splits = root / "data" / "activitynet_splits"
    splits.mkdir(parents=True)
    path = splits / "activity_net.v1-3.min.json"
    path.write_text(json.dumps({"version": "VERSION 1.3", "taxonomy": taxonomy, "database": database}))
    for modality, channels in (("rgb", 3), ("flow", 10)):
        (root / f"{modality}.prototxt").write_text(NET % channels)
        save_caffemodel(root / f"{modality}.caffemodel", build(NET % channels))
    return root


def evaluate(world, capsys, *more, modality="rgb", split=1, dataset="activitynet_1.3"):
    own = [f"{world}/frames", f"{world}/{modality}.prototxt", f"{world}/{modality}.caffemodel"]
    argv = [dataset, str(split), modality, *own, "--split_path", f"{world}/data", "--device", "cpu", *map(str, more)]
    status = run_command("eval-net", argv)
    captured = capsys.readouterr()
    return status, captured.out.splitlines(), captured.err


def fixed_scores(world, tmp_path, capsys):
    """Scores of every frame of the videos: a plain list, as many snippets as frames, one snippet a frame."""
    scores = {}
    for name, (count, _, _) in VIDEOS.items():
        folder = world / "frames" / ("v_" + name if name == "alpha_2" else name)
        (tmp_path / "list.txt").write_text(f"{folder} {count} 0\n")
        more = ("--test_list", tmp_path / "list.txt", "--num_frame_per_video", count, "--save_scores", tmp_path / "all")
        assert evaluate(world, capsys, *more, dataset="custom")[0] == 0
        scores[name] = read_scores(tmp_path / "all.npz").scores[0]
        assert scores[name].shape == (count, 10, 7)
    return scores


def test_snippets_at_a_rate_by_each_videos_duration(world, tmp_path, capsys):
    assert evaluate(world, capsys, "--snippet_rate", 2, "--save_scores", tmp_path / "s")[0] == 0
    file = read_scores(tmp_path / "s.npz")
    assert file.names == ("zeta-1", "alpha_2", "short")
    assert file.labels.tolist() == [1, 6, 2]  # B has most of the first video's time
    assert file.settings["label_sets"] == [[1, 0], [6], [2]]
    assert (file.settings["snippet_rate"], file.settings["num_frame_per_video"]) == ("2", None)
    every = fixed_scores(world, tmp_path, capsys)
    ticks = {  # 51 frames in 5 s: 5.1 frames a snippet; 24 in 6 s: 2; 3 in 1.5 s: 1
        "zeta-1": [0, 5, 10, 15, 20, 25, 30, 35, 40, 45],
        "alpha_2": list(range(0, 24, 2)),
        "short": [0, 1, 2],
    }
    for name, scores in zip(file.names, file.scores, strict=True):
        want = every[name][ticks[name]]
        assert scores.shape == want.shape
        assert np.abs(scores - want).max() <= 1e-5 * np.abs(want).max()  # other batches sum in another order


def test_metrics_of_windows(world, tmp_path, capsys):
    status, out, _ = evaluate(
        world, capsys, "--snippet_rate", 2, "--aggregation", "multiscale", "--save_scores", tmp_path / "s"
    )
    assert status == 0
    scores = [parse_aggregation("multiscale:fps=2")(array) for array in read_scores(tmp_path / "s.npz").scores]
    best = np.argsort(-np.array(scores), axis=1)
    accuracy = np.mean([best[0, 0] == 1, best[2, 0] == 2, best[1, 0] == 6])
    sets = [{0, 1}, {6}, {2}]
    hits = [np.mean([bool(set(best[v, :k]) & sets[v]) for v in range(3)]) * 100 for k in (1, 3, 5)]
    assert f"Accuracy {accuracy * 100:.2f}%" in out
    assert "hit@1 {:.2f}% hit@3 {:.2f}% hit@5 {:.2f}% of videos".format(*hits) in out
    assert [line for line in out if line.startswith("mAP ") and line.endswith("% over 4 classes")]
    assert not [line for line in out if line.startswith("published")]
    # the same from the file
    assert run_command("eval-scores", [f"{tmp_path}/s.npz", "--aggregation", "multiscale"]) == 0
    again = capsys.readouterr().out.splitlines()
    assert [line for line in again if line.startswith(("mAP", "hit"))] == [
        line for line in out if line.startswith(("mAP", "hit"))
    ]


def test_flow_and_workers(world, tmp_path, capsys):
    for workers in (1, 2):
        more = ("--snippet_rate", 1, "--video_fps", "8.5", "--save_scores", tmp_path / str(workers))
        status, _, _ = evaluate(world, capsys, *more, "--num_worker", workers, modality="flow")
        assert status == 0
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    # ticks 1, 9, 18, 26, 35, 43 of 51 frames; 1, 9, 18 of 24; a video shorter than a stack once
    assert [len(array) for array in read_scores(tmp_path / "1.npz").scores] == [6, 3, 1]


def test_testing_videos_are_scored_without_an_accuracy(world, tmp_path, capsys):
    status, out, _ = evaluate(world, capsys, "--save_scores", tmp_path / "t", split=2)
    assert status == 0
    assert out[-1] == "the videos have no labels: no accuracy"
    assert read_scores(tmp_path / "t.npz").names == ("none",)
    assert run_command("eval-scores", [f"{tmp_path}/t.npz"]) == 0
    assert capsys.readouterr().out == "the videos have no labels: no accuracy\n"


def test_windows_over_a_fixed_number_of_snippets_are_noted(world, capsys):
    status, _, err = evaluate(world, capsys, "--aggregation", "window")
    assert status == 0
    assert err.startswith("note: aggregation window takes the snippets for 1 a second")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--subset", "training"), "1 of 1 videos has no frames"),
        (("--anet_file", "gone.json"), "gone.json: no such file"),
        (("--snippet_rate", "fast"), "'fast' is no rate"),
        (("--snippet_rate", 3), "short): 3 snippets a second of a video of 2 frames a second"),
        (
            ("--snippet_rate", 2, "--aggregation", "multiscale:fps=1"),
            "counts on 1 snippet a second, --snippet_rate is 2",
        ),
        (("--snippet_rate", "0.5", "--aggregation", "multiscale"), "windows of 1 s hold less than one snippet"),
        (("--video_fps", "25"), "--video_fps goes with --snippet_rate"),
    ],
)
def test_what_cannot_be_done_is_one_line_before_any_video(world, capsys, more, words):
    status, out, err = evaluate(world, capsys, *more)
    assert status == 2
    assert words in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not [line for line in out if line.endswith(" done") and line.startswith("video ")]


def test_splits_datasets_and_doubled_folders(world, tmp_path, capsys):
    assert "split 1 (validation) and split 2 (testing), not 3" in evaluate(world, capsys, split=3)[2]
    assert "no such file" in evaluate(world, capsys, dataset="activitynet_1.2")[2]
    json_file = f"{world}/data/activitynet_splits/activity_net.v1-3.min.json"
    err = evaluate(world, capsys, "--anet_file", json_file, dataset="activitynet_1.2")[2]
    assert "is 'VERSION 1.3', but ActivityNet 1.2 was asked for" in err
    assert "go with the datasets activitynet" in evaluate(world, capsys, "--subset", "testing", dataset="ucf101")[2]
    (tmp_path / "list.txt").write_text(f"{world}/frames/short 3 0\n")
    err = evaluate(world, capsys, "--test_list", tmp_path / "list.txt", "--snippet_rate", 1, dataset="custom")[2]
    assert "video 'short'" in err
    assert "tell the frame rate by --video_fps" in err
    write_frames(tmp_path / "frames", {"short": 2, "v_short": 2})
    status = run_command(
        "eval-net",
        ["activitynet_1.3", "1", "rgb", f"{tmp_path}/frames", "x", "y", "--anet_file", json_file, "--allow_missing"],
    )
    assert status == 2
    assert "video 'short' has two frame folders" in capsys.readouterr().err
