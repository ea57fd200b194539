"""Progress: the arithmetic of the time to go, the exact lines of a log, the bar of a terminal; no test waits."""

import io
import os
import re
import sys

import pytest

from pytsn.runtime import progress
from pytsn.runtime.progress import BYTES, SHARE, Progress, duration, pace_line, say, track


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "CLOCK", clock)
    return clock


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        # 90 done in 30 s: 3 a second, 900 left
        (("scoring", "video", 100, 1000, 10, 30.0), "scoring: 100 of 1000 videos, 3.0 videos/s, 5 min to go"),
        (("x", "video", 2, 12, 0, 30.0), "x: 2 of 12 videos, 15 s a video, 2 min to go"),  # 150 s
        (("x", "video", 4, 5, 0, 30.0), "x: 4 of 5 videos, 7.5 s a video, 8 s to go"),
        (("x", "iteration", 1, 61, 0, 120.0), "x: 1 of 61 iterations, 2 min an iteration, 2.0 h to go"),
        (("x", "batch", 3000, 4000, 0, 30.0), "x: 3000 of 4000 batches, 100 batches/s, 10 s to go"),
        (("x", "batch", 2990, 4000, 0, 30.0), "x: 2990 of 4000 batches, 100 batches/s, 10 s to go"),  # 99.67 a second
        (("x", "frame", 1, 1, 0, 40.0), "x: 1 of 1 frame, 40 s a frame"),
        (("x", "frame", 900, None, 0, 30.0), "x: 900 frames, 30 frames/s"),
        (("x", "frame", 1, None, 0, 30.0), "x: 1 frame, 30 s a frame"),
        (("x", "frame", 7, 9, 7, 30.0), "x: 7 of 9 frames"),  # nothing since it began
        (("x", BYTES, 12_300_000, 41_600_000, 300_000, 30.0), "x: 12.3 of 41.6 MB, 0.4 MB/s, 73 s to go"),
        (("x", BYTES, 12_000_000, None, 0, 1.0), "x: 12.0 MB, 12 MB/s"),
        (("x", SHARE, 0.25, 1.0, 0.0, 60.0), "x: 25 %, 3 min to go"),
        (("x", SHARE, 0.25, 1.0, 0.25, 60.0), "x: 25 %"),
    ],
)
def test_a_line_by_hand(arguments, line):
    assert pace_line(*arguments) == line


def test_durations():
    texts = [duration(seconds) for seconds in (0.4, 89, 90, 5399, 5400, 129600)]
    assert texts == ["0 s", "89 s", "2 min", "90 min", "1.5 h", "1.5 days"]


def test_a_log_gets_a_line_every_half_minute_and_none_before(clock, capsys):
    with Progress("scoring", 100, "video") as work:
        for _ in range(40):
            clock.now += 4.0
            work.update()
    assert capsys.readouterr().err.splitlines() == [  # at 32, 64, 96, 128 and 160 s
        "scoring: 8 of 100 videos, 4.0 s a video, 6 min to go",
        "scoring: 16 of 100 videos, 4.0 s a video, 6 min to go",
        "scoring: 24 of 100 videos, 4.0 s a video, 5 min to go",
        "scoring: 32 of 100 videos, 4.0 s a video, 5 min to go",
        "scoring: 40 of 100 videos, 4.0 s a video, 4 min to go",
    ]


def test_work_of_less_than_half_a_minute_says_nothing_in_a_log(clock, capsys):
    for _ in track(range(29), "counting", unit="frame"):
        clock.now += 1.0
    assert capsys.readouterr() == ("", "")


def test_what_an_earlier_run_did_counts_in_no_pace(clock, capsys):
    with Progress("scoring", 100, "video") as work:
        clock.now += 500.0  # loading
        work.begin(60)
        clock.now += 30.0
        work.update(10)
        work.skip(20)
        clock.now += 30.0
        work.update(5)
    assert capsys.readouterr().err.splitlines() == [
        "scoring: 70 of 100 videos, 3.0 s a video, 2 min to go",
        "scoring: 95 of 100 videos, 4.0 s a video, 20 s to go",
    ]


