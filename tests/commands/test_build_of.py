"""`pytsn build-of`: names, numbering and content of what it writes, going on, stopping, and what goes wrong."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.cli import run_command
from pytsn.data.frame_folders import parse_directory
from pytsn.flow.extract import worker as extract_worker
from pytsn.flow.extract.folder import VideoFolder
from pytsn.flow.extract.frame_writer import DirWriter
from pytsn.flow.extract.progress import ExtractProgress
from pytsn.flow.extract.run import ExtractRun
from pytsn.flow.extract.search import find_videos
from pytsn.flow.extract.video import ExtractSettings
from pytsn.flow.extract.worker import FAILED, STOP, Outcome, VideoTask, WorkerSettings
from pytsn.flow.methods import make_flow
from pytsn.flow.quantise import quantise_flow
from pytsn.flow.tvl1.compute import compute_flow
from tests.flow.flow_videos import cut_short, decode, jpeg, make_sound, make_video
from tests.held import hold_videos, hook
from tests.places import TOOLS
from tests.waiting import PATIENCE, wait_for, wait_for_process

QUICK = ["--algorithm", "farneback", "--new_width", "0", "--new_height", "0", "--num_worker", "1"]
TOOL = [sys.executable, str(TOOLS / "build_of.py")]


def build_of(*arguments: object) -> int:
    return run_command("build-of", [str(argument) for argument in arguments])


def files(folder: Path) -> dict[str, bytes]:
    """Name -> content of a folder's visible files."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.startswith(".")}


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def expected_files(video: Path, step: int = 1) -> dict[str, bytes]:
    """What the original's loop would write with Farneback's flow, one pair after the other."""
    wanted, frames = {}, decode(video)[::step]
    for number, (first, second) in enumerate(itertools.pairwise(frames), start=1):
        gray = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in (first, second)]
        flow = cv2.calcOpticalFlowFarneback(*gray, None, 0.5, 5, 13, 10, 5, 1.1, 0)
        wanted[f"img_{number:05d}.jpg"] = jpeg(second)
        for axis, name in enumerate("xy"):
            wanted[f"flow_{name}_{number:05d}.jpg"] = jpeg(quantise_flow(flow[..., axis]))
    return dict(sorted(wanted.items()))


@pytest.fixture
def source(tmp_path) -> Path:
    """Three videos: a.avi (6 frames), class/b.AVI (5), class/c.avi (4)."""
    for number, name in enumerate(("a.avi", "class/b.AVI", "class/c.avi")):
        make_video(tmp_path / "videos" / name, 6 - number, seed=number)
    return tmp_path / "videos"


def extracted(source: Path, out: Path) -> Path:
    assert build_of(source, out, *QUICK) == 0
    return out


# --- what is written ---


def test_names_numbers_and_content_are_the_originals(source, tmp_path, capsys):
    out = extracted(source, tmp_path / "out")
    assert sorted(path.name for path in out.iterdir()) == ["a", "b", "c"]  # nothing hidden is left either
    for name, path in (("a", "a.avi"), ("b", "class/b.AVI"), ("c", "class/c.avi")):
        assert files(out / name) == expected_files(source / path)
    captured = capsys.readouterr()
    assert captured.out.startswith(
        "images as large as the videos' frames, farneback on cpu\n3 videos: 3 extracted (12 pairs in "
    )
    assert captured.err.startswith("warning: farneback is not the flow")
    assert captured.err.count("\n") == 1


def test_evaluation_finds_the_folders(source, tmp_path):
    found = parse_directory(str(extracted(source, tmp_path / "out")))
    assert {name: (item.rgb_count, item.flow_count) for name, item in found.items()} == {
        "a": (5, 5),
        "b": (4, 4),
        "c": (3, 3),
    }


