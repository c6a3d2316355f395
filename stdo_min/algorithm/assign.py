"""Assignment: integer nets, and for each patch of every frame the one that serves it best, or the base."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stdo_min.algorithm.frames import Frames
from stdo_min.algorithm.refine import Chunks
from stdo_min.algorithm.show import calibrated, shown_errors
from stdo_min.engine.budget import Clock
from stdo_min.engine.net import Net
from stdo_min.engine.pool import Pool
from stdo_min.format import sidecar


@dataclass(frozen=True)
class Overfitted:
    """The result for one segment: its nets, and the label and squared errors of each patch.

    labels: uint8 (frames, rows, columns). errors, base_errors: int64 (frames, rows, columns), luma errors summed over
    the hr pixels of each patch, as shown and under the base alone.
    """

    nets: tuple[sidecar.Net, ...]
    labels: np.ndarray
    errors: np.ndarray
    base_errors: np.ndarray


def assign_one(frames: Frames, net: Net, pool: Pool, threads: int, clock: Clock) -> Overfitted:
    """One net for all patches, or none where the base alone is as good."""
    integer = calibrated(net, pool, threads)
    ones = np.ones((1, *frames.shape[1:]), np.uint8)
    base_errors, errors = np.empty((2, *frames.shape), np.int64)
    for index, (sums, _) in enumerate(shown_errors(frames, [integer], [0 * ones, ones], threads, clock, "assign")):
        base_errors[index], errors[index] = sums
    if errors.sum() < base_errors.sum():
        return Overfitted((integer,), np.ones(frames.shape, np.uint8), errors, base_errors)
    return Overfitted((), np.zeros(frames.shape, np.uint8), base_errors, base_errors)


def assign_best(frames: Frames, chunks: Chunks, pool: Pool, threads: int, clock: Clock) -> Overfitted:
    """Each patch of every frame to the best of all nets and the base."""
    none = np.zeros((1, *frames.shape[1:]), np.uint8)
    return _assign(frames, chunks, pool, [none + np.uint8(number) for number in range(len(chunks.nets) + 1)], None,
                   threads, clock)


def assign_own(frames: Frames, chunks: Chunks, pool: Pool, labels: np.ndarray, threads: int,
               clock: Clock) -> Overfitted:
    """Each patch to the net of its chunk, or to the base where that is better; labels: uint8, of `frames.shape`."""
    none = np.zeros((1, *frames.shape[1:]), np.uint8)
    return _assign(frames, chunks, pool, [none, labels], labels, threads, clock)


def _assign(frames, chunks, pool, candidates, labels, threads, clock):
    integer = [calibrated(net, pool.weighing((chunks.member == number).astype(float)), threads)
               for number, net in enumerate(chunks.nets, 1)]
    shown = np.empty(frames.shape, np.uint8)
    errors, base_errors = np.empty((2, *frames.shape), np.int64)
    for index, (sums, _) in enumerate(shown_errors(frames, integer, candidates, threads, clock, "assign")):
        best = np.argmin(sums, axis=0)
        shown[index] = best if labels is None else best * labels[index]
        errors[index], base_errors[index] = sums.min(axis=0), sums[0]
    used = [number for number in range(1, len(integer) + 1) if np.any(shown == number)]
    renumbered = np.zeros(len(integer) + 1, np.uint8)
    renumbered[used] = np.arange(1, len(used) + 1)
    return Overfitted(tuple(integer[number - 1] for number in used), renumbered[shown], errors, base_errors)
