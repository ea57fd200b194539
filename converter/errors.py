"""The project's one error type: bad input from the user, reported in one line."""

import re

#: letters of an error's line, at most
LONGEST = 1000
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(text: str) -> str:
    """A file name made safe for one line of any terminal. Escapes control characters, bytes that are not UTF-8 (which
    Python holds as U+DC80 to U+DCFF) and lone surrogates, which no terminal accepts."""
    return _UNPRINTABLE.sub(_escape, text)


def shortened(text: str) -> str:
    """A text of any length as at most LONGEST letters: the middle of a longer one is left out. What a damaged file
    holds where a name belongs may be as long as the file."""
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST * 2 // 3]} [...] {text[-LONGEST // 4 :]}"


def _escape(found: re.Match) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return found[0].encode("unicode_escape").decode("ascii")


class PytsnError(Exception):
    """Bad input: a file, layer, frame, field or argument that cannot be used.

    ``str(error)`` is one line that names the culprit, what was found and what to do. Commands print it and exit with
    status 2. Any other exception that reaches the user is a bug in pytsn.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shortened(printable(" ".join(str(message).split()))))