def test_step_takes_every_sth_frame(tmp_path):
    video = make_video(tmp_path / "a.avi", 9)
    assert build_of(video, tmp_path / "out", *QUICK, "--step", 3, "--batch_size", 1) == 0
    assert files(tmp_path / "out" / "a") == expected_files(video, step=3)


def test_zips_hold_the_same_images(source, tmp_path):
    out = extracted(source, tmp_path / "out")
    assert build_of(source, tmp_path / "zips", *QUICK, "--out_format", "zip") == 0
    folder, found = tmp_path / "zips" / "a", {}
    assert sorted(files(folder)) == ["flow_x.zip", "flow_y.zip", "img.zip"]
    for name, prefix in (("img.zip", "img_"), ("flow_x.zip", "x_"), ("flow_y.zip", "y_")):
        with zipfile.ZipFile(folder / name) as archive:
            assert archive.namelist() == [f"{prefix}{number:05d}.jpg" for number in range(1, 6)]
            found |= {f"{'flow_' if name != 'img.zip' else ''}{n}": archive.read(n) for n in archive.namelist()}
    assert found == files(out / "a")
    counts = parse_directory(str(tmp_path / "zips"))["a"]
    assert (counts.rgb_count, counts.flow_count) == (5, 5)  # evaluation finds them


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_tvl1_is_compute_flow_with_the_released_models_preset(tmp_path, device):
    if device == "cuda":
        pytest.importorskip("torch").cuda.is_available() or pytest.skip("no CUDA device")
    video = make_video(tmp_path / "a.avi", 6)
    options = ["--new_width", 0, "--new_height", 0, "--num_worker", 2, "--batch_size", 2, "--device", device]
    assert build_of(video, tmp_path / "out", *options) == 0  # one video for two workers: two threads
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in decode(video)])
    levels = quantise_flow(compute_flow(gray[:-1], gray[1:], preset="opencv2.4-cuda"))
    for number, level in enumerate(levels, start=1):
        for axis, plane in zip("xy", np.moveaxis(level, -1, 0), strict=True):
            written = cv2.imread(str(tmp_path / "out" / "a" / f"flow_{axis}_{number:05d}.jpg"), 0).astype(int)
            wanted = cv2.imdecode(np.frombuffer(jpeg(plane), np.uint8), 0)
            # the same program on a CPU; a GPU adds in another order
            assert np.abs(written - wanted).max() == 0 if device == "cpu" else (abs(written - wanted) < 2).mean() > 0.99


def test_bound_quality_and_size_reach_the_images(tmp_path):
    video = make_video(tmp_path / "a.avi", 3)
    options = ["--algorithm", "farneback", "--num_worker", 1, "--new_width", 34, "--new_height", 26]
    assert build_of(video, tmp_path / "out", *options, "--bound", 4, "--quality", 70) == 0
    frames = [cv2.resize(frame, (34, 26)) for frame in decode(video)]
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames])
    flow = make_flow("farneback")(gray[:1], gray[1:2])[0]
    wanted = cv2.imencode(".jpg", quantise_flow(flow[..., 1], 4.0), [cv2.IMWRITE_JPEG_QUALITY, 70])[1].tobytes()
    assert (tmp_path / "out" / "a" / "flow_y_00001.jpg").read_bytes() == wanted


def test_models_size_unless_told_otherwise(tmp_path):
    make_video(tmp_path / "a.avi", 2)
    assert build_of(tmp_path / "a.avi", tmp_path / "out", "--algorithm", "farneback") == 0
    assert cv2.imread(str(tmp_path / "out" / "a" / "flow_x_00001.jpg"), 0).shape == (256, 340)


