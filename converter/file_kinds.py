"""Recognises files by their first bytes: weight files, and what is often found under the name of one.

Content decides, never the name: PyTorch checkpoints end in .pth.tar, .ckpt, or have no suffix.
"""

import codecs
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from converter import wire
from converter.errors import PytsnError
from converter.files import explain_os_error

HEAD = 1 << 16  # bytes that suffice to recognise a file
STATE_SUFFIXES = (".safetensors", ".pth", ".pt")
WEIGHT_SUFFIXES = (".caffemodel", ".v5", *STATE_SUFFIXES)


@dataclass(frozen=True)
class FileKind:
    """``name``: in words. ``reader``: caffemodel, pth, safetensors or solverstate for files that are read, else "".

    useless: the file is of no use, whatever its name. advice: what to do with it.
    """

    name: str
    reader: str = ""
    useless: bool = False
    advice: str = ""

    @property
    def is_weights(self) -> bool:
        """Whether it may hold a net's weights."""
        return self.reader not in ("", "solverstate")


CAFFEMODEL = FileKind("caffemodel", "caffemodel")
PTH = FileKind("PyTorch file", "pth")
SAFETENSORS = FileKind("safetensors file", "safetensors")
UNKNOWN = FileKind("binary file of no kind known here", advice="if it was a caffemodel, it is damaged from the start")
EMPTY = FileKind("empty file", useless=True, advice="a download that failed: fetch it again")

