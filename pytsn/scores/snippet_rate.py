"""Whether an aggregation's windows fit the rate that snippets were sampled at: one answer for every command."""

from collections.abc import Iterable
from fractions import Fraction

from converter.errors import PytsnError
from pytsn.scores.aggregation import Aggregation, parse_aggregation


def aggregation_at(text: str, rates: Iterable[Fraction | None], source: str) -> tuple[Aggregation, tuple[str, ...]]:
    """The aggregation named ``text`` for snippets of these rates (snippets a second, of each stream; None: spread over
    the video, or not known), and lines for the user.

    Windows count on a rate. Where there is none they take the snippets for so many a second all the same, and the user
    is told. Raises PytsnError for windows that count on another rate than the snippets', and for streams of different
    rates; ``source`` begins what is said of theirs: ``--snippet_rate is``, ``the files hold``.
    """
    found = set(rates)
    rate = next(iter(found)) if len(found) == 1 else None
    aggregation = parse_aggregation(text, rate or 1)
    if aggregation.fps is None:
        return aggregation, ()
    if len(found) > 1:
        raise PytsnError(f"aggregation {text}: {source} different numbers of snippets a second")
    counted = f"{float(aggregation.fps):g}"
    if rate is None:
        note = f"note: aggregation {text} takes the snippets for {counted} a second, whatever a video's length"
        return aggregation, (f"{note}; --snippet_rate {counted} samples them so",)
    if rate != aggregation.fps:
        raise PytsnError(f"aggregation {text} counts on {counted} snippets a second, {source} {float(rate):g}")
    return aggregation, ()
