"""Runs a function on many tasks in processes that are ended when they take too long.

A compiler may loop, or fill the memory, on a source that nobody has seen: each task has a time
limit, each process a limit of memory, and what goes over either gives None.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

__all__ = ["MOST_MEMORY", "run_all"]

MOST_MEMORY = 6 << 30  # of addresses; what is used is far less
Progress = Callable[[int, int], None]


class _Worker:
    """A process and the task that it has at hand."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        self.process.start()
        theirs.close()
        self.task = -1
        self.end_s = 0.0

    def give(self, number: int, task: Any, most_s: float) -> None:
        self.task, self.end_s = number, time.monotonic() + most_s
        with suppress(OSError):  # a process that has died answers nothing, which is noticed
            self.connection.send(task)

    def end(self) -> None:
        """Ends the process and the compilers that it has started."""
        with suppress(OSError):
            if self.process.pid is not None:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.connection.close()


def run_all(
    function: Callable[[Any], Any],
    tasks: Sequence[Any],
    *,
    jobs: int,
    each_s: float,
    total_s: float,
    progress: Progress | None = None,
) -> list[Any]:
    """What ``function``, a module's own, gives for each task; None for those that failed, took
    longer than ``each_s``, or were not begun when ``total_s`` had passed."""
    answers: list[Any] = [None] * len(tasks)
    stop_s = time.monotonic() + total_s
    waiting = list(range(len(tasks)))[::-1]
    workers: list[_Worker] = []
    try:
        while waiting or workers:
            workers = _fed(workers, waiting, tasks, function, jobs, min(each_s, total_s), stop_s)
            if not workers:
                break
            workers = _heard(workers, answers)
            if progress is not None:
                progress(len(tasks) - len(waiting) - len(workers), len(tasks))
    finally:
        for worker in workers:
            worker.end()
    return answers


def _fed(
    workers: list[_Worker],
    waiting: list[int],
    tasks: Sequence[Any],
    function: Callable[[Any], Any],
    jobs: int,
    each_s: float,
    stop_s: float,
) -> list[_Worker]:
    """Gives idle workers their next task, and starts workers where there are too few."""
    busy = [worker for worker in workers if worker.task >= 0]
    idle = [worker for worker in workers if worker.task < 0]
    if time.monotonic() > stop_s:
        waiting.clear()
    while waiting and len(busy) < jobs:
        worker = idle.pop() if idle else _Worker(function)
        number = waiting.pop()
        worker.give(number, tasks[number], each_s)
        busy.append(worker)
    for worker in idle:
        worker.end()
    return busy


def _heard(workers: list[_Worker], answers: list[Any]) -> list[_Worker]:
    """Waits for an answer or for the first time limit; the workers that live on."""
    first_s = min(worker.end_s for worker in workers)
    ready = set(wait([w.connection for w in workers], max(first_s - time.monotonic(), 0.0)))
    left = []
    for worker in workers:
        if worker.connection in ready:
            with suppress(EOFError, OSError):
                answers[worker.task] = worker.connection.recv()
                worker.task = -1
        if worker.task >= 0 and (worker.connection in ready or time.monotonic() >= worker.end_s):
            worker.end()
        else:
            left.append(worker)
    return left


def _serve(connection: Connection, function: Callable[[Any], Any]) -> None:
    """The life of a process: a task, an answer, and the next."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(5)
    _limit_memory()
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            answer = function(task)
        except Exception:  # it belongs to the source at hand, of which nothing is known then
            answer = None
        connection.send(answer)


def _limit_memory() -> None:
    import resource

    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
