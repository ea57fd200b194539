"""Folders whose names differ from a list's in case alone: UCF101's lists say ``v_HandStandPushups_g01_c01``, and widely
used copies of its frames ``v_HandstandPushups_g01_c01``. Exact names win; nothing is looked for where all match."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from converter.errors import PytsnError
from converter.text_table import amount
from pytsn.data.frame_store import is_frame_folder


def match_regardless_of_case(wanted: Iterable[str], folders: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The wanted names that one folder has in another case -> that folder's path. folders: (name, path), those that
    carry a wanted name exactly left out.

    Raises PytsnError that names both where two folders, or two wanted names, differ in case alone.
    """
    paths = defaultdict(list)
    for name, path in folders:
        paths[name.casefold()].append(path)
    owners: dict[str, str] = {}
    for name in sorted(wanted):
        found = paths.get(name.casefold(), ())
        if len(found) > 1:
            raise PytsnError(
                f"video '{name}' has no folder of that name, and two that differ from it in case alone: {found[0]} and "
                f"{found[1]}; rename the right one"
            )
        if found and found[0] in owners:
            raise PytsnError(
                f"videos '{owners[found[0]]}' and '{name}' differ in case alone, and there is one folder for both: "
                f"{found[0]}; rename it as the right one is called"
            )
        owners.update((path, name) for path in found)
    return {name: path for path, name in owners.items()}


def case_notes(found: Mapping[str, str]) -> list[str]:
    """A line about names, or paths, that were taken for folders of another case; none where there are none."""
    if not found:
        return []
    name, path = next(iter(found.items()))
    folder = os.path.basename(path.rstrip("/"))
    one, many = "name differs from its folder", "names differ from their folders"
    taken = "is taken for it" if len(found) == 1 else "are taken for them"
    return [
        f"{amount(len(found), one, many)} in case alone and {taken}, first "
        f"'{os.path.basename(name.rstrip('/'))}' for '{folder}'"
    ]


def find_renamed(paths: Sequence[str]) -> dict[str, str]:
    """Paths of a list that are not there -> the folder, or archive without ``.zip``, beside them that differs from
    them in the case of its name alone. No folder is listed where every path is there.

    Raises PytsnError that names both where two such folders, or two such paths, are there.
    """
    absent = defaultdict(list)
    for path in dict.fromkeys(paths):
        if not is_frame_folder(path) and not os.path.exists(path):  # a list may name video files too
            parent, name = os.path.split(path.rstrip("/"))
            absent[parent].append((name, path))
    found: dict[str, str] = {}
    for parent, pairs in absent.items():
        exact = {os.path.normpath(path) for path in paths if os.path.dirname(path.rstrip("/")) == parent}
        there = ((name, os.path.join(parent, name)) for name in _folders(parent))
        free = [(name, path) for name, path in there if os.path.normpath(path) not in exact]
        matched = match_regardless_of_case([name for name, _ in pairs], free)
        found.update((path, matched[name]) for name, path in pairs if name in matched)
    return found


def _folders(parent: str) -> list[str]:
    try:
        with os.scandir(parent or ".") as entries:
            return sorted(
                {entry.name.removesuffix(".zip") for entry in entries if entry.is_dir() or entry.name.endswith(".zip")}
            )
    except OSError:  # the reader of the frames will say what is wrong there
        return []
