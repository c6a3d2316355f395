"""Sampling: which patches of a segment go into its pool, and cutting them out of the frames.

A video has more patches than memory. Each is kept with a probability that grows with its error, and drawn from the pool
with a weight that makes up for that, so the harder patches train more often whatever the pool's size.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stdo_min.algorithm import patches
from stdo_min.algorithm.frames import Frames
from stdo_min.engine.budget import Clock
from stdo_min.engine.pool import Pool
from stdo_min.engine.shuffle import unshuffle
from stdo_min.format.base import base

LEAST_PATCHES = 64  # with fewer nothing is learned
EXPONENT = 0.75


@dataclass(frozen=True)
class Sampled:
    """A pool, and how it came about.

    probability: float64 (N,), with which each patch was kept. base_errors: float64 (N,), as `Pool.base_errors` gives
    them. kept: bool (frames, rows, columns), the patches of the segment that are in the pool; None where the pool came
    from elsewhere. seconds: what the pass over the frames took.
    """

    pool: Pool
    probability: np.ndarray
    base_errors: np.ndarray
    kept: np.ndarray | None = None
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether every patch of the segment is in the pool."""
        return bool(self.kept.all())


def sample(frames: Frames, errors: np.ndarray | None, halo: int, memory: int, rng: np.random.Generator,
           clock: Clock) -> Sampled:
    """A pool of patches from one pass over the frames, in at most about `memory` bytes; all patches where they fit.

    errors: float (frames, rows, columns), the mean squared error of each patch, by which the harder are kept more
    often; None keeps all alike. halo: in lr pixels.
    """
    began = clock.elapsed()
    header = frames.header
    size = capacity(memory, header.patch, halo, header.scale)
    kept, probability = choose(np.ones(frames.shape) if errors is None else errors, size, rng)
    luma = ((lr.y, hr.y) for lr, hr in frames.over("sample" if errors is None else "gather", clock))
    pool = cut_out(luma, kept, header.patch, halo, header.scale)
    return Sampled(pool, probability[kept], pool.base_errors(), kept, clock.elapsed() - began)


def capacity(memory: int, patch: int, halo: int, scale: int) -> int:
    """How many patches fit into `memory` bytes, LEAST_PATCHES at the least."""
    return max(LEAST_PATCHES, memory // ((patch + 2 * halo) ** 2 + 2 * (patch * scale) ** 2))


def sampling(errors: np.ndarray) -> np.ndarray:
    """How often to train on patches of these mean squared errors: error^EXPONENT (docs/training.md)."""
    return (errors + 0.05) ** EXPONENT  # 0.05: patches that are perfect already are still seen now and then


def inclusion(weights: np.ndarray, size: float) -> np.ndarray:
    """The probability min(1, c * weight) with which to keep each patch, so that `size` are kept on average.

    weights: float (n,), >= 0. Returns float64 (n,); all ones where n <= size.
    """
    if len(weights) <= size:
        return np.ones(len(weights))
    order = np.argsort(weights)[::-1]
    descending = np.maximum(weights[order].astype(np.float64), 1e-12)
    # With the `certain` largest kept for sure, the others share what is left in proportion to their weights.
    rest = np.cumsum(descending[::-1])[::-1]
    factor = (size - np.arange(len(descending))) / rest
    certain = int(np.argmax(factor * descending <= 1))
    probability = np.empty(len(weights))
    probability[order] = np.minimum(1.0, descending * factor[certain])
    return probability


def choose(errors: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Which patches of a segment go into its pool, on average at most `size`, and with which probability each does.

    errors: float (frames, rows, columns), mean squared error of each patch; a patch is kept in proportion to
    `sampling`. Returns kept, bool, and probability, float64, of the same shape.
    """
    probability = inclusion(sampling(errors).ravel(), max(size, LEAST_PATCHES)).reshape(errors.shape)
    return rng.random(errors.shape) < probability, probability


def cut_out(luma: Iterable, kept: np.ndarray, patch: int, halo: int, scale: int) -> Pool:
    """The chosen patches of a segment as a pool, in the order of `kept`, all of weight 1.

    luma: pairs of lr luma uint8 (h, w) and hr luma uint8 (h*scale, w*scale), as many as kept has. kept: bool (frames,
    rows, columns). Patches of the last row and column are moved inwards until they are whole.
    """
    count, whole = np.count_nonzero(kept), patch + 2 * halo
    lr_patches = np.empty((count, whole, whole), np.uint8)
    residuals = np.empty((count, patch, patch, scale * scale), np.int16)
    place = 0
    for index, (lr, hr) in enumerate(luma):
        ys, xs = patches.grid(*lr.shape, patch)
        ys, xs = np.minimum(ys, lr.shape[0] - patch), np.minimum(xs, lr.shape[1] - patch)
        # 64 * hr + 32 - base is the residual that the arithmetic of FORMAT.md turns into hr exactly.
        residual = hr.astype(np.int16) * 64 + 32 - base(lr, scale).astype(np.int16)
        chosen = np.flatnonzero(kept[index])
        at = slice(place, place + len(chosen))
        lr_patches[at] = patches.cut(lr, ys[chosen], xs[chosen], patch, halo)
        residuals[at] = unshuffle(patches.cut(residual, ys[chosen] * scale, xs[chosen] * scale, patch * scale), scale)
        place += len(chosen)
    return Pool(lr_patches, residuals, np.ones(count))
