"""Frames inside zip archives: the same bytes as files give, found by dense_flow's names; every kind of damage named."""

import os
import struct
import threading
import zipfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.caffe_random.generator import CaffeRng
from pytsn.cli import run_command
from pytsn.data.frame_folders import find_missing, parse_directory
from pytsn.data.frame_images import read_flow_stack, read_rgb
from pytsn.data.frame_store import archive_name, count_frames, frame_source, has_frame, is_frame_folder, read_frame
from pytsn.data.snippet_reader import SnippetOptions, read_videos
from pytsn.data.videos import FrameFolder, Video
from pytsn.scores.score_file import read_scores
from pytsn.training.input.video_data import VideoData
from tests.converter.nets import build
from tests.training.tiny_videos import video_layer

#: kind -> archive and start of its entries, as dense_flow's extract_gpu names them
DENSE_FLOW = {"img_": ("img.zip", "img_"), "flow_x_": ("flow_x.zip", "x_"), "flow_y_": ("flow_y.zip", "y_")}


def zip_folder(source: Path, folder: Path, full_names=False, method=zipfile.ZIP_DEFLATED) -> None:
    """The frames of a folder as dense_flow's zip mode writes them, into ``folder``."""
    folder.mkdir(parents=True)
    for prefix, (archive, short) in DENSE_FLOW.items():
        with zipfile.ZipFile(folder / archive, "w", method) as out:
            for path in sorted(source.glob(f"{prefix}*")):
                out.write(path, path.name if full_names else short + path.name.removeprefix(prefix))


def zip_video(source: Path, archive: Path, below="") -> None:
    """All frames of a folder in one archive."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for path in sorted(source.iterdir()):
            out.write(path, below + path.name)


LAYOUTS = {
    "dense_flow": lambda source, folder: zip_folder(source, folder),
    "full names, stored": lambda source, folder: zip_folder(source, folder, True, zipfile.ZIP_STORED),
    "one archive": lambda source, folder: zip_video(source, folder.with_name(folder.name + ".zip")),
    "one archive with the folder": lambda source, folder: zip_video(
        source, folder.with_name(folder.name + ".zip"), f"{folder.name}/"
    ),
}


@pytest.fixture(scope="module", params=LAYOUTS)
def packed(request, tiny_videos, tmp_path_factory):
    """The tiny videos' frames in one of the layouts."""
    root = tmp_path_factory.mktemp("packed") / "frames"
    root.mkdir()
    for video in sorted((tiny_videos / "frames").iterdir()):
        LAYOUTS[request.param](video, root / video.name)
    return root


def test_every_frame_is_the_files_bytes(tiny_videos, packed):
    for path in sorted((tiny_videos / "frames/v1").iterdir()) + sorted((tiny_videos / "frames/v3").iterdir()):
        folder = str(packed / path.parent.name)
        assert read_frame(folder, path.name) == path.read_bytes()
        assert has_frame(folder, path.name)
        assert ".zip, entry " in frame_source(folder, path.name)
    assert not has_frame(str(packed / "v1"), "img_00013.png")
    with pytest.raises(PytsnError, match=r"\.zip: holds no entry img_00013\.png \(\d+ entries\)"):
        read_frame(str(packed / "v1"), "img_00013.png")


def test_counts_are_those_of_the_folders(tiny_videos, packed):
    for prefixes in (("img_", "flow_x_", "flow_y_"), ("img_", "flow_x", "flow_y")):
        wanted = parse_directory(str(tiny_videos / "frames"), *prefixes)
        found = parse_directory(str(packed), *prefixes)
        assert found == {
            name: FrameFolder(str(packed / name), item.rgb_count, item.flow_count) for name, item in wanted.items()
        }
        assert wanted["v1"].rgb_count == wanted["v1"].flow_count == 12


def test_snippets_are_those_of_the_folders(tiny_videos, packed):
    counts = {"v1": 12, "v5": 51}
    for modality in ("rgb", "flow"):
        options = SnippetOptions(modality, 5, ext="png")
        plain, zipped = (
            list(
                read_videos([Video(name, 0, str(root / name), n, n) for name, n in counts.items()], options, threads=4)
            )
            for root in (tiny_videos / "frames", packed)
        )
        for (_, wanted), (_, found) in zip(plain, zipped, strict=True):
            np.testing.assert_array_equal(found, wanted)


