"""The report's table of settings: what each score file says of how its scores were made, side by side."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pytsn.evaluation.fused_scores import FusedScores
from pytsn.scores.score_file import ScoreFile

UNKNOWN = "not recorded"
#: what stands first, under these titles; every other setting follows under its own name
_TITLES = {
    "dataset": "dataset",
    "split": "split",
    "modality": "modality",
    "net_weights": "weights",
    "net_weights_sha256": "weights, sha256",
    "net_proto": "prototxt",
    "net_proto_sha256": "prototxt, sha256",
}
#: a list with an entry for each video
_LONG = "label_sets"


@dataclass(frozen=True)
class SettingsRow:
    """title: of the row; values: one for each score file; code: whether they are file names or sums."""

    title: str
    values: tuple[str, ...]
    code: bool = False


def settings_rows(scores: FusedScores, digests: Sequence[str]) -> list[SettingsRow]:
    """The rows; digests: sha256 of each score file, or why there is none."""
    files = scores.files
    rows = [
        SettingsRow("score file", tuple(file.path for file in files), True),
        SettingsRow("score file, sha256", tuple(digests), True),
        SettingsRow("weight in the sum", tuple(f"{weight:g}" for weight in scores.weights)),
        SettingsRow("snippets a video", tuple(map(_snippets, files))),
        SettingsRow("crops a snippet", tuple(map(_crops, files))),
    ]
    keys = sorted({key for file in files for key in file.settings or {}} - {_LONG, *_TITLES})
    for key in (*_TITLES, *keys):
        values = tuple(_text((file.settings or {}).get(key)) for file in files)
        if key in _TITLES or set(values) != {UNKNOWN}:
            rows.append(SettingsRow(_TITLES.get(key, key), values, key.startswith("net_")))
    return rows


def _text(value: object) -> str:
    if value is None:
        return UNKNOWN
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _snippets(file: ScoreFile) -> str:
    return _range([len(array) for array in file.scores])


def _crops(file: ScoreFile) -> str:
    return _range([array.shape[1] for array in file.scores])


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
