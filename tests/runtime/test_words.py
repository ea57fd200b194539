"""Names in sentences."""

from pytsn.runtime.words import one_of


def test_one_of():
    assert one_of(("rgb", "flow", "rgbdiff")) == "rgb, flow or rgbdiff"
    assert one_of(["a", "b"], "and") == "a and b"
    assert one_of({"a": 1}) == "a"
