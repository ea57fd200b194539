"""Damages files of every kind that pytsn reads and reads them, in a process of its own that may crash.

    python -m tests.hostile.fuzz --seed 1 --files 100000          in the clone; --only KIND for one kind
    python -m tests.hostile.fuzz --seed 1 --only jpeg --index 77  one file again, with what came of it

A fault: any error but PytsnError, a process that dies, 1 GB of memory, 10 seconds. Each is printed with kind, seed and
index, and the damaged file is kept in --keep.
"""

import argparse
import contextlib
import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.kinds import KINDS
from tests.hostile.shares import shares

ROOT = Path(__file__).resolve().parent.parent.parent
#: seconds of one file: of the processor, and by the clock, which counts for who only waits
MOST_BUSY, MOST_WAITED = 10.0, 60.0
#: files a process reads before another takes over
LIFE = 2000
#: faults of a kind after which the rest of it is left
MOST_FAULTS = 25


@dataclass(frozen=True)
class Fault:
    """File ``index`` of a kind and a seed, and what came of it."""

    kind: str
    seed: int
    index: int
    why: str


class Worker:
    """A fuzz_worker process, started when it is needed."""

    STARTING = 60.0  # more seconds for the first file, which loads torch and makes the samples

    def __init__(self, seed: int, folder: Path, kinds: str = "tests.hostile.kinds") -> None:
        """``kinds``: the module whose table KINDS names the kinds."""
        self.seed, self.folder, self._kinds = seed, folder, kinds
        self._process: subprocess.Popen | None = None
        self._read = 0

    def examine(self, kind: str, index: int) -> dict:
        """What came of one file; ``why`` where that is a fault, ``seconds`` of the processor."""
        if self._process is None or self._read >= LIFE:
            self.close()
            self._start()
        self._read += 1
        before = self._busy()
        self._process.stdin.write(f"{kind}\t{index}\n".encode())
        self._process.stdin.flush()
        trouble = self._wait(before, self.STARTING if self._read == 1 else 0.0)
        if trouble:
            self.close()
            return {"outcome": "fault", "why": trouble, "seconds": MOST_BUSY}
        answer = json.loads(self._process.stdout.readline())
        answer["seconds"] = self._busy() - before if self._read > 1 else 0.0  # the first loads torch
        if answer.get("last"):
            self.close()
        return answer

    def _start(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        command = [sys.executable, "-m", "tests.hostile.fuzz_worker", str(self.seed), str(self.folder), self._kinds]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        environment |= {"OPENCV_LOG_LEVEL": "SILENT", "PYTHONWARNINGS": "ignore"}
        self._log = open(self.folder.with_suffix(".log"), "wb")  # noqa: SIM115 - as long as the process
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._log}
        self._process, self._read = subprocess.Popen(command, cwd=ROOT, env=environment, **pipes), 0

    def _wait(self, before: float, more: float) -> str:
        """Until the answer is there; why it will not come, else ""."""
        started = time.monotonic()
        with selectors.DefaultSelector() as ready:
            ready.register(self._process.stdout, selectors.EVENT_READ)
            while not ready.select(0.5):
                busy, waited = self._busy() - before, time.monotonic() - started
                if busy > MOST_BUSY + more:
                    return f"more than {MOST_BUSY:g} s of the processor"
                if waited > MOST_WAITED + more and self._state() in "SD" and busy < 1 + more:
                    return f"waited {MOST_WAITED:g} s"
        if not self._process.stdout.peek(1):
            status = self._process.wait()
            last = Path(self._log.name).read_text(errors="replace")[-600:]
            return f"the process died: {status} (negative: a signal) {last}"
        return ""

    def _stat(self) -> list[str]:
        try:
            return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return []

    def _busy(self) -> float:
        fields = self._stat()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK") if fields else 0.0

    def _state(self) -> str:
        return (self._stat() or ["Z"])[0]

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._log.close()
            self._process = None


