"""Contact sheets of flow: which pairs they show, what stands in their cells, that nothing overlaps, and the command."""

import os
import signal
import subprocess
import sys
import zipfile

import cv2
import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.cli import main
from pytsn.data.video_file import VideoFrames
from pytsn.flow.preview.colour import flow_to_bgr
from pytsn.flow.preview.rows import PreviewRow, count_pairs, folder_rows, pick_numbers, spread, video_rows
from pytsn.flow.preview.sheet import Sheet, save_sheet, sheet_figure
from pytsn.flow.warp.camera_motion import WarpResult
from tests.held import hold_videos
from tests.waiting import PATIENCE, wait_for_process

COUNT, HEIGHT, WIDTH = 9, 60, 88


def write_video(path, frames) -> str:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, frames[0].shape[1::-1])
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return str(path)


@pytest.fixture(scope="module")
def panning(tmp_path_factory) -> str:
    """Nine frames that look 3 px farther right and 1 px lower each time at a still picture: flow (-3, -1)."""
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8), (0, 0), 2.5)
    picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX)
    frames = [picture[k : k + HEIGHT, 3 * k : 3 * k + WIDTH] for k in range(COUNT)]
    return write_video(tmp_path_factory.mktemp("video") / "pan.avi", frames)


def decoded(path: str) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(path), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames


def make_row(number: int, shape=(HEIGHT, WIDTH), length: float = 1.0, warped: bool = True) -> PreviewRow:
    flow = np.full((*shape, 2), (length, 0), np.float32)
    warp = WarpResult(flow / 2, flow, np.eye(3), 1234, 1042, True) if warped else None
    grey = np.full(shape, number % 256, np.uint8)
    return PreviewRow(number, np.full((*shape, 3), (9, 90, 200), np.uint8), flow, grey, grey + 1, warp)


@pytest.mark.parametrize(
    ("pairs", "rows", "expected"),
    [
        (1, 6, [1]),
        (3, 6, [1, 2, 3]),
        (6, 6, [1, 2, 3, 4, 5, 6]),
        (8, 2, [3, 7]),
        (100, 4, [13, 38, 63, 88]),
        (7, 1, [4]),
    ],
)
def test_pairs_are_spread(pairs, rows, expected):
    assert spread(pairs, rows) == expected


def test_asked_for_pairs_are_shown_once_and_in_order():
    assert pick_numbers("v.avi", 9, 6, [8, 1, 8, 9]) == [1, 8, 9]
    for number in (0, 10, -1):
        with pytest.raises(PytsnError, match=rf"v.avi: no pair {number}; .* 1 to 9"):
            pick_numbers("v.avi", 9, 6, [3, number])


def test_rows_show_the_pairs_they_name(panning):
    frames = decoded(panning)
    assert len(frames) == COUNT == count_pairs(VideoFrames(panning)) + 1
    asked = []

    def flow_fn(grays0, grays1):
        asked.append((grays0, grays1))
        return np.full((*grays0.shape, 2), (5.0, -30.0), np.float32)

    rows = list(video_rows(VideoFrames(panning), [2, 8], flow_fn, warp=False, bound=10.0))
    assert [row.number for row in rows] == [2, 8]
    for row, (gray0, gray1) in zip(rows, asked, strict=True):
        first, second = frames[row.number - 1], frames[row.number]  # pair k: the video's frames k and k + 1, from 1
        np.testing.assert_array_equal(row.frame, second)
        np.testing.assert_array_equal(gray0[0], cv2.cvtColor(first, cv2.COLOR_BGR2GRAY))
        np.testing.assert_array_equal(gray1[0], cv2.cvtColor(second, cv2.COLOR_BGR2GRAY))
        assert (row.image_x == 191).all()  # round(255 * 15 / 20) = 191.25
        assert (row.image_y == 0).all()  # beyond the bound
        assert row.warp is None


def test_video_is_not_read_further_than_needed(panning):
    video = VideoFrames(panning)
    list(video_rows(video, [1, 3], lambda a, b: np.zeros((*a.shape, 2), np.float32), warp=False))
    assert video.count == 4


def test_one_frame(tmp_path):
    path = write_video(tmp_path / "one.avi", [np.zeros((40, 48, 3), np.uint8)])
    with pytest.raises(PytsnError, match=r"one.avi: the video has one frame; flow needs two"):
        count_pairs(VideoFrames(path))


