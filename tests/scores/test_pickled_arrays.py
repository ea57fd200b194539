"""The restricted unpickler: nothing a hostile score file names is imported, called or given a state."""

import builtins
import io
import os
import pickle
import pickletools
import struct
import zipfile

import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.scores.pickled_arrays import RefusedPickle, dump_objects, load_objects
from pytsn.scores.score_file import read_scores

MARKER = "pytsn_was_here"


class Call:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def objects(*items):
    array = np.empty(len(items), object)
    for index, item in enumerate(items):
        array[index] = item
    return array


def load(pickled):
    return load_objects(io.BytesIO(pickled))


#: what a hostile file may want to call; each would leave MARKER in the current folder if it ran
HOSTILE_CALLS = {
    "posix.system": (os.system, f"touch {MARKER}"),
    "builtins.eval": (builtins.eval, f"open({MARKER!r}, 'w')"),
    "builtins.exec": (builtins.exec, f"open({MARKER!r}, 'w')"),
    "io.open": (io.open, MARKER, "w"),
    "builtins.getattr": (getattr, 3, "real"),
    "builtins.__import__": (__import__, "os"),
    "numpy.load": (np.load, "other.npy"),
    "numpy.fromfile": (np.fromfile, "other.bin"),
    "numpy.memmap": (np.memmap, MARKER, "uint8", "w+", 0, 8),
    "numpy.save": (np.save, MARKER, [1]),
}


@pytest.mark.parametrize("name", HOSTILE_CALLS)
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_calls_are_refused_and_not_made(tmp_path, monkeypatch, name, protocol):
    monkeypatch.chdir(tmp_path)
    rows = objects(np.zeros((1, 1, 2), np.float32), 0).reshape(1, 2)
    rows[0, 0] = Call(*HOSTILE_CALLS[name])
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": (1, 2)})
    labels = io.BytesIO()
    np.save(labels, np.array([0]))
    with zipfile.ZipFile("f.npz", "w") as archive:
        archive.writestr("scores.npy", header.getvalue() + pickle.dumps(rows, protocol))
        archive.writestr("labels.npy", labels.getvalue())
    imported = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            builtins, "__import__", lambda *args, **kwargs: imported.append(args[0]) or _import(*args, **kwargs)
        )
        with pytest.raises(PytsnError, match=r"f\.npz: refused to read it, its pickle holds \w+\.") as error:
            read_scores("f.npz")
    wanted = name.split(".")[1]
    assert f".{wanted}, which is neither" in str(error.value)
    assert "os" not in imported
    assert sorted(os.listdir()) == ["f.npz"]


_import = builtins.__import__


def test_the_hostile_pickles_would_do_harm_elsewhere(tmp_path, monkeypatch):
    """Without this the test above could pass because its pickles are broken."""
    monkeypatch.chdir(tmp_path)
    for name in ("posix.system", "builtins.eval", "builtins.exec", "io.open", "numpy.memmap"):
        pickle.loads(pickle.dumps(Call(*HOSTILE_CALLS[name]), 2))
        os.remove(MARKER)


def test_states_are_given_to_arrays_only():
    """BUILD on anything else could set attributes of this module's own functions."""
    for target in (b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"]", b"K\x05"):
        for state in (b"}U\x01xK\x01s", b"N(U\x0c__defaults__K\x01\x85t\x86"):
            with pytest.raises((RefusedPickle, KeyError, IndexError)):
                load(b"\x80\x02" + target + state + b"b.")


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02cos\nsystem\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"(S'true'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'true'\no.",  # OBJ
        b"\x80\x02cnumpy\ndtype\n)\x81.",  # NEWOBJ
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)}\x92.",  # NEWOBJ_EX
        b"\x80\x02Pid\n.",  # persistent id
        b"\x80\x02K\x01Q.",
        b"\x80\x02\x82\x01.",  # extension registry
        b"\x80\x05\x97.",  # out-of-band buffer
        b"\x80\x02cnumpy\nload\n.",
        b"\x80\x02cnumpy.core.multiarray\nfromfile\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.",
        b"\x80\x04\x8c\x05numpy\x8c\x0ecore.os.system\x93.",
        b"\x80\x02c_codecs\ndecode\n.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aU\x03zip\x86R.",
        b"\x80\x02]q\x00.",  # only a list
        b"\x80\x02K\x01.",
    ],
)
def test_other_opcodes_and_names_are_refused(pickled):
    with pytest.raises(RefusedPickle):
        load(pickled)