def test_warped_flow_writes_no_frames(tmp_path):
    make_video(tmp_path / "a.avi", 4, 120, 160)
    options = [*QUICK, "--flow_type", "warp_tvl1"]
    assert build_of(tmp_path / "a.avi", tmp_path / "out", *options) == 0
    names = [f"flow_{axis}_{number:05d}.jpg" for axis in "xy" for number in (1, 2, 3)]
    assert sorted(files(tmp_path / "out" / "a")) == names
    # the whole picture moves by (-2, -1) pixels: that is the camera, so hardly any flow is left; -1 px is 122
    left = cv2.imread(str(tmp_path / "out" / "a" / "flow_x_00002.jpg"), 0)[20:-20, 20:-20]
    assert np.abs(left.astype(int) - 128).mean() < 2


@pytest.mark.golden
@pytest.mark.slow
def test_images_equal_the_recordings(golden, shared, tmp_path):
    """The recordings were made by the original's program of the CPU from the first frames of this video."""
    video = tmp_path / "clip.avi"
    shutil.copy(shared / "video" / "plastering.avi", video)
    recorded = golden / "eval" / "frames" / "v_ApplyEyeMakeup_g01_c01"
    flow = make_flow("tvl1", "opencv-cpu")
    settings = ExtractSettings(preset="opencv-cpu")
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(_Enough):
        extract_worker.extract_video(str(video), str(folder), settings, flow, 3, on_pairs=_stop_after(3))
    for number in (1, 2, 3):
        name = f"img_{number:05d}.jpg"
        ours, theirs = (cv2.imread(str(path / name)).astype(int) for path in (folder, recorded))
        assert np.abs(ours - theirs).max() <= 3  # equal with the same libjpeg; others round differently
        for axis in "xy":
            name = f"flow_{axis}_{number:05d}.jpg"
            ours, theirs = (cv2.imread(str(path / name), 0).astype(int) for path in (folder, recorded))
            assert (np.abs(ours - theirs) <= 1).mean() > 0.99


class _Enough(Exception):
    pass


def _stop_after(pairs):
    done = []

    def on_pairs(count):
        done.append(count)
        if sum(done) >= pairs:
            raise _Enough

    return on_pairs


# --- finding videos ---


def test_one_video_needs_no_extension(tmp_path):
    video = make_video(tmp_path / "a.b.avi", 3)
    shutil.move(video, tmp_path / "a.b.weird")
    assert build_of(tmp_path / "a.b.weird", tmp_path / "out", *QUICK) == 0
    assert files(tmp_path / "out" / "a.b") == expected_files(tmp_path / "a.b.weird")


def test_other_extensions_are_listed(source, tmp_path, capsys):
    assert build_of(source, tmp_path / "out", "--ext", "mp4,mkv") == 2
    error = capsys.readouterr().err
    assert "no files ending in .mkv, .mp4" in error
    assert "3 .avi" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_several_extensions_and_out_inside_src(source):
    make_video(source / "d.avi").rename(source / "d.MKV")
    (source / "frames" / "old").mkdir(parents=True)
    make_video(source / "frames" / "old" / "e.avi")
    (source / "class" / "loop").symlink_to(source)
    names = [task.name for task in find_videos(str(source), ["avi", "mkv"], str(source / "frames"))]
    assert sorted(names) == ["a", "b", "c", "d"]


def test_two_videos_of_one_name_are_refused(source, tmp_path, capsys):
    make_video(source / "other" / "c.avi")
    assert build_of(source, tmp_path / "out", *QUICK) == 2
    error = capsys.readouterr().err
    assert "class/c.avi" in error
    assert "other/c.avi" in error
    assert error.startswith("error: two videos are called 'c'")


# --- what goes wrong ---