class Fuzzing:
    """A run: what was read, what was found. ``say`` is called with lines for who watches."""

    def __init__(self, seed: int, counts: dict[str, int], keep: Path, say: Callable[[str], object]) -> None:
        self.seed, self.counts, self.keep, self.say = seed, counts, keep, say
        self.faults: list[Fault] = []
        self._done, self._started, self._lock = 0, time.monotonic(), threading.Lock()

    def run(self, first: int = 0, jobs: int = 1) -> list[Fault]:
        """Reads ``counts`` files of each kind, from index ``first`` on, the kinds shared out among ``jobs`` processes,
        those that take longest first. Returns the faults."""
        names = sorted(self.counts, key=lambda name: KINDS[name].share)
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, ThreadPoolExecutor(jobs) as pool:
            list(pool.map(lambda name: self._run_kind(name, first, Path(folder) / name.replace(" ", "_")), names))
        minutes = (time.monotonic() - self._started) / 60
        self.say(f"{self._done:,} files with seed {self.seed} in {minutes:.1f} minutes: {len(self.faults)} faults")
        return self.faults

    def _run_kind(self, name: str, first: int, folder: Path) -> None:
        seen, slowest = Counter[str](), 0.0
        with contextlib.closing(Worker(self.seed, folder)) as worker:
            for index in range(first, first + self.counts[name]):
                answer = worker.examine(name, index)
                seen[answer["outcome"]] += 1
                slowest = max(slowest, answer["seconds"])
                if answer["outcome"] == "fault":
                    self._note(Fault(name, self.seed, index, answer["why"].strip()))
                self._count()
                if seen["fault"] == MOST_FAULTS:
                    self.say(f"{name}: {MOST_FAULTS} faults, given up")
                    break
        parts = ", ".join(f"{seen[key]:,} {key}" for key in ("read", "refused", "fault"))
        self.say(f"{name}: {sum(seen.values()):,} files, {parts}, slowest {slowest:.2f} s")

    def _note(self, fault: Fault) -> None:
        self.faults.append(fault)
        place = _keep(fault, self.keep)
        told = f"FAULT kind '{fault.kind}' seed {fault.seed} index {fault.index}, kept in {place}"
        self.say(f"{told}\n{fault.why[-1500:]}")

    def _count(self) -> None:
        with self._lock:
            self._done += 1
            done, total = self._done, sum(self.counts.values())
        if done % 500 == 0:
            left = (time.monotonic() - self._started) / done * (total - done)
            self.say(f"{done:,} of {total:,} files, {len(self.faults)} faults, {left / 60:.0f} minutes to go")


def _keep(fault: Fault, keep: Path) -> Path:
    """The damaged file once more, made by a process of its own: samples may need a changed current folder."""
    target = keep / f"{fault.kind.replace(' ', '_')}_{fault.seed}_{fault.index}"
    code = (
        "import sys, tempfile; from pathlib import Path; from tests.hostile.kinds import KINDS;"
        "from tests.hostile.fuzz_worker import write_damaged; name, seed, index, target = sys.argv[1:];"
        "write_damaged(KINDS[name].make(Path(tempfile.mkdtemp())), Path(target), int(seed), name, int(index))"
    )
    arguments = [sys.executable, "-c", code, fault.kind, str(fault.seed), str(fault.index), str(target.absolute())]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with contextlib.suppress(subprocess.TimeoutExpired):
        options = {"cwd": ROOT, "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "timeout": 2 * MOST_WAITED}
        subprocess.run(arguments, check=False, **options, **quiet)
    return target


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=1000, metavar="N", help="in all (default: %(default)s)")
    parser.add_argument(
        "--only", action="append", choices=KINDS, metavar="KIND", help=f"one of: {', '.join(KINDS)}; may be repeated"
    )
    parser.add_argument("--index", type=int, metavar="I", help="only this file of --only")
    parser.add_argument(
        "--keep", default="fuzz_faults", metavar="DIR", help="folder for files with faults (default: %(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.index is not None and not args.only:
        parser.error("--index needs --only")
    counts = shares(args.files, KINDS, args.only) if args.index is None else dict.fromkeys(args.only, 1)
    run = Fuzzing(args.seed, counts, Path(args.keep), lambda text: print(text, flush=True))
    return 1 if run.run(args.index or 0, args.jobs) else 0


if __name__ == "__main__":
    sys.exit(main())
