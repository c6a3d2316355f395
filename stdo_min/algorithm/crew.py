"""The crew: who does the tasks of a film, here in turn, or side by side on any `concurrent.futures.Executor`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import TypeVar

from stdo_min.video.ffmpeg import VideoError

Item, Result = TypeVar("Item"), TypeVar("Result")

TRIES = 3  # of a task whose worker dies each time
TICK = 0.5  # seconds between two reports of progress
DASK_SECONDS = 10  # to wait for a cluster
BESIDE_POOL = 400 << 20  # bytes that a job takes beside its pool of patches, ffmpeg included
# How much faster a net trains on 1, 2, 3 and 4 threads (docs/training.md); more do not help.
SPEED = (1.0, 1.8, 1.9, 3.2)


class Crew:
    """`jobs` tasks at a time, with `threads` threads each.

    Without an executor tasks run here, one after the other. `shared`: whether those who do the tasks can open our files
    by their names.
    """

    def __init__(self, jobs: int = 1, threads: int = 1, executor: Callable[[], Executor] | None = None,
                 shared: bool = True, close: Callable[[], None] = lambda: None):
        """executor: makes one; it is asked again where an executor broke because a worker died. close: at the end."""
        self.jobs, self.threads, self.shared = jobs, threads, shared
        self._make, self._close, self._executor = executor, close, None
        self._lock, self._closed = threading.Lock(), False

    @property
    def here(self) -> bool:
        """Whether tasks run in this process."""
        return self._make is None

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_) -> None:
        """End the tasks that still run; none is waited for."""
        self._closed = True
        if self._executor is not None:
            # Before Python 3.14 a pool has no public way to end what its processes are doing.
            workers = list((getattr(self._executor, "_processes", None) or {}).values())
            self._executor.shutdown(wait=False)
            for worker in workers:
                worker.terminate()
        self._close()

    def call(self, function: Callable[..., Result], *arguments) -> Result:
        """The function's result, from whoever is free; a task whose worker died is done again.

        Raises what the function does, and VideoError where worker after worker dies of it.
        """
        if self._make is None:
            return function(*arguments)
        for left in reversed(range(TRIES)):
            executor = self._current()
            try:
                return executor.submit(function, *arguments).result()
            except BrokenExecutor:
                if self._closed:
                    raise
                if not left:
                    raise _died() from None
                self._renew(executor)
            except Exception as error:
                if type(error).__name__ == "KilledWorker":  # Dask's, which has tried again by itself
                    raise _died() from None
                raise

    def each(self, items: Sequence[Item], work: Callable[[Item], Result], tick: Callable[[], None]) -> list[Result]:
        """work(item) for each item, `jobs` at a time and begun in order; the results in order.

        work: runs here, in a thread, and hands what is long to `call`. tick: called now and then while others work.
        The first error ends all.
        """
        if self.here and self.jobs == 1:
            return [work(item) for item in items]
        pool = ThreadPoolExecutor(self.jobs)
        try:
            running = [pool.submit(work, item) for item in items]
            waiting = set(running)
            while waiting:
                done, waiting = wait(waiting, TICK, FIRST_COMPLETED)
                for found in done:
                    found.result()
                tick()
            return [found.result() for found in running]
        except BaseException:
            self.__exit__()  # so that the threads, which wait for others, come back
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _current(self):
        with self._lock:
            if self._executor is None:
                self._executor = self._make()
            return self._executor

    def _renew(self, broken):
        with self._lock:
            if self._executor is broken:
                broken.shutdown(wait=False)
                self._executor = None


def _died() -> VideoError:
    return VideoError(f"{TRIES} workers died of the same task, perhaps because memory is short; give the same command "
                      "with fewer --jobs, to go on from what is finished")


def local_crew(jobs: int, threads: int) -> Crew:
    """A crew of processes on this machine, or of this process alone for one job."""
    if jobs == 1:
        return Crew(1, threads)
    # A fork would copy threads' locks in whatever state they are.
    return Crew(jobs, threads, lambda: ProcessPoolExecutor(jobs, get_context("spawn"), _begin))


def dask_crew(address: str, jobs: int | None, shared: bool) -> Crew:
    """A crew of the workers of a Dask cluster, each with all the threads that it offers.

    address: of its scheduler. jobs: tasks at a time; None for one each worker. shared: as in Crew. Raises VideoError
    where Dask is not installed, nobody answers, or no worker is there.
    """
    try:
        from distributed import Client
    except ImportError:
        raise VideoError("dask.distributed is not installed, which --dask needs: pip install 'stdo-min[cluster]'") \
            from None
    try:
        client = Client(address, timeout=DASK_SECONDS)
        client.wait_for_workers(1, timeout=DASK_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise VideoError(f"{address}: no Dask scheduler with a worker answers there ({error}); begin with dask "
                         "scheduler and dask worker") from None
    threads = list(client.nthreads().values())
    # pure=False: two tasks are never the same one, since a task in seconds gives something else each time.
    return Crew(jobs or len(threads), min(threads), lambda: client.get_executor(pure=False), shared, client.close)


def choose_jobs(segments: int, threads: int, memory: int) -> int:
    """How many segments to overfit side by side on `threads` threads, so that all are done soonest.

    memory: bytes of a pool; no more jobs are chosen than fit into what the machine has free.
    """
    most = max(1, min(segments, threads, _free_memory() // (memory + BESIDE_POOL)))

    def seconds(jobs):
        return -(-segments // jobs) / SPEED[min(threads // jobs, len(SPEED)) - 1]

    return min(range(1, most + 1), key=seconds)


def _free_memory() -> int:
    try:
        told = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(told["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError, ValueError):  # not told on this system
        return 1 << 40


def _begin() -> None:
    """In a new worker: end when the parent is gone, however it went, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.showwarning = lambda message, *_: print(f"stdo: {message}", file=sys.stderr)
    parent = parent_process()

    def follow():
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
