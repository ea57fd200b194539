"""Writes matplotlib's figures as PNG, PDF or SVG, by the ending of the file's name: whole or not at all, and the same
bytes for the same figure, without dates."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from converter.errors import PytsnError
from converter.files import atomic_path
from pytsn.runtime.words import one_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: format -> metadata without a date
_METADATA: dict[str, dict[str, None]] = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
FORMATS = tuple(_METADATA)
#: pictures within a PDF or SVG (frames, matrices) have so many dots more than those of a PNG
_FINER = 3


def picture_format(path: str | os.PathLike) -> str:
    """png, pdf or svg. Raises PytsnError for a name with another ending, or none; call it before the work."""
    found = Path(path).suffix.lower().removeprefix(".")
    if found not in FORMATS:
        raise PytsnError(f"{path}: pictures are written as {one_of(FORMATS)}; give a name that ends in .{FORMATS[0]}")
    return found


def write_figure(path: str | os.PathLike, figure: "Figure", dots_per_inch: float) -> None:
    """Writes the figure, whole or not at all. Raises PytsnError as ``picture_format``, and if it cannot be written."""
    with atomic_path(path) as temporary:  # of the same ending
        save_figure(temporary, figure, dots_per_inch)


def save_figure(path: str | os.PathLike, figure: "Figure", dots_per_inch: float) -> None:
    """Saves the figure in the format of ``picture_format``. Text stays text in a PDF and becomes outlines in an SVG."""
    from matplotlib import rc_context

    kind = picture_format(path)
    dots = dots_per_inch if kind == "png" else dots_per_inch * _FINER
    # TrueType, as many a journal refuses matplotlib's Type 3; without a salt the names within an SVG are random
    with rc_context({"pdf.fonttype": 42, "svg.hashsalt": "pytsn"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # names with characters that the font lacks
        figure.savefig(path, format=kind, dpi=dots, metadata=_METADATA[kind])
