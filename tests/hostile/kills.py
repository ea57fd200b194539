"""Kills commands with SIGKILL at points chosen by a seed, goes on as a user would, and compares with a run left alone.

    python -m tests.hostile.kills --seed 1 --kills 100            in the clone; --only RUN for one command

After each kill no file may lie half-written under its final name, and no process may be left. The run that goes on must
end with the same files, byte for byte. A fault is printed with run, seed, number and step.
"""

import argparse
import contextlib
import fnmatch
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.hostile.kill_runs import RUNS, KilledRun, command_line, contents, empty, make_world
from tests.hostile.shares import shares

ROOT = Path(__file__).resolve().parent.parent.parent
HOOK = Path(__file__).with_name("kill_hook.py")
#: seconds after which a command, or what a killed one leaves behind, is given up
PATIENCE = 600.0
#: unfinished work under names of its own (docs/architecture.md), and files of the moment
_UNFINISHED = re.compile(r"(^|/)\.|\.partial/|\.part$|\.part\.json$|\.lock$|\.tmp$")


@dataclass(frozen=True)
class Steps:
    """How many steps the main process and its worker of most steps take in a run left alone."""

    main: tuple[int, int]
    worker: tuple[int, int]


@dataclass(frozen=True)
class Kill:
    """The point of a kill, as kill_hook.py takes it."""

    role: str
    kind: str
    number: int
    torn: bool

    def __str__(self) -> str:
        return f"{self.role} {self.kind} {self.number} {'torn' if self.torn else 'whole'}"


@dataclass(frozen=True)
class Served:
    """What a command needs besides: arguments, variables of its environment, code that its processes begin with."""

    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    hook: str = ""


class Killing:
    """One command in a folder of its own."""

    def __init__(self, name: str, folder: Path, served: Served) -> None:
        run = RUNS[name]
        self.run: KilledRun = replace(run, command=(*run.command, *served.arguments))
        self.world = make_world(folder)
        self._counts = folder / "counts"
        site = folder / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(HOOK.read_text() + served.hook)
        paths = os.pathsep.join((str(site), str(ROOT)))
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, **served.environment}
        self._environment |= {"KILLS_FOLDER": str(self.world.resolve()), "KILLS_COUNTS": str(self._counts)}
        self._environment["KILLS_DRIVER"] = str(os.getpid())
        self.wanted: dict[str, bytes] = {}
        self.missed = 0  # kills that were to be at a step that no process came to

    def leave_alone(self) -> Steps:
        """The run to compare with, and its steps."""
        empty(self.world / "out")
        status, said = self._start(self.run.command)
        assert status == 0, said
        self.wanted = visible(contents(self.world / "out"))
        assert self.wanted, "no files"
        steps: dict[str, list] = {"main": [(0, 0)], "worker": [(0, 0)]}
        for path in self._counts.iterdir():
            numbers = path.read_text().split() or ["0", "0"]
            steps[path.name.split()[0]].append((int(numbers[0]), int(numbers[1])))
        return Steps(max(steps["main"]), max(steps["worker"]))

    def kill(self, kill: Kill) -> list[str]:
        """Kills a run there and goes on. Returns the faults, in words."""
        empty(self.world / "out")
        status, said = self._start(self.run.command, kill)
        died = (self._counts / "killed").exists() or status == -9
        self.missed += not died
        faults = [] if died or status == 0 else [f"status {status} without a kill: {said}"]
        if kill.role == "worker" and died and status not in (0, 1, 2):
            faults.append(f"status {status} after the kill of a worker: {said}")
        faults += self._half_written()
        for _ in range(3):
            if status == 0:
                break
            arguments = self.run.go_on(self.run, self.world / "out")
            status, said = self._start(arguments)
        if status:
            return [*faults, f"status {status} when it goes on: {said}"]
        return faults + self._different()

    def leftovers(self) -> list[str]:
        """Names of hidden and temporary files that stay after the end."""
        return sorted(set(contents(self.world / "out")) - set(visible(contents(self.world / "out"))))

    def _start(self, arguments: tuple[str, ...], kill: Kill | None = None) -> tuple[int, str]:
        """Status and last words of a run. Its processes are a session, which must be empty at its end."""
        shutil.rmtree(self._counts, ignore_errors=True)
        self._counts.mkdir()
        environment = self._environment | ({"KILLS_AT": str(kill)} if kill else {})
        log = self._counts.with_suffix(".log")
        with open(log, "wb") as output:
            options = {"cwd": self.world, "env": environment, "stdout": output, "stderr": output}
            process = subprocess.Popen(command_line(arguments), **options, start_new_session=True)
            status = process.wait(PATIENCE)
        end = time.monotonic() + PATIENCE
        while members := _session(process.pid):
            if time.monotonic() > end:
                return -1, f"processes {members} outlive the command"
            time.sleep(0.01)
        return status, log.read_text(errors="replace")[-800:]

    def _half_written(self) -> list[str]:
        faults = []
        for name, data in visible(contents(self.world / "out")).items():
            if any(fnmatch.fnmatch(name, pattern) for pattern in self.run.passing):
                continue
            if name not in self.wanted:
                faults.append(f"{name}: a name that is not there at the end")
            elif data != self.wanted[name] and not (name in self.run.evolving and _is_whole(self.world / "out" / name)):
                faults.append(f"{name}: {len(data)} bytes under its final name, {len(self.wanted[name])} at the end")
        return faults

    def _different(self) -> list[str]:
        found = visible(contents(self.world / "out"))
        names = {name for name in {**found, **self.wanted} if found.get(name) != self.wanted.get(name)}
        return [f"at the end {name} is not that of the run left alone" for name in sorted(names)]


