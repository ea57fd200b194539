"""What ends up on the terminal is printable, whatever a file or its name holds."""

import pytest

from converter.errors import PytsnError, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Müller/日本.avi", "Müller/日本.avi"),
        ("a\x1b[2J\nb\x9bm", "a\\x1b[2J\\nb\\x9bm"),
        (b"v\xff\xc3.avi".decode("utf-8", "surrogateescape"), "v\\xff\\xc3.avi"),
        ("half \ud800 of a pair", "half \\ud800 of a pair"),  # JSON may hold one
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown
    assert shown.isprintable()
    shown.encode("utf-8")
    assert str(PytsnError(f"{text.replace(chr(10), '')}: bad")) == f"{shown.replace(chr(92) + 'n', '')}: bad"