def test_cells_hold_their_pictures_on_one_scale():
    rows = [make_row(3, length=2.0), make_row(7, length=6.0)]
    sheet = Sheet("a.avi", "", rows)
    assert sheet.scale == 6
    cells = [axes.images[0].get_array() for axes in sheet_figure(sheet).axes]
    pictures = [cell for cell in cells if cell.shape[:2] == (HEIGHT, WIDTH)]
    assert len(pictures) == 10
    colours = {tuple(int(v) for v in picture[0, 0]) for picture in pictures}
    assert len({picture.tobytes() for picture in pictures}) == 9  # the frames are the same, all else differs
    wheel = [flow_to_bgr(np.array([[[length, 0.0]]]), 6.0)[0, 0, ::-1] for length in (2, 1, 6, 3)]
    assert colours == {(200, 90, 9), (3,) * 3, (4,) * 3, (7,) * 3, (8,) * 3} | {tuple(map(int, rgb)) for rgb in wheel}


def test_scale_has_a_floor_and_outliers_do_not_set_it():
    assert Sheet("", "", [make_row(1, length=0.01)]).scale == 1
    flow = np.full((HEIGHT, WIDTH, 2), (2.2, 0), np.float32)
    flow[0, :30] = 500.0
    flow[1, 0] = np.nan
    row = PreviewRow(1, None, flow, *np.zeros((2, HEIGHT, WIDTH), np.uint8))
    assert Sheet("", "", [row]).scale == 2.5  # 30 of 5280 vectors are under 1 %; 2.2 upwards to a half


HEADINGS = ("frame", "flow", "x image", "y image", "warped flow")


def columns(sheet: Sheet) -> list[str]:
    """Headings from left to right, told from row labels, some of which read the same, by their weight."""
    found = [text for text in sheet_figure(sheet).texts if text.get_text() in HEADINGS]
    return [text.get_text() for text in found if text.get_weight() == "bold"]


def test_columns_are_those_there_is_something_for():
    plain, bare = make_row(1, warped=False), make_row(2)
    bare = PreviewRow(2, None, bare.flow, bare.image_x, bare.image_y)
    assert columns(Sheet("", "", [make_row(1)])) == list(HEADINGS)
    assert columns(Sheet("", "", [plain])) == ["frame", "flow", "x image", "y image"]
    assert columns(Sheet("", "", [bare])) == ["flow", "x image", "y image"]


@pytest.mark.parametrize("shape", [(256, 340), (426, 240), (60, 500), (12, 12), (72, 128)])
def test_nothing_overlaps(shape):
    """Boxes of all texts and pictures as they are drawn, with the longest numbers there can be."""
    rows = [make_row(99998, shape, 123.4), make_row(99999, shape, 1.0)]
    title = "v_a_long_name_of_a_video_as_some_data_sets_like_them_" * 5
    figure = sheet_figure(
        Sheet(title, "2 of 99999 pairs of frames, 3840x2160 pixels; TV-L1, preset opencv2.4.9-cuda", rows)
    )
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in figure.texts]
    boxes += [("picture", axes.get_window_extent()) for axes in figure.axes]
    whole = figure.bbox
    for place, (name, box) in enumerate(boxes):
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1, name
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1, name
        for other, other_box in boxes[:place]:
            shared_x = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
            shared_y = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
            assert min(shared_x, shared_y) <= 1, (name, other)  # letters' boxes touch by a pixel


def test_pictures_keep_their_proportions():
    for shape in ((256, 340), (426, 240), (60, 500), (12, 12)):
        figure = sheet_figure(Sheet("", "", [make_row(1, shape)]))
        box = figure.axes[0].get_window_extent()
        assert box.width / box.height == pytest.approx(shape[1] / shape[0], rel=0.02)  # whole pixels
        assert box.width <= 341
        assert box.height <= 257


def test_names_are_no_formulas(tmp_path):
    save_sheet(tmp_path / "x.png", Sheet(r"$\frac{1}$ 体操.avi", "", [make_row(1)]))
    assert cv2.imread(str(tmp_path / "x.png")).shape[0] > 300


def test_command_draws_a_panning_video(panning, tmp_path, monkeypatch, capsys):
    """The flow cell has the colour of (-3, -1) at the sheet's scale, the warped one is white: all of it is camera."""
    monkeypatch.chdir(tmp_path)
    arguments = ["--algorithm", "dis", "--new_width", "0", "--new_height", "0", "--rows", "2", "--device", "cpu"]
    assert main(["flow-preview", panning, *arguments]) == 0
    assert capsys.readouterr().out == "wrote pan_flow.png\n"
    assert [path.name for path in tmp_path.iterdir()] == ["pan_flow.png"]
    picture = cv2.imread("pan_flow.png")
    left, top, pitch = 16 + 196, 74 + 28, 340 + 10
    cells = [picture[top + 20 : top + 200, left + k * pitch + 20 : left + k * pitch + 320] for k in range(5)]
    plain, warped = (np.median(cells[k].reshape(-1, 3), axis=0) for k in (1, 4))
    expected = flow_to_bgr(np.array([[[-3.0, -1.0]]]), 3.5)[0, 0]  # 3.16 px, upwards to a half
    assert np.abs(plain - expected).max() < 12
    assert warped.min() > 240
    grey_x, grey_y = (np.median(cells[k]) for k in (2, 3))
    assert (grey_x, grey_y) == (pytest.approx(108, abs=1), pytest.approx(121, abs=1))  # 127.5 - 3 and 1 * 6.375