def test_bad_videos_are_listed_and_the_others_done(source, tmp_path, capfd):
    (source / "empty.avi").touch()
    (source / "noise.avi").write_bytes(np.random.default_rng(1).bytes(3000))
    make_sound(source / "sound.avi")
    make_video(source / "one.avi", 1)
    cut_short(make_video(tmp_path / "whole.avi", 30), source / "cut.avi")
    assert build_of(source, tmp_path / "out", *QUICK) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b", "c", "cut"]
    out, err = capfd.readouterr()
    assert "8 videos: 4 extracted" in out
    assert ", 4 failed\n" in out
    lines = err.splitlines()[1:]
    assert [line.split()[0] for line in lines[-4:]] == ["empty", "noise", "one", "sound"]
    assert lines[1] == "4 of 8 videos failed:"
    assert lines[0].startswith("note: cut: ")
    assert len(lines) == 6
    assert "only 1 frame in it" in err
    assert "0 bytes" in err
    assert err.count("no video stream") == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--new_width", "340", "--new_height", "0"], "--new_width"),
        (["--new_width", "2", "--new_height", "2"], "3 to 65500 pixels"),  # neither TV-L1 nor DIS has a flow of them
        (["--new_width", "65501", "--new_height", "4"], "3 to 65500 pixels"),  # no JPEG is so wide
        (["--ext", " , "], "--ext names no extension"),
        (["--batch_size", "0"], "--batch_size"),
        (["--step", str(10**24)], "--step 1000000000000000000000000"),
        (["--step", "0"], "--step"),
        (["--bound", "-1"], "--bound"),
        (["--quality", "101"], "--quality"),
        (["--preset", "opencv9"], "opencv2.4-cuda"),
        (["--algorithm", "dis", "--preset", "opencv-cpu"], "--preset"),
        (["--device", "tpu"], "tpu"),
    ],
)
def test_wrong_arguments(source, tmp_path, capsys, options, says):
    assert build_of(source, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["avi,", ",avi"])
def test_a_comma_too_many_finds_no_files_without_extension(source, option):
    (source / "README").write_text("about\n")
    assert sorted(task.name for task in find_videos(str(source), option.split(","), "out")) == ["a", "b", "c"]


def test_a_folder_that_cannot_be_read_is_named(source, tmp_path, capsys, monkeypatch):
    scandir = os.scandir

    def refuse(path):  # chmod does not keep root out
        if os.path.basename(path) == "class":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert build_of(source, tmp_path / "out", *QUICK) == 2
    assert capsys.readouterr().err == f"error: {source}/class: permission denied\n"


def test_names_cannot_break_the_table_or_steer_the_terminal(source, tmp_path, capfd):
    (source / "two\nlines\x1b[31m.avi").write_text("no video\n")
    assert build_of(source, tmp_path / "out", *QUICK) == 1
    err = capfd.readouterr().err
    last = err.splitlines()[-1]
    assert last.startswith(r"  two\nlines\x1b[31m  ")
    assert "no video stream" in last
    assert "\x1b" not in err


def test_a_closed_stderr_changes_nothing(tmp_path):
    video = make_video(tmp_path / "a.avi", 3)
    command = [*TOOL, str(video), str(tmp_path / "out"), *QUICK]
    run = subprocess.run(["sh", "-c", '"$@" 2>&-', "sh", *command], capture_output=True, text=True, timeout=PATIENCE)
    assert (run.returncode, run.stderr) == (0, "")
    assert "1 extracted" in run.stdout


def test_frames_too_small_for_flow_are_named_with_their_file(tmp_path, capsys):
    video = make_video(tmp_path / "dot.avi", 3, height=2, width=40)
    assert build_of(video, tmp_path / "out", *QUICK) == 1
    assert f"{video}: frames of 40x2 pixels; flow needs 3x3 or more" in capsys.readouterr().err


def test_df_path_is_told_to_be_ignored(source, tmp_path, capsys):
    assert build_of(source, tmp_path / "out", *QUICK, "--df_path", "lib/dense_flow/") == 0
    assert "note: --df_path is ignored" in capsys.readouterr().err


