"""Arrays inside an .npz file: read without trusting the headers, written reproducibly, byte for byte."""

import warnings
import zipfile
from typing import IO

import numpy as np

from converter.errors import PytsnError
from pytsn.scores.pickled_arrays import dump_objects, load_objects

#: an entry above 1 MiB may unpack to at most this many times its compressed size (scores hardly compress)
_MAX_RATIO = 100
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def member_names(archive: zipfile.ZipFile) -> set[str]:
    """Names of the arrays in the archive."""
    return {name.removesuffix(".npy") for name in archive.namelist()}


def read_member(path: str, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """The array ``name``: numbers, text, or objects that are numbers and arrays of numbers (see ``load_objects``).

    Raises PytsnError that starts with ``path`` for an impossible type, shape or size; RefusedPickle for other objects;
    for damaged bytes any error of zipfile, zlib, NumPy or pickle.
    """
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > _MAX_RATIO * max(info.compress_size, 1 << 20):
        raise PytsnError(f"{path}: '{name}' would unpack from {info.compress_size} to {info.file_size} bytes; refused")
    with archive.open(info) as stream:
        return _read_array(stream, info.file_size, f"{path}: '{name}'")


def _read_array(stream: IO[bytes], size: int, where: str) -> np.ndarray:
    """One .npy of ``size`` bytes. The header is checked against the number of bytes before memory is allocated."""
    version = np.lib.format.read_magic(stream)
    if version not in _HEADER_READERS:
        raise PytsnError(f"{where} is of .npy version {version}; 1.0 and 2.0 are known")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns when Python 2 wrote the header
        shape, fortran, dtype = _HEADER_READERS[version](stream)
    if dtype.kind == "O":
        return load_objects(stream)
    if dtype.kind not in "iufU" or dtype.itemsize == 0:
        raise PytsnError(f"{where} has type {dtype}; numbers or text are expected")
    count = 1
    for length in shape:
        count *= length
    if min(shape, default=0) < 0 or count * dtype.itemsize > size:
        raise PytsnError(f"{where} claims the shape {shape} of {dtype}, more than its {size} bytes can hold")
    array = np.ndarray((count,), dtype, stream.read(count * dtype.itemsize))
    return array.reshape(shape, order="F" if fortran else "C")


def write_member(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    """Adds an array of numbers, text or objects (numbers and arrays of numbers)."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
        if array.dtype == object:
            header = {"descr": "|O", "fortran_order": False, "shape": array.shape}
            np.lib.format.write_array_header_1_0(stream, header)
            dump_objects(array, stream)
        else:
            np.lib.format.write_array(stream, array, allow_pickle=False)
