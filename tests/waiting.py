"""Waiting for what a program reports, never for a time."""

import subprocess
import time
from collections.abc import Callable

#: seconds until a program that hangs is given up: a guard, many times what the slowest machine needs
PATIENCE = 600.0


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Returns when ``condition()`` holds. ``what``: was waited for in vain, in the message of the AssertionError."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.01)


def wait_for_process(process: subprocess.Popen, condition: Callable[[], object], what: str) -> None:
    """``wait_for`` what a process is to do; AssertionError with its stderr when it ends instead."""

    def holds() -> bool:
        if condition():
            return True
        assert process.poll() is None, process.stderr and process.stderr.read()
        return False

    wait_for(holds, what)


def is_running(pid: int | str) -> bool:
    """Whether the process is there and is not only waiting to be reaped. Needs /proc."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
