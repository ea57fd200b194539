"""Writes a video's folder whole or not at all, and replaces it only by a whole one.

OUT/.VIDEO.pytsn-partial is filled and then renamed to OUT/VIDEO; an older OUT/VIDEO is OUT/.VIDEO.pytsn-old meanwhile.
A process that writes any of them holds the lock on OUT/.VIDEO.pytsn-lock.
"""

import contextlib
import os
from collections.abc import Iterator

from converter.errors import PytsnError
from pytsn.flow.extract.resume import is_ours, write_marker
from pytsn.runtime.locks import TAKEN, hold_lock
from pytsn.runtime.unfinished import put_folder_in_place, recover_folder, remove

_PARTIAL, _OLD, _LOCK = ".pytsn-partial", ".pytsn-old", ".pytsn-lock"


class VideoFolder:
    """The folder of one video below ``out``, an existing folder. All methods except ``lock`` require the lock."""

    def __init__(self, out: str, name: str) -> None:
        self.path = os.path.join(out, name)
        self._partial, self._old, self._lock = (os.path.join(out, f".{name}{end}") for end in (_PARTIAL, _OLD, _LOCK))

    def lock(self) -> contextlib.AbstractContextManager[str]:
        """See ``pytsn.runtime.locks.hold_lock``."""
        return hold_lock(self._lock)

    def recover(self) -> None:
        """Cleans up after an interrupted run: removes its unfinished folder and restores an older whole one."""
        recover_folder(self.path, self._old)
        remove(self._partial)

    def begin(self) -> str:
        """Creates an empty folder to fill. Raises PytsnError if VIDEO exists and is not a folder of frames; it is then
        left alone."""
        self._refuse_foreign()
        self.recover()
        os.mkdir(self._partial)
        return self._partial

    def publish(self, marker: dict[str, object]) -> None:
        """Adds the marker to ``begin``'s folder and renames it to OUT/VIDEO."""
        write_marker(self._partial, marker)
        self._refuse_foreign()
        put_folder_in_place(self._partial, self.path, self._old)

    def discard(self) -> None:
        """Removes ``begin``'s folder."""
        remove(self._partial)

    def _refuse_foreign(self) -> None:
        if not os.path.lexists(self.path):
            return
        if not os.path.isdir(self.path):
            raise PytsnError(f"{self.path}: a file is where this video's folder belongs; move it or choose another OUT")
        foreign = sorted(entry for entry in os.listdir(self.path) if not is_ours(entry))
        if foreign:
            raise PytsnError(
                f"{self.path}: holds '{foreign[0]}' ({len(foreign)} such), which no extraction wrote; "
                "move it or choose another OUT"
            )


def find_leftovers(out: str) -> list[str]:
    """Names of videos with hidden files or folders of this module in ``out``."""
    names = set()
    with os.scandir(out) as entries:
        for entry in entries:
            for end in (_PARTIAL, _OLD, _LOCK):
                if entry.name.startswith(".") and entry.name.endswith(end):
                    names.add(entry.name[1 : -len(end)])
    return sorted(names)


def clean_leftovers(out: str, names: Iterator[str] | list[str] | None = None) -> None:
    """Recovers the folders of videos (None: all in ``out``) that no running process works on."""
    for name in find_leftovers(out) if names is None else names:
        folder = VideoFolder(out, name)
        with folder.lock() as state:
            if state != TAKEN:
                folder.recover()
