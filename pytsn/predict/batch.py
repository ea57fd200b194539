"""Predicts many videos: reports a broken one and continues with the rest."""

import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from converter.errors import PytsnError, printable
from converter.files import atomic_path, explain_os_error, write_bytes
from pytsn.data.sources import Source
from pytsn.predict.report import as_json
from pytsn.predict.result import text_lines
from pytsn.predict.scores import Predictor, Progress
from pytsn.runtime.picture_file import FORMATS, picture_format

#: of files; a folder may have any other
_PICTURE_SUFFIXES = (
    *(f".{name}" for name in FORMATS),
    ".jpg",
    ".jpeg",
    ".gif",
    ".bmp",
    ".tif",
    ".tiff",
    ".webp",
    ".eps",
)


@dataclass(frozen=True)
class Output:
    """labels: class names; top: number of classes printed per video; pictures: what makes a video's name its picture's
    path, None for no pictures; settings: written to the JSON; subtitle: line below a picture's title."""

    labels: Sequence[str]
    top: int
    pictures: Callable[[str], Path] | None
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


def picture_paths(output: str, kind: str, videos: int) -> Callable[[str], Path]:
    """What makes a video's name its picture's path: ``output`` itself if it has a picture's ending, else
    ``output``/NAME_prediction.KIND; the folder is made. Raises PytsnError for an ending of no format that is written,
    for one file and several videos, and for a folder that cannot be written."""
    path = Path(output)
    if path.is_dir() or path.suffix.lower() not in _PICTURE_SUFFIXES:
        folder = make_folder(path)
        return lambda name: folder / f"{name}_prediction.{kind}"
    picture_format(path)
    if videos > 1:
        raise PytsnError(f"-o {output}: the file of one picture, for {videos} videos; give a folder")
    make_folder(path.parent)
    return lambda name: path


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

        path = output.pictures(source.name)
        with atomic_path(path) as temporary:
            save_picture(temporary, prediction, output.labels, output.subtitle)
        say(f"wrote {printable(str(path))}")
        entry["picture"] = str(path)
    return entry
