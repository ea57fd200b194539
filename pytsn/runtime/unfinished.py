"""Unfinished work that can be continued: a record beside it says what it belongs to, and whole folders take their place
at once (docs/architecture.md, "Unfinished work").

Files are written whole or not at all by converter/files.py; locks.py keeps two runs apart.
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from converter.files import read_bytes, write_bytes


class Change(NamedTuple):
    """A field in which two records differ; None where one has it not."""

    name: str
    old: Any
    new: Any


def as_recorded(values: Any) -> Any:
    """The values as a record gives them back: tuples are lists, keys are strings."""
    return json.loads(json.dumps(values))


def write_record(path: str | os.PathLike, record: Mapping, indent: int | None = None) -> None:
    """Writes the record as JSON, whole or not at all. Raises PytsnError when it cannot be written."""
    write_bytes(path, (json.dumps(record, indent=indent, sort_keys=indent is None)).encode())


def read_record(path: str | os.PathLike) -> dict[str, Any] | None:
    """What ``write_record`` wrote; None where there is none, or a damaged one. Raises PytsnError when the system does
    not let it be read."""
    try:
        record = json.loads(read_bytes(path)) if os.path.lexists(path) else None
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def changes(old: Mapping, new: Mapping, names: Iterable[str] | None = None) -> list[Change]:
    """The fields in which two records differ; of ``names``, in that order, or of all, in alphabetical order."""
    listed = sorted({*old, *new}) if names is None else names
    return [Change(name, old.get(name), new.get(name)) for name in listed if old.get(name) != new.get(name)]


def put_folder_in_place(made: str | os.PathLike, path: str | os.PathLike, aside: str | os.PathLike) -> None:
    """The folder ``made`` becomes ``path``; an older one there waits as ``aside`` meanwhile. OSError when it fails."""
    if os.path.lexists(path):
        os.rename(path, aside)
    os.rename(made, path)
    remove(aside)


def recover_folder(path: str | os.PathLike, aside: str | os.PathLike) -> None:
    """Undoes a ``put_folder_in_place`` that was killed in the middle: the older folder comes back."""
    if os.path.lexists(aside) and not os.path.lexists(path):
        os.rename(aside, path)
    remove(aside)


def remove(path: str | os.PathLike) -> None:
    """Removes a folder with all that is in it, or a link, if it is there."""
    if os.path.islink(path):
        os.unlink(path)
    elif os.path.lexists(path):
        shutil.rmtree(path)
