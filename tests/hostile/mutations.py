"""Files damaged at random, repeatably (all draws come from one ``random.Random``): bytes, tokens, members of a zip."""

import io
import random
import re
import zipfile
from collections.abc import Callable, Sequence

#: sequences that mean something to one of the formats: lengths, tags, opcodes of pickles, markers of pictures
_BYTES = [
    *(
        b"\x00",
        b"\xff",
        b"\x80",
        b"\x7f",
        b"\xff\xff\xff\xff\x0f",
        b"\xff" * 9 + b"\x01",
        b"\xa2\x06",
        b"\x3a",
        b"\x0b",
    ),
    *(
        b"PK\x03\x04",
        b"PK\x01\x02",
        b"\x93NUMPY\x01\x00",
        b"{",
        b"[",
        b'"',
        b"\n",
        b"NaN",
        b"1e999",
        b"\xff\xd8",
        b"\xff\xda",
    ),
    *(
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04",
        b"(",
        b"R",
        b"b",
        b"0",
        b"2",
        b"\x8f",
        b"\x96",
        b"RIFF",
        b"LIST",
        b"idx1",
    ),
]
#: what a length, count, size or offset is made to say
_LIES = [
    0,
    1,
    0x7F,
    0xFF,
    0x7FFF,
    0xFFFF,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 40,
    (1 << 63) - 1,
    1 << 63,
]
_NESTS = [b"(", b"]", b"[", b"{", b'{"a":', b"\x0a\x7f", b"\xa2\x06\x7f", b"\x9b\x06", b"layer {", b"l"]
_WORDS = [
    "-1",
    "true",
    "MAX",
    "STOCHASTIC",
    "RGB",
    "nan",
    "inf",
    "[1,2]",
    "layer",
    "top",
    "dilation",
    "group",
    "%s",
    "%n",
]
_NUMBERS = ["0", "1", "2", "3", "5", "7", "64", "-1", "-3", "0.5", "1e30", "-0", "1e-45", "4294967295", "2147483648"]
_NUMBERS += ["99999999999", "100000", "9223372036854775808", "1" + "0" * 400, "0x7fffffff", "007"]
_STRANGE = [
    "\0",
    "\ufeff",
    "\u202e",
    "\u2028",
    "é",
    "😀",
    "\x1b[2J",
    "\r",
    "\t",
    "\x85",
    "\x0c",
    " ",
    "../",
    "/dev/zero",
    "'",
    "\\",
]
_TOKEN = re.compile(r'"[^"]*"|[\w./+-]+|\s+|.', re.DOTALL)

Change = Callable[[bytearray, random.Random], object]


def mutate_bytes(data: bytes, rng: random.Random, others: Sequence[bytes] = (), start: int = 0, end: int = 0) -> bytes:
    """One to four changes between ``start`` and ``end`` (0: the end); ``others``: files to splice with."""
    out = bytearray(data)
    window = bytearray(out[start : end or len(out)]) or bytearray(b"\0")
    for _ in range(rng.randint(1, 4)):
        rng.choice(_CHANGES)(window, rng)
        window = window or bytearray(b"\0")
    out[start : end or len(out)] = window
    if others and rng.random() < 0.08:
        other = rng.choice(others)
        out = out[: rng.randrange(len(out) + 1)] + other[rng.randrange(len(other) + 1) :]
    if rng.random() < 0.08:
        out = out[: rng.randrange(len(out) + 1)]
    return bytes(out)


def _byte(out: bytearray, rng: random.Random) -> None:
    out[rng.randrange(len(out))] = rng.randrange(256)


def _bit(out: bytearray, rng: random.Random) -> None:
    out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)