def test_command_takes_a_folder(tmp_path, capsys):
    """Images as they were extracted: also without frames, as the warped extractor leaves them."""
    folder = tmp_path / "v_pan"
    folder.mkdir()
    for number in (1, 2, 3):
        for kind, level in (("flow_x", 128 + 10 * number), ("flow_y", 128)):
            image = np.full((HEIGHT, WIDTH), level, np.uint8)
            assert cv2.imwrite(str(folder / f"{kind}_{number:05d}.jpg"), image)
    rows = list(folder_rows(str(folder), [2, 3], bound=20.0))
    assert [row.number for row in rows] == [2, 3]
    assert all(row.frame is None and row.warp is None for row in rows)
    np.testing.assert_allclose(rows[0].flow[5, 7], ((148 - 127.5) / 6.375, 0), rtol=1e-5)
    assert (rows[1].image_x == 158).all()
    assert main(["flow-preview", str(folder), "-o", str(tmp_path / "sheet.PNG")]) == 0
    assert "wrote" in capsys.readouterr().out
    (folder / "flow_y_00003.jpg").unlink()
    assert main(["flow-preview", str(folder), "-o", str(tmp_path / "again.png")]) == 2
    assert "3 flow_x_ and 2 flow_y_ images" in capsys.readouterr().err
    assert not (tmp_path / "again.png").exists()


def test_a_folder_numbered_from_0(tmp_path, capsys):
    """As denseflow writes: one image more than pairs, and pair k lies between images k and k + 1. A sheet shows the
    second of them, as it does of dense_flow's images, which carry the pair's number."""
    for number in range(4):
        levels = {"img": 50 * number, "flow_x": 128 + 10 * number, "flow_y": 128}
        for kind in ("img", "flow_x", "flow_y") if number < 3 else ("img",):
            shape = (HEIGHT, WIDTH, 3) if kind == "img" else (HEIGHT, WIDTH)
            assert cv2.imwrite(str(tmp_path / f"{kind}_{number:05d}.jpg"), np.full(shape, levels[kind], np.uint8))
    rows = list(folder_rows(str(tmp_path), [0, 2]))
    assert [int(row.image_x[0, 0]) for row in rows] == [128, 148]
    assert [int(row.frame[0, 0, 0]) for row in rows] == [50, 150]
    sheet = str(tmp_path / "sheet.png")
    assert main(["flow-preview", str(tmp_path), "-o", sheet, "--frames", "0", "2"]) == 0
    assert capsys.readouterr().err == "note: frames are numbered from 0\n"
    assert main(["flow-preview", str(tmp_path), "-o", sheet, "--frames", "3"]) == 2
    assert "no pair 3; its pairs of frames are numbered 0 to 2" in capsys.readouterr().err
    assert pick_numbers("v", 3, 9, None, 0) == [0, 1, 2]
    for axis in "xy":
        (tmp_path / f"flow_{axis}_00001.jpg").unlink()
    assert main(["flow-preview", str(tmp_path), "-o", sheet]) == 2
    assert "the images flow_x_ have no number 1 (flow_x_00001.jpg), though there are 2" in capsys.readouterr().err


def test_zip_folder_shows_what_its_files_would(tmp_path):
    """dense_flow's zip mode: img.zip, flow_x.zip with entries x_00001.jpg, flow_y.zip."""
    (tmp_path / "files").mkdir()
    (tmp_path / "zips").mkdir()
    random = np.random.default_rng(0)
    for kind, entry in (("img", "img"), ("flow_x", "x"), ("flow_y", "y")):
        with zipfile.ZipFile(tmp_path / "zips" / f"{kind}.zip", "w") as archive:
            for number in (1, 2):
                shape = (HEIGHT, WIDTH, 3) if kind == "img" else (HEIGHT, WIDTH)
                image = cv2.imencode(".jpg", random.integers(0, 256, shape, dtype=np.uint8))[1].tobytes()
                archive.writestr(f"{entry}_{number:05d}.jpg", image)
                (tmp_path / "files" / f"{kind}_{number:05d}.jpg").write_bytes(image)
    for one, other in zip(*(folder_rows(str(tmp_path / name), [1, 2]) for name in ("files", "zips")), strict=True):
        np.testing.assert_array_equal(one.frame, other.frame)
        np.testing.assert_array_equal(one.flow, other.flow)
    assert main(["flow-preview", str(tmp_path / "zips"), "-o", str(tmp_path / "sheet.png")]) == 0


