"""eval_scores: the original's line on the original's file, fusion, and files that do not belong together."""

import numpy as np
import pytest
import sklearn.metrics

from pytsn.cli import run_command
from pytsn.scores import write_scores

LABELS = [0, 1, 2, 3, 4, 5, 6, 0, 1, 2]
NAMES = [f"v{index}" for index in range(10)]


def make_scores(seed, classes=7):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(5 + index % 2, 10, classes)).astype(np.float32) for index in range(10)]


def run(*arguments):
    return run_command("eval-scores", [str(argument) for argument in arguments])


@pytest.fixture
def streams(tmp_path):
    """Two score files of the same videos, the second in another order."""
    rgb, flow = make_scores(0), make_scores(1)
    order = [3, 1, 4, 0, 9, 2, 6, 5, 8, 7]
    write_scores(tmp_path / "rgb.npz", rgb, LABELS, NAMES, {})
    reordered = [[values[index] for index in order] for values in (flow, LABELS, NAMES)]
    write_scores(tmp_path / "flow.npz", *reordered, {})
    return tmp_path, rgb, flow


def expected_lines(video_scores):
    """What the original computes from video scores (V, K), with sklearn; the share of labels among the best five."""
    matrix = sklearn.metrics.confusion_matrix(LABELS, np.argmax(video_scores, axis=1)).astype(float)
    accuracy = np.mean(np.diag(matrix) / matrix.sum(axis=1))
    hits = [label in np.argsort(row)[-5:] for row, label in zip(video_scores, LABELS, strict=True)]
    return [f"Final accuracy {accuracy * 100:f}%", f"Top-5 accuracy {np.mean(hits) * 100:f}% of videos"]


@pytest.mark.golden
def test_the_line_of_the_original(golden, capsys):
    assert run(golden / "eval/scores_rgb.npz") == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == "Final accuracy 16.666667%"
    assert "98 of 101 classes have no test video" in captured.err


def test_fusion_matches_videos_by_name(streams, capsys):
    folder, rgb, flow = streams
    assert run(folder / "rgb.npz", folder / "flow.npz", "--score_weights", 1, 1.5) == 0
    captured = capsys.readouterr()
    fused = [a.mean(axis=1).mean(axis=0) + 1.5 * b.mean(axis=1).mean(axis=0) for a, b in zip(rgb, flow, strict=True)]
    assert captured.out.splitlines() == expected_lines(np.array(fused))
    assert captured.err == ""


def test_weights_are_one_each_and_decide(streams, capsys):
    folder, rgb, flow = streams
    mean = [np.array([video.mean(axis=1).mean(axis=0) for video in stream]) for stream in (rgb, flow)]
    seen = set()
    for arguments, weights in (((), (1, 1)), (("--score_weights", 0, 1), (0, 1)), (("--score_weights", 1, 0), (1, 0))):
        assert run(folder / "rgb.npz", folder / "flow.npz", *arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines == expected_lines(weights[0] * mean[0] + weights[1] * mean[1])
        seen.add(tuple(lines))
    assert len(seen) == 3  # the cases tell one another apart


def test_crop_and_frame_aggregation(streams, capsys):
    folder, rgb, _ = streams
    assert run(folder / "rgb.npz", "--crop_agg", "max") == 0
    expected = np.array([video.max(axis=1).mean(axis=0) for video in rgb])
    assert capsys.readouterr().out.splitlines() == expected_lines(expected)
    assert run(folder / "rgb.npz", "--aggregation", "topk:2") == 0
    expected = np.array([np.sort(video.mean(axis=1), axis=0)[-2:].mean(axis=0) for video in rgb])
    assert capsys.readouterr().out.splitlines() == expected_lines(expected)
    assert run(folder / "rgb.npz", "--aggregation", "window") == 0
    assert capsys.readouterr().out.startswith("Final accuracy")


def test_files_without_names_are_matched_by_place_with_a_warning(streams, capsys):
    folder, rgb, flow = streams
    write_scores(folder / "old.npz", flow, LABELS)
    assert run(folder / "rgb.npz", folder / "old.npz") == 0
    captured = capsys.readouterr()
    mean = [a.mean(axis=1).mean(axis=0) + b.mean(axis=1).mean(axis=0) for a, b in zip(rgb, flow, strict=True)]
    assert captured.out.splitlines() == expected_lines(np.array(mean))
    assert "warning: no video names in" in captured.err


def test_a_class_without_test_video_gives_no_nan(tmp_path, capsys):
    scores = [
        np.eye(6, dtype=np.float32)[None, None, winner] for winner in (0, 5, 2)
    ]  # (1, 1, 6): class 5 is only predicted
    write_scores(tmp_path / "s.npz", scores, [0, 0, 2], ["a", "b", "c"])
    assert run(tmp_path / "s.npz") == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == "Final accuracy 75.000000%"
    assert "4 of 6 classes have no test video and are left out of the mean: 1, 3, 4, 5" in captured.err
    assert "predicted all the same: 5" in captured.err


def test_bad_input_ends_in_one_line_and_status_2(streams, capsys):
    folder, _, flow = streams
    write_scores(folder / "labels.npz", flow, [*LABELS[:-1], 3], NAMES)
    write_scores(folder / "classes.npz", make_scores(2, classes=8), LABELS, NAMES)
    write_scores(folder / "fewer.npz", flow[:9], LABELS[:9], NAMES[:9])
    (folder / "text.npz").write_text("hello")
    rgb_file = folder / "rgb.npz"
    cases = [
        ((rgb_file, "--score_weights", 1, 2), "2 weights for 1 score files"),
        ((rgb_file, "--score_weights", "nan"), "not all finite"),
        ((rgb_file, folder / "labels.npz"), "video 'v9' has label 2"),
        ((rgb_file, folder / "classes.npz"), "7 classes"),
        ((rgb_file, folder / "fewer.npz"), "are not in"),
        ((folder / "text.npz",), "not a score file"),
        ((folder / "gone.npz",), "no such file"),
        ((rgb_file, "--aggregation", "median"), "mean, topk:K"),
    ]
    for arguments, message in cases:
        assert run(*arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        (line,) = captured.err.splitlines()
        assert line.startswith("error: ")
        assert message in line
