"""Files are told by what is in them: a safetensors file of any length, a pipe, names that lie."""

import os

import pytest
import torch

from converter.errors import PytsnError
from converter.file_kinds import CAFFEMODEL, PTH, SAFETENSORS, is_state_file, kind_of, sniff
from converter.net import load_net
from converter.weights import save_caffemodel
from tests.converter.nets import BRANCHED, build


@pytest.mark.parametrize("first", [b"\x80\x02", b"\x80\x04", b"\x1f\x8b", b"BZ"])
def test_safetensors_whose_length_looks_like_another_magic(first):
    assert sniff(first + bytes(6) + b'{"w":{}}', 10_000) is SAFETENSORS


def test_names_do_not_count(tmp_path):
    net = build(BRANCHED)
    (tmp_path / "net.prototxt").write_text(BRANCHED)
    save_caffemodel(tmp_path / "net.pth", net)
    torch.save(net.state_dict(), tmp_path / "net.caffemodel")
    torch.save(net.state_dict(), tmp_path / "net.safetensors")
    torch.save(net.state_dict(), tmp_path / "net")
    torch.save(net.state_dict(), tmp_path / "net.pth.tar", _use_new_zipfile_serialization=False)
    from safetensors.torch import save_file

    save_file(dict(net.state_dict()), tmp_path / "net.v5")
    kinds = {"net.pth": CAFFEMODEL, "net.v5": SAFETENSORS}
    for name in ("net.pth", "net.caffemodel", "net.safetensors", "net", "net.pth.tar", "net.v5"):
        assert kind_of(tmp_path / name) is kinds.get(name, PTH), name
        report = load_net(tmp_path / "net.prototxt", tmp_path / name).report
        assert (len(report.matched), report.missing) == (2, []), name


def test_what_cannot_be_looked_at(tmp_path):
    for path, line in ((tmp_path / "none", "no such file"), (tmp_path, "is a folder")):
        with pytest.raises(PytsnError, match=line):
            is_state_file(path)
    os.mkfifo(tmp_path / "pipe")
    assert kind_of(tmp_path / "pipe") is None  # a look would wait, or take away what comes
    assert not is_state_file(tmp_path / "pipe")