def visible(files: dict[str, bytes]) -> dict[str, bytes]:
    """Those under final names. What build-of writes beside a video's images, its record, is one too."""
    return {name: data for name, data in files.items() if name.endswith("/.pytsn.json") or not _UNFINISHED.search(name)}


def _is_whole(path: Path) -> bool:
    if path.suffix == ".png":
        data = path.read_bytes()
        return data.startswith(b"\x89PNG") and data.endswith(b"IEND\xae\x42\x60\x82")
    from converter.state_files import read_state

    return bool(read_state(path))


def _session(leader: int) -> list[int]:
    """Processes of the session that run; those only waiting to be reaped do not count. Needs /proc."""
    members = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            fields = Path(f"/proc/{int(entry)}/stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] not in "ZX":
                members.append(int(entry))
    return members


def schedule(steps: Steps, workers: bool, rng: random.Random) -> Kill:
    """A point: two times in three a change, else a read; one time in two a worker's, where there are any."""
    role = "worker" if workers and steps.worker != (0, 0) and rng.random() < 0.5 else "main"
    changes, reads = getattr(steps, role)
    kind = "change" if changes and (rng.random() < 0.67 or not reads) else "read"
    return Kill(role, kind, rng.randint(1, changes if kind == "change" else reads), rng.random() < 0.5)


_SMALL_NETS = """
import pytsn.weights.known_nets
from tests.weights.weight_files import few_convolutions
pytsn.weights.known_nets.convolutions = few_convolutions
"""


@contextlib.contextmanager
def served_models() -> Iterator[Served]:
    """A server of the two nets that get-models init asks for; the hook makes the command take small nets for whole."""
    from tests.weights.weight_files import small_net
    from tests.weights.weight_servers import running_server

    with running_server() as server, tempfile.TemporaryDirectory() as folder:
        for modality, channels in (("rgb", 3), ("flow", 10)):
            body = small_net(Path(folder) / "net.caffemodel", None, channels).read_bytes()
            server.files[f"/tsn-init/bn_inception_{modality}_init.caffemodel"] = body
        yield Served((f"--base_url={server.url}", "--timeout=60"), {"no_proxy": "127.0.0.1"}, _SMALL_NETS)


class Schedule:
    """``counts`` kills of each run; ``say`` is called with lines for who watches."""

    def __init__(self, seed: int, counts: dict[str, int], say: Callable[[str], object]) -> None:
        self.seed, self.counts, self.say = seed, counts, say
        self.faults: list[str] = []
        self._done, self._started = 0, time.monotonic()

    def run(self) -> list[str]:
        """Kills, goes on, compares. Returns the faults."""
        for name in self.counts:
            with tempfile.TemporaryDirectory(prefix="kills-") as folder:
                self.run_one(name, Path(folder))
        minutes = (time.monotonic() - self._started) / 60
        self.say(f"{self._done} kills with seed {self.seed} in {minutes:.1f} minutes: {len(self.faults)} faults")
        return self.faults

    def run_one(self, name: str, folder: Path) -> None:
        """All kills of one command, in ``folder``."""
        rng, leaving = random.Random(f"{self.seed} {name}"), 0
        with served_models() if name == "get-models" else contextlib.nullcontext(Served()) as served:
            killing = Killing(name, folder, served)
            steps = killing.leave_alone()
            for number in range(self.counts[name]):
                kill = schedule(steps, killing.run.workers, rng)
                for fault in killing.kill(kill):
                    self.faults.append(f"{name}, seed {self.seed}, number {number}, {kill}: {fault}")
                    self.say(f"FAULT {self.faults[-1]}")
                leaving += bool(killing.leftovers())
                self._count(name, kill)
        told = f"{killing.missed} came to no such step, {leaving} left temporary files behind"
        self.say(f"{name}: {self.counts[name]} kills within {steps}; {told}")

    def _count(self, name: str, kill: Kill) -> None:
        self._done += 1
        total = sum(self.counts.values())
        minutes = (time.monotonic() - self._started) / self._done * (total - self._done) / 60
        told = f"{self._done} of {total} kills ({name}, {kill}), {len(self.faults)} faults"
        self.say(f"{told}, {minutes:.0f} minutes to go")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="in all (default: %(default)s)")
    parser.add_argument("--only", action="append", choices=RUNS, metavar="RUN", help=f"one of: {'; '.join(RUNS)}")
    args = parser.parse_args(argv)
    run = Schedule(args.seed, shares(args.kills, RUNS, args.only), lambda text: print(text, flush=True))
    return 1 if run.run() else 0


if __name__ == "__main__":
    sys.exit(main())
