"""Pictures as PNG, PDF and SVG: by the ending, the same bytes every time, no dates, text that can be edited."""

import pytest
from matplotlib.figure import Figure

from converter.errors import PytsnError
from pytsn.runtime.picture_file import FORMATS, picture_format, write_figure

SIGNATURES = {"png": b"\x89PNG\r\n", "pdf": b"%PDF-1.", "svg": b'<?xml version="1.0"'}


def make_figure(title: str = "curve") -> Figure:
    figure = Figure(figsize=(2, 1))
    axes = figure.add_subplot(title=title)
    axes.plot([0, 1], [0, 1])
    return figure


@pytest.mark.parametrize("kind", FORMATS)
def test_the_ending_chooses_and_the_bytes_are_always_the_same(tmp_path, kind, monkeypatch):
    paths = [tmp_path / f"one.{kind}", tmp_path / f"two.{kind.upper()}"]
    for path, day in zip(paths, ("0", "1000000000"), strict=True):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", day)
        write_figure(path, make_figure(), 50)
    one, two = (path.read_bytes() for path in paths)
    assert one.startswith(SIGNATURES[kind])
    assert one == two
    assert not [word for word in (b"1970", b"CreationDate", b"<dc:date>", b"ModDate") if word in one]
    assert (b"/Subtype /Type3" in one, b"/CIDFontType2" in one) == (False, kind == "pdf")
    assert sorted(tmp_path.iterdir()) == sorted(paths)


@pytest.mark.filterwarnings("error")
def test_a_glyph_that_the_font_lacks_warns_nobody(tmp_path):
    write_figure(tmp_path / "x.png", make_figure("体操"), 50)


@pytest.mark.parametrize("name", ["x.jpg", "x.png.gz", "x", "x.", ".png"])
def test_another_ending_is_told_in_a_line(tmp_path, name):
    with pytest.raises(PytsnError, match=r"pictures are written as png, pdf or svg; give a name that ends in \.png"):
        picture_format(tmp_path / name)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(PytsnError, match="no such file or folder"):
        write_figure(tmp_path / "absent" / "x.svg", make_figure(), 50)
