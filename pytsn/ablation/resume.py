"""``cell.json``: how far a cell of an ablation is, and the settings that its scores depend on."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from converter.errors import PytsnError
from converter.files import read_text, sha256_of, write_bytes
from pytsn.data.videos import Video
from pytsn.finetune.options import FinetuneOptions

#: states of a cell, in their order
STARTED, TRAINED, DONE = "started", "trained", "done"
_NAME = "cell.json"
_FILES = ("train_list", "net", "init", "solver")  # they count by what is in them
_PLACES = ("out", "resume", "format")


def training_settings(training: FinetuneOptions) -> dict:
    """Everything that trained weights depend on but the machine, as JSON has it; finetune's defaults
    are not in it, files are there by their SHA-256."""
    given = {item.name: getattr(training, item.name) for item in fields(training)}
    own = {
        item.name: given[item.name]
        for item in fields(training)
        if item.name not in (*_FILES, *_PLACES) and given[item.name] != item.default
    }
    own["overrides"] = [asdict(each) for each in training.overrides]
    own |= {name: sha256_of(given[name]) for name in _FILES if given[name] is not None}
    return json.loads(json.dumps(own))


def videos_hash(videos: Sequence[Video]) -> str:
    """Of names, labels and folders."""
    listed = json.dumps([[each.name, each.label, each.folder] for each in videos])
    return hashlib.sha256(listed.encode()).hexdigest()


def read_record(folder: Path) -> dict:
    """What cell.json says: state, seconds, settings; empty where there is none, settings that nothing equals where it
    is damaged. Raises PytsnError for a folder of other files."""
    path = folder / _NAME
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise PytsnError(f"{folder}: holds other files than a cell's; move it away")
        return {}
    try:
        found = json.loads(read_text(path))
    except ValueError:
        found = None
    return found if isinstance(found, dict) and isinstance(found.get("settings"), dict) else {"settings": {}}


def write_record(folder: Path, state: str, seconds: Mapping[str, float], settings: Mapping) -> None:
    """Writes cell.json, whole or not at all."""
    record = {"state": state, "seconds": dict(seconds), "settings": settings}
    write_bytes(folder / _NAME, (json.dumps(record, indent=1) + "\n").encode())


def differences(record: Mapping, settings: Mapping) -> list[str]:
    """Names of the settings in which a record is of another run; empty for an empty record."""
    old = record.get("settings", {})
    differ = sorted(key for key in {*old, *settings} if old.get(key) != settings.get(key))
    return differ if record else []
