"""Arrays inside an .npz file: read without trusting the headers, written reproducibly, byte for byte."""

import zipfile
from typing import IO

import numpy as np

from converter.errors import PytsnError
from converter.npy_files import check_unpacked, read_body, read_header
from pytsn.scores.pickled_arrays import dump_objects, load_objects


def member_names(archive: zipfile.ZipFile) -> set[str]:
    """Names of the arrays in the archive."""
    return {name.removesuffix(".npy") for name in archive.namelist()}


def read_member(path: str, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """The array ``name``: numbers, text, or objects that are numbers and arrays of numbers (see ``load_objects``).

    Raises PytsnError that starts with ``path`` for an impossible type, shape or size; RefusedPickle for other objects;
    for damaged bytes any error of zipfile, zlib, NumPy or pickle.
    """
    where = f"{path}: '{name}'"
    try:
        info = check_unpacked(archive, f"{name}.npy")
        with archive.open(info) as stream:
            return _read_array(stream, info.file_size)
    except ValueError as error:
        raise PytsnError(f"{where} {error}") from None


def _read_array(stream: IO[bytes], size: int) -> np.ndarray:
    header = read_header(stream)
    return load_objects(stream) if header[2].kind == "O" else read_body(stream, size, header)


def write_member(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    """Adds an array of numbers, text or objects (numbers and arrays of numbers)."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
        if array.dtype == object:
            header = {"descr": "|O", "fortran_order": False, "shape": array.shape}
            np.lib.format.write_array_header_1_0(stream, header)
            dump_objects(array, stream)
        else:
            np.lib.format.write_array(stream, array, allow_pickle=False)
