"""The work of a worker process, one video after the other. A damaged video that crashes a decoder, or the system's
out-of-memory killer, ends only the worker.

During a video the worker sends ("opened", {"frames": announced}) and ("pairs", {"count": just done}).
"""

import dataclasses
import errno
from collections.abc import Callable
from dataclasses import dataclass, field

from converter.errors import PytsnError
from converter.files import explain_os_error
from pytsn.data.frame_images import load_cv2
from pytsn.flow.extract.folder import VideoFolder
from pytsn.flow.extract.resume import ABSENT, UNRECORDED, WHOLE, FolderState, check_folder, make_marker
from pytsn.flow.extract.video import ExtractSettings, extract_video, make_extract_flow
from pytsn.flow.methods import FlowFunction
from pytsn.runtime.locks import TAKEN, UNPROTECTED
from pytsn.runtime.worker_process import tell

#: outcomes of a video: DONE; KEPT and KEPT_UNRECORDED: existed already; BUSY: another run works on it; FAILED; STOP:
#: failed in a way that the next video would too (the disk is full)
DONE, KEPT, KEPT_UNRECORDED, BUSY, FAILED, STOP = "done", "kept", "kept-unrecorded", "busy", "failed", "stop"

_NO_VIDEO_CAN_BE_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class WorkerSettings:
    """threads: CPU threads that compute flow; batch_size: pairs per thread. device: of TV-L1. resume: keep whole
    folders."""

    out: str
    extract: ExtractSettings
    device: str = "cpu"
    batch_size: int = 4
    threads: int = 1
    resume: bool = False


@dataclass(frozen=True)
class VideoTask:
    """One video file and the name of its folder; ``size``: bytes of the file."""

    path: str
    name: str
    size: int


@dataclass(frozen=True)
class Outcome:
    """The outcome of a video. ``pairs``: number just written (DONE) or already there (KEPT...); ``reason``: of a
    failure or of a repetition; ``notes``: lines for the user."""

    name: str
    status: str
    pairs: int = 0
    reason: str = ""
    notes: tuple[str, ...] = field(default=())


def do_video(task: VideoTask, settings: WorkerSettings, flow: FlowFunction, send: Callable[..., object]) -> Outcome:
    """Extracts one video, unless it exists or another run works on it. Errors are in the outcome."""
    folder = VideoFolder(settings.out, task.name)
    try:
        with folder.lock() as lock:
            if lock == TAKEN:
                return Outcome(task.name, BUSY)
            folder.recover()
            state = _present(task, settings, folder)
            if state.verdict in (WHOLE, UNRECORDED):
                return Outcome(task.name, KEPT if state.verdict == WHOLE else KEPT_UNRECORDED, state.pairs)
            outcome = _fill(task, settings, folder, flow, send)
    except PytsnError as error:
        return Outcome(task.name, FAILED, reason=str(error))
    except OSError as error:
        status = STOP if error.errno in _NO_VIDEO_CAN_BE_WRITTEN else FAILED
        return Outcome(task.name, status, reason=str(explain_os_error(error, error.filename or folder.path)))
    notes = outcome.notes
    if lock == UNPROTECTED:
        notes += ("this file system has no locks: let only one run at a time write here",)
    return dataclasses.replace(outcome, notes=notes, reason=f"{state.verdict}: {state.reason}" if state.reason else "")


def _present(task: VideoTask, settings: WorkerSettings, folder: VideoFolder) -> FolderState:
    if not settings.resume:
        return FolderState(ABSENT)
    return check_folder(folder.path, settings.extract, task.size)


def _fill(
    task: VideoTask, settings: WorkerSettings, folder: VideoFolder, flow: FlowFunction, send: Callable[..., object]
) -> Outcome:
    partial = folder.begin()
    try:
        found = extract_video(
            task.path,
            partial,
            settings.extract,
            flow,
            settings.batch_size * settings.threads,
            threads=settings.device != "cpu",
            on_open=lambda announced: send("opened", frames=announced),
            on_pairs=lambda count: send("pairs", count=count),
        )
        folder.publish(make_marker(settings.extract, task.path, task.size, found.frames, found.pairs, found.total))
    except BaseException:
        folder.discard()
        raise
    return Outcome(task.name, DONE, found.pairs, notes=found.notes)


def _memory_says(error: BaseException) -> PytsnError:
    return PytsnError(f"out of memory ({error}); try a smaller --batch_size or image size")


def guarded(task: VideoTask, settings: WorkerSettings, flow: FlowFunction, send: Callable[..., object]) -> Outcome:
    """Like ``do_video``, but running out of memory and bugs of ours fail only this video."""
    try:
        return do_video(task, settings, flow, send)
    except MemoryError as error:
        return Outcome(task.name, FAILED, reason=str(_memory_says(error)))
    except Exception as error:  # a bug of ours: the other videos go on
        if type(error).__name__ == "OutOfMemoryError":  # torch's, on a GPU
            return Outcome(task.name, FAILED, reason=str(_memory_says(error)))
        return Outcome(task.name, FAILED, reason=" ".join(f"{task.path}: {type(error).__name__}: {error}".split()))


def make_extractor(settings: WorkerSettings) -> Callable[[VideoTask], Outcome]:
    """Makes a worker process's function (pytsn/runtime/worker_process.py). Raises PytsnError for refused settings."""
    load_cv2().setNumThreads(1)  # processes, and threads with their own pairs, already run in parallel
    flow = make_extract_flow(settings.extract, settings.device, settings.threads)

    def extract(task: VideoTask) -> Outcome:
        return guarded(task, settings, flow, lambda event, **values: tell((event, values)))

    return extract
