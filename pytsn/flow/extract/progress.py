"""Progress of an extraction, and its report: what was done and what failed."""

import sys
import time
from collections import Counter
from collections.abc import Sequence

from converter.errors import printable
from converter.text_table import amount
from pytsn.flow.extract.worker import BUSY, DONE, FAILED, KEPT, KEPT_UNRECORDED, STOP, Outcome, VideoTask
from pytsn.runtime.progress import Progress


class ExtractProgress:
    """Two bars on a terminal, for videos and pairs of frames; in a log one line of both, or of the videos alone as
    long as none needs work.

    The number of pairs is known only once every video was opened; unopened videos are assumed to have as many pairs per
    byte as the others.
    """

    def __init__(self, tasks: Sequence[VideoTask], step: int) -> None:
        self._step, self._sizes = step, {task.name: task.size for task in tasks}
        self._left = sum(self._sizes.values())  # bytes of videos not opened
        self._expected: dict[str, int] = {}  # pairs of opened videos: as announced, then as found
        self._opened_bytes = 0
        self._failed = 0
        self.pairs, self._start = 0, time.monotonic()
        self._videos = Progress("extracting", len(tasks), "video")
        self._bar = Progress("flow", unit="pair")
        self._bar.in_log = False  # until there is any
        self._tell()

    def __enter__(self) -> "ExtractProgress":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()
        self._videos.close()

    def listen(self, event: str, values: dict, task: VideoTask) -> None:
        """Receives the workers' events, see ``ExtractRun``."""
        if event == "opened":
            self._expected[task.name] = max(0, values["frames"] - 1) // self._step
            self._opened_bytes += task.size
            self._left -= task.size
            self._estimate()
        else:
            self.pairs += values["count"]
            self._videos.in_log, self._bar.in_log = False, True  # the pairs' line tells both
            self._bar.update(values["count"])

    def add(self, outcome: Outcome) -> None:
        """Receives each video's outcome."""
        if outcome.name in self._expected:
            self._expected[outcome.name] = outcome.pairs if outcome.status == DONE else 0
        else:
            self._left -= self._sizes[outcome.name]
        if outcome.status in (FAILED, STOP):
            self._failed += 1
        self._videos.update(1)
        self._tell()
        self._estimate()

    def _tell(self) -> None:
        failed = f", {self._failed} failed" if self._failed else ""
        self._videos.describe(f"extracting{failed}")
        self._bar.what = f"{self._videos.done:.0f} of {len(self._sizes)} videos{failed}"  # in a log; its bar says flow

    def expected_pairs(self) -> int:
        """The current estimate of all pairs of the run."""
        known = sum(self._expected.values())
        return max(self.pairs, known + round(known / self._opened_bytes * self._left if self._opened_bytes else 0))

    def seconds(self) -> float:
        return time.monotonic() - self._start

    def _estimate(self) -> None:
        self._bar.total = self.expected_pairs()
        self._bar.update(0)


def print_report(outcomes: Sequence[Outcome], total: int, seconds: float) -> None:
    """Notes and failures on stderr, one line of counts on stdout. ``total``: number of videos of the run."""
    _print_notes(outcomes)
    _print_table([outcome for outcome in outcomes if outcome.status in (FAILED, STOP)], total)
    counts = Counter(outcome.status for outcome in outcomes)
    pairs = sum(outcome.pairs for outcome in outcomes if outcome.status == DONE)
    rate = f" ({pairs} pairs in {seconds:.0f} s, {pairs / max(seconds, 1e-9):.3g} pairs/s)" if pairs else ""
    parts = [f"{counts[DONE]} extracted{rate}"]
    told = {
        "already there": counts[KEPT] + counts[KEPT_UNRECORDED],
        "left to another run": counts[BUSY],
        "failed": counts[FAILED] + counts[STOP],
        "not begun": total - len(outcomes),
    }
    parts += [f"{number} {text}" for text, number in told.items() if number]
    print(f"{total} video{'s' if total != 1 else ''}: " + ", ".join(parts), flush=True)


def _print_notes(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.status == DONE and outcome.reason:
            print(f"note: {printable(outcome.name)} existed and was extracted again: {outcome.reason}", file=sys.stderr)
        for text in outcome.notes:
            print(f"note: {printable(outcome.name)}: {text}", file=sys.stderr)
    unrecorded = sum(outcome.status == KEPT_UNRECORDED for outcome in outcomes)
    if unrecorded:
        print(
            f"note: kept as found: {amount(unrecorded, 'whole folder')} without a record of settings (the original "
            "tool's?); --resume no does them again",
            file=sys.stderr,
        )
    busy = [printable(outcome.name) for outcome in outcomes if outcome.status == BUSY]
    if busy:
        shown = ", ".join(busy[:5]) + (", ..." if len(busy) > 5 else "")
        skipped = amount(len(busy), "video, which is", "videos, which are")
        print(f"note: another run is working on {skipped} skipped: {shown}", file=sys.stderr)


def _print_table(failed: Sequence[Outcome], total: int) -> None:
    if not failed:
        return
    print(f"{len(failed)} of {total} videos failed:", file=sys.stderr)
    width = min(40, max(len(printable(outcome.name)) for outcome in failed))
    for outcome in sorted(failed, key=lambda outcome: outcome.name):
        print(f"  {printable(outcome.name):<{width}}  {outcome.reason}", file=sys.stderr)
