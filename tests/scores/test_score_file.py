"""Score files: the original's layout both ways, files of Python 2, files that do not add up."""

import io
import pickle
import zipfile

import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.scores.score_file import read_scores, write_scores

SCORES = [np.random.default_rng(index).normal(size=(3 + index, 10, 4)).astype(np.float32) for index in range(3)]
LABELS = [3, 0, 1]


def npy(array, allow_pickle=False):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


def object_npy(shape, pickled):
    """The bytes of scores.npy: the header NumPy writes, then any pickle."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": shape})
    return stream.getvalue() + pickled


def rows(scores=SCORES, labels=LABELS):
    array = np.empty((len(scores), 2), object)
    for index, (score, label) in enumerate(zip(scores, labels, strict=True)):
        array[index, 0], array[index, 1] = score, label
    return array


@pytest.fixture
def make(tmp_path):
    """Writes an .npz of the given members' bytes (a name that is None is left out) and returns its path."""

    def write(compression=zipfile.ZIP_STORED, **members):
        members = {"scores": npy(rows(), allow_pickle=True), "labels": npy(np.array(LABELS)), **members}
        with zipfile.ZipFile(tmp_path / "f.npz", "w", compression) as archive:
            for name, data in members.items():
                if data is not None:
                    archive.writestr(f"{name}.npy", data)
        return tmp_path / "f.npz"

    return write


def assert_holds(file, scores=SCORES, labels=LABELS):
    assert file.labels.tolist() == labels
    assert file.labels.dtype == np.int64
    assert len(file.scores) == len(scores)
    for own, expected in zip(file.scores, scores, strict=True):
        np.testing.assert_array_equal(own, expected)
        assert own.dtype == expected.dtype


def test_what_is_written_is_read(tmp_path):
    settings = {"dataset": "ucf101", "frames": 25}
    path = write_scores(tmp_path / "s", SCORES, LABELS, ["a", "b é", "c"], settings)
    assert path == tmp_path / "s.npz"
    file = read_scores(path)
    assert_holds(file)
    assert (file.names, file.settings, file.warnings, file.num_classes) == (("a", "b é", "c"), settings, (), 4)


def test_numpy_reads_it_as_the_original_does(tmp_path):
    path = write_scores(tmp_path / "s.npz", SCORES, LABELS, ["a", "b", "c"], {})
    with np.load(path, allow_pickle=True) as archive:
        assert archive["scores"].shape == (3, 2)
        assert archive["scores"][:, 1].tolist() == archive["labels"].tolist() == LABELS
        for own, expected in zip(archive["scores"][:, 0], SCORES, strict=True):
            np.testing.assert_array_equal(own, expected)
    with np.load(path, allow_pickle=False) as archive:  # ours need no pickle
        assert archive["names"].tolist() == ["a", "b", "c"]
        assert archive["settings"].item() == "{}"


def test_the_pickle_names_only_what_every_numpy_has(tmp_path):
    """numpy._core does not exist before NumPy 1.26; numpy.core.multiarray is kept by NumPy 2 for old pickles."""
    data = zipfile.ZipFile(write_scores(tmp_path / "s", SCORES, LABELS)).read("scores.npy")
    assert b"numpy._core" not in data
    assert data.count(b"cnumpy.core.multiarray\n_reconstruct\n") == 4


def test_equal_content_gives_equal_bytes(tmp_path):
    one = write_scores(tmp_path / "one", SCORES, LABELS, ["a", "b", "c"], {"x": 1, "y": 2})
    strided = [np.asfortranarray(score) for score in SCORES]
    two = write_scores(tmp_path / "two", strided, np.array(LABELS), ("a", "b", "c"), {"y": 2, "x": 1})
    assert read_scores(two).scores[1].tolist() == SCORES[1].tolist()
    assert (
        one.read_bytes()
        == write_scores(tmp_path / "three", SCORES, LABELS, ["a", "b", "c"], {"y": 2, "x": 1}).read_bytes()
    )


