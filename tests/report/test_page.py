"""The page itself: what is in it, that it stands alone, and that names are text whatever they hold."""

import base64
import hashlib
import json
import re
from fnmatch import fnmatch

import numpy as np
import pytest

from converter.text_table import amount
from pytsn.evaluation.fused_scores import fuse
from pytsn.report.page import render
from pytsn.report.text import percent, script_json, shown, signed
from pytsn.report.write import ReportOptions, make_page, write_report
from pytsn.scores.score_file import read_scores, write_scores
from tests.places import ROOT
from tests.report.html_text import Parsed
from tests.report.made_scores import CLASSES, HOSTILE, LABELS, fused_streams, hostile_file, raw_scores

#: elements that the page is made of; anything else came out of a name
_OWN = set(
    re.findall(
        r"\w+",
        "html head meta link title style body main header section h1 h2 h3 p span strong div table thead tbody tr th "
        "td button svg rect path polyline canvas ul li noscript article figure img figcaption pre code script bdi",
    )
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def page(folder):
    options = ReportOptions(str(folder / "report.html"), worst=3, command="pytsn report rgb.npz flow.npz")
    return make_page(fused_streams(folder), options)


@pytest.fixture(scope="module")
def plain(page):
    return Parsed(render(page))


@pytest.fixture(scope="module")
def hostile(folder):
    """The page of the hostile file, its names in the labels and the command line too."""
    labels = folder / "labels.txt"
    lines = [re.sub(r"[\r\n\0\x1b\t\u2028\u2029]", " ", text).strip() or "blank" for text in HOSTILE]
    labels.write_text("\n".join(lines))
    options = ReportOptions(str(folder / "hostile.html"), labels=str(labels), command=f"pytsn report '{HOSTILE[0]}'")
    write_report(fuse([read_scores(hostile_file(folder / "hostile.npz"))]), options)
    return Parsed((folder / "hostile.html").read_text(encoding="utf-8")), lines


def hashed(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@pytest.mark.parametrize("kind", ["plain", "hostile"])
def test_the_page_stands_alone(kind, plain, hostile):
    found = plain if kind == "plain" else hostile[0]
    assert {tag for tag, _ in found.elements} <= _OWN
    for name in ("src", "href"):
        assert all(value.startswith("data:") for value in found.attributes(name))
    names = {name for _, own in found.elements for name in own}
    assert not {name for name in names if name.startswith("on")} | {"style", "srcset", "action"} & names
    assert not re.findall(
        r"url\(|@import|https?:|fetch|XMLHttp|innerHTML|eval", found.styles[0][1] + found.scripts[1][1]
    )
    assert [own.get("type") for own, _ in found.scripts] == ["application/json", None]
    ((_, style),) = found.styles
    policies = [own["content"] for tag, own in found.elements if own.get("http-equiv") == "Content-Security-Policy"]
    assert policies == [
        f"default-src 'none'; style-src '{hashed(style)}'; script-src '{hashed(found.scripts[1][1])}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    ]
    first = [tag for tag, _ in found.elements][:4]
    assert first == ["html", "head", "meta", "meta"]  # the policy comes before anything that it is to hold back


def test_hostile_names_are_text(hostile):
    found, lines = hostile
    for text in (*HOSTILE, *lines):
        assert shown(text) in found.text
    data = json.loads(found.scripts[0][1])
    assert data["classes"] == [shown(text) for text in lines]
    assert data["videos"] == [shown(text) for text in HOSTILE]
    assert not re.search("[<>&\u2028\u2029]", found.scripts[0][1])
    assert not re.search("[\u200f\u202e\u2066\u2028\ufeff\0\x1b]", found.text)
    assert "\\u202egnihctaw\\u2066 \\u200f" in found.text
    assert "two\\nlines\\r\\ttab\\x00 \\x1b[31m" in found.text
    assert "W" * 400 not in found.text


def test_numbers_of_the_tables(page, plain):
    found = page.findings
    head, *rows = plain.tables["accuracy"]
    assert head == ["stream", "weight", "mean class, %", "videos, %", "top-5, %"]
    assert rows == [
        [row.name, weight, f"{100 * row.mean_class:.2f}", f"{100 * row.videos:.2f}", f"{100 * row.top5:.2f}"]
        for row, weight in zip(found.accuracies, ("1", "1.5", ""), strict=True)
    ]
    assert plain.tables["pairs"][1:] == [
        [
            f"class {p.true}",
            f"class {p.predicted}",
            f"{p.videos} of {p.total}",
            f"{100 * p.videos / p.total:.1f}",
            str(p.back),
        ]
        for p in found.pairs(20)
    ]
    for row, cells in zip(found.classes, plain.tables["classes"][1:], strict=True):
        taken = f"class {row.taken_for[0]} ({row.taken_for[1]})" if row.taken_for else ""
        accuracy = f"{100 * row.right / row.videos:.1f}"
        assert cells == [f"class {row.label}", accuracy, "", str(row.right), str(row.videos), taken]
    data = json.loads(plain.scripts[0][1])
    assert (data["labels"], data["predictions"]) == (LABELS, found.predictions.tolist())
    assert data["classes"] == [f"class {label}" for label in range(CLASSES)]
    bars = [float(own["width"]) for tag, own in plain.elements if tag == "rect" and own["class"] == "fill"]
    assert bars == [round(100 * row.accuracy, 2) for row in found.classes]


def test_the_worst_videos_have_a_curve_of_each_stream(page, plain):
    assert sum(tag == "article" for tag, _ in plain.elements) == 3
    assert sum(tag == "polyline" for tag, _ in plain.elements) == 3 * 3 * 2
    for video in page.worst:
        assert video.name in plain.text
        assert f"Predicted class {video.predicted} ({100 * video.predicted_share:.1f} %)" in plain.text
    assert "the report was made without --frames" in plain.text
    assert not [tag for tag, _ in plain.elements if tag == "img"]


def test_settings_and_sums(folder, plain):
    rows = {row[0]: row[1:] for row in plain.tables["settings"]}
    sums = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("rgb.npz", "flow.npz")]
    assert rows["score file, sha256"] == sums
    assert rows["score file"] == [str(folder / name) for name in ("rgb.npz", "flow.npz")]
    assert rows["weights, sha256"] == rows["dataset"] == ["not recorded"] * 2
    assert rows["snippets a video"] == ["3 to 5"] * 2
    assert rows["weight in the sum"] == ["1", "1.5"]
    assert "pytsn report rgb.npz flow.npz" in plain.text
    assert "1 of 7 classes has no test video" in plain.text


def test_the_same_input_gives_the_same_bytes(folder, page):
    assert render(page) == render(make_page(fused_streams(folder), ReportOptions("x", worst=3, command=page.command)))


def test_published_figures_stand_beside_ours(tmp_path):
    settings = {"dataset": "ucf101", "split": 1, "modality": "rgb", "net_weights_sha256": "ab" * 32}
    scores = raw_scores(0, 202, 101)
    labels = [index % 101 for index in range(202)]
    path = write_scores(tmp_path / "ucf.npz", scores, labels, [f"v{i}" for i in range(202)], settings)
    page = make_page(fuse([read_scores(path)]), ReportOptions("x", worst=0))
    assert (len(page.class_names), page.class_names[100]) == (101, "YoYo")  # UCF101's own, as no labels are given
    found = Parsed(render(page))
    head, row = found.tables["accuracy"]
    assert head[-2:] == ["published, %", "difference"]
    assert row[-2:] == ["85.5", "not comparable"]
    assert "rgb is not comparable with it: 202 of 3783 test videos, another number of snippets" in found.text
    assert "for ucf101 split 1 rgb." in found.text
    assert "UCF101, split 1" in found.text
    assert ["weights, sha256", "ab" * 32] in found.tables["settings"]


def test_multi_label_scores_show_mean_average_precision(tmp_path):
    settings = {"dataset": "activitynet_1.2", "split": 1, "modality": "rgb", "label_sets": [[0], [1, 0], [], [2]]}
    path = write_scores(tmp_path / "anet.npz", raw_scores(0, 4), [0, 1, 0, 2], list("abcd"), settings)
    page = make_page(fuse([read_scores(path)]), ReportOptions("x"))
    found = Parsed(render(page))
    head, row = found.tables["accuracy"]
    assert page.class_names[6] == "class 6"
    assert "activitynet_1.2 of 7 classes, split 1" in found.text  # not the 100 of the dataset of that name
    assert head == ["stream", "mAP, %", "mean class, %", "videos, %", "top-5, %", "hit@1, %", "hit@3, %", "hit@5, %"]
    assert row[1] == f"{100 * page.findings.fused.mean_ap:.2f}"
    assert "3 videos with a label, of 4 videos" in found.text
    assert found.tables["classes"][0][1] == "AP, %"
    assert "label_sets" not in found.text


def test_all_right_and_none_asked_for(tmp_path):
    path = write_scores(tmp_path / "one.npz", [raw_scores(0)[0][:1]], [0], ["a"], {})
    scores = fuse([read_scores(path)])
    page = make_page(scores, ReportOptions("x"))
    text = Parsed(render(page)).text
    assert page.findings.right.all()
    assert "Every video is right." in text
    assert "No video was taken for another class." in text
    assert "1 video" in text
    assert "Scores of a video test" in text


def test_scores_that_are_no_numbers_have_no_curve(tmp_path):
    scores = raw_scores(0)[:2]
    scores[0][1, 0, 3] = np.nan
    path = write_scores(tmp_path / "nan.npz", scores, [0, 1], ["a", "b"], {})
    found = Parsed(render(make_page(fuse([read_scores(path)]), ReportOptions("x"))))
    assert "1 video has scores that are not finite numbers: 'a'" in found.text
    assert "rgb" not in found.text
    assert "Predicted class 3 (\u2013 %)" in found.text
    assert "nan," not in str(found.elements)


def test_the_wheel_takes_all_that_the_page_is_made_of():
    """What lies beside the code is named in pyproject.toml."""
    listed = (ROOT / "pyproject.toml").read_text().partition("[tool.setuptools.package-data]")[2].partition("\n\n")[0]
    globs = re.findall(r'"([^"]+)"', listed.partition("converter")[0])
    others = [path.name for path in (ROOT / "pytsn" / "report").iterdir() if path.suffix not in (".py", "")]
    assert sorted(others) == ["page.css", "page.html.j2", "page.js"]
    assert all(any(fnmatch(f"report/{name}", pattern) for pattern in globs) for name in others)


def test_text_helpers():
    assert shown("a\u202eb\n") == "a\\u202eb\\n"
    assert shown("x" * 500, 20) == "x" * 10 + " ... (480 characters) ... " + "x" * 10
    assert script_json({"a": "</script><!--&"}) == '{"a":"\\u003c/script\\u003e\\u003c!--\\u0026"}'
    assert [percent(0.935312), percent(None), percent(float("nan")), percent(1, 0)] == [
        "93.53",
        "\u2013",
        "\u2013",
        "100",
    ]
    assert [signed(0.44), signed(-1.25)] == ["+0.4", "\u22121.2"]
    assert [amount(1, "class", "classes"), amount(3783, "video")] == ["1 class", "3,783 videos"]