def test_other_words_and_another_total_on_the_way(clock, capsys):
    with Progress("a\rb\x1b[31m", unit="pair") as work:
        clock.now += 30.0
        work.reach(10)
        work.describe("2 of 3 videos; pairs")
        work.total = 40
        clock.now += 30.0
        work.update(0)
    assert capsys.readouterr().err.splitlines() == [
        "a\\rb\\x1b[31m: 10 pairs, 3.0 s a pair",
        "2 of 3 videos; pairs: 10 of 40 pairs, 6.0 s a pair, 3 min to go",
    ]


@pytest.mark.parametrize("options", [{"total": 0}, {"total": 9, "active": False}, {"total": 9, "rank": "1"}])
@pytest.mark.parametrize("make", [io.StringIO, Terminal])
def test_nothing_to_do_and_other_processes_show_nothing(clock, monkeypatch, make, options):
    monkeypatch.setattr("sys.stderr", make())
    monkeypatch.setenv("RANK", options.get("rank", "0"))
    options = {name: value for name, value in options.items() if name != "rank"}
    with Progress("x", unit="video", **options) as work:
        clock.now += 100.0
        work.update()
    assert sys.stderr.getvalue() == ""


def test_a_log_that_is_full_stops_no_work(clock, monkeypatch):
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("sys.stderr", Full())
    with Progress("x", 9, "video") as work:
        clock.now += 100.0
        work.update()


def test_a_terminal_gets_a_bar_and_lines_stand_above_it(clock, monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    done = []
    for item in track("abc", "scoring", unit="video"):
        done.append(item)
        say(f"video {item} done")
        clock.now += 100.0
    shown = terminal.getvalue()
    assert done == list("abc")
    assert capsys.readouterr().out == "video a done\nvideo b done\nvideo c done\n"
    assert "scoring:   0%|" in shown
    assert re.search(r"scoring: 100%\|.*\| 3/3 \[\d\d:\d\d<00:00, .*video/s\]\n$", shown)
    assert "to go" not in shown  # no line of a log


def test_a_terminal_that_knows_no_size(monkeypatch):
    """A container's: 0 columns and rows."""
    pty = pytest.importorskip("pty")
    outer, inner = pty.openpty()
    with os.fdopen(outer, "rb", closefd=True) as reader, os.fdopen(inner, "w") as terminal:
        assert os.get_terminal_size(inner) == (0, 0)
        monkeypatch.setattr("sys.stderr", terminal)
        with Progress("scoring", 2, "video") as work:
            work.update()
        monkeypatch.undo()
        shown = os.read(reader.fileno(), 1000).decode()
    assert "scoring:   0%|" in shown
    assert "| 0/2 [00:00<?, ?video/s]" in shown


def test_a_share_and_bytes_on_a_terminal(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    with Progress("1/2 rgb", 8.0) as work:
        work.skip(2.0)
        work.describe("2/2 flow")
    assert "1/2 rgb:   0%|" in sys.stderr.getvalue()
    assert re.search(r"2/2 flow:  25%\|[^|]*\| 00:00<", sys.stderr.getvalue())
    with Progress("net", unit=BYTES, leave=False) as work:
        work.begin(1000, 41_000_000)
        work.reach(2000)
    assert re.search(r"net:   0%\|[^|]*\| 1.00k/41.0M ", sys.stderr.getvalue())
    assert sys.stderr.getvalue().endswith("\r")  # a bar that does not stay


def test_a_stop_in_the_middle_ends_the_bar(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    with pytest.raises(KeyboardInterrupt), Progress("scoring", 3, "video"):
        raise KeyboardInterrupt
    with Progress("second", 3, "video") as work:
        work.close()  # and once more at the end
    first, _, second = sys.stderr.getvalue().partition("second")
    assert first.endswith("\n\r")  # the first has gone, so the second one takes its line
    assert "\x1b[A" not in second
