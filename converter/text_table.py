"""Aligned text columns, shapes and amounts as text."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], right: int = 1) -> list[str]:
    """Rows of cells as lines with aligned columns, two spaces between; the last ``right`` columns are right-aligned."""
    columns = len(rows[0])
    widths = [max(len(row[column]) for row in rows) for column in range(columns)]
    justify = [str.ljust] * (columns - right) + [str.rjust] * right
    return [
        "  ".join(put(cell, width) for put, cell, width in zip(justify, row, widths, strict=True)).rstrip()
        for row in rows
    ]


def shape_text(shape: tuple[int, ...] | None) -> str:
    """(64, 3, 7, 7) -> 64x3x7x7; a scalar is "scalar", a shape that depends on the data "?"."""
    if shape is None:
        return "?"
    return "x".join(map(str, shape)) or "scalar"


def amount(count: int, one: str, many: str = "") -> str:
    """``1 video``, ``3,783 videos``; ``1 class has``, ``2 classes have`` for two given forms."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