def _cut(out: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(out))
    del out[at : at + rng.choice((1, 4, rng.randint(1, 40), rng.randint(1, max(1, len(out) // 4))))]


def _insert(out: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(out))
    out[at:at] = rng.choice(_BYTES)


def _double(out: bytearray, rng: random.Random) -> None:
    at, start = rng.randrange(len(out)), rng.randrange(len(out))
    out[at:at] = out[start : start + rng.choice((rng.randint(1, 60), rng.randint(1, max(1, len(out) // 4))))]


def _lie(out: bytearray, rng: random.Random) -> None:
    """A number of 1 to 8 bytes, of either end, or a varint, in the place of what stands there."""
    at, value = rng.randrange(len(out)), rng.choice(_LIES)
    if rng.random() < 0.3:
        out[at : at + rng.randint(1, 5)] = varint(value)
        return
    size = rng.choice((1, 2, 4, 8))
    out[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, rng.choice(("little", "big")))


def _overwrite(out: bytearray, rng: random.Random) -> None:
    at, size = rng.randrange(len(out)), rng.randint(1, 64)
    out[at : at + size] = rng.choice((rng.randbytes(size), bytes(size), b"\xff" * size))[: len(out) - at]


def _swap(out: bytearray, rng: random.Random) -> None:
    size = rng.randint(1, max(1, min(200, len(out) // 3)))
    one, two = sorted(rng.randrange(max(1, len(out) - size)) for _ in range(2))
    out[one : one + size], out[two : two + size] = out[two : two + size], out[one : one + size]


def _nest(out: bytearray, rng: random.Random) -> None:
    at, depth = rng.randrange(len(out)), rng.choice((3, 60, 300, 5000))
    out[at:at] = (
        nested_message(rng.choice((1, 2, 7, 100)), depth // 3) if rng.random() < 0.3 else rng.choice(_NESTS) * depth
    )


_CHANGES: list[Change] = [_byte, _byte, _bit, _bit, _bit, _cut, _insert, _double, _lie, _lie, _overwrite, _swap, _nest]


def varint(value: int) -> bytes:
    """A protobuf number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def nested_message(number: int, depth: int) -> bytes:
    """A message that holds a message that holds ..., all as field ``number``."""
    data = b""
    for _ in range(depth):
        data = varint(number << 3 | 2) + varint(len(data)) + data
    return data


def mutate_text(text: str, rng: random.Random, others: Sequence[str] = ()) -> str:
    """One to three tokens replaced: mostly by one of the same kind (a number, a string), sometimes by anything. One in
    eight texts is spoiled as a whole instead: lines doubled, torn or mixed, nested, with characters of other worlds."""
    if rng.random() < 0.12:
        return rng.choice(_OF_TEXTS)(text, rng, others)
    tokens = _TOKEN.findall(text) or [" "]
    for _ in range(rng.randint(1, 3)):
        at = rng.choice([index for index, token in enumerate(tokens) if token.strip()] or [0])
        token = tokens[at]
        if rng.random() < 0.15:
            tokens[at] = rng.choice(["", "{", "}", ":", '"', "#", token * 2, token[:-1], *_WORDS, *_STRANGE])
        elif token[0] == '"':
            tokens[at] = rng.choice([other for other in tokens if other[:1] == '"'])
        elif token[0].isdigit():
            tokens[at] = rng.choice(_NUMBERS)
        elif token[0].isalpha():
            tokens[at] = rng.choice([other for other in tokens if other[:1].isalpha()] + _WORDS)
        tokens = [token for token in tokens if token] or [" "]
    return "".join(tokens)


def _strange_character(text: str, rng: random.Random, others: Sequence[str]) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(_STRANGE) * rng.choice((1, 1, 300)) + text[at:]


def _long_token(text: str, rng: random.Random, others: Sequence[str]) -> str:
    at = rng.randrange(len(text) + 1)
    return (
        text[:at]
        + rng.choice(("9", "a", "-", "(", "[1,", "{ a: ", "layer { ", '"', "\n", "a " * 9)) * rng.choice((99, 9999))
        + text[at:]
    )


def _lines(text: str, rng: random.Random, others: Sequence[str]) -> str:
    lines = text.splitlines(keepends=True) or [""]
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[at] = rng.choice(("", lines[at] * 2, lines[at] * 500, lines[other], lines[at].rstrip("\n")))
    return "".join(lines)


def _splice(text: str, rng: random.Random, others: Sequence[str]) -> str:
    other = rng.choice(others or [text])
    return text[: rng.randrange(len(text) + 1)] + other[rng.randrange(len(other) + 1) :]


_OF_TEXTS = (_strange_character, _strange_character, _long_token, _lines, _splice)


def mutate_encoded(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """A text file, seven times in eight as text, else as bytes."""
    if rng.random() < 0.125:
        return mutate_bytes(data, rng, others)
    return mutate_text(data.decode(), rng, [other.decode() for other in others]).encode("utf-8", "surrogatepass")


def mutate_zip(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """A zip spoiled as bytes or, three times in four, in its members, so that CRCs and lengths are right again."""
    if rng.random() < 0.25:
        return mutate_bytes(data, rng, others)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(item.filename, archive.read(item)) for item in archive.infolist()]
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(members))
        name, content = members[at]
        members[at : at + 1] = rng.choice(_OF_MEMBERS)(name, content, rng, members)
        if not members:
            break
    return make_zip(members, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


Members = list[tuple[str, bytes]]


def make_zip(members: Members, method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of these members, also of names that are there twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            item = zipfile.ZipInfo(name.replace("\0", "")[:300] or "x")
            item.compress_type = method
            if item.filename in archive.NameToInfo:
                del archive.NameToInfo[item.filename]  # no warning
            archive.writestr(item, content)
    return buffer.getvalue()


def _content(name: str, content: bytes, rng: random.Random, members: Members) -> Members:
    return [(name, mutate_bytes(content, rng, [other for _, other in members]))]


def _head(name: str, content: bytes, rng: random.Random, members: Members) -> Members:
    """Near its start, where shapes and types stand."""
    return [(name, mutate_bytes(content, rng, end=min(len(content), 160)))]


def _npy_header(name: str, content: bytes, rng: random.Random, members: Members) -> Members:
    """The text of an .npy header changed, its length right."""
    if not content.startswith(b"\x93NUMPY") or len(content) < 12:
        return _head(name, content, rng, members)
    size = int.from_bytes(content[8:10], "little")
    text = mutate_text(content[10 : 10 + size].decode("latin-1"), rng).encode("utf-8", "replace")[:65000]
    return [(name, content[:8] + len(text).to_bytes(2, "little") + text + content[10 + size :])]


def _renamed(name: str, content: bytes, rng: random.Random, members: Members) -> Members:
    return [(rng.choice((mutate_text(name, rng), rng.choice(members)[0], "../../" + name, "")), content)]


def _gone(name: str, content: bytes, rng: random.Random, members: Members) -> Members:
    return []


def _exchanged(name: str, content: bytes, rng: random.Random, members: Members) -> Members:
    return [(name, rng.choice(members)[1])]


_OF_MEMBERS = (_content, _content, _content, _head, _head, _npy_header, _npy_header, _renamed, _gone, _exchanged)
