"""The curves of a training: what their pictures show, by matplotlib's own objects, and when they are drawn."""

import re

import matplotlib.colors
import numpy as np
import pytest

from pytsn.cli import main
from pytsn.runtime import progress
from pytsn.training import curves as curves_module
from pytsn.training.curves import Curves
from pytsn.training.curves_picture import accuracy_figure, curve_label, loss_figure, smoothing_window, trailing_mean
from tests.runtime.test_progress import Terminal
from tests.training.train_runs import arguments

LOSSES = [4.0, 3.0, 3.5, 2.0, 1.0, 1.5]


def test_the_trailing_mean_by_a_loop():
    values = np.random.default_rng(0).normal(size=50)
    for window in (1, 7, 80):
        wanted = [np.mean(values[max(0, end - window) : end]) for end in range(1, 51)]
        np.testing.assert_allclose(trailing_mean(values, window), wanted, rtol=1e-12)
    assert [smoothing_window(points) for points in (1, 44, 46, 3500)] == [1, 1, 2, 117]


def test_names_as_a_reader_knows_them():
    names = ("train loss", "test #0 loss", "test #0 accuracy", "test #1 loss", "test #0 loss3/top-5 accuracy")
    assert [curve_label(name) for name in names] == [
        "training loss",
        "validation loss",
        "validation accuracy",
        "validation loss, test net #1",
        "validation loss3/top-5 accuracy",
    ]


def test_the_loss_is_raw_and_faint_smoothed_and_strong():
    losses = np.random.default_rng(0).uniform(0, 5, 90)
    curves = {"train loss": list(enumerate(losses.tolist())), "test #0 loss": [(0, 4.5), (90, 1.5)]}
    (axes,) = loss_figure(curves, "ucf101 $rgb$").axes
    raw, smooth, validation = axes.lines
    np.testing.assert_allclose(raw.get_xydata(), list(enumerate(losses)))
    means = [np.mean(losses[max(0, end - 3) : end]) for end in range(1, 91)]  # a thirtieth of 90
    np.testing.assert_allclose(smooth.get_xydata(), list(enumerate(means)))
    np.testing.assert_allclose(validation.get_xydata(), [[0, 4.5], [90, 1.5]])
    assert raw.get_alpha() < 0.5 < (smooth.get_alpha() or 1)
    assert raw.get_color() == smooth.get_color() != validation.get_color()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "training loss, each iteration",
        "training loss, mean of the last 3 iterations",
        "validation loss",
    ]
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("ucf101 $rgb$", "iteration", "loss")
    assert not axes.title.get_parse_math()


@pytest.mark.parametrize(("iterations", "low", "high"), [((0, 1, 2), 0, 2), ((3, 5), 3, 5), ((10, 3500), 0, 3500)])
def test_the_axis_has_whole_iterations(iterations, low, high):
    (axes,) = loss_figure({"train loss": [(each, 1.0) for each in iterations]}, "").axes
    assert [tick for tick in axes.get_xticks() if tick != int(tick)] == []
    left, right = axes.get_xlim()
    assert left < low <= high < right
    assert right - left < 1.1 * (high - low)
    assert axes.xaxis.get_major_formatter()(12000) == "12,000"


def test_few_points_are_marked_and_not_smoothed():
    (axes,) = loss_figure({"train loss": [(5, 2.0)]}, "").axes
    (line,) = axes.lines
    assert (line.get_marker(), line.get_label()) == ("o", "training loss")