@pytest.mark.golden
def test_the_recorded_file_of_the_original(golden):
    path = golden / "eval/scores_rgb.npz"
    file = read_scores(path)
    with np.load(path, allow_pickle=True) as archive:  # trusted: our own recording
        assert_holds(file, list(archive["scores"][:, 0]), archive["labels"].tolist())
    assert file.names is None
    assert file.settings is None
    assert [score.shape for score in file.scores] == [(25, 10, 101)] * 6


def test_a_file_that_python_2_wrote(recordings):
    """np.savez of Python 2.7.18 with NumPy 1.16.6, called as the original calls it; labels are np.int64 there.

    The scores were made by this formula, exact in float32:
    """

    def formula(video, frames):
        t, c, k = np.meshgrid(np.arange(frames), np.arange(2), np.arange(3), indexing="ij")
        return ((1 + video) * (1 + t) * 2.0**-c - 7 * k).astype(np.float32)

    path = recordings / "eval/scores_python2.npz"
    pickled = zipfile.ZipFile(path).read("scores.npy")
    assert b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n" in pickled  # protocol 2
    assert b"U\x02f4" in pickled  # a byte string, which Python 3 never writes
    assert_holds(read_scores(path), [formula(0, 4), formula(1, 3)], [2, 0])


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_pickles_of_every_protocol_in_use(make, protocol):
    assert_holds(read_scores(make(scores=object_npy((3, 2), pickle.dumps(rows(), protocol)))))


def test_pickles_of_either_numpy(make):
    for old, new in ((b"numpy.core.", b"numpy._core."), (b"numpy._core.", b"numpy.core.")):
        pickled = pickle.dumps(rows(), 3).replace(old, new)
        assert new in pickled
        assert_holds(read_scores(make(scores=object_npy((3, 2), pickled))))


def test_other_float_types_fortran_order_and_big_endian(make):
    variants = [SCORES[0].astype(np.float64), np.asfortranarray(SCORES[1]), SCORES[2].astype(">f4")]
    half = SCORES[0].astype(np.float16)
    file = read_scores(make(scores=npy(rows([variants[0], *variants[1:]]), allow_pickle=True)))
    assert [score.dtype.name for score in file.scores] == ["float64", "float32", "float32"]
    for own, expected in zip(file.scores, variants, strict=True):
        np.testing.assert_array_equal(own, expected)
    file = read_scores(make(scores=npy(rows([half, *SCORES[1:]]), allow_pickle=True)))
    np.testing.assert_array_equal(file.scores[0], half.astype(np.float32))


def test_compressed_files(make):
    assert_holds(read_scores(make(compression=zipfile.ZIP_DEFLATED)))


def test_scores_that_are_not_finite_are_warned_of(tmp_path):
    spoilt = [SCORES[0], SCORES[1].copy(), SCORES[2]]
    spoilt[1][2, 9, 3] = np.nan
    (warning,) = read_scores(write_scores(tmp_path / "s", spoilt, LABELS, ["a", "b", "c"])).warnings
    assert warning.endswith("1 video has scores that are not finite numbers: 'b'")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"labels": None}, "'scores' and 'labels' are expected, it holds scores"),
        ({"scores": npy(np.zeros((3, 10, 4)))}, r"objects \(videos, 2\) are expected"),
        ({"scores": npy(rows()[:, :1], True)}, r"objects \(videos, 2\)"),
        ({"labels": npy(np.array([3.0, 0, 1]))}, "integers"),
        ({"labels": npy(np.array([3, 0]))}, r"integers \(3,\)"),
        ({"labels": npy(np.array([3, 1, 1]))}, "video number 2 different labels"),
        ({"scores": npy(rows(labels=[4, 0, 1]), True), "labels": npy(np.array([4, 0, 1]))}, "number 1 has label 4"),
        (
            {"scores": npy(rows([SCORES[0], SCORES[1][0], SCORES[2]]), True)},
            "number 2: its scores are not a float array",
        ),
        ({"scores": npy(rows([SCORES[0], SCORES[1][..., :3], SCORES[2]]), True)}, "number 2 has scores of 3 classes"),
        ({"scores": npy(rows([SCORES[0].astype(int), *SCORES[1:]]), True)}, "not a float array"),
        ({"scores": npy(rows([SCORES[0], SCORES[1][:0], SCORES[2]]), True)}, "not a float array"),
        ({"scores": npy(np.empty((0, 2), object), True), "labels": npy(np.zeros(0, int))}, "holds no videos"),
        ({"names": npy(np.array(["a", "b"]))}, "2 video names for 3"),
        ({"names": npy(np.array(["a", "b", "a"]))}, "a video name is there twice"),
        ({"names": npy(np.array([1, 2, 3]))}, "video names"),
        ({"settings": npy(np.array("[]"))}, "not a JSON object"),
        ({"settings": npy(np.array("{"))}, "damaged"),
        ({"scores": b"\x93NUMPY"}, "damaged"),
        ({"scores": npy(rows(), True)[:-20]}, "damaged"),
        ({"labels": npy(np.array(LABELS))[:-1]}, "more than its 151 bytes can hold|damaged"),
        ({"labels": npy(np.array(LABELS)).replace(b"(3,)", b"(9" + b"0" * 12 + b",)")}, "damaged|can hold"),
        ({"labels": npy(np.array(LABELS, "datetime64[s]"))}, "numbers or text"),
    ],
)
def test_files_that_do_not_add_up_are_refused(make, members, message):
    path = make(**members)
    with pytest.raises(PytsnError, match=message) as error:
        read_scores(path)
    assert str(path) in str(error.value)


