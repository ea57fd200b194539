"""Timing that is robust against other load: contestants run in turn, and ratios are taken within a round."""

import multiprocessing
import os
import platform
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch

Times = dict[str, list[float]]
Result = TypeVar("Result")


def interleave(
    contestants: Mapping[str, Callable[[], object]],
    rounds: int,
    warm_up: int = 2,
    on_round: Callable[[Times], None] | None = None,
    processor: Times | None = None,
) -> Times:
    """Seconds of every call, name -> one number per round; each round calls every contestant once, in turn.

    Says on stderr every few seconds what runs. on_round: called after each round with the times so far. processor: gets
    the processor seconds of all threads, which other programs disturb less.
    """
    waiting = Waiting()
    for name, function in contestants.items():
        for _ in range(warm_up):
            waiting.tell(f"warming up: {name}")
            function()
    times: Times = {name: [] for name in contestants}
    spent = {} if processor is None else processor
    spent.update((name, []) for name in contestants)
    for number in range(1, rounds + 1):
        for name, function in contestants.items():
            waiting.tell(f"round {number} of {rounds}: {name}")
            synchronize()
            before, start = time.process_time(), time.perf_counter()
            function()
            synchronize()
            times[name].append(time.perf_counter() - start)
            spent[name].append(time.process_time() - before)
        if on_round is not None:
            on_round(times)
    return times


class Waiting:
    """Tells on stderr what runs, at most every ``every`` seconds."""

    def __init__(self, every: float = 5) -> None:
        self._every, self._last = every, time.perf_counter()

    def tell(self, text: str) -> None:
        """Prints the line if the last one is old enough."""
        if time.perf_counter() - self._last >= self._every:
            print(text, file=sys.stderr, flush=True)
            self._last = time.perf_counter()


def within(function: Callable[[], Result], rounds: int, limit: float) -> tuple[list[float], Result]:
    """Seconds of at most ``rounds`` calls, none started after ``limit`` seconds, and the result of the last one.

    The first call, which may compile, is left out unless it used up the limit.
    """
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) <= rounds and (not times or time.perf_counter() - begun < limit):
        synchronize()
        start = time.perf_counter()
        result = function()
        synchronize()
        times.append(time.perf_counter() - start)
    return times[1:] or times, result


def synchronize() -> None:
    """Waits for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def ratio(times: Times, name: str, limit: Sequence[str]) -> float:
    """Speed of ``name`` relative to the fastest of ``limit``: the median over rounds of limit / time in that round."""
    limits = (min(turn) for turn in zip(*(times[each] for each in limit), strict=True))
    return statistics.median(least / own for least, own in zip(limits, times[name], strict=True))


class Rows:
    """A table like ``print_table``'s that prints each row at once. widths: of the first columns; the others are as wide
    as the header, at least 6."""

    def __init__(self, head: Sequence[str], widths: Sequence[int] = ()) -> None:
        self.widths = [*widths, *(max(6, len(text)) for text in head[len(widths) :])]
        self.add(head)
        self.add(["-" * width for width in self.widths])

    def add(self, row: Sequence[str]) -> None:
        first, *others = (text.rjust(width) for text, width in zip(row, self.widths, strict=True))
        print(f"| {first.strip().ljust(self.widths[0])} | {' | '.join(others)} |", flush=True)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a Markdown table, padded for reading in a terminal."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, ["-" * width for width in widths], *rows):
        cells = [text.rjust(width) for text, width in zip(row, widths, strict=True)]
        print(f"| {row[0].ljust(widths[0])} | {' | '.join(cells[1:])} |")


def machine(threads: int) -> str:
    """CPU, threads, load and versions. A load above 0 at the start of the run means unreliable numbers."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{processor()}, {threads} threads{load}, Python {platform.python_version()}, torch {torch.__version__}"


def processor() -> str:
    """The CPU's name."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def peak_memory(work: Callable[..., object], *args) -> float:
    """Peak memory in MB of a new process that imports its modules and calls ``work(*args)``."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(sender, work, args))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        process.join()


def _measured(sender, work: Callable[..., object], args: tuple) -> None:
    work(*args)
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    sender.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)
