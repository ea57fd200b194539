"""Checks that an aggregation's windows fit the rate at which snippets were sampled; shared by all commands."""

from collections.abc import Iterable
from fractions import Fraction

from converter.errors import PytsnError
from pytsn.scores.aggregation import Aggregation, parse_aggregation


def aggregation_at(text: str, rates: Iterable[Fraction | None], source: str) -> tuple[Aggregation, tuple[str, ...]]:
    """The aggregation named ``text`` for snippets at these rates (snippets per second of each stream; None: spread over
    the video, or unknown), and notes for the user.

    Windows need a rate. If the snippets have none, the windows assume their own, and a note says so. Raises PytsnError
    when the windows assume another rate than the snippets have, and for streams with different rates. ``source`` is how
    messages introduce the snippets' rate: ``--snippet_rate is``, ``the files hold``.
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
        snippets = "snippet" if aggregation.fps == 1 else "snippets"
        raise PytsnError(f"aggregation {text} counts on {counted} {snippets} a second, {source} {float(rate):g}")
    return aggregation, ()
