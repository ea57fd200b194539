"""What tests of several rooms share. Recorded Caffe output, ``shared``, is ../shared beside the checkout, or
$PYTSN_SHARED."""

import contextlib
import lzma
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytsn.runtime.cores import cpu_count
from tests.places import ROOT

# Read once, when torch loads, also by the processes that tests start. Threads that wait for each other by spinning make
# small nets many times slower on a machine that has other work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # the cores are shared out
    _share = cpu_count() // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _share)))

# A shell script that starts the tests in the background lets them ignore SIGINT, and so would every process
# that they start and mean to interrupt.
with contextlib.suppress(ValueError):  # not the main thread
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(os.environ.get("PYTSN_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recordings. Absent: the test is skipped with a reason, but in CI that is a failure."""
    if not (SHARED / "golden").is_dir():
        reason = f"no recordings at {SHARED} (set PYTSN_SHARED)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return SHARED


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    """The folder of what real Caffe printed and wrote."""
    return shared / "golden"


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The small recordings that travel with the repository."""
    return ROOT / "tests" / "recordings"


@pytest.fixture(scope="session")
def rgb_caffemodel(golden: Path, tmp_path_factory) -> Path:
    """The UCF101 rgb caffemodel that Caffe wrote, 41 MB, unpacked."""
    path = tmp_path_factory.mktemp("caffemodel") / "tsn_bn_inception_rgb.caffemodel"
    path.write_bytes(lzma.decompress((golden / "bn_inception" / "tsn_bn_inception_rgb.caffemodel.xz").read_bytes()))
    return path


@pytest.fixture(autouse=True)
def same_torch() -> Iterator[None]:
    """Whatever tests ran before, torch draws the same numbers in a test, and takes as many threads."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def interpreted_run():
    """Calls a function in a process where Triton's interpreter runs the kernels."""
    from tests.interpreter import interpreter

    with interpreter() as pool:
        yield lambda function, *args: pool.submit(function, *args).result()


@pytest.fixture(scope="session")
def tiny_videos(recordings: Path, tmp_path_factory) -> Path:
    """The folder of the tiny runs, as Caffe's current folder was. Not to be changed."""
    from tests.training.tiny_videos import make_tiny_run

    return make_tiny_run(recordings, tmp_path_factory.mktemp("tiny_videos") / "tiny")


@pytest.fixture(scope="module")
def tiny_folder(tiny_videos: Path, tmp_path_factory) -> Path:
    """A copy of it for the tests of one module, which may add files."""
    from tests.training.tiny_videos import copy_tiny_run

    return copy_tiny_run(tiny_videos, tmp_path_factory.mktemp("tiny_folder") / "tiny")


@pytest.fixture
def tiny(tiny_folder: Path, monkeypatch) -> Path:
    """The module's copy as the current folder; sums of one thread, which are those that were measured."""
    import torch

    monkeypatch.chdir(tiny_folder)
    torch.set_num_threads(1)
    return tiny_folder


@pytest.fixture
def own_tiny(tiny_videos: Path, tmp_path: Path, monkeypatch) -> Path:
    """As ``tiny``, but a copy for this test alone, which spoils it."""
    import torch

    from tests.training.tiny_videos import copy_tiny_run

    folder = copy_tiny_run(tiny_videos, tmp_path / "tiny")
    monkeypatch.chdir(folder)
    torch.set_num_threads(1)
    return folder
