"""Trials: how many nets a segment is worth, found by training few and many for a short while."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stdo_min.algorithm.refine import Chunks, least_errors
from stdo_min.algorithm.sample import Sampled
from stdo_min.engine.budget import Clock
from stdo_min.engine.net import Net
from stdo_min.format.psnr import psnr

COUNTS = (1, 2, 4, 8)  # nets
JUDGED = 2048  # patches that they are compared on
DOUBLING = 0.01  # dB that each doubling must gain
LONGEST = 0.25  # of the seconds that are left: what all trials together may take


class Judge:
    """Compares sets of nets by the same patches of a pool, drawn once."""

    def __init__(self, sampled: Sampled, rng: np.random.Generator, threads: int):
        self._sampled, self._threads = sampled, threads
        self._index = np.sort(rng.permutation(len(sampled.pool))[:JUDGED])

    def __call__(self, nets: tuple[Net, ...]) -> float:
        """The PSNR in dB of the patches, each under the best of the nets or the base."""
        found = least_errors(nets, self._sampled.pool, self._sampled.base_errors, self._index, self._threads)
        return float(psnr(max(np.average(found, weights=1 / self._sampled.probability[self._index]), 1e-9), 1))


def best_count(most: int, trained: Callable[[int], Chunks], judge: Callable[[tuple[Net, ...]], float], clock: Clock,
               seconds: float | None) -> Chunks:
    """The chunks of 1, 2, 4 or 8 nets, `most` at the most, that a short training leaves with the highest PSNR.

    trained(count): that many chunks, their nets trained for a short while. judge(nets): their PSNR in dB; each doubling
    of their number must gain DOUBLING. seconds: what is left for training; once a quarter of it would not suffice for
    the next trial, no more are begun. None tries all.
    """
    limit, best = np.inf if seconds is None else clock.elapsed() + LONGEST * seconds, -np.inf
    counts = [count for count in COUNTS if count <= most]
    for count in counts:
        began = clock.elapsed()
        chunks = trained(count)
        if count == 1 and (len(counts) == 1 or clock.elapsed() > limit):
            return chunks  # nothing will be compared with it
        worth = judge(chunks.nets) - DOUBLING * np.log2(count)
        if worth > best:
            best, chosen = worth, chunks
        now = clock.elapsed()
        if now + 2 * (now - began) > limit:  # the next trial judges twice as many nets
            break
    return chosen
