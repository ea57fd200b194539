"""Makes the report's HTML of what was found: one file that needs nothing else and asks nobody for anything.

Names come from files that may be anybody's. jinja2 escapes whatever it puts in; a Content-Security-Policy lets the
browser run the page's own script and style, which it knows by their hashes, and load nothing.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from converter.text_table import amount
from pytsn.data.datasets import DATASETS
from pytsn.evaluation.fused_scores import FusedScores
from pytsn.report.curves import Curve, svg_points
from pytsn.report.findings import Findings
from pytsn.report.settings_table import UNKNOWN, SettingsRow
from pytsn.report.text import percent, script_json, shown, signed
from pytsn.report.thumbnails import Strip

#: of a curve, in units of its drawing
CURVE_WIDTH, CURVE_HEIGHT = 800, 60
MOST_PAIRS = 20


@dataclass(frozen=True)
class WorstVideo:
    """A video that was confidently wrong. label, predicted: classes; true_share, predicted_share: their probabilities,
    0 to 1, after the fusion; also: its further classes."""

    name: str
    label: int
    predicted: int
    true_share: float
    predicted_share: float
    curves: Sequence[Curve]
    strip: Strip
    also: Sequence[int] = ()


@dataclass(frozen=True)
class Page:
    """What the page shows. class_names: K; video_names: V; without_frames: why no video has a strip, "" where some may
    have one; command: the command line."""

    scores: FusedScores
    findings: Findings
    class_names: Sequence[str]
    video_names: Sequence[str]
    worst: Sequence[WorstVideo]
    settings: Sequence[SettingsRow]
    without_frames: str
    command: str
    version: str


def render(page: Page) -> str:
    """The HTML. The same page gives the same text."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = files("pytsn.report")
    style, script = (_plain((folder / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(shown=shown, percent=percent, signed=signed, amount=amount, points=_points)
    template = environment.from_string((folder / "page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        page=page,
        found=page.findings,
        title=_title(page.scores),
        multi=page.scores.label_sets is not None,
        pairs=page.findings.pairs(MOST_PAIRS),
        unknown=UNKNOWN,
        curve_size=(CURVE_WIDTH, CURVE_HEIGHT),
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        data=script_json(_data(page)),
    )


def _plain(text: str) -> str:
    """Line ends as the browser reads them: it hashes the text after it has replaced others."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _policy(style: str, script: str) -> str:
    style_hash, script_hash = (_hash(text) for text in (style, script))
    return (
        f"default-src 'none'; style-src '{style_hash}'; script-src '{script_hash}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def dataset_of(scores: FusedScores) -> str | None:
    """The dataset on which the settings of all files agree; None if they tell none, or several."""
    found = {repr(name): name for name in ((file.settings or {}).get("dataset") for file in scores.files)}
    name = next(iter(found.values()))
    return name if len(found) == 1 and isinstance(name, str) else None


def _title(scores: FusedScores) -> str:
    """Dataset and split, where the files agree on them; a dataset's own title where it has as many classes."""
    dataset, splits = dataset_of(scores), [(file.settings or {}).get("split") for file in scores.files]
    if dataset is None:
        return "Scores of a video test"
    row, num_classes = DATASETS.get(dataset), scores.fused.shape[1]
    title = dataset
    if row is not None:
        title = row.title if row.classes == num_classes else f"{dataset} of {num_classes} classes"
    same = all(type(split) is int and split == splits[0] for split in splits)
    return f"{title}, split {splits[0]}" if same else title


def _points(values: np.ndarray) -> str:
    return svg_points(values, CURVE_WIDTH, CURVE_HEIGHT)


def _data(page: Page) -> Mapping[str, object]:
    """What the script needs: names, and the class and prediction of every labelled video."""
    found = page.findings
    return {
        "classes": [shown(name) for name in page.class_names],
        "videos": [shown(page.video_names[index]) for index in found.labelled.tolist()],
        "labels": found.labels.tolist(),
        "predictions": found.predictions.tolist(),
    }