def test_an_array_header_of_any_size_allocates_nothing(make):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (10**12,)})
    with pytest.raises(PytsnError, match=r"more than its .* bytes can hold"):
        read_scores(make(labels=header.getvalue() + b"\0" * 24))


def test_a_file_that_unpacks_to_thousands_of_times_its_size_is_refused(make):
    bomb = object_npy((3, 2), b"\x80\x03" + b"]" * 150_000_000)
    with pytest.raises(PytsnError, match="would unpack from"):
        read_scores(make(zipfile.ZIP_DEFLATED, scores=bomb))


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + b"\0" * 40])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(PytsnError, match=r"f\.npz: not a score file"):
        read_scores(tmp_path / "f.npz")


def test_missing_files_are_named_and_the_suffix_is_suggested(tmp_path):
    with pytest.raises(PytsnError, match=r"gone\.npz: no such file"):
        read_scores(tmp_path / "gone.npz")
    write_scores(tmp_path / "s", SCORES, LABELS)
    with pytest.raises(PytsnError, match=r"s: no such file; did you mean .*s\.npz"):
        read_scores(tmp_path / "s")


def test_nothing_is_written_that_could_not_be_read(tmp_path):
    cases = [
        (SCORES, LABELS[:2], None),
        (SCORES, [0, 1, 4], None),
        (SCORES, LABELS, ["a", "b", "b"]),
        ([SCORES[0], SCORES[1][0], SCORES[2]], LABELS, None),
        ([], [], []),
    ]
    for scores, labels, names in cases:
        with pytest.raises(PytsnError):
            write_scores(tmp_path / "s", scores, labels, names)
    assert list(tmp_path.iterdir()) == []


def test_mutated_files_end_in_the_projects_own_error_or_in_scores(tmp_path, recordings):
    """1400 seeded mutations of the Python 2 file and of one of ours: bytes changed, cut out, doubled."""
    rng = np.random.default_rng(0)
    small = [score[:2, :1] for score in SCORES]
    ours = write_scores(tmp_path / "ours", small, LABELS, ["a", "b", "c"], {"x": 1}).read_bytes()
    outcomes = {"read": 0, "refused": 0}
    for original in (ours, (recordings / "eval/scores_python2.npz").read_bytes()):
        for _ in range(700):
            damaged = bytearray(original)
            start, length = int(rng.integers(len(damaged))), int(rng.integers(1, 9))
            kind = rng.integers(3)
            if kind == 0:
                damaged[start : start + length] = rng.bytes(length)
            elif kind == 1:
                del damaged[start : start + length]
            else:
                damaged[start:start] = damaged[start : start + length]
            (tmp_path / "m.npz").write_bytes(damaged)
            try:
                read_scores(tmp_path / "m.npz")
                outcomes["read"] += 1
            except PytsnError:
                outcomes["refused"] += 1
    assert outcomes["refused"] > 1000  # zip checksums notice nearly all of it
