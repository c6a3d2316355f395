"""The pool: the bounded set of patches that training draws from, chosen over space and time.

A video has more patches than memory. Each is kept with a probability that grows with its error, and drawn from the pool
with a weight that makes up for that, so the harder patches train more often whatever the pool's size.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from stdo_min import patches, resample

LEAST = 64  # patches; with fewer nothing is learned


@dataclass(frozen=True)
class Pool:
    """Patches of one chunk.

    lr: uint8 (N, P + 2*halo, P + 2*halo). residual: int16 (N, P*scale, P*scale), hr minus base in 64ths of a grey
    level. weight: float64 (N,), how often each is drawn relative to the others.
    """

    lr: np.ndarray
    residual: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.lr)

    def weighed_by_error(self) -> Pool:
        """The same patches, each weighing as the root of its error under the base."""
        mean_square = np.array([np.mean(np.square(r.astype(np.float32) / 64)) for r in self.residual])
        return replace(self, weight=_wanted(mean_square))


def capacity(memory: int, patch: int, halo: int, scale: int) -> int:
    """How many patches fit into `memory` bytes, LEAST at the least."""
    return max(LEAST, memory // ((patch + 2 * halo) ** 2 + 2 * (patch * scale) ** 2))


def _wanted(errors):
    """How often to train on patches of these mean squared errors: their root (uniform was worse in PyTorch)."""
    return np.sqrt(errors + 0.05)  # 0.05: patches that are perfect already are still seen now and then


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


def choose(errors: np.ndarray, chunks: np.ndarray, count: int, size: int,
           rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Which patches of a segment go into the pools of its chunks, and with which weight they are drawn.

    errors: float (frames, rows, columns), mean squared error of each patch under the general model; chunks: integers
    of the same shape, 0..count-1. Every chunk gets a pool of `size / count` patches at the most, on average; a patch
    weighs as the root of its error. Returns kept, bool, and weight, float64, of the same shape.
    """
    wanted = _wanted(errors)
    probability = np.zeros(errors.shape)
    for chunk in range(count):
        members = chunks == chunk
        probability[members] = inclusion(wanted[members], max(size / count, LEAST))
    kept = rng.random(errors.shape) < probability
    return kept, np.divide(wanted, probability, out=np.zeros(errors.shape), where=probability > 0)


def gather(frames: Iterable, kept: np.ndarray, weight: np.ndarray, chunks: np.ndarray, count: int,
           patch: int, halo: int, scale: int) -> list[Pool]:
    """Cut the chosen patches out of a segment: one pool for each of `count` chunks.

    frames: pairs of lr luma uint8 (h, w) and hr luma uint8 (h*scale, w*scale), as many as kept has. kept, weight,
    chunks: as in `choose`, (frames, rows, columns). Patches of the last row and column are moved inwards until they
    are whole.
    """
    sizes = np.bincount(chunks[kept], minlength=count)
    starts = np.concatenate(([0], np.cumsum(sizes)))
    whole, side = patch + 2 * halo, patch * scale
    lr_patches = np.empty((starts[-1], whole, whole), np.uint8)
    residuals = np.empty((starts[-1], side, side), np.int16)
    weights = np.empty(starts[-1])
    place = starts[:-1].copy()
    for index, (lr, hr) in enumerate(frames):
        ys, xs = patches.grid(*lr.shape, patch)
        ys, xs = np.minimum(ys, lr.shape[0] - patch), np.minimum(xs, lr.shape[1] - patch)
        # 64 * hr + 32 - base is the residual that the arithmetic of FORMAT.md turns into hr exactly.
        residual = hr.astype(np.int16) * 64 + 32 - resample.base(lr, scale).astype(np.int16)
        chunk_of, kept_here = chunks[index].ravel(), kept[index].ravel()
        for chunk in np.unique(chunk_of[kept_here]):
            chosen = np.flatnonzero(kept_here & (chunk_of == chunk))
            at = slice(place[chunk], place[chunk] + len(chosen))
            lr_patches[at] = patches.cut(lr, ys[chosen], xs[chosen], patch, halo)
            residuals[at] = patches.cut(residual, ys[chosen] * scale, xs[chosen] * scale, side)
            weights[at] = weight[index].ravel()[chosen]
            place[chunk] += len(chosen)
    return [Pool(lr_patches[a:b], residuals[a:b], weights[a:b]) for a, b in zip(starts[:-1], starts[1:], strict=True)]
