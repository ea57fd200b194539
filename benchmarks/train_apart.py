"""The contestants of benchmarks/train_speed.py on a CPU, each in a process of its own.

`pytsn train` tells the C library to keep freed memory (pytsn/runtime/memory.py). In one process plain PyTorch would
gain by that too, so it gets its own, once as users run it and once with the same setting.
"""

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from timing import Waiting
from train_contestants import Dataset, PlainTorch, training

from pytsn.runtime.memory import keep_freed_memory
from pytsn.training.hardware import Hardware

#: seconds between two iterations, after which the threads of the one before have stopped waiting busily
_PAUSE = 0.02


@dataclass(frozen=True)
class Job:
    """What a process needs to know. start: the file with weights and crops that plain PyTorch takes."""

    dataset: Dataset
    threads: int
    workers: int
    start: Path


@dataclass(frozen=True)
class Turn:
    """Seconds of an iteration: by the clock, of all the process's threads, and until its data was ready."""

    wall: float
    processor: float
    waited: float


def serve_train(connection: Connection, job: Job) -> None:
    """Runs an iteration of `pytsn train` for each message; writes the start first."""
    torch.set_num_threads(job.threads)
    run = training(job.dataset, Hardware(), job.workers)
    batch = run.train.data_layers.next_batch(torch.device("cpu"))
    torch.save((run.train.net.state_dict(), tuple(batch.values())), job.start)
    _serve(connection, run.loop.step, lambda: run.train.data_seconds)
    run.close()


def serve_at_hand(connection: Connection, job: Job) -> None:
    """Runs an iteration of `pytsn train` on crops in memory for each message, as plain PyTorch does."""
    torch.set_num_threads(job.threads)
    run = training(job.dataset, Hardware(), 0)
    batch = run.train.data_layers.next_batch(torch.device("cpu"))
    setattr(run.train.data_layers, "next_batch", lambda device: batch)  # noqa: B010 (in the place of a method)
    _serve(connection, run.loop.step, lambda: 0.0)
    run.close()


def serve_plain(connection: Connection, job: Job) -> None:
    """Runs an iteration of plain PyTorch for each message."""
    torch.set_num_threads(job.threads)
    state, batch = torch.load(job.start, weights_only=True)
    plain = PlainTorch(job.dataset, Hardware(), state)
    _serve(connection, lambda: plain.step(*batch), lambda: 0.0)


def serve_keeping(connection: Connection, job: Job) -> None:
    """The same in a process that keeps freed memory."""
    keep_freed_memory()
    serve_plain(connection, job)


EAGER = "eager PyTorch, crops in memory"
#: name -> what its process runs, in the order of their start
CONTESTANTS: dict[str, Callable[[Connection, Job], None]] = {
    "pytsn train": serve_train,
    "pytsn train, crops in memory": serve_at_hand,
    EAGER: serve_plain,
    "the same, freed memory kept": serve_keeping,
}


def _serve(connection: Connection, iterate: Callable[[], object], waited: Callable[[], float]) -> None:
    for _ in range(3):  # warm up
        iterate()
    connection.send(None)
    while connection.recv():
        start, processor, before = time.perf_counter(), time.process_time(), waited()
        iterate()
        connection.send(Turn(time.perf_counter() - start, time.process_time() - processor, waited() - before))


def measure(job: Job, rounds: int) -> dict[str, list[Turn]]:
    """Name -> the turns of each contestant, which take them one after another."""
    context, waiting = multiprocessing.get_context("spawn"), Waiting()
    connections: dict[str, Connection] = {}
    for name, target in CONTESTANTS.items():
        waiting.tell(f"warming up: {name}")
        connections[name], other = context.Pipe()
        context.Process(target=target, args=(other, job), name=name).start()
        other.close()  # so that the end of a process that fails is seen here
        connections[name].recv()
    turns: dict[str, list[Turn]] = {name: [] for name in connections}
    for number in range(1, rounds + 1):
        for name, connection in connections.items():
            waiting.tell(f"round {number} of {rounds}: {name}")
            time.sleep(_PAUSE)
            connection.send(True)
            turns[name].append(connection.recv())
    for connection in connections.values():
        connection.send(False)
    return turns
