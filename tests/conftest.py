"""Where recorded Caffe output lies: ``shared`` is ../shared beside the checkout, or $PYTSN_SHARED."""

import lzma
import os
from pathlib import Path

import pytest

from tests.places import ROOT

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
