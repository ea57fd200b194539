"""Writes frames and flow as JPEG files or zips, named and numbered as in dense_flow."""

import contextlib
import os
import zipfile
from collections.abc import Sequence

#: kind of image -> (archive in zip mode, entry in it); in dir mode the file is KIND_00001.jpg
ARCHIVES = {"img": ("img.zip", "img_"), "flow_x": ("flow_x.zip", "x_"), "flow_y": ("flow_y.zip", "y_")}


class DirWriter:
    """FOLDER/img_00001.jpg, flow_x_00001.jpg, flow_y_00001.jpg, ... ``total`` counts the bytes written."""

    def __init__(self, folder: str, kinds: Sequence[str]) -> None:
        self.folder, self.kinds, self.total = folder, tuple(kinds), 0

    def write(self, kind: str, number: int, data: bytes) -> None:
        """Writes image ``number`` (from 1) of a kind."""
        with open(os.path.join(self.folder, f"{kind}_{number:05d}.jpg"), "xb") as file:
            file.write(data)
        self.total += len(data)

    def close(self) -> None:
        """Nothing is left to do."""

    def abandon(self) -> None:
        """Nothing is left to do."""


class ZipWriter:
    """FOLDER/img.zip, flow_x.zip, flow_y.zip with entries img_00001.jpg, x_00001.jpg, y_00001.jpg, ...

    Entries are stored, not deflated: JPEG does not shrink further. ``total``: bytes of the closed archives.
    """

    def __init__(self, folder: str, kinds: Sequence[str]) -> None:
        self.folder, self.kinds, self.total = folder, tuple(kinds), 0
        self._zips = {kind: zipfile.ZipFile(self._path(kind), "x", zipfile.ZIP_STORED) for kind in self.kinds}

    def _path(self, kind: str) -> str:
        return os.path.join(self.folder, ARCHIVES[kind][0])

    def write(self, kind: str, number: int, data: bytes) -> None:
        """Adds image ``number`` (from 1) of a kind."""
        entry = zipfile.ZipInfo(f"{ARCHIVES[kind][1]}{number:05d}.jpg")  # no time stamp: equal frames give equal files
        entry.external_attr = 0o644 << 16
        self._zips[kind].writestr(entry, data)

    def close(self) -> None:
        """Writes the archives' directories. An archive that is not closed cannot be read."""
        for archive in self._zips.values():
            archive.close()
        self.total = sum(os.path.getsize(self._path(kind)) for kind in self.kinds)

    def abandon(self) -> None:
        """After an error: closes the files in whatever state they are."""
        for archive in self._zips.values():
            with contextlib.suppress(OSError, ValueError):
                archive.close()


WRITERS: dict[str, type[DirWriter] | type[ZipWriter]] = {"dir": DirWriter, "zip": ZipWriter}
