#!/bin/sh
# The tests from a fresh checkout: makes .venv, installs pytsn with what the tests need and runs pytest.
#
#   tools/test.sh                  everything
#   tools/test.sh -m "not slow"    without the tests that take more than ten seconds
#
# PYTHON=/path/to/python3 chooses the interpreter; PYTSN_SHARED says where the recordings lie, if not in ../shared.
set -eu
. "$(dirname -- "$0")/venv.sh"
need_venv test
cd "$root"
exec "$python" -m pytest "$@"
