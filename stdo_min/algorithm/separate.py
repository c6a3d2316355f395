"""Chunks as published: each net trains on its own chunk alone, all equally long (section 3.2 of the paper)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from stdo_min.algorithm.refine import Chunks
from stdo_min.algorithm.sample import Sampled
from stdo_min.engine.budget import Budget
from stdo_min.engine.train import train


def train_separately(chunks: Chunks, sampled: Sampled, budget: Budget, rng: np.random.Generator, *, threads: int = 1,
                     counting: Callable[[Budget], Callable[[float, float], None]] | None = None) -> Chunks:
    """The chunks with their nets trained in turn, on patches drawn alike; a net without patches is left as it is.

    counting(budget) gives the progress(done, dB) that one net's training reports to.
    """
    count, nets = len(chunks.nets), []
    for number, (net, part, generator) in enumerate(zip(chunks.nets, budget.split([1 / count] * count),
                                                        rng.spawn(count), strict=True), 1):
        pool = sampled.pool.weighing((chunks.member == number) / sampled.probability)
        if pool.weight.any():
            net = train(net, pool, part, generator, threads=threads, progress=counting(part) if counting else None)
        nets.append(net)
    return replace(chunks, nets=tuple(nets))