def test_full_disk_stops_the_run_and_leaves_nothing(source, tmp_path, monkeypatch):
    write = DirWriter.write

    def write_some(self, kind, number, data):
        if number > 2:
            raise OSError(28, "No space left on device", str(tmp_path))
        write(self, kind, number, data)

    monkeypatch.setattr(DirWriter, "write", write_some)
    (tmp_path / "out").mkdir()
    settings = WorkerSettings(str(tmp_path / "out"), ExtractSettings(algorithm="farneback", preset=""))
    task = VideoTask(str(source / "a.avi"), "a", 1)
    outcome = extract_worker.guarded(task, settings, make_flow("farneback"), lambda *_, **__: None)
    assert (outcome.status, list((tmp_path / "out").iterdir())) == (STOP, [])
    assert "No space left" in outcome.reason


def test_expected_pairs_follow_what_was_opened():
    tasks = [VideoTask(f"{name}.avi", name, size) for name, size in (("a", 4000), ("b", 2000), ("c", 2000))]
    with ExtractProgress(tasks, step=2) as progress:
        assert progress.expected_pairs() == 0
        progress.listen("opened", {"frames": 81}, tasks[0])
        assert progress.expected_pairs() == 40 + 40  # 40 pairs in half of all bytes
        progress.listen("pairs", {"count": 8}, tasks[0])
        progress.add(Outcome("b", FAILED))  # a fourth of the bytes has no pairs
        assert progress.expected_pairs() == 40 + 20
        progress.add(Outcome("a", "done", pairs=30))  # fewer than announced
        assert progress.expected_pairs() == 30 + 15
        progress.listen("pairs", {"count": 60}, tasks[0])
        assert progress.expected_pairs() == 68  # never less than are done


def test_a_line_of_pairs_and_videos_in_a_log(monkeypatch, capsys):
    """Of videos alone as long as none needed work."""
    now = [0.0]
    monkeypatch.setattr("pytsn.runtime.progress.CLOCK", lambda: now[0])
    tasks = [VideoTask(f"{name}.avi", name, 1000) for name in "abcd"]
    with ExtractProgress(tasks, step=1) as progress:
        now[0] += 30.0
        progress.add(Outcome("a", "kept"))
        progress.listen("opened", {"frames": 101}, tasks[1])
        now[0] += 30.0
        progress.listen("pairs", {"count": 50}, tasks[1])
        progress.add(Outcome("c", FAILED, reason="x"))
        now[0] += 30.0
        progress.listen("pairs", {"count": 40}, tasks[1])
    assert capsys.readouterr().err.splitlines() == [
        "extracting: 1 of 4 videos, 30 s a video, 2 min to go",
        "1 of 4 videos: 50 of 300 pairs, 1.2 s a pair, 5 min to go",
        "2 of 4 videos, 1 failed: 90 of 200 pairs, 1.0 pairs/s, 2 min to go",
    ]


# --- going on ---


def _kept(out: Path) -> dict[str, int]:
    """Folder -> inode: tells whether a folder was made anew."""
    return {path.name: path.stat().st_ino for path in out.iterdir()}


def test_resume_keeps_whole_folders_and_does_the_rest(source, tmp_path, capsys):
    out = extracted(source, tmp_path / "out")
    shutil.rmtree(out / "b")
    before = _kept(out)
    assert build_of(source, out, *QUICK, "--resume", "yes") == 0
    assert {name: _kept(out)[name] for name in before} == before
    assert files(out / "b") == expected_files(source / "class" / "b.AVI")
    assert "1 extracted (4 pairs in" in (text := capsys.readouterr().out)
    assert ", 2 already there\n" in text


def _delete(folder):
    (folder / "flow_y_00002.jpg").unlink()


def _empty(folder):
    (folder / "img_00003.jpg").write_bytes(b"")


def _cut(folder):
    path = folder / "flow_x_00001.jpg"
    path.write_bytes(path.read_bytes()[:-9])


