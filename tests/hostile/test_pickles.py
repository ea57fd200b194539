"""Pickles whose few bytes make structures without end: read in no time, by no reader that hashes or prints them."""

import io
import pickle
import zipfile

import pytest
import torch

from converter.errors import PytsnError
from converter.state_files import read_state
from converter.torch_tensors import is_harmless
from pytsn.scores.pickled_arrays import RefusedPickle, load_objects
from pytsn.weights.identify import identify

#: () in itself twice, 200 times: as a tree, 2 to the 200th leaves
ENDLESS = b")q\x00" + b"0h\x00h\x00\x86q\x00" * 200
#: the content of a file, in which an endless tuple is
CONTENTS = {
    "key": b"}" + ENDLESS + b"K\x01s",
    "key of a dict made at once": b"(" + ENDLESS + b"K\x01d",
    "one of many keys": b"}(X\x01\x00\x00\x00aK\x01" + ENDLESS + b"K\x01u",
    "key of an ordered dict": b"ccollections\nOrderedDict\n](" + ENDLESS + b"K\x01\x86e\x85R",
    "member of a set": b"\x8f(" + ENDLESS + b"\x90",
    "member of a frozen set": b"(" + ENDLESS + b"\x91",
    "type of a number": b"cnumpy\ndtype\n" + ENDLESS + b"\x85R",
    "whole content": ENDLESS,
}

#: those that torch's own reader may have
NEVER_HASHED = ("type of a number", "whole content")


def layouts(content: bytes) -> dict[str, bytes]:
    """The content as PyTorch lays it out, today and before 1.6."""
    body = b"\x80\x02" + content + b"."
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("archive/data.pkl", body)
        archive.writestr("archive/version", b"3\n")
    before = b"".join(pickle.dumps(item, 2) for item in (0x1950A86A20F9469CFC6C, 1001, {}))
    return {"zip": zipped.getvalue(), "old": before + body + pickle.dumps([], 2)}


@pytest.mark.parametrize("case", CONTENTS)
@pytest.mark.parametrize("layout", ["zip", "old"])
def test_an_endless_tuple(tmp_path, layout, case, monkeypatch):
    path = tmp_path / "m.pth"
    path.write_bytes(layouts(CONTENTS[case])[layout])
    if case not in NEVER_HASHED:
        monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch would hash it"))
        assert not is_harmless(path)
    with pytest.raises(PytsnError, match=r"m\.pth: "):
        read_state(path)
    identify(path)


@pytest.mark.parametrize("layout", ["zip", "old"])
def test_a_whole_state_dict_is_torchs_to_read(tmp_path, layout):
    state = {"w": torch.arange(4.0)}
    torch.save(state, tmp_path / "m.pth", _use_new_zipfile_serialization=layout == "zip")
    assert is_harmless(tmp_path / "m.pth")
    assert torch.equal(read_state(tmp_path / "m.pth")[0]["w"], state["w"])


def test_tensors_that_claim_more_than_the_file_has_are_not(tmp_path):
    torch.save({"w": torch.zeros(1000)}, tmp_path / "m.pth", _use_new_zipfile_serialization=False)
    data = (tmp_path / "m.pth").read_bytes()
    assert data.count(b"M\xe8\x03") >= 1
    (tmp_path / "m.pth").write_bytes(data.replace(b"M\xe8\x03", b"J\xff\xff\xff\x7f"))
    assert not is_harmless(tmp_path / "m.pth")
    with pytest.raises(PytsnError, match="claim more than the file has"):
        read_state(tmp_path / "m.pth")


def test_an_endless_name_of_an_encoding():
    endless = ENDLESS.replace(b"\x000h", b"\x00h")  # POP is no opcode of score files
    call = b"c_codecs\nencode\nX\x01\x00\x00\x00ah\x00\x86R"
    with pytest.raises(RefusedPickle, match="an encoding other than Latin-1"):
        load_objects(io.BytesIO(b"\x80\x02" + endless + call + b"."))


@pytest.mark.parametrize("layout", ["zip", "old"])
def test_text_that_claims_two_gigabytes(tmp_path, layout):
    """Python's files take memory for all that they are asked for."""
    path = tmp_path / "m.pth"
    path.write_bytes(layouts(b"X\xff\xff\xff\x7fabc")[layout])
    with pytest.raises(PytsnError, match=r"m\.pth: damaged.*claims more bytes than follow"):
        read_state(path)


def test_names_of_storages_that_claim_two_gigabytes(tmp_path):
    """The list of them follows the content, in the layout before 1.6."""
    path = tmp_path / "m.pth"
    whole = layouts(b"}")["old"]
    path.write_bytes(whole)
    assert is_harmless(path)
    path.write_bytes(whole.removesuffix(pickle.dumps([], 2)) + b"\x80\x02]X\xff\xff\xff\x7fabc")
    assert not is_harmless(path)
