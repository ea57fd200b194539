"""eval_scores: the original's line on the original's file, fusion, and files that do not belong together."""

import numpy as np
import pytest
import sklearn.metrics

from pytsn.cli import run_command
from pytsn.data.class_names import names_of
from pytsn.scores.aggregation import parse_aggregation
from pytsn.scores.score_file import write_scores

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


def test_the_confusion_matrix_is_drawn(streams, tmp_path, capsys, monkeypatch):
    """The matrix that scikit-learn counts, the labels' names, the printed accuracy; class numbers without names."""
    folder, rgb, flow = streams
    drawn = []
    monkeypatch.setattr("pytsn.scores.confusion_picture.draw_confusion_matrix", lambda *given: drawn.append(given))
    (tmp_path / "names.txt").write_text("\n".join("abcdefg"))
    both = (folder / "rgb.npz", folder / "flow.npz")
    assert run(*both, "--confusion", tmp_path / "c.svg", "--labels", tmp_path / "names.txt") == 0
    assert run(*both, "--confusion", tmp_path / "c.svg") == 0
    best = np.stack([(a.mean((0, 1)) + b.mean((0, 1))) for a, b in zip(rgb, flow, strict=True)]).argmax(axis=1)
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == f"wrote {tmp_path}/c.svg"
    for (path, matrix, names, title), wanted in zip(drawn, ("abcdefg", [f"class {k}" for k in range(7)]), strict=True):
        assert path == str(tmp_path / "c.svg")
        np.testing.assert_array_equal(matrix, sklearn.metrics.confusion_matrix(LABELS, best, labels=range(7)))
        assert list(names) == list(wanted)
        assert title == f"10 videos, mean class accuracy {float(out[0].split()[2][:-1]):.1f}%"


def test_class_names_of_a_dataset_are_known():
    assert names_of("ucf101", 101)[:3] == ("ApplyEyeMakeup", "ApplyLipstick", "Archery")
    assert (names_of("ucf101", 16), names_of("custom", 101), names_of(None, 51)) == ((), (), ())