def test_accuracy_in_percent_from_0_to_100():
    curves = {"test #0 accuracy": [(0, 0.125), (10, 0.5), (20, 0.25)], "test #1 accuracy": [(0, 1.0)]}
    (axes,) = accuracy_figure(curves, "run").axes
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[0, 12.5], [10, 50], [20, 25]])
    assert axes.get_ylim() == (0, 100)
    assert axes.get_ylabel() == "accuracy, %"
    assert [line.get_label() for line in axes.lines] == [
        "validation accuracy: best 50.0 %, iteration 10",
        "validation accuracy, test net #1: best 100.0 %, iteration 0",
    ]
    colours = [matplotlib.colors.to_hex(line.get_color()) for line in axes.lines]
    assert len(set(colours)) == 2


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_drawn_when_it_is_due_and_seldom_enough_to_cost_little(monkeypatch, tmp_path):
    clock, starts = Clock(), []

    def draw(folder, curves, title, kind):
        starts.append(clock.now)
        clock.now += 0.5
        return []

    monkeypatch.setattr("pytsn.training.curves_picture.draw_curves", draw)
    curves = Curves(clock=clock)
    clock.now += 1000.0
    curves.draw_if_due()
    assert starts == []  # it knows no place
    curves.draw_into(str(tmp_path), "run")
    for wait in (0.0, 60.0):
        for _ in range(400):
            clock.now += 0.5
            curves.draw_if_due(wait)
    assert starts[0] == 1100.0 + 50.0  # what drawing costs is not known yet: a second is supposed
    gaps = np.diff(starts)
    assert set(gaps[: len(gaps) // 2]) == {0.5 + 50 * 0.5}  # a fiftieth of the time
    assert set(gaps[-2:]) == {0.5 + 60.0}


def test_tests_snapshots_and_displayed_lines_draw_and_a_failure_stops_nothing(tiny, monkeypatch, capsys):
    """With drawing free, a test and a snapshot draw, and a displayed line draws when a minute has passed."""
    clock = Clock()
    drawn: list[str] = []

    class Timed(Curves):
        def __init__(self, tensorboard=None):
            super().__init__(tensorboard, clock)

        def draw(self):
            drawn.append(f"{len(self.curves['train loss'])} of {self._place[1]}")
            self._drawn = self.clock()
            return super().draw() if len(drawn) > 99 else []

        def add(self, name, iteration, value):
            super().add(name, iteration, value)
            clock.now += 25.0 * (name == "train loss")

    monkeypatch.setattr(curves_module, "_SELDOM", 0)
    monkeypatch.setattr("pytsn.training.run.Curves", Timed)
    more = ["--set=max_iter=8", "--set=test_interval=5", "--set=snapshot=4", "--set=display=1", "--set=average_loss=1"]
    assert main(["train", *arguments("det_fixed", "ours/live", *more)]) == 0
    # 25 s an iteration. The test before iteration 0; iteration 2's line, 75 s later; the snapshot after 4 iterations,
    # the test before iteration 5; iteration 7's line, 75 s later; the snapshot after 8; the end
    assert drawn == [f"{points} of live" for points in (0, 3, 4, 5, 8, 8, 8)]
    monkeypatch.setattr(Timed, "try_to_draw", lambda self: "no space")
    capsys.readouterr()
    assert main(["train", *arguments("det_fixed", "ours/live2", "--set=max_iter=6", "--set=test_interval=2")]) == 0
    assert capsys.readouterr().out.count("note: the curves cannot be drawn: no space") == 1


def test_a_resumed_run_goes_on_with_the_curve(tiny, monkeypatch, capsys):
    drawn: list[list[int]] = []

    def draw(folder, curves, title, kind):
        drawn.append([iteration for iteration, _ in curves["train loss"]])
        return []

    monkeypatch.setattr("pytsn.training.curves_picture.draw_curves", draw)
    more = ["--set=max_iter=4", "--set=snapshot=2", "--set=test_iter="]
    assert main(["train", *arguments("det_fixed", "ours/on", *more)]) == 0
    assert main(["train", *arguments("det_fixed", "ours/on", *more, "--snapshot=ours/on_iter_2.solverstate")]) == 0
    assert drawn == [[0, 1, 2, 3]] * 2


def test_train_draws_vector_pictures(tiny, capsys):
    assert main(["train", *arguments("det_fixed", "ours/s", "--set=max_iter=2", "--picture_format=svg")]) == 0
    for name in ("loss.svg", "accuracy.svg"):
        assert b"<svg" in (tiny / "ours" / name).read_bytes()


def test_caffes_log_is_the_same_on_a_terminal_and_in_a_file(tiny, monkeypatch, capsys):
    """Lines of progress go to stderr: with the time to go in a log, above the bar on a terminal."""
    run = ["train", *arguments("det_fixed", "ours/s", "--set=max_iter=4", "--set=test_interval=2")]
    clock = Clock()

    def by_ten() -> float:
        clock.now += 10.0
        return clock.now

    monkeypatch.setattr(progress, "CLOCK", by_ten)
    assert main(run) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^training: 3 of 4 iterations, \d+ s an iteration, \d+ s to go$", err, re.MULTILINE)
    assert re.search(r"^testing: 3 of 3 batches, \d+ s a batch$", err, re.MULTILINE)
    assert "\r" not in err
    assert "\x1b" not in err
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert main(run) == 0
    assert capsys.readouterr().out == out
    assert "training: 100%|" in terminal.getvalue()
    assert "to go" not in terminal.getvalue()
