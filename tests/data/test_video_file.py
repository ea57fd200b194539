"""Frames of video files, whole and damaged, against a plain loop over OpenCV and against what was written."""

import os
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.data.jpeg import encode_jpeg
from pytsn.data.video_file import VideoFrames
from pytsn.flow.extract.threads import InOrder, ahead, in_threads
from pytsn.flow.extract.video import ExtractSettings, extract_video, pair_batches
from pytsn.flow.methods import make_flow
from tests.flow.flow_videos import cut_short, decode, jpeg, make_sound, make_variable_rate, make_video, moving_frames
from tests.waiting import PATIENCE


def test_frames_are_the_files(tmp_path):
    path = make_video(tmp_path / "a.avi", count=7)
    frames = list(VideoFrames(path))
    np.testing.assert_array_equal(frames, decode(path))
    # Motion-JPEG of OpenCV moves a smooth texture by two grey levels; the frame before is farther away
    written, read = moving_frames(7).astype(int), np.stack(frames)
    assert np.abs(read - written).mean() < 3
    assert np.abs(read[1:] - written[:-1]).mean() > 8


def test_iterating_again_starts_again(tmp_path):
    video = VideoFrames(make_video(tmp_path / "a.avi", count=5))
    assert [len(list(video)), video.count, video.announced, len(list(video)), video.count] == [5, 5, 5, 5, 5]


@pytest.mark.parametrize(("height", "width"), [(80, 46), (47, 63)], ids=["portrait", "odd"])
def test_resize(tmp_path, height, width):
    path = make_variable_rate(tmp_path / "a.mkv", list(moving_frames(3, height, width)), [0, 40, 80])
    plain = decode(path)
    assert plain.shape[1:] == (height, width, 3)
    np.testing.assert_array_equal(list(VideoFrames(path)), plain)
    resized = [cv2.resize(frame, (34, 26)) for frame in plain]
    np.testing.assert_array_equal(list(VideoFrames(path, (34, 26))), resized)


def test_cut_short_gives_what_is_there_and_a_note(tmp_path):
    whole = make_video(tmp_path / "whole.avi", count=40)
    video = VideoFrames(cut_short(whole, tmp_path / "cut.avi"))
    frames = list(video)
    assert 10 < len(frames) < 40
    np.testing.assert_array_equal(frames[:-1], decode(whole)[: len(frames) - 1])
    assert video.notes == [f"{len(frames)} of the 40 frames it announces could be decoded: cut short?"]


def test_whole_video_has_no_notes(tmp_path):
    video = VideoFrames(make_video(tmp_path / "a.avi"))
    list(video)
    assert video.notes == []


def test_size_changing_midway(tmp_path):
    path = tmp_path / "change.mjpeg"
    images = [*moving_frames(4), *moving_frames(3, 60, 100)]
    path.write_bytes(b"".join(jpeg(image) for image in images))
    video = VideoFrames(path)
    frames = list(video)
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 7
    wanted = cv2.resize(cv2.imdecode(np.frombuffer(jpeg(images[-1]), np.uint8), 1), (64, 48)).astype(int)
    assert np.abs(frames[-1] - wanted).mean() < 2  # two JPEG decoders, then the same resize
    assert {frame.shape for frame in VideoFrames(path, (34, 26))} == {(26, 34, 3)}


def test_a_rotation_noted_in_the_file_is_applied(tmp_path):
    path = tmp_path / "a.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48))
    for frame in moving_frames(3, 48, 64):
        writer.write(frame)
    writer.release()
    plain = list(VideoFrames(path))
    content = bytearray(path.read_bytes())
    # ISO/IEC 14496-12, track header of version 0: the matrix comes 40 bytes after the four letters and the version
    matrix = content.index(b"tkhd") + 4 + 40
    assert struct.unpack_from(">9i", content, matrix) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    clockwise = (0, 65536, 0, -65536, 0, 0, 48 * 65536, 0, 1 << 30)  # by 90 degrees, and back into view
    struct.pack_into(">9i", content, matrix, *clockwise)
    path.write_bytes(content)
    np.testing.assert_array_equal(list(VideoFrames(path)), [np.rot90(frame, -1) for frame in plain])


def test_variable_rate_neither_repeats_nor_drops(tmp_path):
    images = list(moving_frames(6))
    path = make_variable_rate(tmp_path / "phone.mkv", images, [0, 10, 500, 510, 2000, 9000])
    frames = np.stack(list(VideoFrames(path))).astype(int)
    assert len(frames) == 6
    assert np.abs(frames - np.stack(images)).mean() < 3


def _not_videos(folder):
    (folder / "empty.avi").touch()
    (folder / "text.avi").write_text("no video\n")
    (folder / "noise.mp4").write_bytes(np.random.default_rng(1).bytes(4000))
    (folder / "folder.avi").mkdir()
    make_sound(folder / "sound.avi")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("empty.avi", "empty"),
        ("text.avi", "no video stream"),
        ("noise.mp4", "no video stream"),
        ("sound.avi", "no video stream"),
        ("folder.avi", "is a folder"),
        ("absent.avi", "no such file"),
    ],
)
def test_what_is_no_video_is_named(tmp_path, capfd, name, says):
    _not_videos(tmp_path)
    with pytest.raises(PytsnError, match=says) as caught:
        list(VideoFrames(tmp_path / name))
    assert name in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "live.avi"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    code = "import sys; from pytsn.data.video_file import VideoFrames; list(VideoFrames(sys.argv[1]))"
    # in a process of its own: opening a pipe that nobody writes would wait for ever
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=PATIENCE)
    assert run.stderr.splitlines()[-1].endswith(f"{path}: is a pipe or a device; frames come from files")


