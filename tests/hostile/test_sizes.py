"""Small files that claim to be large: refused before memory is taken for them."""

import io
import os
import struct
import subprocess
import sys
import zipfile

import cv2
import numpy as np
import pytest

from converter.errors import PytsnError
from converter.npy_files import read_npz
from converter.recording import read_recording
from pytsn.data.frame_images import read_rgb
from pytsn.data.video_file import VideoFrames
from pytsn.training import side_file
from tests.flow.flow_videos import make_video
from tests.hostile.mutations import make_zip
from tests.places import ROOT
from tests.waiting import PATIENCE

_READS = """
import resource, sys
from pytsn.data.frame_images import read_rgb
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_rgb(sys.argv[1])
except Exception as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def test_an_image_of_a_billion_pixels_in_700_bytes(tmp_path):
    data = bytearray(cv2.imencode(".jpg", np.zeros((30, 40, 3), np.uint8))[1].tobytes())
    at = data.find(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 30000, 30000)  # it took 5.5 GB and 16 seconds
    (tmp_path / "img_00001.jpg").write_bytes(data)
    command = [sys.executable, "-c", _READS, str(tmp_path)]  # OpenCV reads the limit when it loads
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV")}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True)
    error, megabytes = done.stdout.splitlines()
    assert error == (
        f"{tmp_path}/img_00001.jpg: more than 67,108,864 pixels by its header; OPENCV_IO_MAX_IMAGE_PIXELS allows more"
    )
    assert int(megabytes) < 100


@pytest.mark.parametrize("chunk", [b"IDAT", b"IHDR", b"tEXt"])
def test_a_png_whose_chunk_claims_two_gigabytes(tmp_path, chunk):
    """It took 4 GB: OpenCV reserves what a chunk claims, and fills it."""
    data = bytearray(cv2.imencode(".png", np.zeros((30, 40, 3), np.uint8))[1].tobytes())
    (tmp_path / "img_00001.jpg").write_bytes(data)
    assert read_rgb(str(tmp_path)).shape == (30, 40, 3)
    at = data.find(chunk) - 4 if chunk in data else 33  # after IHDR
    claimed = b"\x7f\xff\xff\x00" + chunk
    data[at : at + 8] = claimed if chunk in data else claimed + data[at : at + 8]
    (tmp_path / "img_00001.jpg").write_bytes(data)
    with pytest.raises(PytsnError, match=r"img_00001\.jpg: the image is cut short after \d+ bytes"):
        read_rgb(str(tmp_path))


def test_a_video_of_large_frames(tmp_path, monkeypatch):
    video = make_video(tmp_path / "a.avi", 2)
    monkeypatch.setattr("pytsn.data.video_file.MOST_PIXELS", 64 * 48)
    assert len(list(VideoFrames(video))) == 2
    monkeypatch.setattr("pytsn.data.video_file.MOST_PIXELS", 64 * 48 - 1)
    with pytest.raises(PytsnError, match=r"a\.avi: frames of 64x48 pixels; 3,071 are the most that are decoded"):
        list(VideoFrames(video))


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode("latin-1")
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


#: member of an archive -> what is wrong with it, in words
WRONG = {
    "too large": (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1 << 40,), }\n"), "damaged header"),
    "larger than its bytes": (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }\n"), "claims"),
    "negative": (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1), }\n"), "claims the shape"),
    "of text without end": (npy("{'descr': '<U4', 'shape': (("), "damaged header"),
    "nested": (npy("(" * 9000), "damaged header"),
    "of objects": (
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", b"cos\nsystem\n."),
        "has type object",
    ),
    "of records": (npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }\n", bytes(4)), "has type"),
    "of too many dimensions": (
        npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {(1,) * 70}, }}\n", bytes(4)),
        "dimensions|damaged header",
    ),
    "of another version": (b"\x93NUMPY\x09\x00", "version"),
    "no array": (b"hello", "damaged header"),
    "cut short": (b"\x93NUM", "damaged header"),
}


@pytest.mark.parametrize("case", WRONG)
def test_arrays_that_are_none(tmp_path, case):
    member, words = WRONG[case]
    data = make_zip([("tree.npy", member)])
    with pytest.raises(ValueError, match=words):
        read_npz(io.BytesIO(data))
    with pytest.raises(PytsnError, match=r"s\.pytsnstate: damaged"):
        side_file.unpack(data, "s.pytsnstate")
    (tmp_path / "r.npz").write_bytes(data)
    with pytest.raises(PytsnError, match=r"r\.npz: not an \.npz of plain arrays: 'tree'"):
        read_recording(tmp_path / "r.npz", {})


@pytest.mark.parametrize("claim", [1 << 33, (1 << 32) - 2])
def test_archives_that_would_unpack_to_more_than_memory(claim):
    """One member that says so, and many that say so together."""
    with pytest.raises(ValueError, match="would unpack from"):
        read_npz(io.BytesIO(_claiming(claim, 1)))
    with pytest.raises(ValueError, match="would unpack from"):
        read_npz(io.BytesIO(_claiming(90 << 20, 60)))


def _claiming(size: int, members: int) -> bytes:
    """An archive of empty members whose directory says that they unpack to ``size`` bytes each."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(members):
            archive.writestr(f"a{number}.npy", b"")
        for info in archive.infolist():
            info.file_size = size
    return buffer.getvalue()


def test_arrays_come_as_they_were_written():
    rng, buffer = np.random.default_rng(0), io.BytesIO()
    wanted = {
        "a": rng.random((2, 3, 4)),
        "b": np.asfortranarray(rng.integers(0, 9, (3, 2))),
        "c": np.array("ü"),
        "d": np.zeros((0, 2)),
    }
    wanted["e"] = np.array([True, False])
    np.savez_compressed(buffer, **wanted)
    found = read_npz(buffer)
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        assert found[name].flags.writeable
        np.testing.assert_array_equal(found[name], array)