TRAINED = {
    "RGB": 'modality: RGB new_length: 2 name_pattern: "img_%05d.png"',
    "FLOW": 'modality: FLOW new_length: 3 name_pattern: "flow_%c_%05d.png"',
}


@pytest.mark.parametrize("modality", TRAINED)
@pytest.mark.parametrize("workers", [0, 2])
def test_training_batches_are_those_of_the_folders(tiny_videos, packed, tmp_path, modality, workers):
    """Shuffled and cropped by the same seed. v1 is listed with 1 frame: what it is repeated from depends on whether the
    frames of a whole snippet are there."""
    batches = []
    for root in (tiny_videos / "frames", packed):
        (tmp_path / "list.txt").write_text(f"{root}/v0 40 0\n{root}/v1 1 0\n{root}/v3 26 1\n")
        layer = VideoData(
            video_layer(f"""video_data_param {{ source: "{tmp_path}/list.txt" batch_size: 2 num_segments: 2
            {TRAINED[modality]} shuffle: true }} transform_param {{ crop_size: 50 mirror: true multi_scale: true }}"""),
            "TRAIN",
            CaffeRng(5),
            workers=workers,
        )
        batches.append([layer.next_uint8()[0].clone() for _ in range(3)])
        layer.close()
    for wanted, found in zip(*batches, strict=True):
        np.testing.assert_array_equal(found, wanted)


NET = """
input: "data" input_shape { dim: 1 dim: %d dim: 24 dim: 24 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 5 kernel_size: 7
        stride: 4 weight_filler { type: "gaussian" std: 0.05 } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc-action" type: "InnerProduct" bottom: "pool" top: "fc-action" inner_product_param { num_output: 3
        weight_filler { type: "gaussian" std: 1 } } }
"""


