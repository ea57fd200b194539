"""How far work is and how long it will take: a bar on a terminal, a plain line every half minute in a log. On stderr.

Work that ends within the first half minute writes nothing to a log. Lines hold no carriage returns, no control
characters.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, TextIO

from converter.errors import printable

if TYPE_CHECKING:
    from tqdm import tqdm

#: seconds between two lines in a log, and before the first
INTERVAL = 30.0
#: seconds; a test puts another one here
CLOCK: Callable[[], float] = time.monotonic
#: units that are no plain things to count: bytes, and shares of a total in whatever measure
BYTES, SHARE = "B", ""
#: columns and rows where the terminal does not tell its own
_SIZE = (80, 24)


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``, ``2.1 days``."""
    for unit, length, limit in (("s", 1, 90), ("min", 60, 5400), ("h", 3600, 129600)):
        if seconds < limit:
            value = seconds / length
            return f"{value:.1f} {unit}" if unit == "h" else f"{value:.0f} {unit}"
    return f"{seconds / 86400:.1f} days"


def pace_line(what: str, unit: str, done: float, total: float | None, begun: float, seconds: float) -> str:
    """``WHAT: 120 of 3783 videos, 4.1 videos/s, 15 min to go``.

    done: of ``total`` (None: unknown), ``begun`` of it before; seconds: since then. Rate and time to go are left out
    where nothing is done since, or nothing is left. unit: singular; BYTES; SHARE gives percent and no rate.
    """
    rate = (done - begun) / seconds if seconds > 0 else 0.0
    parts = [_amount(unit, done, total)]
    if rate > 0 and unit != SHARE:
        parts.append(_rate(unit, rate))
    if rate > 0 and total and total > done:
        parts.append(f"{duration((total - done) / rate)} to go")
    return f"{what}: {', '.join(parts)}"


def _amount(unit: str, done: float, total: float | None) -> str:
    if unit == SHARE:
        return f"{100 * done / total:.0f} %" if total else "0 %"
    if unit == BYTES:
        return f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"
    number = f"{done:.0f} of {total:.0f}" if total else f"{done:.0f}"
    return f"{number} {unit if (total or done) == 1 else _plural(unit)}"


def _rate(unit: str, rate: float) -> str:
    if unit == BYTES:
        return f"{_two_digits(rate / 1e6)} MB/s"
    if rate >= 1:
        return f"{_two_digits(rate)} {_plural(unit)}/s"
    seconds = 1 / rate
    each = f"{_two_digits(seconds)} s" if seconds < 10 else duration(seconds)
    return f"{each} {'an' if unit[0] in 'aeiou' else 'a'} {unit}"


def _two_digits(value: float) -> str:
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def _plural(unit: str) -> str:
    return f"{unit}es" if unit.endswith("ch") else f"{unit}s"


class Progress:
    """Shows one piece of work; a context manager. ``done`` of ``total`` are finished.

    what: a few words; unit: what is counted, in the singular, BYTES or SHARE. total: None if unknown, 0: nothing is
    shown. active: False shows nothing, nor do torchrun's processes but the first. leave: the finished bar stays on the
    terminal. in_log: whether lines are written where there is no terminal.
    """

    def __init__(
        self,
        what: str,
        total: float | None = None,
        unit: str = SHARE,
        active: bool = True,
        leave: bool = True,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.what, self.unit, self.total, self.done = printable(what), unit, total, 0.0
        self.in_log = self._active = active and total != 0 and os.environ.get("RANK", "0") == "0"
        self._clock, self._begun = clock or CLOCK, 0.0
        self._started = self._told = self._clock()
        self._bar = self._make_bar(leave) if self._active and sys.stderr.isatty() else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the bar; may be called twice."""
        if self._bar is not None:
            self._bar.close()

    def begin(self, done: float = 0, total: float | None = None) -> None:
        """The work begins now, with ``done`` of it finished by an earlier run, which does not count in the pace."""
        self.done = self._begun = done
        self.total = self.total if total is None else total
        self._started = self._told = self._clock()
        if self._bar is not None:
            self._bar.reset(self.total)
            self._bar.initial = self._bar.n = self._bar.last_print_n = done
            self._bar.refresh()

    def skip(self, count: float) -> None:
        """So many more were done by an earlier run: they do not count in the pace."""
        self._begun += count
        if self._bar is not None:
            self._bar.initial += count
        self.update(count)

    def update(self, count: float = 1) -> None:
        """So many more are done; 0 shows what has changed besides."""
        self.done += count
        if self._bar is not None:
            self._bar.total = self.total
            self._bar.update(count) if count else self._bar.refresh()
        elif self.in_log and self._clock() - self._told >= INTERVAL:
            self._told = self._clock()
            self._log(pace_line(self.what, self.unit, self.done, self.total, self._begun, self._told - self._started))

    def reach(self, done: float) -> None:
        """``done`` are done in all."""
        self.update(done - self.done)

    def describe(self, what: str) -> None:
        """Other words for what is shown."""
        self.what = printable(what)
        if self._bar is not None:
            self._bar.set_description_str(self.what)

    def _make_bar(self, leave: bool) -> "tqdm":
        from tqdm import tqdm

        size = () if _terminal_has_a_size() else _SIZE
        form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}" if self.unit == SHARE else None
        return tqdm(
            desc=self.what,
            total=self.total,
            unit=self.unit,
            unit_scale=self.unit == BYTES,
            bar_format=form,
            leave=leave,
            file=sys.stderr,
            dynamic_ncols=not size,
            ncols=size[0] if size else None,
            nrows=size[1] if size else None,
        )

    def _log(self, line: str) -> None:
        with contextlib.suppress(OSError):  # a log that is full, or that nobody reads any more, stops no work
            print(line, file=sys.stderr, flush=True)


def _terminal_has_a_size() -> bool:
    """A container's terminal may say that it has 0 columns and rows: tqdm would show nothing there."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):
        return False


def track(
    items: Iterable, what: str, total: float | None = None, unit: str = "item", leave: bool = True, active: bool = True
) -> Iterator:
    """The items, with progress as they are used. total: their number where they do not tell it themselves."""
    if total is None and isinstance(items, Collection):
        total = len(items)
    with Progress(what, total, unit, active, leave) as progress:
        for item in items:
            yield item
            progress.update()


def say(line: str, file: TextIO | None = None) -> None:
    """Prints a line on stdout, or ``file``, above the bars if there are any, and flushes."""
    from tqdm import tqdm

    file = sys.stdout if file is None else file
    tqdm.write(line, file=file)
    file.flush()
