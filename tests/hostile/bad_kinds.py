"""Kinds whose reading goes wrong in each of the ways that a fuzz run must notice."""

import mmap
import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from converter.errors import PytsnError
from tests.hostile.kinds import Kind, Row


class _Bad(Kind):
    def make_samples(self) -> Sequence[bytes]:
        return [b"sample"]

    def write(self, folder: Path, rng: random.Random) -> Path:
        (folder / "file").write_bytes(b"x")
        return folder / "file"


class Fine(_Bad):
    def read(self, path: Path) -> None:
        raise PytsnError(f"{path}: refused")


class Raises(_Bad):
    def read(self, path: Path) -> None:
        raise KeyError("layer")


class Dies(_Bad):
    def read(self, path: Path) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class Loops(_Bad):
    def read(self, path: Path) -> None:
        while True:
            pass


class Waits(_Bad):
    def read(self, path: Path) -> None:
        time.sleep(1 << 20)


class Reserves(_Bad):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._first = True

    def read(self, path: Path) -> None:
        if not self._first:
            mmap.mmap(-1, 5 << 28)
        self._first = False


KINDS = {name.lower(): Row("bad_kinds", name, 1) for name in ("Fine", "Raises", "Dies", "Loops", "Waits", "Reserves")}