def test_resume_does_a_folder_again_whose_record_is_damaged(tmp_path, capsys):
    video, out = make_video(tmp_path / "a.avi"), tmp_path / "out"
    options = [*QUICK, "--out_format", "zip"]
    assert build_of(video, out, *options) == 0
    whole = files(out / "a")
    marker = json.loads((out / "a" / ".pytsn.json").read_text())
    (out / "a" / ".pytsn.json").write_text(json.dumps({key: marker[key] for key in marker if key != "pairs"}))
    capsys.readouterr()
    assert build_of(video, out, *options, "--resume", "yes") == 0
    assert "1 extracted" in capsys.readouterr().out
    assert files(out / "a") == whole


@pytest.mark.parametrize("harm", [_delete, _empty, _cut])
@pytest.mark.parametrize("marked", [True, False], ids=["ours", "originals"])
def test_resume_does_broken_folders_again(tmp_path, capsys, harm, marked):
    video, out = make_video(tmp_path / "a.avi"), tmp_path / "out"
    extracted(video, out)
    if not marked:  # as the original tool leaves them
        (out / "a" / ".pytsn.json").unlink()
    harm(out / "a")
    assert build_of(video, out, *QUICK, "--resume", "yes") == 0
    assert files(out / "a") == expected_files(video)
    assert "note: a existed and was extracted again: broken: " in capsys.readouterr().err


def test_resume_keeps_whole_folders_of_the_original(source, tmp_path, capsys):
    out = extracted(source, tmp_path / "out")
    assert build_of(source / "a.avi", tmp_path / "zips", *QUICK, "--out_format", "zip") == 0
    shutil.rmtree(out / "a")
    shutil.move(tmp_path / "zips" / "a", out / "a")  # a zip folder, though dir is asked for now
    for path in out.iterdir():
        (path / ".pytsn.json").unlink()
    before = _kept(out)
    assert build_of(source, out, *QUICK, "--resume", "yes") == 0
    assert _kept(out) == before
    assert "note: kept as found: 3 whole folders without a record of settings" in capsys.readouterr().err


def test_resume_does_again_what_had_other_settings_or_another_video(source, tmp_path, capsys):
    out = extracted(source, tmp_path / "out")
    make_video(source / "a.avi", 4, seed=9)
    before = _kept(out)
    assert build_of(source, out, *QUICK, "--resume", "yes") == 0
    assert [name for name, inode in _kept(out).items() if inode != before[name]] == ["a"]
    assert files(out / "a") == expected_files(source / "a.avi")
    assert "note: a existed and was extracted again: other: video of" in capsys.readouterr().err
    assert build_of(source, out, *QUICK, "--resume", "yes", "--bound", 15) == 0
    assert "bound 20.0, now 15.0" in capsys.readouterr().err
    assert all(json.loads((out / name / ".pytsn.json").read_text())["settings"]["bound"] == 15 for name in "abc")


def test_without_resume_everything_is_done_again_and_atomically(source, tmp_path):
    out = extracted(source, tmp_path / "out")
    before, content = _kept(out), files(out / "a")
    (source / "a.avi").write_bytes(b"broken now")
    assert build_of(source, out, *QUICK) == 1
    after = _kept(out)
    assert after["a"] == before["a"]
    assert files(out / "a") == content
    assert after["b"] != before["b"]
    assert after["c"] != before["c"]
    assert hidden(out) == []


def test_a_run_killed_while_replacing_a_folder_loses_nothing(source, tmp_path):
    out = extracted(source, tmp_path / "out")
    before = _kept(out)["a"]
    (out / "a").rename(out / ".a.pytsn-old")  # and then, before the new one got its name, the power went
    shutil.copytree(out / "b", out / ".a.pytsn-partial")
    (out / ".gone.pytsn-partial").mkdir()  # of a video that is not in SRC any more
    (out / ".gone.pytsn-lock").touch()
    assert build_of(source, out, *QUICK, "--resume", "yes") == 0
    assert _kept(out)["a"] == before
    assert files(out / "a") == expected_files(source / "a.avi")
    assert hidden(out) == []


