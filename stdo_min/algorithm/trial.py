"""Trials: how many nets a segment is worth, found by training few and many for a short while."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stdo_min.algorithm.chunk import kmeans
from stdo_min.algorithm.refine import Chunks, least_errors
from stdo_min.algorithm.sample import Sampled
from stdo_min.engine.budget import Clock
from stdo_min.engine.net import Net
from stdo_min.format.psnr import psnr

COUNTS = (1, 2, 4, 8)  # nets
JUDGED = 2048  # patches that the trials are compared on
DOUBLING = 0.01  # dB that each doubling must gain
LONGEST = 0.25  # of the seconds that are left: what all trials together may take


def best_count(general: Net, scores: np.ndarray, error: np.ndarray, sampled: Sampled, most: int,
               rng: np.random.Generator, threads: int, clock: Clock, keep: float,
               part: Callable[[Chunks], Chunks]) -> Chunks:
    """The chunks, at most `most` of them, that have least error once `part` has trained their nets for a short while.

    scores: float64 (frames, rows, columns) of all patches. error: float64 (N,), of the pool's patches under the general
    model. keep: seconds to keep back for what comes after training. Where seconds are short, greater numbers of nets
    are not tried.
    """
    flat, best, limit = scores.ravel(), -np.inf, clock.elapsed() + LONGEST * (clock.left(keep).seconds or np.inf)
    judged = np.sort(rng.permutation(len(sampled.pool))[:JUDGED])
    for count in [count for count in COUNTS if count <= min(most, len(np.unique(flat)))]:
        began = clock.elapsed()
        labels = kmeans(flat, count)[0].reshape(scores.shape)[sampled.kept]
        chunks = part(Chunks.of(general, labels, error))
        found = least_errors(chunks.nets, sampled.pool, sampled.base_errors, judged, threads)
        found = np.average(found, weights=1 / sampled.probability[judged])
        worth = psnr(max(found, 1e-9), 1) - DOUBLING * np.log2(count)
        if worth > best:
            best, chosen = worth, chunks
        now = clock.elapsed()
        if now + 2 * (now - began) > limit:  # the next trial has twice as many nets to judge
            break
    return chosen
