"""Feature files: .npz, .h5, or a folder with one .npy per video. The first two hold, for V videos:

names      unicode (V,), h5: variable-length UTF-8
labels     int64 (V,), -1 if there are none
settings   unicode (), h5: attribute of the file: JSON object, how the features were made
features_000000, ...  float32 (T, D) of video 0, ... in the order of ``names``; h5: features/000000
ticks_000000, ...     int64 (T,): the first image (from 1) of each snippet; h5: ticks/000000

A folder holds NAME.npy for each video and index.json with files, names, labels, ticks and settings.
"""

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from converter.errors import PytsnError
from converter.files import atomic_path, explain_os_error, open_regular, read_text, write_bytes
from pytsn.runtime.unfinished import put_folder_in_place, recover_folder
from pytsn.scores.npz import read_member, write_member

INDEX = "index.json"


@dataclass(frozen=True)
class FeatureIndex:
    """What a feature file records about its V videos; ``settings``: JSON-able, how the features were made."""

    names: Sequence[str]
    labels: Sequence[int]
    settings: dict
    ticks: Sequence[Sequence[int]] = field(default=())


def feature_kind(path: str | os.PathLike) -> str:
    """npz, h5 or folder, by the path's suffix (folder: no suffix, a final /, or an existing folder).

    Raises PytsnError for other suffixes, and for h5 if h5py is not installed.
    """
    text = os.fspath(path)
    suffix = os.path.splitext(text)[1].lower()
    if text.endswith(os.sep) or os.path.isdir(text) or not suffix:
        return "folder"
    if suffix == ".npz":
        return "npz"
    if suffix in (".h5", ".hdf5"):
        load_h5py()
        return "h5"
    raise PytsnError(f"{path}: features are written as .npz, .h5 or, without an ending or with a /, into a folder")


def load_h5py():
    """The h5py module. Raises PytsnError that says how to install it."""
    try:
        import h5py
    except ImportError:
        raise PytsnError("HDF5 files need h5py, which is not installed: pip install h5py, or write .npz") from None
    return h5py


def write_features(path: Path, kind: str, index: FeatureIndex, load: Callable[[int], np.ndarray]) -> None:
    """Writes all videos; ``load(number)`` returns the array of one. The file appears whole or not at all."""
    if kind == "folder":
        _write_folder(path, index, load)
        return
    with atomic_path(path) as temporary:
        {"npz": _write_npz, "h5": _write_h5}[kind](temporary, index, load)


def read_index(path: Path, kind: str) -> FeatureIndex:
    """Names, labels, ticks and settings of finished features. Raises PytsnError when the file is none or is damaged."""
    try:
        found = {"npz": _index_npz, "h5": _index_h5, "folder": _index_folder}[kind](path)
    except PytsnError:
        raise
    except OSError as error:
        raise explain_os_error(error, path) from None
    except Exception as error:  # hostile bytes may raise anything in zipfile, h5py, NumPy or json
        raise PytsnError(f"{path}: holds no features of this program ({type(error).__name__}: {error})") from None
    _check_index(path, found)
    return found


def _check_index(path: Path, found: FeatureIndex) -> None:
    columns = ((found.names, str), (found.labels, int), (found.ticks, list))
    if not all(isinstance(column, list) and all(isinstance(item, kind) for item in column) for column, kind in columns):
        raise PytsnError(f"{path}: holds no features of this program: its names, labels or ticks are none")
    if len(found.names) != len(found.labels) or not isinstance(found.settings, dict):
        raise PytsnError(
            f"{path}: holds no features of this program: {len(found.names)} names, {len(found.labels)} labels and "
            f"settings of type {type(found.settings).__name__}"
        )


def file_names(names: Sequence[str]) -> list[str]:
    """Distinct file names for a folder: the videos' names with _ for /, and a number added where two would clash."""
    plain = [name.strip("/").replace("/", "_").lstrip(".")[:200] or "video" for name in names]
    taken: set[str] = set()
    found = []
    for number, name in enumerate(plain):
        own = name if name.lower() not in taken else f"{name}_{number:06d}"
        taken.add(own.lower())
        found.append(f"{own}.npy")
    return found


def _write_npz(path: Path, index: FeatureIndex, load: Callable[[int], np.ndarray]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        write_member(archive, "names", np.array(index.names, dtype=str))
        write_member(archive, "labels", np.array(index.labels, np.int64))
        write_member(archive, "settings", np.array(json.dumps(index.settings, sort_keys=True)))
        for number, ticks in enumerate(index.ticks):
            write_member(archive, f"features_{number:06d}", load(number))
            write_member(archive, f"ticks_{number:06d}", np.array(ticks, np.int64))


def _write_h5(path: Path, index: FeatureIndex, load: Callable[[int], np.ndarray]) -> None:
    h5py = load_h5py()
    with h5py.File(path, "w") as file:
        file.create_dataset("names", data=list(index.names), dtype=h5py.string_dtype())
        file.create_dataset("labels", data=np.array(index.labels, np.int64))
        file.attrs["settings"] = json.dumps(index.settings, sort_keys=True)
        for number, ticks in enumerate(index.ticks):
            file.create_dataset(f"features/{number:06d}", data=load(number))
            file.create_dataset(f"ticks/{number:06d}", data=np.array(ticks, np.int64))


def _write_folder(path: Path, index: FeatureIndex, load: Callable[[int], np.ndarray]) -> None:
    """Writes a hidden folder beside ``path`` and then renames it to ``path``; an older folder stays until then."""
    path = Path(os.path.abspath(path))
    aside = path.with_name(f".{path.name}.pytsn-old")
    recover_folder(path, aside)
    check_folder(path)
    files = file_names(index.names)
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            for number, name in enumerate(files):
                np.save(made / name, load(number), allow_pickle=False)
            ticks = [list(map(int, numbers)) for numbers in index.ticks]
            record = {"files": files, "names": list(index.names), "labels": list(index.labels), "ticks": ticks}
            write_bytes(made / INDEX, json.dumps({**record, "settings": index.settings}, indent=1).encode())
            mask = os.umask(0)
            os.umask(mask)
            made.chmod(0o777 & ~mask)  # mkdtemp makes 0700
            put_folder_in_place(made, path, aside)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise explain_os_error(error, path) from None


def check_folder(path: Path) -> None:
    """Raises PytsnError if ``path`` is a file, or a folder with content that is not from an earlier run."""
    if path.is_file() or (path.is_dir() and any(path.iterdir()) and not (path / INDEX).is_file()):
        raise PytsnError(f"{path}: holds other things than features; choose another folder")


def _index_npz(path: Path) -> FeatureIndex:
    with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
        names, labels, settings = (read_member(str(path), archive, name) for name in ("names", "labels", "settings"))
        ticks = [read_member(str(path), archive, f"ticks_{number:06d}").tolist() for number in range(len(names))]
    return FeatureIndex(names.tolist(), labels.tolist(), json.loads(settings.item()), ticks)


def _index_h5(path: Path) -> FeatureIndex:
    with load_h5py().File(path, "r") as file:
        names = [name.decode() for name in file["names"][()]]
        ticks = [file[f"ticks/{number:06d}"][()].tolist() for number in range(len(names))]
        return FeatureIndex(names, file["labels"][()].tolist(), json.loads(file.attrs["settings"]), ticks)


def _index_folder(path: Path) -> FeatureIndex:
    record = json.loads(read_text(path / INDEX))
    return FeatureIndex(record["names"], record["labels"], record["settings"], record["ticks"])
