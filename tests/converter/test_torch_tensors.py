"""The reader of mixed PyTorch files: against torch's own, and against what a hostile pickle could try."""

import argparse
import contextlib
import io
import os
import pickle
import random
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from converter.errors import PytsnError
from converter.state_files import read_state
from converter.torch_pickle import StandIn, Unpickler
from converter.torch_tensors import load_tensors

LAYOUTS = pytest.mark.parametrize("old", [False, True], ids=["zip", "old"])


def save(path, content, old):
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    return path


@LAYOUTS
def test_tensors_are_torchs_own(old, tmp_path):
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    content = OrderedDict(
        plain=base,
        view=base[1:3, ::2],
        turned=base.t(),
        scalar=torch.tensor(2.5),
        empty=torch.empty(0, 3),
        parameter=torch.nn.Parameter(torch.ones(2)),
        double=torch.ones(3, dtype=torch.float64) / 3,
        half=torch.ones(3, dtype=torch.float16) / 3,
        bfloat=torch.ones(3, dtype=torch.bfloat16) / 3,
        long=torch.tensor([2**40, -1]),
        bytes=torch.tensor([0, 255], dtype=torch.uint8),
        truth=torch.tensor([True, False]),
    )
    path = save(tmp_path / "t", {"state_dict": content, "n": 3, "words": ["a", ("b", None, 2.5, True)]}, old)
    found, wanted = load_tensors(path), torch.load(path, weights_only=True)
    assert (found["n"], found["words"]) == (wanted["n"], wanted["words"])
    assert list(found["state_dict"]) == list(content)
    for key, value in wanted["state_dict"].items():
        assert torch.equal(found["state_dict"][key], value), key
        assert found["state_dict"][key].dtype == value.dtype


@LAYOUTS
def test_numbers_of_numpy_and_objects_of_any_class(old, tmp_path):
    content = {
        "best": np.float64(85.5),
        "epoch": np.int64(7),
        "single": np.float32(0.5),
        "flag": np.bool_(True),
        "args": argparse.Namespace(lr=0.1),
        "array": np.arange(4),
        "set": {1, 2},
        "fraction": io.BytesIO,
    }
    found = load_tensors(save(tmp_path / "t", content, old))
    assert [found[key] for key in ("best", "epoch", "single", "flag")] == [85.5, 7, 0.5, True]
    assert isinstance(found["args"], StandIn)
    assert found["args"].label == "argparse.Namespace"
    assert isinstance(found["array"], StandIn)


class Evil:
    def __init__(self, *call):
        self._call = call

    def __reduce__(self):
        return self._call


@LAYOUTS
@pytest.mark.parametrize(
    "call",
    [
        (os.system, ("touch pwned",)),
        (exec, ("open('pwned', 'w')",)),
        (getattr, (os, "system")),
        (OrderedDict, (), {"__class__": int}),
        (argparse.Namespace, (), {"x": Ellipsis}),
    ],
)
def test_nothing_runs(call, old, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if call[1] and call[1][0] is os:
        call = (getattr, (argparse.Namespace(), "system"))
    save("c.pth", {"state_dict": {"fc.weight": torch.ones(2, 2)}, "more": [Evil(*call)]}, old)
    state, _ = read_state("c.pth")
    assert torch.equal(state["fc.weight"], torch.ones(2, 2))
    assert os.listdir() == ["c.pth"]


def unpickle(code: bytes):
    return Unpickler(io.BytesIO(b"\x80\x04" + code + b".")).load()


def glob(module: str, name: str) -> bytes:
    return b"c" + f"{module}\n{name}\n".encode()


@pytest.mark.parametrize(
    "code",
    [
        glob("builtins", "eval") + b"\x8c\x011\x85R",
        b"(i" + b"os\nsystem\n",
        glob("posix", "system") + b")\x81",
        b"\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R",
        glob("torch", "nn") + b"}\x8c\x01a\x8c\x01bsb",
        glob("copyreg", "_reconstructor") + glob("os", "system") + glob("builtins", "object") + b"N\x87R",
    ],
)
def test_every_road_to_a_class_ends_at_a_stand_in(code):
    found = unpickle(code)
    assert isinstance(found, StandIn) or issubclass(found, StandIn)


def test_attributes_are_never_set():
    found = unpickle(glob("collections", "OrderedDict") + b")R}\x8c\x05magic\x8c\x01bsb")
    assert isinstance(found, OrderedDict)
    assert not hasattr(found, "magic")
    unpickle(glob("collections", "OrderedDict") + b"N}\x8c\x07__doc__\x8c\x01bs\x86b")
    unpickle(glob("torch._utils", "_rebuild_tensor") + b"N}\x8c\x0c__defaults__\x8c\x01bs\x86b")
    assert Unpickler.make_tensor.__defaults__ is None


def test_claims_beyond_the_file(tmp_path):
    for code in (b"\x96" + struct.pack("<Q", 1 << 40), b"\x8e" + struct.pack("<Q", 1 << 40), b"r\xff\xff\xff\xff"):
        with pytest.raises((pickle.UnpicklingError, KeyError, EOFError, IndexError)):
            unpickle(code)
    for old in (False, True):
        path = save(tmp_path / "t", {"w": torch.zeros(7), "e": Evil(print, ())}, old)
        if old:  # a storage of two milliards
            path.write_bytes(path.read_bytes().replace(b"K\x07N", b"J\xff\xff\xff\x7fN"))
        else:
            _rezip(path, lambda _, data: data.replace(b"K\x07t", b"J\xff\xff\xff\x7ft"))
        with pytest.raises(pickle.UnpicklingError, match="claim more than the file has"):
            load_tensors(path)


def _rezip(path, change, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, change(name, data))


def test_archives_that_torch_did_not_write(tmp_path):
    path = save(tmp_path / "t.pth", {"w": torch.zeros(7), "e": Evil(print, ())}, False)
    load_tensors(path)
    _rezip(path, lambda name, data: data, zipfile.ZIP_DEFLATED)
    with pytest.raises(PytsnError, match=r"t\.pth: damaged, or not a PyTorch file: .* is compressed"):
        read_state(path)


def test_whole_models_are_named(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
    line = r"model\.pth: holds a whole object \(torch\.nn\.modules\.linear\.Linear\).*save model\.state_dict\(\)"
    with pytest.raises(PytsnError, match=line):
        read_state(tmp_path / "model.pth")


@LAYOUTS
def test_any_damage_is_one_line(old, tmp_path):
    path = save(tmp_path / "t.pth", {"state_dict": {"w": torch.ones(9, 9)}, "args": argparse.Namespace(a=1)}, old)
    original, rng = path.read_bytes(), random.Random(3)
    for _ in range(400):
        data = bytearray(original)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(bytes(data[: rng.randrange(len(data))] if rng.random() < 0.3 else data))
        with contextlib.suppress(PytsnError):  # any other exception is a defect
            read_state(path)
