"""Building up a score file: interruption, damage, changed settings."""

import json
from pathlib import Path

import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.scores.resume import ScoreStore
from pytsn.scores.score_file import read_scores

NAMES, LABELS, SETTINGS = ["a", "b/c", "d"], [2, 0, 1], {"net": "x", "frames": 25}


def scores_of(index):
    return np.random.default_rng(index).normal(size=(4 + index, 10, 3)).astype(np.float32)


def open_store(tmp_path, **changes):
    options = {"names": NAMES, "labels": LABELS, "settings": SETTINGS, "resume": True, **changes}
    return ScoreStore(tmp_path / "out", **options)


def test_an_interrupted_run_goes_on_and_ends_in_the_same_file(tmp_path):
    straight = open_store(tmp_path, resume=False)
    for index in (2, 0, 1):
        straight.add(index, scores_of(index))
    straight.finish()
    expected = (tmp_path / "out.npz").read_bytes()
    (tmp_path / "out.npz").unlink()

    first = open_store(tmp_path, resume=False)
    assert first.todo() == [0, 1, 2]
    first.add(1, scores_of(1))
    with pytest.raises(PytsnError, match="no scores of video 'a' yet"):
        first.finish()
    assert not (tmp_path / "out.npz").exists()

    second = open_store(tmp_path)
    assert second.todo() == [0, 2]
    np.testing.assert_array_equal(second.load(1), scores_of(1))
    second.add(0, scores_of(0))
    second.add(2, scores_of(2))
    for index, array in enumerate(second.finish()):
        np.testing.assert_array_equal(array, scores_of(index))
    assert (tmp_path / "out.npz").read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["out.npz"]
    file = read_scores(tmp_path / "out.npz")
    assert (file.names, file.labels.tolist(), file.settings) == (tuple(NAMES), LABELS, SETTINGS)


@pytest.mark.parametrize("resume", [True, False])
def test_a_folder_half_removed_or_half_made_is_no_obstacle(tmp_path, resume, monkeypatch):
    """A run killed while it removes its folder, at any file, and one killed while it writes the settings."""
    for removed in (0, 1, 2):
        store = open_store(tmp_path, resume=False)
        for index in range(3):
            store.add(index, scores_of(index))
        with monkeypatch.context() as patch:
            patch.setattr(type(store.folder), "unlink", _stops_after(removed))
            with pytest.raises(KeyboardInterrupt):
                store.finish()
        assert (store.folder / "settings.json").is_file()
        again = open_store(tmp_path, resume=resume)
        assert len(again.todo()) == (removed if resume else 3)
    (store.folder / "settings.json").unlink()
    for path in store.folder.iterdir():
        path.unlink()
    (store.folder / ".settings.x1y2.json").write_bytes(b'{"se')
    assert open_store(tmp_path, resume=resume).todo() == ([] if resume else [0, 1, 2])


def _stops_after(count: int):
    left = [count]

    def unlink(path, missing_ok=False, removed=Path.unlink):
        if not path.name.endswith(".npy"):
            return removed(path, missing_ok)
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return removed(path, missing_ok)

    return unlink


def test_a_damaged_video_is_evaluated_again(tmp_path):
    store = open_store(tmp_path)
    for index in range(3):
        store.add(index, scores_of(index))
    (cut, empty, _) = sorted(store.folder.glob("*.npy"))
    cut.write_bytes(cut.read_bytes()[:-4])
    empty.write_bytes(b"")
    assert open_store(tmp_path).todo() == [0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {"net": "y", "frames": 25}}, r"net = 'x', now it is 'y'.*leave --resume away"),
        ({"settings": {"net": "x"}}, r"frames = 25, now it is None"),
        ({"names": ["a", "c", "d"]}, "another list of videos"),
        ({"labels": [2, 0, 2]}, "another list of videos or labels"),
    ],
)
@pytest.mark.parametrize("finished", [False, True])
def test_another_run_is_not_continued(tmp_path, change, message, finished):
    store = open_store(tmp_path)
    for index in range(3):
        store.add(index, scores_of(index))
    if finished:
        store.finish()
    with pytest.raises(PytsnError, match=message):
        open_store(tmp_path, **change)


def test_without_resume_an_earlier_run_is_thrown_away(tmp_path):
    open_store(tmp_path).add(0, scores_of(0))
    assert open_store(tmp_path, resume=False, settings={}).todo() == [0, 1, 2]


def test_resuming_a_finished_run_leaves_nothing_to_do(tmp_path):
    store = open_store(tmp_path)
    for index in range(3):
        store.add(index, scores_of(index))
    store.finish()
    before = (tmp_path / "out.npz").stat().st_mtime_ns
    again = open_store(tmp_path)
    assert again.todo() == []
    np.testing.assert_array_equal(again.finish()[2], scores_of(2))
    assert (tmp_path / "out.npz").stat().st_mtime_ns == before


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    folder = tmp_path / "out.npz.partial"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    for resume in (False, True):
        with pytest.raises(PytsnError, match="holds other files"):
            open_store(tmp_path, resume=resume)
    assert (folder / "thesis.tex").read_text() == "years of work"


def test_unreadable_settings_are_an_error_of_one_line(tmp_path):
    store = open_store(tmp_path)
    for text in ("[]", "{}", '{"settings": 3}', "not json"):
        (store.folder / "settings.json").write_text(text)
        with pytest.raises(PytsnError, match="settings cannot be read"):
            open_store(tmp_path)


def test_a_missing_folder_is_named_before_any_work(tmp_path):
    with pytest.raises(PytsnError, match="no such file or folder"):
        ScoreStore(tmp_path / "nowhere" / "out", NAMES, LABELS, SETTINGS)


def test_settings_pass_through_json(tmp_path):
    store = open_store(tmp_path, settings={"crop": (340, 256)})
    assert json.loads((store.folder / "settings.json").read_text())["settings"] == {"crop": [340, 256]}
    open_store(tmp_path, settings={"crop": (340, 256)})
