"""What a worker process says, how its end is told, and the pool that works ahead."""

import gc
import os
import select
import signal
import subprocess
import sys
import threading
from concurrent.futures import CancelledError

import pytest

from converter.errors import PytsnError
from pytsn.runtime.worker_pool import TaskPool, WorkerKilled
from pytsn.runtime.worker_process import DIED, EVENT, FAILED, READY, REFUSED, RESULT, Said, WorkerProcess, hear, tell
from tests.places import ROOT
from tests.waiting import PATIENCE

_LARGE = 4 << 20  # bytes, many times what a pipe takes up at once


class Obeys:
    """Does what the task says."""

    def __init__(self, limit: int = 9) -> None:
        if limit < 0:
            raise PytsnError(f"limit {limit}: 0 or more")
        self.limit = limit

    def __call__(self, task):
        name, value = task
        return getattr(self, name)(value)

    def square(self, value: int) -> int:
        if value > self.limit:
            raise PytsnError(f"{value} is above {self.limit}")
        return value * value

    def count(self, value: int) -> str:
        for number in range(value):
            tell(number)
        return "counted"

    def environment(self, name: str) -> str | None:
        return os.environ.get(name)

    def echo(self, value: bytes) -> bytes:
        return value

    def print_and_exit(self, status: int) -> None:
        print("to stdout", flush=True)
        print("the last words", file=sys.stderr, flush=True)
        os._exit(status)

    def divide(self, value: int) -> float:
        return 1 / value

    def signals(self, numbers: list[int]) -> str:
        for number in numbers:
            os.kill(os.getpid(), number)
        return "still here"

    def wait_for(self, path: str) -> str:
        """Until somebody writes into a named pipe."""
        tell("waiting")
        return open(path).read()


@pytest.fixture(autouse=True)
def patience(monkeypatch) -> None:
    """What a dead process printed is waited for, however slow the machine."""
    monkeypatch.setattr("pytsn.runtime.worker_process._END_S", PATIENCE)


@pytest.fixture
def start():
    workers = []

    def start(*arguments, **options) -> WorkerProcess:
        workers.append(WorkerProcess(Obeys, arguments, **options))
        return workers[-1]

    yield start
    for worker in workers:
        worker.end()


def ready(worker: WorkerProcess) -> WorkerProcess:
    assert worker.receive() == Said(READY)
    return worker


def ask(worker: WorkerProcess, *task) -> Said:
    worker.give(task)
    return worker.receive()


def test_results_and_errors_come_in_order_and_a_failed_task_ends_nothing(start):
    worker = start(3)
    for value in (2, 4, 3):
        worker.give(("square", value))
    said = [worker.receive() for _ in range(4)]
    assert said == [Said(READY), Said(RESULT, 4), Said(FAILED, "4 is above 3"), Said(RESULT, 9)]


def test_events_come_before_the_result(start):
    worker = ready(start())
    worker.give(("count", 3))
    said = [worker.receive() for _ in range(4)]
    assert said == [*(Said(EVENT, number) for number in range(3)), Said(RESULT, "counted")]
    tell("in the parent this does nothing")


def test_a_refusal_ends_the_worker(start):
    worker = start(-1)
    assert worker.receive() == Said(REFUSED, "limit -1: 0 or more")
    kind, death = worker.receive()
    assert (kind, death.status) == (DIED, 0)


def test_large_tasks_and_results_never_block_each_other(start):
    worker = ready(start())
    data = bytes(_LARGE)
    for _ in range(4):  # nobody reads meanwhile
        worker.give(("echo", data))
    assert [worker.receive() for _ in range(4)] == [Said(RESULT, data)] * 4