def test_folders_of_other_things_are_left_alone(source, tmp_path, capsys):
    out = tmp_path / "out"
    (out / "a").mkdir(parents=True)
    (out / "a" / "thesis.tex").write_text("years of work")
    (out / "b").write_text("a file")
    assert build_of(source, out, *QUICK) == 1
    assert (out / "a" / "thesis.tex").read_text() == "years of work"
    assert (out / "b").is_file()
    error = capsys.readouterr().err
    assert "holds 'thesis.tex'" in error
    assert "a file is where this video's folder belongs" in error


def test_warped_flow_does_not_replace_frames(source, tmp_path, capsys):
    out = extracted(source, tmp_path / "out")
    before = _kept(out)
    assert build_of(source, out, *QUICK, "--flow_type", "warp_tvl1") == 2
    assert "holds tvl1 images; extract warp_tvl1 into another OUT" in capsys.readouterr().err
    assert _kept(out) == before


# --- stopping, killing, side by side ---


@pytest.fixture
def long_source(tmp_path) -> Path:
    """Two videos in which workers can be held, and a short one."""
    for name, count in (("long1", 30), ("long2", 30), ("short", 3)):
        make_video(tmp_path / "videos" / f"{name}.avi", count, seed=count)
    return tmp_path / "videos"


def _start(*arguments: object, **options) -> subprocess.Popen:
    command = [*TOOL, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def _partial_images(out: Path, name: str) -> int:
    return len(list(out.glob(f".{name}*.pytsn-partial/img_*")))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_stopped_in_the_middle_and_continued(long_source, tmp_path, number):
    """Both workers are held at frame 20 of 30."""
    out = tmp_path / "out"
    held = hold_videos(tmp_path / "site", ["long1.avi", "long2.avi"], frame=20)
    process = _start(long_source, out, *QUICK, "--num_worker", 2, env=held)
    for name in ("long1", "long2"):
        wait_for_process(process, lambda name=name: _partial_images(out, name) > 8, f"images of {name}")
    process.send_signal(number)
    _, error = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in error
    if number == signal.SIGKILL:
        wait_for(lambda: _unlocked(out), "the end of a killed run's workers")
    else:
        assert process.returncode == 130
        assert "--resume yes goes on from there" in error
        assert hidden(out) == []
    visible = [path.name for path in out.iterdir() if not path.name.startswith(".")]
    assert not {"long1", "long2"} & set(visible)
    assert build_of(long_source, out, *QUICK, "--resume", "yes") == 0
    assert hidden(out) == []
    assert {name: len(files(out / name)) for name in ("long1", "long2", "short")} == {
        "long1": 87,
        "long2": 87,
        "short": 6,
    }


def _unlocked(out: Path) -> bool:
    names = {name[1 : -len(".pytsn-lock")] for name in hidden(out) if name.endswith("-lock")}
    for name in names:
        with VideoFolder(str(out), name).lock() as state:
            if state == "taken":
                return False
    return True


def _make_run(source: Path, out: Path, listen=lambda *_: None, workers: int = 2) -> ExtractRun:
    out.mkdir(exist_ok=True)
    extract = ExtractSettings(algorithm="farneback", preset="", width=0, height=0)
    tasks = find_videos(str(source), ["avi"], str(out))
    return ExtractRun(tasks, lambda number: WorkerSettings(str(out), extract), workers, listen)


def test_a_killed_worker_is_named_and_the_others_go_on(long_source, tmp_path, monkeypatch):
    """The one that is killed is held at frame 20 of 30."""
    monkeypatch.setenv("PYTHONPATH", hold_videos(tmp_path / "site", ["long1.avi"], frame=20)["PYTHONPATH"])
    killed = []
    run = _make_run(long_source, tmp_path / "out", lambda event, values, task: kill_once(event, task))

    def kill_once(event, task):
        if event == "pairs" and task.name == "long1" and not killed:
            killed.append(run.process_of(task).pid)
            os.kill(killed[0], signal.SIGKILL)

    outcomes = {outcome.name: outcome for outcome in run.outcomes()}
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "long1": FAILED,
        "long2": "done",
        "short": "done",
    }
    assert f"worker process {killed[0]} was killed by SIGKILL, out of memory?" in outcomes["long1"].reason
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["long2", "short"]


