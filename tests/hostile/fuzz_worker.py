"""The process that reads damaged files. One line in, ``KIND<tab>INDEX``, one line of JSON out.

Memory: the most that the process ever held, and ever reserved, may not rise by a gigabyte above what it began with; the
system refuses it more than ``HARD`` above that. Time and death are watched by fuzz.py.
"""

import contextlib
import importlib
import io
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

GIGABYTE = 1 << 30
HARD = 6 * GIGABYTE
#: files between two commands
COMMAND_EVERY = 16


def memory() -> tuple[int, int]:
    """The most bytes that this process ever held in memory, and ever reserved. Needs /proc."""
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return tuple(int(lines[name].split()[0]) << 10 for name in ("VmHWM", "VmPeak"))


def random_of(seed: int, kind: str, index: int) -> random.Random:
    """What file ``index`` of the kind is damaged with."""
    return random.Random(f"{seed} {kind} {index}")


def write_damaged(kind, folder: Path, seed: int, name: str, index: int) -> Path:
    """The damaged file, alone in ``folder``."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return kind.write(folder, random_of(seed, name, index))


def outcome_of(kind, path: Path) -> str:
    """read or refused; raises what must not come out."""
    from converter.errors import PytsnError

    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            kind.read(path)
    except PytsnError as error:
        text = str(error)
        assert text, "an error without a word"
        assert "\n" not in text
        assert len(text) < 2000, f"an error of {len(text)} letters: {text[:300]}"
        return "refused"
    return "read"


def run_command_on(kind, path: Path) -> None:
    """A command that reads the file: status 0 or 1, or 2 with one line on stderr that says error."""
    from pytsn.cli import run_command

    arguments, errors = kind.command(path), io.StringIO()
    if arguments is None:
        return
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        status = run_command(arguments[0], arguments[1:])
    said = [line for line in errors.getvalue().splitlines() if line.startswith("error: ")]
    assert status in (0, 1, 2), f"status {status}"
    assert (status == 2) == (len(said) == 1), f"status {status}: {errors.getvalue()[:300]}"


def examine(kind, name: str, seed: int, index: int, folder: Path) -> dict:
    """What came of one file."""
    path = write_damaged(kind, folder, seed, name, index)
    try:
        outcome = outcome_of(kind, path)
        if index % COMMAND_EVERY == 0:
            run_command_on(kind, path)
    except Exception:
        return {"outcome": "fault", "why": traceback.format_exc()}
    return {"outcome": outcome}


def main() -> None:
    seed, work = int(sys.argv[1]), Path(sys.argv[2])
    kinds = importlib.import_module(sys.argv[3]).KINDS

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    made: dict = {}
    limits: tuple[int, int] = (0, 0)
    for line in sys.stdin:
        name, index = line.rstrip("\n").split("\t")
        if name not in made:
            own = Path(tempfile.mkdtemp(prefix="kind-", dir=work))
            made = {name: kinds[name].make(own)}
            examine(made[name], name, seed, -COMMAND_EVERY, work / "files")  # what loads with the first
            limits = tuple(value + GIGABYTE for value in memory())
            resource.setrlimit(resource.RLIMIT_AS, (memory()[1] + HARD, resource.RLIM_INFINITY))
        answer = examine(made[name], name, seed, int(index), work / "files")
        held, reserved = memory()
        if answer["outcome"] != "fault" and (held > limits[0] or reserved > limits[1]):
            over = [value + GIGABYTE - limit >> 20 for value, limit in zip((held, reserved), limits, strict=True)]
            answer = {
                "outcome": "fault",
                "last": True,
                "why": f"memory: {over[0]} MB more held, {over[1]} MB more reserved",
            }
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
