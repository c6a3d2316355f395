"""Sampling: which patches of a segment go into its pool, and cutting them out (section 3.2 of the paper).

A video has more patches than memory. Each is kept with a probability that grows with its error, and drawn from the pool
with a weight that makes up for that, so the harder patches train more often whatever the pool's size.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stdo_min.algorithm import patches
from stdo_min.engine.pool import Pool
from stdo_min.engine.shuffle import unshuffle
from stdo_min.format import base as resample

LEAST = 64  # patches; with fewer nothing is learned
EXPONENT = 0.75


def capacity(memory: int, patch: int, halo: int, scale: int) -> int:
    """How many patches fit into `memory` bytes, LEAST at the least."""
    return max(LEAST, memory // ((patch + 2 * halo) ** 2 + 2 * (patch * scale) ** 2))


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
    """Which patches of a segment go into its pool, `size` at the most on average, and with which probability they do.

    errors: float (frames, rows, columns), mean squared error of each patch; a patch is kept in proportion to
    `sampling`. Returns kept, bool, and probability, float64, of the same shape.
    """
    probability = inclusion(sampling(errors).ravel(), max(size, LEAST)).reshape(errors.shape)
    return rng.random(errors.shape) < probability, probability


def gather(frames: Iterable, kept: np.ndarray, patch: int, halo: int, scale: int) -> Pool:
    """Cut the chosen patches out of a segment, in the order of `kept`, all of weight 1.

    frames: pairs of lr luma uint8 (h, w) and hr luma uint8 (h*scale, w*scale), as many as kept has. kept: bool (frames,
    rows, columns). Patches of the last row and column are moved inwards until they are whole.
    """
    count, whole = np.count_nonzero(kept), patch + 2 * halo
    lr_patches = np.empty((count, whole, whole), np.uint8)
    residuals = np.empty((count, patch, patch, scale * scale), np.int16)
    place = 0
    for index, (lr, hr) in enumerate(frames):
        ys, xs = patches.grid(*lr.shape, patch)
        ys, xs = np.minimum(ys, lr.shape[0] - patch), np.minimum(xs, lr.shape[1] - patch)
        # 64 * hr + 32 - base is the residual that the arithmetic of FORMAT.md turns into hr exactly.
        residual = hr.astype(np.int16) * 64 + 32 - resample.base(lr, scale).astype(np.int16)
        chosen = np.flatnonzero(kept[index])
        at = slice(place, place + len(chosen))
        lr_patches[at] = patches.cut(lr, ys[chosen], xs[chosen], patch, halo)
        residuals[at] = unshuffle(
            patches.cut(residual, ys[chosen] * scale, xs[chosen] * scale, patch * scale), scale)
        place += len(chosen)
    return Pool(lr_patches, residuals, np.ones(count))