def _dying_starts(folder: Path, deaths: int) -> str:
    """A PYTHONPATH with which the first ``deaths`` workers are killed while they start."""
    code = (
        "import os, sys\n"
        "if 'pytsn.flow.extract.worker' in ' '.join(sys.orig_argv):\n"
        f"    number = sum(name.startswith('death') for name in os.listdir({str(folder)!r}))\n"
        f"    if number < {deaths}:\n"
        f"        open(os.path.join({str(folder)!r}, 'death%d' % os.getpid()), 'w').close()\n"
        "        os.kill(os.getpid(), 9)\n"
    )
    return hook(folder, code)["PYTHONPATH"]


def test_a_worker_killed_while_starting_is_replaced(source, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", _dying_starts(tmp_path / "site", 1))
    outcomes = list(_make_run(source, tmp_path / "out", workers=1).outcomes())
    assert len(list((tmp_path / "site").glob("death*"))) == 1
    assert {outcome.status for outcome in outcomes} == {"done"}
    assert len(outcomes) == 3


def test_workers_that_never_start_end_the_run(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", _dying_starts(tmp_path / "site", 99))
    assert build_of(source, tmp_path / "out", *QUICK, "--num_worker", 2) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: worker processes die while they start")
    assert "SIGKILL" in error


def test_settings_that_a_worker_refuses_end_the_run(source, tmp_path):
    extract = ExtractSettings(algorithm="lucas")
    (tmp_path / "out").mkdir()
    task = VideoTask(str(source / "a.avi"), "a", 1)
    run = ExtractRun([task], lambda number: WorkerSettings(str(tmp_path / "out"), extract), 1)
    with pytest.raises(PytsnError, match="lucas"):
        list(run.outcomes())


def test_file_systems_without_locks_get_a_note(source, tmp_path, monkeypatch):
    def no_locks(handle, how):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("pytsn.runtime.locks.fcntl.flock", no_locks)
    (tmp_path / "out").mkdir()
    settings = WorkerSettings(str(tmp_path / "out"), ExtractSettings(algorithm="farneback", preset=""))
    task = VideoTask(str(source / "a.avi"), "a", 1)
    outcome = extract_worker.guarded(task, settings, make_flow("farneback"), lambda *_, **__: None)
    assert (outcome.status, outcome.pairs) == ("done", 5)
    assert "no locks" in outcome.notes[0]
    assert hidden(tmp_path / "out") == []


def test_a_video_of_another_run_is_left_to_it(source, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    with VideoFolder(str(out), "b").lock() as state:
        assert state == "held"
        assert build_of(source, out, *QUICK) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a", "c"]
    assert "another run is working on 1 video, which is skipped: b" in capsys.readouterr().err


def test_two_runs_side_by_side_share_the_work(source, tmp_path):
    for number in range(6):
        make_video(source / f"more{number}.avi", 12, 120, 160, seed=number)
    out = tmp_path / "out"
    runs = [_start(source, out, *QUICK, "--resume", "yes") for _ in range(2)]
    printed = [run.communicate(timeout=PATIENCE) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], printed
    assert sorted(path.name for path in out.iterdir()) == ["a", "b", "c", *(f"more{number}" for number in range(6))]
    done = [int(text.split("9 videos: ")[1].split()[0]) for text, _ in printed]
    assert sum(done) == 9  # each video by one of them
    for number in range(6):
        assert files(out / f"more{number}") == expected_files(source / f"more{number}.avi")
