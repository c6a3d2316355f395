"""The pool: the bounded set of patches that training draws from, chosen over space and time.

A video has more patches than memory. Each is kept with a probability that grows with its error, and drawn from the pool
with a weight that makes up for that, so the harder patches train more often whatever the pool's size.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from stdo_min import nets, patches, resample

LEAST = 64  # patches; with fewer nothing is learned
EXPONENT = 0.75


@dataclass(frozen=True)
class Pool:
    """Patches of one segment.

    lr: uint8 (N, P + 2*halo, P + 2*halo). residual: int16 (N, P, P, scale^2), hr minus base in 64ths of a grey level,
    unshuffled. weight: float64 (N,), how often each is drawn relative to the others; a chunk is those above 0.
    """

    lr: np.ndarray
    residual: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.lr)

    def base_errors(self) -> np.ndarray:
        """Mean squared error of each patch under the base, float64 (N,), in grey levels squared."""
        return np.array([np.mean(np.square(r.astype(np.float32) / 64)) for r in self.residual], np.float64)

    def weighing(self, weight: np.ndarray) -> Pool:
        """The same patches with other weights."""
        return replace(self, weight=weight)

    def drawable(self) -> Pool:
        """Only the patches that weigh something: what another process needs to be sent."""
        chosen = self.weight > 0
        return self if chosen.all() else Pool(self.lr[chosen], self.residual[chosen], self.weight[chosen])


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
        residuals[at] = nets.unshuffle(
            patches.cut(residual, ys[chosen] * scale, xs[chosen] * scale, patch * scale), scale)
        place += len(chosen)
    return Pool(lr_patches, residuals, np.ones(count))