def numpy_pickle(
    dtype=b"U\x02f4K\x00K\x01\x87",
    state=b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t",
    data=b"U\x08abcdefgh",
):
    """A Python 2 pickle, opcode by opcode, of an object array (1,) with a float array (2,) inside."""
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    object_dtype = b"cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb"
    inner = array + b"(K\x01K\x02\x85" + b"cnumpy\ndtype\n" + dtype + b"R" + state + b"b\x89" + data + b"tb"
    return b"\x80\x02" + array + b"(K\x01K\x01\x85" + object_dtype + b"\x89](" + inner + b"etb."


def test_a_pickle_written_by_hand():
    assert load(numpy_pickle())[0].tolist() == list(struct.unpack("<2f", b"abcdefgh"))
    big = numpy_pickle(state=b"(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t")
    assert load(big)[0].tolist() == list(struct.unpack(">2f", b"abcdefgh"))
    assert pickle.loads(numpy_pickle(), encoding="latin1")[0].tolist() == load(numpy_pickle())[0].tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": b"U\x02O8K\x00K\x01\x87"},  # bytes taken for pointers
        {"dtype": b"U\x02V8K\x00K\x01\x87"},
        {"dtype": b"U\x0510000K\x00K\x01\x87"},
        {"dtype": b"U\x06f4, f4K\x00K\x01\x87"},
        {"data": b"U\x07abcdefg"},  # a byte short
        {"data": b"U\x09abcdefghi"},
        {"data": b"]"},
        {"state": b"(K\x03U\x01<NU\x01xNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"},  # fields
    ],
)
def test_arrays_that_do_not_add_up_never_reach_numpy(changes):
    with pytest.raises(RefusedPickle):
        load(numpy_pickle(**changes))


def test_a_huge_memo_index_costs_nothing():
    """The unpickler in C would allocate an array of that many pointers."""
    pickled = b"\x80\x02]r\xff\xff\xff\x7f."
    with pytest.raises(RefusedPickle, match="other than an array"):
        load(pickled)


def test_shapes_and_nesting():
    for shape in (b"J\xff\xff\xff\xff\x85", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", b"U\x01a\x85"):
        pickled = numpy_pickle().replace(b"(K\x01K\x02\x85", b"(K\x01" + shape)
        with pytest.raises(RefusedPickle):
            load(pickled)
    nested = objects(objects(1.0, 2.0), 3)
    with pytest.raises(RefusedPickle, match="neither an array of numbers nor a number"):
        load(pickle.dumps(nested, 3))
    for item in ("text", b"bytes", None, [1], (1,)):
        with pytest.raises(RefusedPickle):
            load(pickle.dumps(objects(item), 3))
    for array in (np.array(["a"]), np.array([b"a"]), np.array([1j]), np.zeros(2, [("a", "f4")])):
        with pytest.raises(RefusedPickle):
            load(pickle.dumps(objects(array), 3))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_numbers_of_every_kind(protocol):
    items = [1, -5, 2.5, True, np.int64(7), np.int32(-7), np.float32(0.5), np.bool_(True), 2**40, 300]
    arrays = [np.arange(6, dtype=kind).reshape(2, 3) for kind in ("f2", "f4", "f8", "i1", "i4", "i8", "u2", ">f8")]
    loaded = load(pickle.dumps(objects(*items, *arrays), protocol))
    for own, expected in zip(loaded, items + arrays, strict=True):
        np.testing.assert_array_equal(own, expected)


def test_what_is_dumped_is_loaded_by_both_readers():
    array = objects(np.arange(12, dtype=np.float32).reshape(3, 4), 5, np.asfortranarray(np.eye(3)[:, :2]), -1)
    stream = io.BytesIO()
    dump_objects(array.reshape(2, 2), stream)
    for loaded in (load(stream.getvalue()), pickle.loads(stream.getvalue())):
        assert loaded.shape == (2, 2)
        for own, expected in zip(loaded.ravel(), array, strict=True):
            np.testing.assert_array_equal(own, expected)
    assert all(code.proto <= 3 for code, _, _ in pickletools.genops(stream.getvalue()))


def test_mutated_pickles_never_run_anything():
    """Seeded mutations of pickles, no checksum in the way: what comes out is an exception or an object array."""
    rng = np.random.default_rng(5)
    escaped = set()
    for original in (numpy_pickle(), pickle.dumps(objects(np.zeros(2, np.float32), np.int64(3)), 4)):
        for _ in range(3000):
            damaged = bytearray(original)
            for _ in range(int(rng.integers(1, 4))):
                damaged[int(rng.integers(len(damaged)))] = int(rng.integers(256))
            try:
                result = load(bytes(damaged))
            except Exception as error:
                escaped.add(type(error))
            else:
                assert result.dtype == object
    assert RefusedPickle in escaped
    assert not escaped & {MemoryError, ImportError, ModuleNotFoundError, RecursionError, SystemError}
