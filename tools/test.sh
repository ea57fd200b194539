#!/bin/sh
# The tests from a fresh checkout: makes .venv, installs pytsn with what the tests need and runs pytest.
#
#   tools/test.sh                  everything, in as many processes as there are cores for this one, at most 4
#   tools/test.sh -m "not slow"    without the tests that take more than ten seconds
#   tools/test.sh -n 8             in 8 processes; -n 0: in one
#
# PYTHON=/path/to/python3 chooses the interpreter; PYTSN_SHARED says where the recordings lie, if not in ../shared.
set -eu
. "$(dirname -- "$0")/venv.sh"
need_venv test
cd "$root"
parallel=yes
for argument in "$@"; do
    case $argument in
    -n | -n[0-9al]* | --numprocesses* | -pno:xdist | no:xdist | --pdb | --trace) parallel= ;;
    esac
done
if [ "$parallel" ]; then
    cores=$("$python" -c 'from pytsn.runtime.cores import cpu_count; print(min(4, cpu_count()))')
    [ "$cores" -eq 1 ] || set -- -n "$cores" --dist worksteal "$@"
fi
exec "$python" -m pytest "$@"
