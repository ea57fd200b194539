"""Files damaged at random: bytes of a caffemodel, tokens of a prototxt."""

import random
import re

_BYTES = [b"\x00", b"\xff", b"\x80", b"\x7f", b"\xff\xff\xff\xff\x0f", b"\xa2\x06", b"\x3a", b"\x0b"]
_WORDS = ["-1", "true", "MAX", "STOCHASTIC", "RGB", "nan", "inf", "[1,2]", "layer", "top", "dilation", "group"]
_NUMBERS = ["0", "1", "2", "3", "5", "7", "64", "-1", "-3", "0.5", "1e30", "4294967295", "99999999999", "100000"]
_TOKEN = re.compile(r'"[^"]*"|[\w./+-]+|\s+|.', re.DOTALL)


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to four changes: a byte, a cut, a piece moved, a telling sequence put in."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out))
        kind = rng.randrange(5)
        if kind == 0:
            out[at] = rng.randrange(256)
        elif kind == 1:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del out[at : at + rng.randint(1, 40)]
        elif kind == 3:
            out[at:at] = rng.choice(_BYTES)
        else:
            start = rng.randrange(len(out))
            out[at:at] = out[start : start + rng.randint(1, 60)]
        out = out or bytearray(b"\x00")
    return bytes(out[: rng.randrange(len(out))] if rng.random() < 0.05 else out)


def mutate_text(text: str, rng: random.Random) -> str:
    """One to three tokens replaced: mostly by one of the same kind (a number, a string), sometimes by anything."""
    tokens = _TOKEN.findall(text)
    for _ in range(rng.randint(1, 3)):
        at = rng.choice([index for index, token in enumerate(tokens) if token.strip()])
        token = tokens[at]
        if rng.random() < 0.15:
            tokens[at] = rng.choice(["", "{", "}", ":", '"', "#", token * 2, token[:-1], *_WORDS])
        elif token[0] == '"':
            tokens[at] = rng.choice([other for other in tokens if other[:1] == '"'])
        elif token[0].isdigit():
            tokens[at] = rng.choice(_NUMBERS)
        elif token[0].isalpha():
            tokens[at] = rng.choice([other for other in tokens if other[:1].isalpha()] + _WORDS)
    return "".join(tokens)
