"""Pipes, sockets and devices where a file of data belongs: one line at once, never a wait. What the shell makes of
``<(command)`` is still read."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from converter.errors import PytsnError
from converter.files import open_regular, read_bytes, sha256_of
from converter.net import load_net
from converter.proto import read_mean, read_net, read_solver
from converter.recording import read_recording
from converter.solverstate import read_solverstate
from converter.weights import load_any_weights
from pytsn.data.frame_images import read_rgb
from pytsn.data.frame_store import number_frames
from pytsn.data.sources import find_sources
from pytsn.data.video_list import read_video_list
from pytsn.features.files import read_index
from pytsn.flow.extract.resume import BROKEN, check_folder
from pytsn.flow.extract.video import ExtractSettings
from pytsn.predict.labels import read_labels
from pytsn.runtime.unfinished import read_record
from pytsn.scores.resume import ScoreStore
from pytsn.scores.score_file import read_scores
from pytsn.weights.identify import identify
from pytsn.weights.resume import PartFile
from tests.hostile.kinds import RECORDINGS

NO_FILE = "is a pipe, a socket or a device; a file was expected"


def make(kind: str, path: Path) -> Path:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    else:
        path.symlink_to("/dev/zero")
    return path


@pytest.fixture(params=["pipe", "socket", "device"])
def special(request, tmp_path) -> Path:
    return make(request.param, tmp_path / "x")


TEXTS_AND_NETS = {
    "list": read_video_list,
    "labels": lambda path: read_labels(path, 2, "net"),
    "prototxt": read_net,
    "solver": read_solver,
    "solverstate": read_solverstate,
    "mean": read_mean,
    "weights": lambda path: load_any_weights(None, path),
}
FILES_ONLY = {
    "scores": read_scores,
    "features": lambda path: read_index(path, "npz"),
    "recording": lambda path: read_recording(path, {}),
    "hash": sha256_of,
    "regular": open_regular,
}


@pytest.mark.parametrize("what", [*TEXTS_AND_NETS, *FILES_ONLY])
def test_whatever_is_read_is_a_file(special, what):
    if what == "hash" and special.is_fifo():
        assert sha256_of(special) == ""  # of a pipe that was read before
        return
    with pytest.raises(PytsnError) as caught:
        {**TEXTS_AND_NETS, **FILES_ONLY}[what](special)
    nobody = "a pipe that nothing comes out of: nobody writes to it"
    assert any(f"x: {words}" in str(caught.value) for words in (NO_FILE, nobody))


def test_weights_are_not_identified_in_it(special):
    with pytest.raises(PytsnError, match=f"x: {NO_FILE}"):
        identify(special)


@pytest.mark.parametrize("name", ["img_00001.jpg", "img.zip"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_a_frame_or_its_archive(tmp_path, kind, name):
    folder = tmp_path / "v"
    folder.mkdir()
    make(kind, folder / name)
    with pytest.raises(PytsnError, match=f"{name}: {NO_FILE}"):
        read_rgb(str(folder))
    if name == "img.zip":
        with pytest.raises(PytsnError, match=NO_FILE):
            number_frames(str(folder), ["img_"])
    else:
        assert [source.path for source in find_sources([str(tmp_path)])] == [str(folder)]


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_unfinished_work(tmp_path, kind):
    """A record counts as damaged, an array as missing, a folder as broken; a part is not waited for."""
    make(kind, tmp_path / "r.json")
    with pytest.raises(PytsnError, match=r"r\.json"):
        read_record(tmp_path / "r.json")
    store = ScoreStore(tmp_path / "s.npz", ["a", "b"], [0, 1], {})
    make(kind, store.folder / "000000.npy")
    assert store.todo() == [0, 1]
    for image in ("img", "flow_x", "flow_y"):
        make(kind, tmp_path / f"{image}_00001.jpg")
    assert check_folder(str(tmp_path), ExtractSettings(), 5).verdict == BROKEN
    if kind == "pipe":
        os.mkfifo(tmp_path / "m.part")
        with pytest.raises(PytsnError, match=r"m\.part"):
            PartFile(tmp_path / "m", "http://h/m").open()


@pytest.mark.parametrize("named", [False, True])
def test_what_comes_out_of_a_pipe_is_read(tmp_path, named, monkeypatch):
    """As the shell's <(command) gives it, /dev/fd/N, or by a name; up to a size."""
    text = "".join(f"folder{number} 9 {number}\n" for number in range(20_000)).encode()  # more than a pipe holds
    path, end = _pipe(tmp_path, named)
    with _writing(end, text):
        rows = read_video_list(path)
    assert [row.label for row in rows] == list(range(20_000))
    monkeypatch.setattr("converter.files.LARGEST_PIPED", len(text) - 1)
    path, end = _pipe(tmp_path / "more", named)
    with _writing(end, text), pytest.raises(PytsnError, match="came out of this pipe; name a file"):
        read_bytes(path)


def _pipe(folder: Path, named: bool) -> tuple[str, int]:
    """Its path for the reader, and the writer's end."""
    if not named:
        ends = os.pipe()
        return f"/dev/fd/{ends[0]}", ends[1]
    folder.mkdir(exist_ok=True)
    os.mkfifo(folder / "named")
    return str(folder / "named"), os.open(folder / "named", os.O_RDWR)  # does not wait for a reader


@contextlib.contextmanager
def _writing(end: int, text: bytes) -> Iterator[None]:
    def write() -> None:
        with open(end, "wb") as file:
            file.write(text)

    writer = threading.Thread(target=write)
    writer.start()
    yield
    writer.join()


def test_weights_come_out_of_a_pipe_too(tmp_path):
    folder = RECORDINGS / "tiny" / "det_fixed"
    net = load_net(folder / "train_val.prototxt", phase="TRAIN")
    path, end = _pipe(tmp_path, named=False)
    with _writing(end, (folder / "snap_iter_20.caffemodel").read_bytes()):
        load_any_weights(net, path).require_complete()
