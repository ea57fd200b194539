"""Unfinished work that can be continued: a record beside it identifies its job, and whole folders are put in place at
once (docs/architecture.md, "Unfinished work").

converter/files.py writes files whole or not at all; locks.py prevents two runs at once.
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from converter.files import read_bytes, write_bytes


class Change(NamedTuple):
    """A field in which two records differ; None where a record lacks it."""

    name: str
    old: Any
    new: Any


def as_recorded(values: Any) -> Any:
    """The values as read back from a record: tuples become lists, keys become strings."""
    return json.loads(json.dumps(values))


def write_record(path: str | os.PathLike, record: Mapping, indent: int | None = None) -> None:
    """Writes the record as JSON, whole or not at all. Raises PytsnError if it cannot be written."""
    write_bytes(path, (json.dumps(record, indent=indent, sort_keys=indent is None)).encode())


def read_record(path: str | os.PathLike) -> dict[str, Any] | None:
    """Reads a record of ``write_record``; None if it is missing or damaged. Raises PytsnError if the system refuses to
    read it."""
    try:
        record = json.loads(read_bytes(path)) if os.path.lexists(path) else None
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def changes(old: Mapping, new: Mapping, names: Iterable[str] | None = None) -> list[Change]:
    """The fields in which two records differ: among ``names``, in that order, or all, in alphabetical order."""
    listed = sorted({*old, *new}) if names is None else names
    return [Change(name, old.get(name), new.get(name)) for name in listed if old.get(name) != new.get(name)]


def put_folder_in_place(made: str | os.PathLike, path: str | os.PathLike, aside: str | os.PathLike) -> None:
    """Renames the folder ``made`` to ``path``; an older one there is ``aside`` meanwhile. Raises OSError on failure."""
    if os.path.lexists(path):
        os.rename(path, aside)
    os.rename(made, path)
    remove(aside)


def recover_folder(path: str | os.PathLike, aside: str | os.PathLike) -> None:
    """Undoes a ``put_folder_in_place`` that was killed half-way, by restoring the older folder."""
    if os.path.lexists(aside) and not os.path.lexists(path):
        os.rename(aside, path)
    remove(aside)


def remove(path: str | os.PathLike) -> None:
    """Removes a folder with its contents, or a link, if it exists."""
    if os.path.islink(path):
        os.unlink(path)
    elif os.path.lexists(path):
        shutil.rmtree(path)
