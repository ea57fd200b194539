"""``.solverstate`` files: iteration, the matching caffemodel, the history of every blob, learning-rate drops.

Source: Solver::Snapshot and Restore, SGDSolver::SnapshotSolverState of the fork (solver.cpp).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from converter import wire
from converter.errors import PytsnError
from converter.files import read_bytes

_ITER, _LEARNED_NET, _HISTORY, _CURRENT_STEP = 1, 2, 3, 4  # SolverState's fields


@dataclass
class SolverState:
    """The state Caffe saves of a run: ``history`` holds one blob for each parameter blob of the net, in net order.

    learned_net: the caffemodel's path as the run wrote it, relative to the run's working folder.
    """

    iteration: int
    learned_net: str
    current_step: int
    history: list[wire.Blob] = field(default_factory=list)

    def arrays(self) -> list[np.ndarray]:
        """The history as float32 arrays."""
        return [blob.data.reshape(blob.shape) for blob in self.history]


def read_solverstate(path: str | os.PathLike) -> SolverState:
    """Reads a `.solverstate`. Raises PytsnError if it is damaged or holds neither an iteration nor history."""
    numbers: dict[int, int] = {}
    learned_net, history = "", []
    try:
        for item in wire.fields(memoryview(read_bytes(path))):
            if item.number == _HISTORY and item.kind == wire.BYTES:
                history.append(wire.parse_blob(item.payload))
            elif item.number == _LEARNED_NET and item.kind == wire.BYTES:
                learned_net = bytes(item.payload).decode("utf-8", "surrogateescape")
            elif item.kind == wire.VARINT:
                numbers[item.number] = item.integer
    except PytsnError as error:
        raise PytsnError(f"{path}: damaged or not a solverstate: {error}") from None
    if _ITER not in numbers and not history:
        raise PytsnError(f"{path}: not a solverstate (no iteration in it)")
    return SolverState(numbers.get(_ITER, 0), learned_net, numbers.get(_CURRENT_STEP, 0), history)


def solverstate_pieces(
    iteration: int, learned_net: str, current_step: int, history: Sequence[np.ndarray]
) -> list[bytes | memoryview]:
    """The bytes of a `.solverstate`, in pieces that share memory with ``history`` (float32, Caffe's shapes)."""
    pieces: list[bytes | memoryview] = [_number(_ITER, iteration)]
    pieces += wire.write_bytes_field(_LEARNED_NET, learned_net.encode("utf-8", "surrogateescape"))
    for values in history:
        pieces += wire.write_bytes_field(_HISTORY, *wire.write_blob(values))
    return [*pieces, _number(_CURRENT_STEP, current_step)]


def _number(field_number: int, value: int) -> bytes:
    return wire.write_varint(field_number << 3 | wire.VARINT) + wire.write_varint(value)
