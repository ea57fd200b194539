"""One answer to windows over snippets of a known, an unknown or another rate."""

from fractions import Fraction

import pytest

from converter.errors import PytsnError
from pytsn.scores.snippet_rate import aggregation_at


@pytest.mark.parametrize("text", ["mean", "topk:3"])
@pytest.mark.parametrize("rates", [[None], [Fraction(2)], [Fraction(2), None]])
def test_what_has_no_windows_asks_for_no_rate(text, rates):
    aggregation, notes = aggregation_at(text, rates, "the files hold")
    assert (aggregation.text, aggregation.fps, notes) == (text, None, ())


@pytest.mark.parametrize("text", ["window", "multiscale", "multiscale:fps=2"])
def test_windows_take_the_snippets_rate(text):
    aggregation, notes = aggregation_at(text, [Fraction(2), Fraction(2)], "the files hold")
    assert (aggregation.fps, notes) == (2, ())


@pytest.mark.parametrize(("text", "rate"), [("window", "1"), ("anet2016", "1"), ("multiscale:fps=2", "2")])
def test_without_a_rate_they_count_on_one_and_say_so(text, rate):
    aggregation, (note,) = aggregation_at(text, [None], "--snippet_rate is")
    assert aggregation.fps == int(rate)
    assert note.startswith(f"note: aggregation {text} takes the snippets for {rate} a second")


@pytest.mark.parametrize(
    ("text", "rates", "said"),
    [
        ("anet2016", [Fraction(2)], "aggregation anet2016 counts on 1 snippet a second, the files hold 2"),
        ("multiscale:fps=1", [Fraction(5, 2)], "counts on 1 snippet a second, the files hold 2.5"),
        ("window", [Fraction(1), Fraction(2)], "the files hold different numbers of snippets a second"),
        ("window", [Fraction(1), None], "the files hold different numbers of snippets a second"),
    ],
)
def test_other_rates_are_refused(text, rates, said):
    with pytest.raises(PytsnError, match=said):
        aggregation_at(text, rates, "the files hold")