def test_bad_input_ends_in_one_line_and_status_2(streams, capsys):
    folder, _, flow = streams
    write_scores(folder / "labels.npz", flow, [*LABELS[:-1], 3], NAMES)
    write_scores(folder / "classes.npz", make_scores(2, classes=8), LABELS, NAMES)
    write_scores(folder / "fewer.npz", flow[:9], LABELS[:9], NAMES[:9])
    (folder / "text.npz").write_text("hello")
    rgb_file = folder / "rgb.npz"
    cases = [
        ((rgb_file, "--score_weights", 1, 2), "2 weights for 1 score file;"),
        ((rgb_file, "--score_weights", "nan"), "not all finite"),
        ((rgb_file, folder / "labels.npz"), "video 'v9' has label 2"),
        ((rgb_file, folder / "classes.npz"), "7 classes"),
        ((rgb_file, folder / "fewer.npz"), "fewer.npz: holds no scores of 1 video of "),
        ((folder / "text.npz",), "not a score file"),
        ((folder / "gone.npz",), "no such file"),
        ((rgb_file, "--aggregation", "median"), "mean, topk:K"),
        ((rgb_file, "--confusion", folder / "c.jpg"), "c.jpg: pictures are written as png, pdf or svg"),
        ((rgb_file, "--confusion", folder / "no" / "c.png"), "c.png: no folder"),
        ((rgb_file, "--confusion", folder / "c.png", "--labels", folder / "no.txt"), "no.txt: no such file"),
    ]
    for arguments, message in cases:
        assert run(*arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        (line,) = captured.err.splitlines()
        assert line.startswith("error: ")
        assert message in line


def write_run(path, seed, modality="rgb", sizes=(101, 3783), **changes):
    """A score file of a whole UCF101 test list by the released protocol: one frame and crop of 25 x 10, to be small."""
    classes, videos = sizes
    rng = np.random.default_rng(seed)
    labels = (np.arange(videos) % classes).tolist()
    scores = [np.repeat(rng.normal(size=(1, 1, classes)).astype(np.float32), 25, axis=0) for _ in range(videos)]
    settings = {
        "dataset": "ucf101",
        "split": 1,
        "modality": modality,
        "num_frame_per_video": 25,
        "net_weights": f"ucf101_split_1_tsn_{modality}_reference_bn_inception.caffemodel",
        **changes,
    }
    write_scores(path, scores, labels, [f"v{index}" for index in range(videos)], settings)
    return path


@pytest.fixture(scope="module")
def whole_test(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return write_run(folder / "rgb.npz", 0), write_run(folder / "flow.npz", 1, "flow")


def published_of(capsys):
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    accuracy = float(lines[0].removeprefix("Final accuracy ").removesuffix("%"))
    return accuracy, [line for line in lines if line.startswith("published")], captured.err


def test_warped_flow_is_not_compared_with_plain_flow(tmp_path, capsys):
    path = write_run(tmp_path / "warped.npz", 2, "flow", net_weights="ucf101_split_1_warped_flow.caffemodel")
    assert run_command("eval-scores", [str(path)]) == 0
    _, published, err = published_of(capsys)
    assert published == []
    assert "its name says" not in err


def test_published_figures_of_a_stream_and_of_the_fusion(whole_test, capsys):
    rgb, flow = whole_test
    cases = (
        ((rgb,), (1,), 85.5, "rgb"),
        ((flow,), (2,), 87.6, "flow"),
        ((rgb, flow), (1, 1.5), 93.5, "rgb+flow 1:1.5"),
        ((flow, rgb), (3, 2), 93.5, "rgb+flow 1:1.5"),
    )
    for files, weights, figure, name in cases:
        assert run(*files, "--score_weights", *weights) == 0
        accuracy, published, err = published_of(capsys)
        assert published == [f"published: {figure} (ucf101 split 1 {name}) difference {accuracy - figure:+.1f}"]
        assert err == ""
    assert run(rgb, flow) == 0  # 1:1 was published for the average of the splits only
    assert published_of(capsys)[1] == []
    assert run(rgb, "--aggregation", "topk:3") == 0
    (line,) = published_of(capsys)[1]
    assert line == "published: 85.5 (ucf101 split 1 rgb), not comparable: aggregation topk:3 instead of mean"


def test_a_few_clips_that_call_themselves_ucf101_are_not_compared(tmp_path, capsys):
    assert run(write_run(tmp_path / "demo.npz", 0, sizes=(7, 30))) == 0
    assert published_of(capsys)[1] == []
    assert run(write_run(tmp_path / "some.npz", 0, sizes=(101, 303))) == 0
    assert published_of(capsys)[1] == ["published: 85.5 (ucf101 split 1 rgb), not comparable: 303 of 3783 test videos"]


def test_other_numbers_of_snippets_are_not_compared(tmp_path, capsys):
    for index, frames in enumerate((24, None, [25], "25")):  # the file holds 25 a video
        path = write_run(tmp_path / f"{index}.npz", 0, sizes=(101, 101), num_frame_per_video=frames)
        assert run(path) == 0
        (line,) = published_of(capsys)[1]
        assert line.endswith("not comparable: 101 of 3783 test videos, another number of snippets a video than 25")


def test_weights_of_another_split_raise_a_warning(tmp_path, capsys):
    path = write_run(tmp_path / "s.npz", 0, sizes=(7, 14), split=3)
    assert run(path) == 0
    assert "its name says split 1, but split 3 is under test" in published_of(capsys)[2]


def test_settings_that_say_nothing_or_nonsense_are_no_comparison(tmp_path, capsys):
    for index, changes in enumerate(
        (
            {"split": "x"},
            {"split": None},
            {"dataset": 3},
            {"modality": ["rgb"]},
            {"split": [1]},
            {"split": 1.0},
            {"split": True},
            {"net_weights": 7, "split": 9},
        )
    ):
        path = write_run(tmp_path / f"{index}.npz", 0, sizes=(101, 101), **changes)
        assert run(path) == 0
        assert published_of(capsys)[1:] == ([], "")


def untrimmed(path, seed, **settings):
    """Five videos of 3 to 43 snippets, six classes; the third has two."""
    rng = np.random.default_rng(seed)
    scores = [rng.normal(size=(count, 10, 6)).astype(np.float32) for count in (3, 43, 16, 20, 1)]
    settings = {"dataset": "activitynet_1.2", "split": 1, "modality": "rgb", **settings}
    write_scores(path, scores, [0, 1, 2, 3, 1], list("abcde"), settings)
    return scores


def test_untrimmed_videos_of_different_length(tmp_path, capsys):
    sets = [[0], [1], [2, 5], [3], [1]]
    scores = untrimmed(tmp_path / "s.npz", 0, label_sets=sets, snippet_rate="1")
    relevant = np.zeros((5, 6), bool)
    for index, labels in enumerate(sets):
        relevant[index, labels] = True
    for name in ("mean", "multiscale", "anet2016", "window"):
        assert run(tmp_path / "s.npz", "--aggregation", name) == 0
        lines = capsys.readouterr().out.splitlines()
        video_scores = np.stack([parse_aggregation(name)(video) for video in scores])
        classes = [0, 1, 2, 3, 5]
        values = []
        for k in classes:  # the interpolated AP by its definition: at each hit the best precision from there on
            order = np.argsort(-video_scores[:, k])
            hits = np.flatnonzero(relevant[order, k])
            precision = [(rank + 1) / (place + 1) for rank, place in enumerate(hits)]
            values.append(np.mean([max(precision[rank:]) for rank in range(len(hits))]))
        assert lines[2] == f"mAP {np.mean(values) * 100:.2f}% over 5 classes"
        best = np.argsort(-video_scores, axis=1)
        shares = [np.mean([bool(set(best[v, :k]) & set(sets[v])) for v in range(5)]) * 100 for k in (1, 3, 5)]
        assert lines[3] == "hit@1 {:.2f}% hit@3 {:.2f}% hit@5 {:.2f}% of videos".format(*shares)
        assert len(lines) == 4


def test_windows_take_the_rate_of_the_files(tmp_path, capsys):
    scores = untrimmed(tmp_path / "two.npz", 0, snippet_rate="2")
    assert run(tmp_path / "two.npz", "--aggregation", "multiscale") == 0
    raw = np.stack([parse_aggregation("multiscale:fps=2")(video, normalization=False) for video in scores])
    hits = raw.argmax(axis=1) == [0, 1, 2, 3, 1]
    want = np.mean([hits[0], hits[[1, 4]].mean(), hits[2], hits[3]])
    assert capsys.readouterr().out.splitlines()[0] == f"Final accuracy {want * 100:f}%"
    untrimmed(tmp_path / "one.npz", 1, snippet_rate="1")
    untrimmed(tmp_path / "odd.npz", 1, snippet_rate="often")
    untrimmed(tmp_path / "sets.npz", 1, label_sets=[[0], [1]])
    for arguments, words in (
        (("two.npz", "--aggregation", "multiscale:fps=1"), "counts on 1 snippet a second, the files hold 2"),
        (("two.npz", "--aggregation", "anet2016"), "counts on 1 snippet a second, the files hold 2"),
        (("two.npz", "one.npz", "--aggregation", "window"), "different numbers of snippets a second"),
        (("odd.npz",), "odd.npz: its snippet_rate 'often' is no rate"),
        (("sets.npz",), "'label_sets' are not a list of labels for each video"),
    ):
        assert run(*[tmp_path / item if item.endswith("npz") else item for item in arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line


def test_windows_over_files_of_no_known_rate_are_noted(tmp_path, capsys):
    untrimmed(tmp_path / "s.npz", 0)
    assert run(tmp_path / "s.npz", "--aggregation", "window") == 0
    assert capsys.readouterr().err.startswith("note: aggregation window takes the snippets for 1 a second")


def test_a_video_without_label_counts_in_map_alone(tmp_path, capsys):
    """Scores by hand: three videos, two classes, the second video belongs to none and ranks between the others."""
    rows = ([2.0, 0.0], [1.0, 0.0], [0.5, 0.0])
    settings = {"dataset": "activitynet_1.3", "split": 1, "modality": "rgb", "label_sets": [[0], [], [0]]}
    scores = [np.array(row, np.float32)[None, None] for row in rows]  # (1, 1, 2)
    write_scores(tmp_path / "s.npz", scores, [0, 0, 0], ["a", "b", "c"], settings)
    assert run(tmp_path / "s.npz") == 0
    assert capsys.readouterr().out.splitlines() == [
        "Final accuracy 100.000000%",
        f"mAP {(1 + 2 / 3) / 2 * 100:.2f}% over 1 class",
        "hit@1 100.00% of videos",
    ]
    settings["label_sets"] = [[1], [], [0]]  # the unlabelled one, predicted as 0, is neither right nor wrong
    write_scores(tmp_path / "s.npz", scores, [1, 0, 0], ["a", "b", "c"], settings)
    assert run(tmp_path / "s.npz") == 0
    assert capsys.readouterr().out.splitlines()[0] == "Final accuracy 50.000000%"


def test_videos_without_any_label(tmp_path, capsys):
    untrimmed(tmp_path / "s.npz", 0, label_sets=[[], [], [], [], []])
    assert run(tmp_path / "s.npz") == 0
    assert capsys.readouterr().out == "the videos have no labels: no accuracy\n"
