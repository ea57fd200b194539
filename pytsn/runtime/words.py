"""Lists of names in messages for the user."""

from collections.abc import Iterable


def one_of(names: Iterable[str], word: str = "or") -> str:
    """``rgb, flow or rgbdiff``; a single name unchanged."""
    *others, last = names
    return f"{', '.join(others)} {word} {last}" if others else last
