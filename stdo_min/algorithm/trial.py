"""Trials: how many nets a segment is worth, map included, found by training few and many for a short while."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stdo_min.algorithm.price import Price
from stdo_min.algorithm.refine import Chunks, least_errors
from stdo_min.algorithm.sample import Sampled
from stdo_min.engine.budget import Clock
from stdo_min.engine.net import Net

COUNTS = (1, 2, 4, 8)  # nets
JUDGED = 2048  # patches that they are compared on
LONGEST = 0.25  # of the seconds that are left: what all trials together may take


class Judge:
    """Compares sets of nets by the same patches of a pool, drawn once."""

    def __init__(self, sampled: Sampled, price: Price, rng: np.random.Generator, threads: int):
        self._sampled, self._price, self._threads = sampled, price, threads
        self._index = np.sort(rng.permutation(len(sampled.pool))[:JUDGED])

    def __call__(self, nets: tuple[Net, ...]) -> float:
        """J of the nets, as a mean squared error, by the patches, each under the best of them or the base."""
        found = least_errors(nets, self._sampled.pool, self._sampled.base_errors, self._index, self._threads)
        error = max(float(np.average(found, weights=1 / self._sampled.probability[self._index])), 1e-9)
        return self._price.foretold(error, sum(net.nbytes for net in nets), len(nets))


def best_count(most: int, trained: Callable[[int], Chunks], judge: Callable[[tuple[Net, ...]], float], clock: Clock,
               seconds: float | None) -> Chunks:
    """The chunks of 1, 2, 4 or 8 nets, `most` at the most, that a short training leaves with the least J.

    trained(count): that many chunks, their nets trained for a short while. judge(nets): their J. seconds: what is left
    for training; once a quarter of it would not suffice for the next trial, no more are begun. None tries all.
    """
    limit, best = np.inf if seconds is None else clock.elapsed() + LONGEST * seconds, np.inf
    counts = [count for count in COUNTS if count <= most]
    for count in counts:
        began = clock.elapsed()
        chunks = trained(count)
        if count == 1 and (len(counts) == 1 or clock.elapsed() > limit):
            return chunks  # nothing will be compared with it
        cost = judge(chunks.nets)
        if cost < best:
            best, chosen = cost, chunks
        now = clock.elapsed()
        if now + 2 * (now - began) > limit:  # the next trial judges twice as many nets
            break
    return chosen