@pytest.mark.parametrize(("modality", "channels"), [("rgb", 3), ("flow", 10)])
def test_scores_are_those_of_the_folders(tiny_videos, tmp_path, capsys, modality, channels):
    """eval-net and build-file-list with their own defaults: the same frames as files and as archives."""
    from converter.weights import save_caffemodel

    for name, count in (("v_A_g01_c01", 7), ("v_B_g01_c01", 31)):
        plain = tmp_path / "files" / name
        plain.mkdir(parents=True)
        for number in range(1, count + 1):
            for kind in ("img", "flow_x", "flow_y"):
                source = tiny_videos / "frames/v0" / f"{kind}_{number:05d}.png"
                (plain / f"{kind}_{number:05d}.jpg").write_bytes(source.read_bytes())
        zip_folder(plain, tmp_path / "zips" / name)
    splits = tmp_path / "data/ucf101_splits"
    splits.mkdir(parents=True)
    (splits / "classInd.txt").write_text("1 A\n2 B\n")
    for number in (1, 2, 3):
        (splits / f"testlist{number:02d}.txt").write_text("B/v_B_g01_c01.avi\n")
        (splits / f"trainlist{number:02d}.txt").write_text("A/v_A_g01_c01.avi 1\n")
    (tmp_path / "list.txt").write_text("v_A_g01_c01 7 0\nv_B_g01_c01 31 1\n")
    (tmp_path / "net.prototxt").write_text(NET % channels)
    save_caffemodel(tmp_path / "net.caffemodel", build(NET % channels))
    scores, lists = [], []
    for root in ("files", "zips"):
        frames = str(tmp_path / root)
        given = [frames, f"{tmp_path}/net.prototxt", f"{tmp_path}/net.caffemodel", "--device", "cpu"]
        given += ["--save_scores", f"{tmp_path}/{root}_s", "--test_list", f"{tmp_path}/list.txt"]
        assert run_command("eval-net", ["custom", "1", modality, *given]) == 0
        scores.append(read_scores(tmp_path / f"{root}_s.npz").scores)
        own = ["--split_path", f"{tmp_path}/data", "--out_list_path", f"{tmp_path}/{root}_lists"]
        assert run_command("build-file-list", ["ucf101", frames, *own]) == 0
        texts = [path.read_text().replace(frames, "") for path in sorted((tmp_path / f"{root}_lists").iterdir())]
        lists.append(texts)
    capsys.readouterr()
    for wanted, found in zip(*scores, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert lists[0] == lists[1]
    assert "/v_B_g01_c01 31 1\n" in lists[0]


def test_names_of_archives():
    assert [archive_name(p) for p in ("img_", "flow_x_", "flow_x", "image_", "fx", "warp_flow_y_")] == [
        *("img.zip", "flow_x.zip", "flow_x.zip", "image.zip", "fx.zip", "warp_flow_y.zip")
    ]


def test_other_prefixes_and_digits(tmp_path):
    """`warp_y_0003.jpg` is y_0003.jpg in warp_y.zip, or goes by its full name."""
    with zipfile.ZipFile(tmp_path / "warp_y.zip", "w") as out:
        for name, data in (("y_0003.jpg", b"short"), ("y_00003.jpg", b"five"), ("warp_y_0004.jpg", b"full")):
            out.writestr(name, data)
    folder = str(tmp_path)
    assert read_frame(folder, "warp_y_0003.jpg") == b"short"
    assert read_frame(folder, "warp_y_00003.jpg") == b"five"
    assert read_frame(folder, "warp_y_0004.jpg") == b"full"
    assert count_frames(folder, ["warp_y_", "warp_x_"]) == [3, 0]
    with pytest.raises(PytsnError, match=r"warp_y\.zip: holds no entry y_0005\.jpg"):
        read_frame(folder, "warp_y_0005.jpg")
    with pytest.raises(PytsnError, match=r"warp_x_0003\.jpg: no such file or folder"):
        read_frame(folder, "warp_x_0003.jpg")


def test_files_win_over_archives(tmp_path):
    """A folder with files of a kind is a folder of files: neither counted nor read from the archive."""
    with zipfile.ZipFile(tmp_path / "img.zip", "w") as out:
        for number in range(1, 9):
            out.writestr(f"img_{number:05d}.jpg", f"zip {number}")
    folder = str(tmp_path)
    assert count_frames(folder, ["img_"]) == [8]
    assert read_frame(folder, "img_00002.jpg") == b"zip 2"
    (tmp_path / "img_00001.jpg").write_bytes(b"file 1")
    os.utime(tmp_path, ns=(1, 1))  # two changes within the clock's grain would look like one
    assert count_frames(folder, ["img_"]) == [1]
    assert read_frame(folder, "img_00001.jpg") == b"file 1"
    with pytest.raises(PytsnError, match=r"img_00002\.jpg: no such file or folder"):
        read_frame(folder, "img_00002.jpg")
    assert not has_frame(folder, "img_00002.jpg")


def test_a_replaced_archive_is_read_anew(tmp_path):
    for text in (b"first", b"second, of another length"):
        with zipfile.ZipFile(tmp_path / "new.zip", "w") as out:
            out.writestr("img_00001.jpg", text)
        os.replace(tmp_path / "new.zip", tmp_path / "img.zip")
        assert read_frame(str(tmp_path), "img_00001.jpg") == text


def test_class_folders_and_archives_of_videos(tmp_path):
    for name, count in (("A/v_A_g01", 2), ("B/v_B_g01", 3)):
        (tmp_path / name).parent.mkdir()
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as out:
            for number in range(1, count + 1):
                out.writestr(f"img_{number:05d}.jpg", b"")
    (tmp_path / "v_C_g01").mkdir()
    with zipfile.ZipFile(tmp_path / "v_C_g01" / "img.zip", "w") as out:
        out.writestr("img_00001.jpg", b"")
    (tmp_path / "notes.txt").touch()
    found = parse_directory(str(tmp_path))
    assert {name: item.rgb_count for name, item in found.items()} == {"v_A_g01": 2, "v_B_g01": 3, "v_C_g01": 1}
    assert found["v_B_g01"].path == str(tmp_path / "B/v_B_g01")
    assert list(parse_directory(str(tmp_path), names={"v_B_g01"})) == ["v_B_g01"]
    assert is_frame_folder(str(tmp_path / "A/v_A_g01/"))
    assert is_frame_folder(str(tmp_path / "A/v_A_g01.zip"))
    assert read_frame(str(tmp_path / "A/v_A_g01.zip"), "img_00002.jpg") == b""
    assert not is_frame_folder(str(tmp_path / "A/v_X_g01"))
    videos = [Video("a", 0, str(tmp_path / "A/v_A_g01"), 2, 2), Video("x", 0, str(tmp_path / "A/v_X_g01"), 2, 2)]
    assert find_missing(videos, "rgb") == ["x"]


def force_zip64(archive: Path) -> None:
    """Pretends that there are more entries than the plain form counts: sentinels, and a ZIP64 end before the end."""
    data = archive.read_bytes()
    count, length, start = struct.unpack("<10xHLL2x", data[-22:])
    longer = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(data) - 22, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    archive.write_bytes(data[:-22] + longer + locator + end)


def add_comment(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as out:
        out.comment = b"made by hand"


def add_accent(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as out:
        out.writestr("été.jpg", b"")


ODD_FORMS = {
    "plain": lambda archive: None,
    "comment": add_comment,
    "bytes before it": lambda archive: archive.write_bytes(b"#!/bin/sh\n" + archive.read_bytes()),
    "zip64": force_zip64,
    "names in utf-8": add_accent,
}


@pytest.mark.parametrize("form", ODD_FORMS)
def test_forms_of_archives(tmp_path, form):
    """Written as a stream, with extra fields and comments of entries, and then made odd: what zipfile reads is read."""
    with open(tmp_path / "img.zip", "wb") as file, zipfile.ZipFile(Unseekable(file), "w", zipfile.ZIP_DEFLATED) as out:
        for number in range(1, 6):
            item = zipfile.ZipInfo(f"img_{number:05d}.jpg")
            item.extra, item.comment = struct.pack("<HHL", 0x7777, 4, number), b"frame" * number
            item.compress_type = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            out.writestr(item, bytes(range(200)) * number)
    ODD_FORMS[form](tmp_path / "img.zip")
    with zipfile.ZipFile(tmp_path / "img.zip") as opened:
        for number in range(1, 6):
            wanted = opened.read(f"img_{number:05d}.jpg")
            assert len(wanted) == 200 * number
            assert read_frame(str(tmp_path), f"img_{number:05d}.jpg") == wanted
    assert count_frames(str(tmp_path), ["img_"]) == [5]


class Unseekable:
    """A pipe: zipfile then writes sizes and CRC behind each entry's bytes."""

    def __init__(self, file):
        self.write, self.flush = file.write, file.flush


def noise(path: Path, count: int) -> None:
    """An archive of ``count`` jpeg frames of noise."""
    rng = np.random.default_rng(3)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for number in range(1, count + 1):
            image = rng.integers(0, 256, (16 + 2, 23, 3), np.uint8)
            out.writestr(f"img_{number:05d}.jpg", cv2.imencode(".jpg", image)[1].tobytes())


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip_in_entry(data: bytes) -> bytes:
    """One bit of the second entry's packed bytes."""
    start = data.index(b"img_00002.jpg") + 60
    return data[:start] + bytes([data[start] ^ 4]) + data[start + 1 :]


def lose_header(data: bytes) -> bytes:
    start = data.index(b"img_00002.jpg") - 30
    return data[:start] + b"XXXX" + data[start + 4 :]


def directory_of(data: bytes, name: bytes) -> int:
    return data.rindex(name) - 46


def set_field(offset: int, form: str, value: int):
    def change(data: bytes) -> bytes:
        start = directory_of(data, b"img_00002.jpg") + offset
        return data[:start] + struct.pack(form, value) + data[start + struct.calcsize(form) :]

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, r"img\.zip: cut short, or no zip archive"),
        (lambda data: b"", r"img\.zip: cut short, or no zip archive"),
        (lambda data: b"<html>404</html>", r"img\.zip: cut short, or no zip archive"),
        (lambda data: data[:-30] + data[-22:], r"img\.zip: cut short, or no zip archive|is damaged"),
        (flip_in_entry, r"img\.zip, entry img_00002\.jpg: is damaged"),
        (lose_header, r"img\.zip, entry img_00002\.jpg: is damaged"),
        (set_field(16, "<I", 7), r"img\.zip, entry img_00002\.jpg: is damaged"),  # its CRC
        (set_field(24, "<I", 2**31), r"img\.zip, entry img_00002\.jpg: is damaged"),  # its size
        (set_field(20, "<I", 2**31), r"img\.zip, entry img_00002\.jpg: is damaged"),  # its packed size
        (set_field(42, "<I", 2**31), r"img\.zip, entry img_00002\.jpg: is damaged"),  # where it lies
        (set_field(8, "<H", 1), r"img\.zip, entry img_00002\.jpg: is encrypted"),
        (set_field(10, "<H", 12), r"img\.zip, entry img_00002\.jpg: is packed by method 12"),
    ],
)
def test_damage_is_named(tmp_path, damage, message):
    noise(tmp_path / "img.zip", 3)
    assert read_rgb(str(tmp_path), index=2).shape == (18, 23, 3)
    data = (tmp_path / "img.zip").read_bytes()
    (tmp_path / "img.zip").write_bytes(damage(data))
    os.utime(tmp_path / "img.zip", ns=(2, 2))
    with pytest.raises(PytsnError, match=message):
        read_rgb(str(tmp_path), index=2)


