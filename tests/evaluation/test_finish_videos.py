"""The progress of eval-net and features: lines of a log with what an earlier run did left out of the pace."""

import numpy as np

from pytsn.data.video_folder import counting_progress
from pytsn.data.videos import Video
from pytsn.evaluation.video_arrays import finish_videos
from pytsn.runtime import progress


def test_lines_of_a_log(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress, "CLOCK", lambda: now[0])
    videos = [Video(f"v{number}", 0, "f", 9, 9) for number in range(10)]
    kept = []

    def arrays(waiting):
        for number, _ in enumerate(waiting):
            now[0] += 12.0
            yield np.full(1, number)

    finish_videos(
        "scoring", videos, list(range(4, 10)), arrays, lambda index, array: kept.append((index, int(array[0])))
    )
    assert kept == [(4, 0), (5, 1), (6, 2), (7, 3), (8, 4), (9, 5)]
    assert capsys.readouterr() == (
        "",
        "scoring: 7 of 10 videos, 12 s a video, 36 s to go\nscoring: 10 of 10 videos, 12 s a video\n",
    )


def test_counting_frames(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress, "CLOCK", lambda: now[0])
    for _ in counting_progress(["a", "b", "c"]):
        now[0] += 20.0
    assert list(counting_progress([])) == []
    assert capsys.readouterr().err == "counting frames: 2 of 3 videos, 20 s a video, 20 s to go\n"
