"""The kinds of files that are damaged: how one is made, and everything that commands do to read it.

A kind's ``read`` may raise PytsnError and nothing else. ``KINDS`` is the table; ``share``: files of a kind beside those
of the others, few where each takes long.
"""

import importlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from converter.errors import PytsnError
from tests.hostile.mutations import mutate_bytes

RECORDINGS = Path(__file__).resolve().parent.parent / "recordings"
TINY = RECORDINGS / "tiny"


class Kind:
    """Files of one kind. ``samples``: whole ones, which are damaged; ``suffix``: of their names."""

    suffix = ""

    def __init__(self, folder: Path) -> None:
        """``folder``: for whatever reading needs besides the file; empty."""
        self.folder = folder
        self.samples: Sequence[bytes] = self.make_samples()

    def make_samples(self) -> Sequence[bytes]:
        """Whole files."""
        raise NotImplementedError

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        """One of them damaged."""
        return mutate_bytes(data, rng, self.samples)

    def write(self, folder: Path, rng: random.Random) -> Path:
        """Writes a damaged file into the empty ``folder``, and what must lie beside it. Returns its path."""
        path = folder / f"file{self.suffix}"
        path.write_bytes(self.mutate(rng.choice(self.samples), rng))
        return path

    def read(self, path: Path) -> None:
        """All that commands do with such a file."""
        raise NotImplementedError

    def command(self, path: Path) -> list[str] | None:
        """A cheap command that reads the file, run in this process now and then; None: there is none."""
        return None


def read_all(*readings: Callable[[], object]) -> None:
    """Runs them all, though some refuse; then raises the last refusal."""
    refused = None
    for reading in readings:
        try:
            reading()
        except PytsnError as error:
            refused = error
    if refused:
        raise refused


@dataclass(frozen=True)
class Row:
    """module and name of the class; share: see above."""

    module: str
    name: str
    share: int

    def make(self, folder: Path) -> Kind:
        return getattr(importlib.import_module(f"tests.hostile.{self.module}"), self.name)(folder)


KINDS = {
    "caffemodel": Row("weight_kinds", "Caffemodels", 20),
    "safetensors": Row("weight_kinds", "Safetensors", 20),
    "pth": Row("weight_kinds", "Checkpoints", 12),
    "mean": Row("weight_kinds", "Means", 20),
    "recording": Row("weight_kinds", "Recordings", 8),
    "prototxt": Row("net_kinds", "Prototxts", 6),
    "solver": Row("net_kinds", "Solvers", 4),
    "solverstate": Row("net_kinds", "Solverstates", 4),
    "pytsnstate": Row("net_kinds", "SideFiles", 4),
    "scores": Row("score_kinds", "Scores", 20),
    "pickled scores": Row("score_kinds", "PickledScores", 20),
    "features": Row("score_kinds", "Features", 12),
    "unfinished": Row("score_kinds", "Unfinished", 6),
    "list": Row("text_kinds", "Lists", 10),
    "classes": Row("text_kinds", "Classes", 12),
    "annotations": Row("text_kinds", "Annotations", 12),
    "zip": Row("image_kinds", "Zips", 10),
    "jpeg": Row("image_kinds", "Jpegs", 20),
    "png": Row("image_kinds", "OtherImages", 10),
    "folder": Row("image_kinds", "Folders", 4),
    "avi header": Row("video_kinds", "AviHeaders", 4),
    "avi body": Row("video_kinds", "AviBodies", 3),
    "mp4": Row("video_kinds", "Mp4s", 3),
}
