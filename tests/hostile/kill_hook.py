"""What runs at the start of every process of a run that is to be killed (as its sitecustomize): counts the steps that
the process takes in the run's folder, and kills it with SIGKILL at one of them.

A *change* is the making, renaming or removal of a file or folder, before and after it is done, an fsync, and a piece of
a download; a *read* the opening of a file. ``KILLS_AT``: "ROLE KIND NUMBER torn|whole", ROLE main or worker (the first
worker that comes to it). torn: at an fsync, or a renaming, the file is first cut to half, as a kill in the middle of
writing it leaves it. Without ``KILLS_AT`` steps are only counted, in the folder ``KILLS_COUNTS``, a file a process.
"""

import os
import signal
import sys

_FOLDER, _COUNTS = os.environ["KILLS_FOLDER"], os.environ["KILLS_COUNTS"]
_MAIN = os.getppid() == int(os.environ["KILLS_DRIVER"])
_ROLE = "main" if _MAIN else "worker"
_AT = os.environ.get("KILLS_AT", "").split()
_CHANGES = {"os.rename": 2, "os.remove": 1, "os.mkdir": 1, "os.rmdir": 1}  # event -> how many paths it has
_steps = {"change": 0, "read": 0}
_counts = os.open(os.path.join(_COUNTS, f"{_ROLE} {os.getpid()}"), os.O_WRONLY | os.O_CREAT)


def _inside(path) -> bool:
    if isinstance(path, int):
        return False
    path = os.fsdecode(path)
    return os.path.abspath(path).startswith(_FOLDER + os.sep)


def _step(kind: str, torn: str | int | None = None) -> None:
    _steps[kind] += 1
    os.pwrite(_counts, b"%d %d" % (_steps["change"], _steps["read"]), 0)
    if _AT[:2] == [_ROLE, kind] and _steps[kind] == int(_AT[2]):
        _die(torn if _AT[3] == "torn" else None)


def _die(torn: str | int | None) -> None:
    if not _MAIN:
        try:
            os.close(os.open(os.path.join(_COUNTS, "killed"), os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return  # another worker was the first
    if torn is not None and os.stat(torn).st_size and not os.path.isdir(torn):
        os.truncate(torn, os.stat(torn).st_size // 2)
    os.kill(os.getpid(), signal.SIGKILL)


def _hear(event: str, arguments: tuple) -> None:
    if event == "open":
        path, _, flags = arguments
        if _inside(path):
            _step("change" if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) else "read")
    elif event in _CHANGES and _inside(arguments[0]):
        _step("change", arguments[0] if event == "os.rename" else None)


def _counted(function, torn: bool):
    """Counts the step before the call, and the one after it."""

    def call(*arguments, **more):
        _step("change", arguments[0] if torn else None)
        result = function(*arguments, **more)
        _step("change")
        return result

    return call


sys.addaudithook(_hear)
os.fsync = _counted(os.fsync, torn=True)
os.replace = _counted(os.replace, torn=False)  # the audit event before it tears the file
os.rename = _counted(os.rename, torn=False)
if "get-models" in sys.orig_argv:
    import http.client

    http.client.HTTPResponse.read1 = _counted(http.client.HTTPResponse.read1, torn=False)
