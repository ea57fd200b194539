"""``cell.json``: the state of an ablation's cell, and the settings that its scores depend on."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from converter.errors import PytsnError
from converter.files import sha256_of
from pytsn.data.videos import Video
from pytsn.finetune.options import FinetuneOptions
from pytsn.runtime.unfinished import as_recorded, changes, read_record, write_record

#: states of a cell, in their order
STARTED, TRAINED, DONE = "started", "trained", "done"
_NAME = "cell.json"
_FILES = ("train_list", "net", "init", "solver")  # compared by content
_PLACES = ("out", "resume", "format")


def training_settings(training: FinetuneOptions) -> dict:
    """Everything that trained weights depend on, except the machine, as JSON: without finetune's defaults, and with
    the SHA-256 of files."""
    given = {item.name: getattr(training, item.name) for item in fields(training)}
    own = {
        item.name: given[item.name]
        for item in fields(training)
        if item.name not in (*_FILES, *_PLACES) and given[item.name] != item.default
    }
    own["overrides"] = [asdict(each) for each in training.overrides]
    own |= {name: sha256_of(given[name]) for name in _FILES if given[name] is not None}
    return as_recorded(own)


def videos_hash(videos: Sequence[Video]) -> str:
    """SHA-256 of names, labels and folders."""
    listed = json.dumps([[each.name, each.label, each.folder] for each in videos])
    return hashlib.sha256(listed.encode()).hexdigest()


def read_cell(folder: Path) -> dict:
    """The content of cell.json: state, seconds, settings. Empty if there is none; empty settings, which never match, if
    it is damaged. Raises PytsnError for a folder with other files."""
    path = folder / _NAME
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise PytsnError(f"{folder}: holds other files than a cell's; move it away")
        return {}
    found = read_record(path)
    return found if found is not None and isinstance(found.get("settings"), dict) else {"settings": {}}


def write_cell(folder: Path, state: str, seconds: Mapping[str, float], settings: Mapping) -> None:
    """Writes cell.json, whole or not at all."""
    write_record(folder / _NAME, {"state": state, "seconds": dict(seconds), "settings": settings}, indent=1)


def differences(record: Mapping, settings: Mapping) -> list[str]:
    """Names of the settings that differ from a record's; empty for an empty record."""
    return [change.name for change in changes(record["settings"], settings)] if record else []