def test_any_damaged_byte_gives_the_frame_or_an_error(tmp_path):
    """Each byte of a small archive in turn; whatever comes of it, nothing but PytsnError and never other pixels."""
    noise(tmp_path / "img.zip", 2)
    data = (tmp_path / "img.zip").read_bytes()
    wanted = read_frame(str(tmp_path), "img_00002.jpg")
    errors = []
    for place in range(0, len(data), 7):
        (tmp_path / "img.zip").write_bytes(data[:place] + bytes([data[place] ^ 0xA5]) + data[place + 1 :])
        os.utime(tmp_path / "img.zip", ns=(place + 10, place + 10))
        try:
            assert read_frame(str(tmp_path), "img_00002.jpg") == wanted
        except PytsnError as error:
            errors.append(str(error))
    assert len(errors) > len(data) // 7 // 4  # the second of two entries lies in about half of the bytes
    assert all("img.zip" in error for error in errors)


def test_images_inside_archives_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "img.zip", "w") as out:
        out.writestr("img_00001.jpg", b"")
        out.writestr("img_00002.jpg", b"<html>404</html>")
        out.writestr("img_00003.jpg", cv2.imencode(".jpg", np.zeros((9, 7, 3), np.uint8))[1].tobytes()[:-9])
    for number, words in ((1, "empty"), (2, "not an image"), (3, "cut short")):
        with pytest.raises(PytsnError, match=rf"img\.zip, entry img_0000{number}\.jpg: .*{words}"):
            read_rgb(str(tmp_path), index=number)
    for axis, size in (("x", (9, 7)), ("y", (9, 8))):
        with zipfile.ZipFile(tmp_path / f"flow_{axis}.zip", "w") as out:
            out.writestr(f"{axis}_00001.png", cv2.imencode(".png", np.zeros(size, np.uint8))[1].tobytes())
    with pytest.raises(PytsnError, match=r"flow_y\.zip, entry y_00001\.png: 8x9 .*flow_x\.zip, entry x_00001\.png"):
        read_flow_stack(str(tmp_path), "flow_x_", "flow_y_", [1], "png")