_UNPACK = "unpack it, then identify what comes out"
_PAGE = "the server answered with a page instead of the file: fetch it from elsewhere"
# fmt: off
_MAGIC = (
    # offset, bytes, kind
    (0, b"\x1f\x8b", FileKind("gzip archive", advice=_UNPACK)),
    (0, b"\xfd7zXZ", FileKind("xz archive", advice=_UNPACK)),
    (0, b"BZh", FileKind("bzip2 archive", advice=_UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", FileKind("zstd archive", advice=_UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", FileKind("7z archive", advice=_UNPACK)),
    (0, b"Rar!", FileKind("rar archive", advice=_UNPACK)),
    (257, b"ustar", FileKind("tar archive", advice=_UNPACK)),
    (0, b"\x89HDF", FileKind("HDF5 file", advice="Caffe: save the net with snapshot_format BINARYPROTO")),
    (0, b"\x89PNG", FileKind("PNG picture")),
    (0, b"\xff\xd8\xff", FileKind("JPEG picture")),
    (0, b"%PDF", FileKind("PDF document")),
    (0, b"\x93NUMPY", FileKind("NumPy .npy array")),
    (0, b"\x80\x02", PTH), (0, b"\x80\x03", PTH), (0, b"\x80\x04", PTH),  # a pickle, torch's form before 1.6
)
# fmt: on


def sniff(head: bytes, size: int) -> FileKind:
    """The kind of a file of ``size`` bytes that begins with ``head`` (the first HEAD bytes are enough)."""
    if not size:
        return EMPTY
    tests: tuple[Callable[[bytes, int], FileKind | None], ...] = (_safetensors, _magic, _zip, _text, _protobuf)
    for test in tests:  # safetensors first: it may begin with any two bytes
        if found := test(head, size):
            return found
    return UNKNOWN


def kind_of(path: str | os.PathLike) -> FileKind | None:
    """The kind of the file at ``path``, whatever its name. None for pipes and devices: reading would consume them.

    Every part of pytsn that reads weights uses this. Raises PytsnError if the file cannot be read.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            return None
        with open(path, "rb") as file:
            return sniff(file.read(HEAD), status.st_size)
    except OSError as error:
        raise explain_os_error(error, path) from None


def is_state_file(path: str | os.PathLike) -> bool:
    """Whether the file holds a PyTorch or safetensors state dict rather than a caffemodel, judged by its content.

    Raises PytsnError if it cannot be read.
    """
    kind = kind_of(path)
    return kind is not None and kind.reader in ("pth", "safetensors")


def writes_state(path: str | os.PathLike) -> bool:
    """Whether an output of this name is written as a state dict; the suffix decides."""
    return Path(path).suffix.lower() in STATE_SUFFIXES


def has_weight_name(path: str | os.PathLike) -> bool:
    """Whether the suffix says that the file holds weights."""
    name = Path(path).name.lower()
    return name.endswith((*WEIGHT_SUFFIXES, ".pth.tar"))


def _magic(head: bytes, size: int) -> FileKind | None:
    return next((kind for offset, magic, kind in _MAGIC if head[offset : offset + len(magic)] == magic), None)


def _zip(head: bytes, size: int) -> FileKind | None:
    if head[:4] != b"PK\x03\x04":
        return None
    first = head[30 : 30 + int.from_bytes(head[26:28], "little")].decode("utf-8", "replace")
    if first.endswith(("data.pkl", "/version", "/byteorder", "/.format_version")):
        return PTH
    if first.endswith(".npy"):
        return FileKind("NumPy .npz archive", advice="scores or features, not weights")
    return FileKind(f"zip archive (it begins with '{_printable(first)}')", advice=_UNPACK)


def _safetensors(head: bytes, size: int) -> FileKind | None:
    length = int.from_bytes(head[:8], "little")
    return SAFETENSORS if head[8:9] == b"{" and length < 1 << 30 else None


def _text(head: bytes, size: int) -> FileKind | None:
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head, final=size <= len(head))
    except UnicodeDecodeError:
        if head.lstrip()[:1] != b"<":
            return None
        text = head.decode("latin-1")  # a page of an old server
    if re.search(r"[\x00-\x08\x0e-\x1f\x7f]", text):
        return None
    start = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE).lstrip()[:1000]  # prototxts begin with comments
    for pattern, make in _TEXTS:
        if re.match(pattern, start, re.IGNORECASE):
            return make(text)
    return FileKind("text file", advice="a list, a log? No weights")


def _web_page(text: str) -> FileKind:
    title = re.search(r"<title[^>]*>\s*(.{1,80}?)\s*</title>", text, re.IGNORECASE | re.DOTALL)
    return FileKind(f"HTML page{_quoted(title)}", useless=True, advice=_PAGE)


def _xml(text: str) -> FileKind:
    code = re.search(r"<Code>\s*(\w{1,80})", text)
    return FileKind(f"XML answer of a server{_quoted(code)}", useless=True, advice=_PAGE)


def _lfs_pointer(text: str) -> FileKind:
    size = re.search(r"^size (\d{1,15})$", text, re.MULTILINE)
    of = f" to a file of {int(size[1]):,} bytes" if size else ""
    return FileKind(f"Git LFS pointer{of}", useless=True, advice="fetch the file itself with `git lfs pull`")


def _net_text(text: str) -> FileKind:
    name = re.match(r"(?:\s|#.*\n)*name\s*:\s*[\"']([^\"']{1,80})", text)
    return FileKind(f"prototxt of a net{_quoted(name)}", advice="the net's description; its weights are another file")


_TEXTS: tuple[tuple[str, Callable[[str], FileKind]], ...] = (
    (r"version https://git-lfs", _lfs_pointer),
    (r"(<!--.*?-->\s*)*<(!doctype html|html|head|body|script|title)", _web_page),
    (r"<\?xml[^>]*\?>\s*(<!doctype html|<html)", _web_page),
    (r"<\?xml|<Error", _xml),
    (r"\{\s*[\"}]", lambda text: FileKind("JSON text", useless=True, advice=_PAGE)),
    (r"(name|layers?|input|input_dim|input_shape|force_backward)\s*[:{]", _net_text),
    (r"(net|train_net|test_iter|test_interval|base_lr|solver_mode)\s*:", lambda text: FileKind("prototxt of a solver")),
)


def _quoted(found: re.Match | None) -> str:
    return f" ('{_printable(found[1])}')" if found else ""


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:80]


def _protobuf(head: bytes, size: int) -> FileKind | None:
    """Recognises a message of Caffe or ONNX by the numbers of its first fields."""
    seen = set(_first_fields(head))
    for file_kind, needed, allowed in _MESSAGES:
        if needed <= seen and {number for number, _ in seen} <= allowed:
            return file_kind
    return None


def _first_fields(head: bytes) -> Iterator[tuple[int, int]]:
    """(number, wire type) of the top-level fields that begin within ``head``; stops at bytes that are not protobuf."""
    buffer, at = memoryview(head), 0
    try:
        while at < len(head):
            tag, at = wire.read_varint(buffer, at)
            number, kind = tag >> 3, tag & 7
            if number == 0 or kind not in (wire.VARINT, wire.FIXED64, wire.BYTES, wire.FIXED32):
                return
            value, after = wire.read_varint(buffer, at) if kind in (wire.VARINT, wire.BYTES) else (0, at)
            yield number, kind
            at = after + {wire.VARINT: 0, wire.BYTES: value, wire.FIXED32: 4, wire.FIXED64: 8}[kind]
    except PytsnError:
        return


_V, _B = wire.VARINT, wire.BYTES
_SOLVERSTATE = FileKind(
    "solverstate",
    "solverstate",
    advice="history of a training run, no net; the weights lie in the .caffemodel beside it",
)
_ONNX = FileKind("ONNX file", advice="for onnxruntime; Caffe's and PyTorch's files are identified here")
_MEAN = FileKind("mean image (a single blob)", advice="no net; Caffe's mean_file")
_MESSAGES = (
    # kind, required fields, allowed fields
    (CAFFEMODEL, {(100, _B)}, set(range(1, 10000))),
    (_ONNX, {(1, _V), (7, _B)}, set(range(1, 30))),
    (_MEAN, {(5, _B)}, set(range(1, 10))),
    (_SOLVERSTATE, {(1, _V), (2, _B)}, {1, 2, 3, 4}),
    (CAFFEMODEL, {(2, _B)}, {1, 2, 3, 4, 5, 6, 7, 8, 100, 200}),  # the form used before 2015
)
