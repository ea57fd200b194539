"""The one error type of the project: a mistake in what the user handed us, said in one line."""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """A file's name for one line of any terminal: control characters, and bytes that are not UTF-8, as escapes."""
    escaped = _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
    return escaped.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class PytsnError(Exception):
    """Bad input: a file, layer, frame, field or argument that cannot be used.

    ``str(error)`` is one line that names the culprit, what was found and what to do. Commands print it and exit with
    status 2; anything else that escapes is a defect of ours.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(str(message).split())))
