"""The output of verify_parity: a table of blobs, a line per comparison, and the verdict."""

from collections.abc import Sequence

import numpy as np

from converter.parity import BlobDifference, first_beyond
from converter.recording import blob_of
from converter.text_table import aligned
from pytsn.parity.runs import Comparison

_WORST = 10  # rows shown, besides those that fail, unless all are asked for


def parity_lines(comparisons: Sequence[Comparison], tolerance: float, verbose: bool = False) -> list[str]:
    """The table (the ten worst blobs and all that fail, or all blobs), a summary, and PASS or FAIL."""
    rows = _rows(comparisons)
    shown = rows if verbose else _worst(rows)
    head = ["blob", "shape"]
    for comparison in comparisons:
        if comparison.differences:
            head += [f"{comparison.name}: abs", "of max", ""]
    table = [head] + [[blob, _shape(found), *_cells(comparisons, found)] for blob, found in shown.items()]
    lines = aligned(table, right=len(head) - 2)
    if len(shown) < len(rows):
        lines.append(f"... {len(rows) - len(shown)} more blobs are better (--verbose shows them)")
    lines += ["", *(_summary(comparison, tolerance) for comparison in comparisons)]
    return [*lines, *_verdict(comparisons)]


def _rows(comparisons: Sequence[Comparison]) -> dict[str, dict[str, BlobDifference]]:
    """Blob -> comparison -> its worst difference, since a recording may hold several entries of a blob."""
    rows: dict[str, dict[str, BlobDifference]] = {}
    for comparison in comparisons:
        for difference in comparison.differences:
            found = rows.setdefault(blob_of(difference.blob), {})
            known = found.get(comparison.name)
            if known is None or _badness(difference) > _badness(known):
                found[comparison.name] = difference
    return rows


def _badness(difference: BlobDifference) -> float:
    return float("inf") if np.isnan(difference.max_rel) else difference.max_rel


def _worst(rows: dict[str, dict[str, BlobDifference]]) -> dict[str, dict[str, BlobDifference]]:
    order = sorted(rows, key=lambda blob: -max(map(_badness, rows[blob].values())))
    kept = set(order[:_WORST]) | {blob for blob in rows if not all(each.ok for each in rows[blob].values())}
    return {blob: rows[blob] for blob in rows if blob in kept}


def _shape(found: dict[str, BlobDifference]) -> str:
    shape = max((difference.shape for difference in found.values()), key=len)  # `mean:` entries lack the pixels' axes
    return "x".join(map(str, shape)) or "scalar"


def _cells(comparisons: Sequence[Comparison], found: dict[str, BlobDifference]) -> list[str]:
    cells = []
    for comparison in comparisons:
        difference = found.get(comparison.name)
        if difference is not None:
            cells += [f"{difference.max_abs:.2e}", f"{difference.max_rel:.2e}", "" if difference.ok else "FAIL"]
        elif comparison.differences:
            cells += ["", "", ""]
    return cells


def _summary(comparison: Comparison, tolerance: float) -> str:
    worst = comparison.worst
    note = f" ({comparison.note})" if comparison.note else ""
    if worst is None:
        return f"{comparison.name}: not compared{note}"
    failed = sum(not each.ok for each in comparison.differences)
    verdict = f"{failed} beyond {tolerance:g}" if failed else f"all within {tolerance:g}"
    size = f"worst {worst.max_rel:.2e} of the largest magnitude, at {worst.blob}" if worst.max_abs else "no difference"
    return f"{comparison.name}: {len(comparison.differences)} compared, {verdict}; {size}{note}"


def _verdict(comparisons: Sequence[Comparison]) -> list[str]:
    for comparison in comparisons:
        first = first_beyond(comparison.differences)
        if first is not None:
            where = f"first blob beyond tolerance: {blob_of(first.blob)} ({comparison.name}, {first.blob})"
            size = f"off by {first.max_abs:.3g} where the largest magnitude is {first.scale:.3g}"
            return [f"{where}: {size}", "FAIL"]
    return ["PASS"]
