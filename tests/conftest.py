"""Where recorded Caffe output lies: ``shared`` is ../shared beside the checkout, or $PYTSN_SHARED."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
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
def data() -> Path:
    """The small recordings that travel with the repository."""
    return ROOT / "tests" / "data"
