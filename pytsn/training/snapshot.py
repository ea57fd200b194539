"""Snapshots: a caffemodel and a solverstate that Caffe reads, and a side file with the rest of the run.

``<prefix>_iter_<N>`` + ``.caffemodel``, ``.solverstate``, ``.pytsnstate``. Each is written whole or not at all, the
solverstate last: if it exists, so do the others. Source: Solver::Snapshot and Solver::Restore of the fork (solver.cpp).
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.files import atomic_path, explain_os_error, read_bytes, sha256_of, write_bytes
from converter.solverstate import SolverState, read_solverstate, solverstate_pieces
from pytsn.training import side_file
from pytsn.training.solver import CaffeSolver

_SIDE = ".pytsnstate"
_VERSION = 1


@dataclass(frozen=True)
class SnapshotPaths:
    """The files of one snapshot."""

    caffemodel: str
    solverstate: str
    side: str


def snapshot_paths(prefix: str, iteration: int) -> SnapshotPaths:
    """The names that Caffe gives: prefix, ``_iter_``, number of updates."""
    stem = f"{prefix}_iter_{iteration}"
    return SnapshotPaths(f"{stem}.caffemodel", f"{stem}.solverstate", f"{stem}{_SIDE}")


def side_path(solverstate: str | os.PathLike) -> str:
    """The side file of a solverstate."""
    return os.path.splitext(solverstate)[0] + _SIDE


def writes_snapshots(solver: pb.SolverParameter) -> bool:
    """Whether a run of this solver writes snapshots that nobody asks for by a signal."""
    return bool(solver.snapshot > 0 or solver.snapshot_after_train)


def check_prefix(prefix: str) -> None:
    """Raises PytsnError if no snapshot can be written with this prefix; called before training starts."""
    folder = os.path.dirname(prefix) or "."
    if not os.path.isdir(folder):
        raise PytsnError(f"snapshot_prefix '{prefix}': there is no folder '{folder}': make it")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PytsnError(f"snapshot_prefix '{prefix}': folder '{folder}' cannot be written to")


def not_finite(net: nn.Module) -> list[str]:
    """The names of weights with an infinity or a NaN, from which no run could continue."""
    return [name for name, tensor in net.state_dict().items() if not bool(tensor.isfinite().all())]


def write_state(paths: SnapshotPaths, solver: CaffeSolver, side: object) -> None:
    """Writes the side file and the solverstate of a snapshot whose caffemodel already exists.

    ``side``: a tree (side_file.py). It is stored with the hashes of the other two files, so that it cannot be confused
    with that of another run.
    """
    pieces = solverstate_pieces(solver.iteration, paths.caffemodel, solver.current_step, solver.history_arrays())
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    head = {"version": _VERSION, "solverstate": digest.hexdigest(), "caffemodel": sha256_of(paths.caffemodel)}
    write_bytes(paths.side, side_file.pack({**head, "state": side}))
    with atomic_path(paths.solverstate) as temporary:
        try:
            with open(temporary, "wb") as file:
                file.writelines(pieces)
        except OSError as error:
            raise explain_os_error(error, paths.solverstate) from None


def find_learned_net(state: SolverState, path: str | os.PathLike) -> str:
    """The caffemodel of a solverstate: at its stored path, relative to the current folder, else beside the solverstate.

    Raises PytsnError if it is in neither place.
    """
    if not state.learned_net:
        raise PytsnError(f"{path}: names no caffemodel (learned_net): give the weights with --weights instead")
    beside = Path(path).parent / os.path.basename(state.learned_net)
    for candidate in (state.learned_net, beside):
        if os.path.isfile(candidate):
            return str(candidate)
    raise PytsnError(f"{path}: its caffemodel '{state.learned_net}' is not there, nor '{beside}': put it beside")


def load_solverstate(path: str | os.PathLike, solver: CaffeSolver) -> SolverState:
    """Reads a solverstate into ``solver`` and returns it. Raises PytsnError if its history belongs to another net."""
    state = read_solverstate(path)
    arrays = state.arrays()
    if len(arrays) != len(solver.blobs):
        raise PytsnError(f"{path}: holds the history of {len(arrays)} blobs, the net has {len(solver.blobs)}")
    for values, blob in zip(arrays, solver.blobs, strict=True):
        if values.size != blob.tensor.numel():
            raise PytsnError(
                f"{path}: layer '{blob.layer}', {blob.blob}: history of shape {values.shape}, the net has"
                f" {blob.caffe_shape}: solverstate of another net?"
            )
    solver.load(state.iteration, state.current_step, arrays)
    return state


def read_side(path: str | os.PathLike, caffemodel: str | os.PathLike) -> tuple[Any, str]:
    """The tree of the side file that belongs to this solverstate and caffemodel; or None and the reason.

    Raises PytsnError for a damaged side file.
    """
    side = side_path(path)
    if not os.path.exists(side):
        return None, f"no {os.path.basename(side)} beside it"
    tree = side_file.unpack(read_bytes(side), side)
    if not isinstance(tree, dict) or tree.get("version") != _VERSION:
        return None, f"{side} is of another version"
    for name, file in (("solverstate", path), ("caffemodel", caffemodel)):
        if tree.get(name) != sha256_of(file):
            return None, f"{side} belongs to another {name}"
    return tree["state"], ""
