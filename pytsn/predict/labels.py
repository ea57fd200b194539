"""Class names, from the lists that come with the datasets."""

import os
import re

from converter.errors import PytsnError
from converter.files import read_text

_NUMBERED = re.compile(r"(\d+)\s+(\S.*)")


def read_labels(path: str | os.PathLike, num_classes: int, source: str) -> list[str]:
    """The names of classes 0, 1, ...: from lines `number name`, numbered from 1 (UCF101's classInd.txt) or from 0, in
    any order; or from lines `name` in the net's order (HMDB51's class_list.txt).

    Ignores blank lines. Raises PytsnError when there are not ``num_classes`` names (as many as the net ``source`` has
    classes), and when numbers repeat or leave gaps.
    """
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    matches = [_NUMBERED.fullmatch(line) for line in lines]
    if len(lines) != num_classes:
        raise PytsnError(f"{path}: {len(lines)} class names, but {source} has {num_classes} classes: other dataset?")
    if not all(matches):
        return lines
    names = {int(match[1]): match[2] for match in matches if match}
    first = min(names)
    if first > 1 or sorted(names) != list(range(first, first + num_classes)):
        raise PytsnError(f"{path}: its numbers are not 1 to {num_classes}, each once")
    return [names[first + label] for label in range(num_classes)]


def number_labels(num_classes: int) -> list[str]:
    """Default names: class 0, class 1, ..."""
    return [f"class {label}" for label in range(num_classes)]
