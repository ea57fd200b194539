# Sourced by demo.sh and test.sh, not run: makes the checkout's own virtualenv, .venv, once.
#
#   need_venv EXTRA   installs the package with the extra (onnxruntime, test) and sets $python
#
# PYTHON chooses the interpreter; pip's own variables (PIP_INDEX_URL, PIP_FIND_LINKS, ...) hold as ever.
# A stamp in .venv remembers what was installed, for which pyproject.toml, constraints.txt and place.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=$root/.venv
python=$venv/bin/python

fail() {
    echo "error: $*" >&2
    exit 2
}

fits() { # a Python that pyproject.toml accepts?
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || fail "PYTHON=$PYTHON is no Python 3.10 to 3.13 (it says: $("$PYTHON" --version 2>&1 | head -n 1))"
        return
    fi
    for PYTHON in python3 python3.13 python3.12 python3.11 python3.10; do
        fits "$PYTHON" && return
    done
    found=$(python3 --version 2>&1 | head -n 1)
    fail "Python 3.10 to 3.13 is needed (python3 says: $found); install one, or name it: PYTHON=/path/to/python3.12 $0"
}

make_venv() {
    rm -rf "$venv" # none yet, one that was cut short, or one of another Python
    "$PYTHON" -m venv "$venv" >/dev/null || {
        rm -rf "$venv"
        fail "$PYTHON cannot make a virtualenv; install its venv module (Debian, Ubuntu: apt-get install python3-venv)"
    }
}

has_venv() { # one that works, and of the interpreter asked for
    fits "$python" && { [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" --version 2>&1)" = "$("$python" --version)" ]; }
}

installed() {
    [ "$(cat "$venv/pytsn-$1.stamp" 2>/dev/null)" = "$state" ]
}

need_venv() {
    state=$({ cat "$root/pyproject.toml" "$root/constraints.txt"; echo "$root"; } | cksum)
    if has_venv && { installed "$1" || installed test; }; then # test holds all that the others do
        return
    fi
    if ! has_venv || ! "$python" -m pip --version >/dev/null 2>&1; then
        find_python
        make_venv
    fi
    echo "installing pytsn[$1] into $venv (once; a minute or more, most of it PyTorch) ..." >&2
    "$python" -m pip install -qq -c "$root/constraints.txt" -e "$root[$1]" ||
        fail "pip could not install the package (its message stands above); run $0 again when that is mended"
    echo "$state" >"$venv/pytsn-$1.stamp"
}