@pytest.mark.golden
def test_recorded_folder(golden, tmp_path):
    folder = golden / "eval" / "frames" / "v_BabyCrawling_g03_c01"
    row = next(folder_rows(str(folder), [6]))
    np.testing.assert_array_equal(row.image_x, cv2.imread(str(folder / "flow_x_00006.jpg"), cv2.IMREAD_GRAYSCALE))
    np.testing.assert_array_equal(row.frame, cv2.imread(str(folder / "img_00006.jpg")))
    assert main(["flow-preview", str(folder), "-o", str(tmp_path / "sheet.png"), "--rows", "2"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothere.avi"], "nothere.avi: no such file or folder"),
        (["empty.avi"], "empty.avi: the file is empty"),
        (["text.avi"], "text.avi: "),
        (["one.avi"], "one.avi: the video has one frame"),
        (["nothing"], "nothing: 0 flow_x_ and 0 flow_y_ images"),
        (["two.avi", "-o", "nofolder/x.png"], "nofolder/x.png: no such file or folder"),
        (["two.avi", "-o", "x.jpg"], "x.jpg: pictures are written as png, pdf or svg"),
        (["two.avi", "-o", "folder.png"], "folder.png: is a folder"),
        (["two.avi", "--frames", "2"], "two.avi: no pair 2; its pairs of frames are numbered 1 to 1"),
        (["two.avi", "--rows", "0"], "--rows 0: at least one"),
        (["two.avi", "--new_width", "0"], "--new_width 0 --new_height 256: two sizes"),
        (["two.avi", "--new_height", "-5"], "--new_width 340 --new_height -5: two sizes"),
        (["two.avi", "--new_width", "65501"], "--new_width 65501 --new_height 256: two sizes of 3 to 65500"),
        (["dot.avi", "--new_width", "0", "--new_height", "0"], "dot.avi: frames of 48x2 pixels; flow needs 3x3"),
        (["two.avi", "--bound", "nan"], "--bound nan: a positive number"),
        (["two.avi", "--device", "tpu"], "device 'tpu'"),
    ],
)
def test_bad_input_is_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frames = [np.full((40, 48, 3), level, np.uint8) for level in (10, 20)]
    write_video("two.avi", frames)
    write_video("one.avi", frames[:1])
    write_video("dot.avi", [frame[:2] for frame in frames])
    (tmp_path / "empty.avi").touch()
    (tmp_path / "text.avi").write_text("no video at all\n" * 99)
    for name in ("nothing", "folder.png"):
        (tmp_path / name).mkdir()
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main(["flow-preview", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {words}")
    assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_name_that_is_no_text_is_escaped(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"lat\xe9\n")
    os.mkdir(name)
    for kind in ("flow_x", "flow_y"):
        cv2.imwrite(str(tmp_path / f"{kind}.jpg"), np.full((40, 48), 128, np.uint8))
        (tmp_path / f"{kind}.jpg").rename(os.path.join(name, f"{kind}_00001.jpg"))
    assert main(["flow-preview", name]) == 0
    assert capsys.readouterr().out == "wrote lat\\xe9\\n_flow.png\n"
    assert os.path.exists(f"{name}_flow.png")


def test_ended_by_sigterm_it_leaves_nothing(tmp_path):
    """It is held at frame 2 when it reads the video again, pairs counted and its temporary file made."""
    folder = tmp_path / "work"
    folder.mkdir()
    write_video(str(folder / "a.avi"), [np.full((40, 48), 9, np.uint8).repeat(3).reshape(40, 48, 3)] * 5)
    command = [sys.executable, "-m", "pytsn", "flow-preview", "a.avi", "--rows", "4", "--device", "cpu"]
    environment = hold_videos(tmp_path / "site", ["a.avi"], frame=2, in_pass=2)
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for_process(process, (tmp_path / "site" / "held a.avi").exists, "the second frame")
            assert len(os.listdir(folder)) == 2
            process.send_signal(signal.SIGTERM)
            assert (process.wait(PATIENCE), process.stderr.read()) == (130, "stopped\n")
        finally:
            process.kill()
    assert os.listdir(folder) == ["a.avi"]
