"""How the frames of one kind are called, and which of a folder's names are such frames.

A kind is told by one text: a prefix, as the original has it (``img_``: five digits and ``.jpg`` follow), or a whole
pattern (``image_%06d.jpg``, ``frame%d.png``). dense_flow numbers from 1, as Caffe reads; newer extractors, mmaction2's
denseflow among them, number from 0. Both are read: what counts frames and chooses them starts at 1 everywhere, and
``Numbering.first`` says which file that is.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from converter.errors import PytsnError

_NUMBER = re.compile(r"%(?:0[0-9]{1,2})?d")
_FLOW_AXIS = "%c"


@dataclass(frozen=True)
class Numbering:
    """The numbers that a folder's frames of one kind carry: the first, how many, and the first one that is missing
    between the first and the last (1 where they start later than at 1), None where none is."""

    first: int = 1
    count: int = 0
    missing: int | None = None


def frame_name(kind: str, number: int, ext: str = "jpg") -> str:
    """The file that carries ``number``: ``img_``, 7 -> ``img_00007.jpg``; ``frame%d.png``, 7 -> ``frame7.png``."""
    return kind % number if is_pattern(kind) else f"{kind}{number:05d}.{ext}"


def is_pattern(kind: str) -> bool:
    """Whether the text is a whole pattern, and not a prefix."""
    return "%" in kind


def kind_prefix(kind: str) -> str:
    """What stands before the number."""
    return kind.partition("%")[0]


def short_kind(kind: str) -> str:
    """The kind as dense_flow calls it inside its zips: ``flow_x_`` -> ``x_``."""
    return kind[kind_prefix(kind).rstrip("_").rfind("_") + 1 :]


def is_frame(kind: str, name: str) -> bool:
    """Whether a file's name is one of the kind: of a prefix with any number of digits and any extension."""
    return _matcher(kind).fullmatch(name) is not None


def frame_numbers(kind: str, names: Iterable[str]) -> list[int]:
    """The numbers of those of the names that are frames of the kind, in the names' order."""
    start, matcher = kind_prefix(kind), _matcher(kind)
    found = (matcher.fullmatch(name) for name in names if name.startswith(start))
    return [int(match[1]) for match in found if match]


def numbering(numbers: Sequence[int]) -> Numbering:
    """What the numbers of a folder's frames come to."""
    if not numbers:
        return Numbering()
    first = min(numbers)
    if first > 1:
        return Numbering(first, len(numbers), 1)
    distinct = set(numbers)
    whole = max(numbers) - first + 1 == len(distinct)
    return Numbering(first, len(numbers), None if whole else _first_gap(first, distinct))


def check_numbering(folder: str, kind: str, found: Numbering) -> None:
    """Raises PytsnError naming the folder and the first missing number where frames are missing between others."""
    if found.missing is None:
        return
    told = is_pattern(kind) or kind.endswith("_")  # after flow_x, as build-file-list has it, something else may follow
    name = f" ({frame_name(kind, found.missing)})" if told else ""
    raise PytsnError(
        f"{folder}: the images {kind} have no number {found.missing}{name}, though there are {found.count}, from"
        f" number {found.first} on; numbers must run from 0 or 1 without a gap: extract the frames of this video again"
    )


def check_frame_pattern(option: str, pattern: str, flow: bool = False) -> str:
    """The pattern as it was given. Raises PytsnError naming the option unless the pattern has one number, such as %05d
    or %d, and for flow %c before it."""
    rest = pattern.replace(_FLOW_AXIS, "", 1) if flow else pattern
    numbers = _NUMBER.findall(rest)
    good = len(numbers) == 1 and rest.count("%") == 1 and "/" not in pattern
    if not good or (flow and not 0 <= pattern.find(_FLOW_AXIS) < pattern.find(numbers[0])):
        wanted = "%c for x and y and then one number, as flow_%c_%05d.jpg" if flow else "one number, as image_%06d.jpg"
        raise PytsnError(f"{option} {pattern}: a file name with {wanted} was expected")
    return pattern


def frame_kinds(
    prefixes: tuple[str, str, str], frame_pattern: str | None = None, flow_pattern: str | None = None
) -> tuple[str, str, str]:
    """The kinds rgb, flow x and flow y: the prefixes, or what --frame_pattern and --flow_pattern say instead. Raises
    PytsnError for a pattern that makes no file names."""
    rgb, flow_x, flow_y = prefixes
    if frame_pattern is not None:
        rgb = check_frame_pattern("--frame_pattern", frame_pattern)
    if flow_pattern is not None:
        check_frame_pattern("--flow_pattern", flow_pattern, flow=True)
        flow_x, flow_y = (flow_pattern.replace(_FLOW_AXIS, axis) for axis in "xy")
    return rgb, flow_x, flow_y


@lru_cache(maxsize=64)
def _matcher(kind: str) -> re.Pattern:
    """Of a kind's names, the number in group 1."""
    match = _NUMBER.search(kind)
    if match is None:
        return re.compile(re.escape(kind) + r"[^0-9]*([0-9]+)(?:\.(?!zip$)[A-Za-z0-9]+)?")
    width = max(1, int(match[0][1:-1] or 1))
    digits = f"([0-9]{{{width}}}|[1-9][0-9]{{{width},}})"
    return re.compile(re.escape(kind[: match.start()]) + digits + re.escape(kind[match.end() :]))


def _first_gap(first: int, numbers: set[int]) -> int:
    number = first
    while number in numbers:
        number += 1
    return number
