#!/bin/sh
# The demo from a fresh checkout: makes .venv, installs pytsn there and runs `pytsn demo` with the arguments given.
#
#   tools/demo.sh                  results in ./demo
#   tools/demo.sh --quick -o out   a short form, results in ./out
#
# Nothing is downloaded but Python packages, and those once. PYTHON=/path/to/python3 chooses the interpreter.
set -eu
. "$(dirname -- "$0")/venv.sh"
need_venv onnxruntime
exec "$python" "$root/tools/demo.py" "$@"
