"""Chunks as published: each net trains on its own chunk alone, all equally long (section 3.2 of the paper)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from stdo_min.algorithm.refine import Chunks
from stdo_min.algorithm.sample import Sampled
from stdo_min.engine.budget import Budget
from stdo_min.engine.net import Net
from stdo_min.engine.train import train


def train_separately(chunks: Chunks, sampled: Sampled, budget: Budget, rng: np.random.Generator, *, threads: int = 1,
                     executor: Executor | None = None,
                     counting: Callable[[Budget], Callable[[float, float], None]] | None = None) -> Chunks:
    """The chunks with their nets trained, on patches drawn alike; a net without patches is left as it is.

    executor: trains the nets side by side, on `threads` workers; by default they train here in turn. counting(budget)
    gives the progress(done, dB) that one net's training reports to; on an executor none is reported.
    """
    count = len(chunks.nets)
    pools = [sampled.pool.weighing((chunks.member == number) / sampled.probability) for number in range(1, count + 1)]
    parts = budget.split([1 / count] * count)
    if executor and budget.seconds is not None:
        # Side by side the seconds are shared by workers, not by nets; no net may take more than the whole.
        parts = [budget.part(min(threads, count) / count)] * count
    tasks = list(zip(chunks.nets, pools, parts, rng.spawn(count), strict=True))
    if executor:
        return replace(chunks, nets=_on_executor(tasks, executor))
    return replace(chunks, nets=tuple(
        train(*task, threads=threads, progress=counting(task[2]) if counting else None) if task[1].weight.any()
        else task[0] for task in tasks))


def _on_executor(tasks, executor) -> tuple[Net, ...]:
    waiting = [executor.submit(train, net, pool.drawable(), part, generator) if pool.weight.any() else None
               for net, pool, part, generator in tasks]
    try:
        return tuple(task.result() if task else net for task, (net, *_) in zip(waiting, tasks, strict=True))
    finally:
        for task in filter(None, waiting):
            task.cancel()
