"""NumPy's .npy and .npz files, read without trusting what their headers claim: no pickles, no memory beyond the file's.

``np.load`` allocates what a header says before it looks for the bytes, and damaged headers raise errors of Python's
tokenizer. Here every damaged or impossible file is a ValueError that says what is wrong.
"""

import warnings
import zipfile
from typing import IO

import numpy as np

#: an entry above 1 MiB may unpack to at most this many times its packed size, as may all of an archive together
MAX_RATIO = 100
_SMALL = 1 << 20
_PLAIN = "iufbU"
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}

Header = tuple[tuple[int, ...], bool, np.dtype]


def read_header(stream: IO[bytes]) -> Header:
    """Shape, whether in Fortran's order, and type of the .npy that begins here. Raises ValueError if it is none."""
    version = None
    try:
        version = np.lib.format.read_magic(stream)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns when Python 2 wrote the header
            return _HEADER_READERS[version](stream)
    except Exception as error:  # tokenize.TokenError, SyntaxError, RecursionError, MemoryError, ValueError ...
        if version is not None and version not in _HEADER_READERS:
            raise ValueError(f"is of .npy version {version}; 1.0 and 2.0 are known") from None
        raise ValueError(f"has a damaged header ({type(error).__name__})") from None


def read_body(stream: IO[bytes], size: int, header: Header) -> np.ndarray:
    """The array of numbers or text after its header, in a .npy of ``size`` bytes. Raises ValueError for an impossible
    type or shape, and where bytes are missing."""
    shape, fortran, dtype = header
    if dtype.kind not in _PLAIN or dtype.itemsize == 0:
        raise ValueError(f"has type {dtype}; numbers or text are expected")
    if len(shape) > 32:
        raise ValueError(f"has {len(shape)} dimensions")
    count = 1
    for length in shape:
        count *= length
    if min(shape, default=0) < 0 or count * dtype.itemsize > size:
        raise ValueError(f"claims the shape {shape} of {dtype}, more than its {size} bytes can hold")
    data = stream.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise ValueError("is damaged: its bytes end before the array does")
    return np.ndarray((count,), dtype, data).reshape(shape, order="F" if fortran else "C")


def check_unpacked(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """The entry ``name``. Raises ValueError if it would unpack to more than any array of numbers packs."""
    info = archive.getinfo(name)
    if info.file_size > MAX_RATIO * max(info.compress_size, _SMALL):
        raise ValueError(f"would unpack from {info.compress_size} to {info.file_size} bytes; refused")
    return info


def read_npz(file: IO[bytes]) -> dict[str, np.ndarray]:
    """All arrays of an open .npz: name -> numbers or text, writable. Raises ValueError for whatever else it is."""
    size = file.seek(0, 2)
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            total = sum(info.file_size for info in archive.infolist())
            if total > MAX_RATIO * max(size, _SMALL):
                raise ValueError(f"would unpack from {size} to {total} bytes; refused")
            return {name.removesuffix(".npy"): _read_entry(archive, name) for name in names}
    except ValueError:
        raise
    except Exception as error:  # what zipfile, zlib and struct raise for damaged bytes
        raise ValueError(f"no archive of arrays, or a damaged one ({type(error).__name__}: {error})") from None


def _read_entry(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    try:
        info = check_unpacked(archive, name)
        with archive.open(info) as stream:
            return read_body(stream, info.file_size, read_header(stream)).copy()
    except ValueError as error:
        raise ValueError(f"'{name.removesuffix('.npy')}' {error}") from None
