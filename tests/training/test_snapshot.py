"""Solverstates, side files, and what is left when writing fails."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from converter import caffe_tsn_pb2 as pb
from converter import proto
from converter.errors import PytsnError
from converter.solverstate import read_solverstate, solverstate_pieces
from converter.weights import save_caffemodel
from pytsn.training import side_file as side_state
from pytsn.training.snapshot import (
    check_prefix,
    find_learned_net,
    load_solverstate,
    not_finite,
    read_side,
    snapshot_paths,
    write_state,
)
from pytsn.training.solver import CaffeSolver
from pytsn.training.solver_blobs import solver_blobs
from tests.converter.nets import build

NET = """
name: "n" input: "data" input_shape { dim: 2 dim: 3 dim: 5 dim: 4 }
layer { name: "c/1" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 4 kernel_size: 2
        weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BN" bottom: "c" top: "bn" bn_param { slope_filler { type: "constant" value: 1 } } }
"""


def make_solver(seed: int = 0, text: str = NET) -> tuple:
    """A net and its solver, with history that a run could have left."""
    net = build(text, "TRAIN")
    solver = CaffeSolver(pb.SolverParameter(lr_policy="fixed"), solver_blobs(net))
    random = np.random.default_rng(seed)
    history = [random.normal(size=blob.caffe_shape).astype(np.float32) for blob in solver.blobs]
    solver.load(40 + seed, 3, history)
    return net, solver


def write(folder, seed: int = 0, side: object = None):
    net, solver = make_solver(seed)
    paths = snapshot_paths(str(folder / "snap"), 40)
    save_caffemodel(paths.caffemodel, net)
    write_state(paths, solver, side)
    return paths, solver


STATES = [
    ("det_multistep_itersize/snap_iter_10", 10, 2),
    ("det_step_clip/snap_iter_20", 20, 2),
    ("rgb_itersize/snap_iter_15", 15, 1),
    ("rgb_step/init_iter_0", 0, 0),
]


@pytest.mark.parametrize(("stem", "iteration", "current_step"), STATES)
def test_a_solverstate_of_caffe_is_read_and_written_byte_for_byte(recordings, stem, iteration, current_step):
    path = recordings / "tiny" / f"{stem}.solverstate"
    state = read_solverstate(path)
    assert (state.iteration, state.current_step, state.learned_net) == (iteration, current_step, f"{stem}.caffemodel")
    pieces = solverstate_pieces(state.iteration, state.learned_net, state.current_step, state.arrays())
    assert b"".join(pieces) == path.read_bytes()


def test_protobuf_reads_what_we_write(tmp_path):
    paths, solver = write(tmp_path)
    message = proto.read_solverstate(paths.solverstate)
    assert (message.iter, message.current_step, message.learned_net) == (40, 3, paths.caffemodel)
    assert [tuple(blob.shape.dim) for blob in message.history] == [(4, 3, 2, 2), (4,)] + [(1, 4)] * 4
    for blob, values in zip(message.history, solver.history_arrays(), strict=True):
        np.testing.assert_array_equal(np.array(blob.data, np.float32), values.ravel())


def test_a_state_goes_back_into_a_solver(tmp_path):
    paths, solver = write(tmp_path, seed=1)
    _, other = make_solver(2)
    load_solverstate(paths.solverstate, other)
    assert (other.iteration, other.current_step) == (41, 3)
    for one, two in zip(solver.history, other.history, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("wrong", ["num_output: 5", "num_output: 4 bias_term: false"])
def test_history_of_another_net_is_refused(tmp_path, wrong):
    paths, _ = write(tmp_path)
    _, other = make_solver(text=NET.replace("num_output: 4", wrong))
    with pytest.raises(PytsnError, match=r"snap_iter_40\.solverstate.*(another net|the net has 5)"):
        load_solverstate(paths.solverstate, other)


def test_the_caffemodel_is_looked_for_as_caffe_does_and_then_beside(tmp_path, monkeypatch):
    """Its path in the solverstate is relative to the folder that the run was started in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    net, solver = make_solver()
    paths = snapshot_paths("runs/snap", 40)
    save_caffemodel(paths.caffemodel, net)
    write_state(paths, solver, None)
    state = read_solverstate(paths.solverstate)
    assert find_learned_net(state, paths.solverstate) == "runs/snap_iter_40.caffemodel"
    monkeypatch.chdir("/")
    moved = tmp_path / "runs" / "snap_iter_40.solverstate"
    assert find_learned_net(state, moved) == str(tmp_path / "runs" / "snap_iter_40.caffemodel")
    (tmp_path / "runs" / "snap_iter_40.caffemodel").unlink()
    with pytest.raises(PytsnError, match=r"snap_iter_40\.caffemodel' is not there"):
        find_learned_net(state, moved)


@pytest.mark.parametrize("damage", [lambda b: b[:-7], lambda b: b"\xff" + b, lambda b: b"", lambda b: b"net: 'x'"])
def test_damaged_solverstates_are_one_line(tmp_path, damage):
    path = tmp_path / "x.solverstate"
    good, _ = write(tmp_path)
    path.write_bytes(damage(Path(good.solverstate).read_bytes()))
    with pytest.raises(PytsnError, match=r"x\.solverstate: "):
        read_solverstate(path)


TREE = {
    "numbers": [1, 2.5, -(2**40), True, None, "text"],
    "arrays": {
        "words": np.arange(625, dtype=np.uint32),
        "empty": np.zeros((0, 3)),
        "scalar": np.array(1.5, np.float32),
    },
}


def test_a_tree_comes_back_from_a_side_file():
    back = side_state.unpack(side_state.pack(TREE), "x")
    assert back["numbers"] == TREE["numbers"]
    for name, array in TREE["arrays"].items():
        assert back["arrays"][name].dtype == array.dtype
        np.testing.assert_array_equal(back["arrays"][name], array)


def test_pickles_are_neither_written_nor_read(tmp_path):
    with pytest.raises(TypeError, match="object array"):
        side_state.pack({"a": np.array([object()])})
    np.savez(tmp_path / "x.npz", tree=np.array([{"a": 1}], dtype=object))
    with pytest.raises(PytsnError, match=r"damaged or not a side file"):
        side_state.unpack((tmp_path / "x.npz").read_bytes(), "x")


def test_a_side_file_belongs_to_one_snapshot(tmp_path):
    paths, _ = write(tmp_path, side=TREE)
    tree, reason = read_side(paths.solverstate, paths.caffemodel)
    assert reason == ""
    assert tree["numbers"] == TREE["numbers"]
    (tmp_path / "other").mkdir()
    other, _ = write(tmp_path / "other", seed=5)
    os.replace(other.solverstate, paths.solverstate)
    assert read_side(paths.solverstate, paths.caffemodel)[0] is None
    os.unlink(paths.side)
    assert read_side(paths.solverstate, paths.caffemodel) == (None, "no snap_iter_40.pytsnstate beside it")


def test_a_damaged_side_file_is_one_line(tmp_path):
    paths, _ = write(tmp_path, side=TREE)
    with open(paths.side, "r+b") as file:
        file.truncate(100)
    with pytest.raises(PytsnError, match=r"\.pytsnstate: damaged"):
        read_side(paths.solverstate, paths.caffemodel)


@pytest.mark.parametrize("name", ["caffemodel", "side", "solverstate"])
def test_a_full_disk_leaves_the_snapshot_before_it_whole(tmp_path, monkeypatch, name):
    """fsync fails, as it does when the disk is full, while one of the three files is written again."""
    paths, _ = write(tmp_path, seed=1, side=TREE)
    before = {file: Path(file).read_bytes() for file in (paths.caffemodel, paths.side, paths.solverstate)}
    count = iter(range(3))
    fails = ["caffemodel", "side", "solverstate"].index(name)
    sync = os.fsync

    def full(handle: int) -> None:
        if next(count) == fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PytsnError, match=r"snap_iter_40\.\w+: No space left on device"):
        write(tmp_path, seed=2, side=TREE)
    monkeypatch.undo()
    broken = getattr(paths, name)
    assert Path(broken).read_bytes() == before[broken]
    assert sorted(os.listdir(tmp_path)) == sorted(os.path.basename(file) for file in before)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_weights_that_are_not_finite_are_named(value):
    net, _ = make_solver()
    assert not_finite(net) == []
    with torch.no_grad():
        net.bn.running_var[2] = float(value)
        net.c_1.weight[3, 1, 0, 1] = -float(value)
    assert not_finite(net) == ["c_1.weight", "bn.running_var"]


def test_a_prefix_without_folder_is_refused_before_training(tmp_path):
    check_prefix(str(tmp_path / "snap"))
    with pytest.raises(PytsnError, match=r"there is no folder '.*/models': make it"):
        check_prefix(str(tmp_path / "models" / "snap"))