def test_a_size_beyond_all_memory_is_named(tmp_path):
    video = make_video(tmp_path / "a.avi", 2)
    with pytest.raises(PytsnError, match=r"a\.avi: cannot resize frames to 40000000x40000000"):
        list(VideoFrames(video, (40_000_000, 40_000_000)))


@pytest.mark.parametrize("name", ["12:30.avi", "a %05d.avi", "#20_(1);!&é.avi"])
def test_names_that_mean_something_to_decoders(tmp_path, monkeypatch, name):
    make_video(tmp_path / "a.avi", 3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(list(VideoFrames(name))) == 3


def test_a_name_that_is_no_text_is_named(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"latin\xe9.avi")
    make_video(tmp_path / "a.avi", 3).rename(os.fsdecode(path))
    with pytest.raises(PytsnError, match="not UTF-8") as caught:
        list(VideoFrames(os.fsdecode(path)))
    str(caught.value).encode()  # can be printed


@pytest.mark.golden
def test_frames_equal_those_of_the_recordings(golden, shared):
    """The first recorded clip is the first 41 frames of this video, written by the original's JPEG settings."""
    folder = golden / "eval" / "frames" / "v_ApplyEyeMakeup_g01_c01"
    for index, frame in zip(range(41), VideoFrames(shared / "video" / "plastering.avi", (340, 256)), strict=False):
        if index:
            recorded = cv2.imread(str(folder / f"img_{index:05d}.jpg")).astype(int)
            ours = cv2.imdecode(np.frombuffer(encode_jpeg(frame), np.uint8), cv2.IMREAD_COLOR)
            assert np.abs(ours - recorded).max() <= 3  # equal with the same libjpeg; others round differently


@pytest.mark.golden
def test_clips_have_the_recorded_frames_but_for_jpeg_noise(golden, shared):
    """The clips were compressed once more, by Motion-JPEG, after the frames were recorded."""
    for clip in sorted((shared / "video" / "clips").glob("*.avi")):
        folder = golden / "eval" / "frames" / clip.stem
        recorded = [cv2.imread(str(path)).astype(int) for path in sorted(folder.glob("img_*.jpg"))]
        ours = [frame.astype(int) for frame in VideoFrames(clip, (340, 256))]
        assert len(ours) == len(recorded) + 1
        # the recompression: 1.4 to 1.9 grey levels on average
        assert max(np.abs(a - b).mean() for a, b in zip(ours[1:], recorded, strict=True)) < 2.2


def test_batches_hold_no_more_than_their_frames():
    alive = set()

    class Frame(np.ndarray):
        def __del__(self):
            alive.discard(id(self))

    def frames(count, most):
        for index in range(count):
            frame = np.full((6, 9, 3), index, np.uint8).view(Frame)
            alive.add(id(frame))
            assert len(alive) <= most
            yield frame

    sizes = []
    for batch in pair_batches(frames(200, most=4 + 1), step=1, batch_size=4):
        sizes.append(len(batch.images))
        first = sum(sizes[:-1])
        assert [image[0, 0, 0] for image in batch.images] == [first + 1 + b for b in range(len(batch.images))]
        assert [gray[0, 0] for gray in batch.gray] == [first + b for b in range(len(batch.images) + 1)]
        del batch
    assert sizes == [4] * 49 + [3]


def test_large_frames_come_in_smaller_batches():
    def sizes(height, width):
        frames = (np.zeros((height, width, 3), np.uint8) for _ in range(9))
        return [len(batch.images) for batch in pair_batches(frames, 1, 8)]

    assert sizes(256, 340) == [8]
    assert sizes(512, 340) == [4, 4]
    assert sizes(2160, 3840) == [1] * 8


def test_reading_ahead_is_bounded_and_ordered():
    made = []

    def items():
        for index in range(50):
            made.append(index)
            yield index

    for index in ahead(items(), 2):
        assert len(made) <= index + 1 + 2 + 1  # given, waiting, and one in the maker's hand
        made_before = len(made)
    assert made_before == 50


def test_reading_ahead_passes_errors_and_ends_with_its_consumer():
    def failing():
        yield 1
        raise PytsnError("a.avi: broken")

    with pytest.raises(PytsnError, match=r"a\.avi"):
        list(ahead(failing(), 2))
    closed = []

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    source = endless()
    reader = ahead(source, 2)
    next(reader)
    reader.close()  # joins the thread
    source.close()
    assert closed


def test_writing_behind_keeps_order_and_errors():
    done = []
    with InOrder(2) as later:
        for index in range(20):
            later.do(done.append, index)
    assert done == list(range(20))
    with pytest.raises(OSError, match="full"), InOrder(2) as later:  # noqa: PT012 - some later call tells
        later.do(_fail)
        for index in range(9):
            later.do(done.append, index)


def _fail():
    raise OSError(28, "disk full")


def test_threads_change_nothing(tmp_path):
    path = make_video(tmp_path / "a.avi", count=11)
    settings = ExtractSettings(algorithm="farneback", preset="", width=0, height=0)
    flow = make_flow("farneback")
    files = []
    for name, parts, threads in (("plain", 1, False), ("threads", 3, True)):
        (tmp_path / name).mkdir()
        extract_video(str(path), str(tmp_path / name), settings, in_threads(flow, parts), 4, threads)
        files.append({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()})
    assert len(files[0]) == 30
    assert files[0] == files[1]