def test_a_damaged_archive_stops_the_listing(tmp_path):
    (tmp_path / "v_1").mkdir()
    (tmp_path / "v_1" / "img.zip").write_bytes(b"PK")
    with pytest.raises(PytsnError, match=r"v_1/img\.zip: cut short, or no zip archive"):
        parse_directory(str(tmp_path))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_threads_and_processes_read_one_archive(tmp_path, method):
    """After this process has read it: what a forked process takes along must not get in its way."""
    noise(tmp_path / "img.zip", 40)
    with zipfile.ZipFile(tmp_path / "img.zip") as opened:
        wanted = [opened.read(f"img_{number:05d}.jpg") for number in range(1, 41)]
    jobs = [(str(tmp_path), f"img_{number:05d}.jpg") for number in range(1, 41)]
    assert [read_frame(*job) for job in jobs] == wanted
    wrong = []

    def check():
        wrong.extend(job for job, data in zip(jobs * 5, wanted * 5, strict=True) if read_frame(*job) != data)

    threads = [threading.Thread(target=check) for _ in range(6)]
    with ProcessPoolExecutor(2, get_context(method)) as pool:
        found = pool.map(read_frame, *zip(*jobs, strict=True))
        for thread in threads:
            thread.start()
        assert list(found) == wanted
    for thread in threads:
        thread.join()
    assert wrong == []
