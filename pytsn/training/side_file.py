"""The side file of a snapshot, ``.pytsnstate``: state that Caffe does not save, so that a run resumes bit for bit.

A state is a tree of dicts with string keys, lists, numbers, strings, booleans, None and arrays. On disk it is an npz
archive, read without pickles: one array per array in the tree, and the rest as JSON.
"""

import io
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from converter.errors import PytsnError
from converter.npy_files import read_npz

_TREE, _ARRAY = "tree", "__array__"


def pack(state: object) -> bytes:
    """The tree as the bytes of an npz archive."""
    arrays: list[np.ndarray] = []
    text = json.dumps(_strip(state, arrays))
    buffer = io.BytesIO()
    named = {_TREE: np.frombuffer(text.encode(), np.uint8)}
    named |= {f"a{index}": array for index, array in enumerate(arrays)}
    np.savez(buffer, **named)  # type: ignore[arg-type]  # none is called allow_pickle
    return buffer.getvalue()


def _strip(node: object, arrays: list[np.ndarray]) -> object:
    """The tree with every array replaced by its number."""
    if isinstance(node, np.ndarray):
        if node.dtype.hasobject:
            raise TypeError("an object array cannot be saved without pickles")
        arrays.append(node)
        return {_ARRAY: len(arrays) - 1}
    if isinstance(node, dict):
        return {key: _strip(value, arrays) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_strip(value, arrays) for value in node]
    return node.item() if isinstance(node, np.generic) else node


def unpack(data: bytes, source: str | os.PathLike) -> Any:
    """The tree that ``pack`` wrote (tuples become lists). Raises PytsnError naming ``source`` if damaged."""
    try:
        arrays = read_npz(io.BytesIO(data))
        return _restore(json.loads(arrays[_TREE].tobytes().decode()), arrays)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        raise PytsnError(f"{source}: damaged or not a side file of a snapshot; rename it to go on without it") from None


def _restore(node: object, arrays: Mapping[str, np.ndarray]) -> object:
    if isinstance(node, list):
        return [_restore(value, arrays) for value in node]
    if isinstance(node, dict):
        if set(node) == {_ARRAY}:
            return arrays[f"a{int(node[_ARRAY])}"]
        return {key: _restore(value, arrays) for key, value in node.items()}
    return node