def test_threads_of_libraries_are_limited_on_wish(start, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert ask(ready(start(core_threads=True)), "environment", "OMP_NUM_THREADS").value == "1"
    assert ask(ready(start()), "environment", "OMP_NUM_THREADS").value == "7"


def test_signals_for_the_parent_are_ignored(start):
    assert ask(ready(start()), "signals", [signal.SIGINT, signal.SIGTERM]) == Said(RESULT, "still here")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_death_by_signal_is_named(start, number):
    worker = ready(start())
    kind, death = ask(worker, "signals", [number])
    hint = ", out of memory?" if number == signal.SIGKILL else ""
    assert kind == DIED
    assert str(death) == f"worker process {worker.pid} was killed by {number.name}{hint}"


def test_an_end_by_itself_is_told_with_the_last_words(start):
    worker = ready(start())
    kind, death = ask(worker, "print_and_exit", 3)
    assert kind == DIED
    assert str(death) == f"worker process {worker.pid} ended with status 3 (the last words)"
    assert sorted(death.printed) == ["the last words", "to stdout"]
    assert hear([worker])[0][1].kind == DIED  # and again, for whoever asks


def test_a_defect_ends_the_worker_and_is_told(start):
    kind, death = ask(ready(start()), "divide", 0)
    assert (kind, death.status, death.last_line) == (DIED, 1, "ZeroDivisionError: division by zero")


def test_one_killed_while_it_starts(start):
    worker = start()
    worker.kill()
    worker.give(("square", 2))
    said = [worker.receive() for _ in range(2)]  # it may have come as far as READY
    assert DIED in [each.kind for each in said]


PARENT = """
if __name__ == "__main__":
    import sys
    from pytsn.runtime.worker_process import WorkerProcess
    from tests.runtime.test_worker_process import Obeys
    worker = WorkerProcess(Obeys)
    worker.give(("wait_for", sys.argv[1]))
    worker.receive(), worker.receive()
    print(worker.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for the end of a process that is no child")
def test_a_worker_in_the_middle_of_work_ends_with_its_killed_parent(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-c", PARENT, str(tmp_path / "pipe")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env=environment) as parent:
        worker = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    try:
        assert select.select([worker], [], [], PATIENCE)[0], "the worker outlives its parent"
    finally:
        os.close(worker)


# --- the pool ---


def test_a_pool_gives_results_and_errors():
    pool = TaskPool(Obeys, [(5,), (5,)])
    assert pool.pids == []
    futures = [pool.submit(("square", value)) for value in range(8)]
    assert [future.result() for future in futures[:6]] == [0, 1, 4, 9, 16, 25]
    with pytest.raises(PytsnError, match="6 is above 5"):
        futures[6].result()
    assert len(pool.pids) == 2
    pool.close()
    with pytest.raises(PytsnError, match="was closed"):
        pool.submit(("square", 1))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="holds the worker back with a named pipe")
def test_what_was_not_begun_can_be_cancelled_and_the_rest_ends_with_the_pool(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    pool = TaskPool(Obeys, [()])
    futures = [pool.submit(("wait_for", str(tmp_path / "pipe"))), *(pool.submit(("square", 1)) for _ in range(4))]
    assert [future.cancel() for future in futures] == [False, False, True, True, True]  # two are with the worker
    pool.close()
    for future in futures[:2]:
        with pytest.raises(PytsnError, match="was closed"):
            future.result()
    with pytest.raises(CancelledError):
        futures[2].result()


def test_a_killed_process_fails_all_tasks_and_those_to_come():
    pool = TaskPool(Obeys, [(), ()])
    pool.submit(("square", 1)).result()
    victim = pool.submit(("signals", [signal.SIGKILL]))
    with pytest.raises(WorkerKilled, match="was killed"):
        victim.result()
    with pytest.raises(WorkerKilled, match="was killed"):
        pool.submit(("square", 1))
    pool.close()


def test_a_defect_is_told_in_a_line_and_its_traceback_kept():
    pool = TaskPool(Obeys, [()])
    with pytest.raises(WorkerKilled, match="ended with status 1: ZeroDivisionError") as caught:
        pool.submit(("divide", 0)).result()
    assert "in divide" in str(caught.value.__cause__)
    pool.close()


def test_a_pool_that_refuses_to_start():
    pool = TaskPool(Obeys, [(-1,)])
    with pytest.raises(PytsnError, match="limit -1"):
        pool.submit(("square", 1)).result()
    pool.close()


def test_a_pool_that_nobody_holds_ends_its_processes():
    before = set(threading.enumerate())
    pool = TaskPool(Obeys, [()])
    pool.submit(("square", 1)).result()
    (thread,) = (each for each in threading.enumerate() if each.name == "worker pool" and each not in before)
    del pool
    gc.collect()
    thread.join(PATIENCE)
    assert not thread.is_alive()
