"""Predicts many videos: reports a broken one and continues with the rest."""

import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from converter.errors import PytsnError, printable
from converter.files import atomic_path, explain_os_error, write_bytes
from pytsn.data.sources import Source
from pytsn.predict.report import as_json, text_lines
from pytsn.predict.scores import Predictor, Progress


@dataclass(frozen=True)
class Output:
    """labels: class names; top: number of classes printed per video; pictures: folder for NAME_prediction.png, None for
    no pictures; settings: written to the JSON; subtitle: line below a picture's title."""

    labels: Sequence[str]
    top: int
    pictures: Path | None
    settings: dict
    subtitle: str = ""


def predict_all(
    predictor: Predictor,
    sources: Iterable[Source],
    output: Output,
    progress: Progress,
    say: Callable[[str], object],
    complain: Callable[[str], object],
    found: list[dict],
) -> int:
    """Predicts video by video. Passes result lines to ``say`` and errors to ``complain``, writes pictures, and appends
    an entry per video to ``found`` (``as_json``, or path and error). Returns how many videos failed."""
    failed = 0
    for source in sources:
        try:
            found.append(_predict(predictor, source, output, progress, say))
        except PytsnError as error:
            failed += 1
            complain(f"error: {printable(str(error))}")
            found.append({"name": source.name, "path": printable(source.path), "error": printable(str(error))})
    return failed


def write_json(path: str, settings: dict, videos: Sequence[dict], say: Callable[[str], object]) -> None:
    """Writes the JSON file, whole or not at all; with the path ``-`` passes the text to ``say`` instead."""
    text = json.dumps({"settings": settings, "videos": videos}, indent=2, ensure_ascii=False)
    if path == "-":
        say(text)
    else:
        write_bytes(path, f"{text}\n".encode())


def make_folder(path: Path) -> Path:
    """The folder for pictures, made if missing. Raises PytsnError when it is not writable."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass  # fail before the work, not after it
    except FileExistsError:
        raise PytsnError(f"{path}: is a file; -o is a folder for pictures") from None
    except OSError as error:
        reason = explain_os_error(error, path)
        raise PytsnError(f"{reason}; pictures go there, choose another folder by -o") from None
    return path


def _predict(
    predictor: Predictor, source: Source, output: Output, progress: Progress, say: Callable[[str], object]
) -> dict:
    prediction = predictor.predict(source, progress)
    say("\n".join(text_lines(prediction, output.labels, output.top)))
    entry = as_json(prediction, output.labels, output.top)
    if output.pictures is not None:
        from pytsn.predict.picture import save_picture

        path = output.pictures / f"{source.name}_prediction.png"
        with atomic_path(path) as temporary:
            save_picture(temporary, prediction, output.labels, output.subtitle)
        say(f"wrote {printable(str(path))}")
        entry["picture"] = str(path)
    return entry
