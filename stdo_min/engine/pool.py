"""The pool: the bounded set of patches that training draws from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

TOGETHER = 1 << 20  # residuals squared at a time: 4 MiB, so that they stay in the cache


@dataclass(frozen=True)
class Pool:
    """Patches of one segment.

    lr: uint8 (N, P + 2*halo, P + 2*halo). residual: int16 (N, P, P, scale^2), hr minus base in 64ths of a grey level,
    unshuffled. weight: float64 (N,), how often each is drawn relative to the others; 0 outside a chunk.
    """

    lr: np.ndarray
    residual: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.lr)

    def base_errors(self) -> np.ndarray:
        """Mean squared error of each patch under the base, float64 (N,), in grey levels squared."""
        flat = self.residual.reshape(len(self), -1)
        found = np.empty(len(self), np.float64)
        together = max(1, TOGETHER // max(1, flat.shape[1]))
        for first in range(0, len(self), together):
            part = flat[first:first + together].astype(np.float32) / 64
            found[first:first + together] = np.mean(np.square(part, out=part), axis=1)
        return found

    def weighing(self, weight: np.ndarray) -> Pool:
        """The same patches with other weights."""
        return replace(self, weight=weight)

    def drawable(self) -> Pool:
        """Only the patches with a weight above 0, so that no others are sent to another process."""
        chosen = self.weight > 0
        return self if chosen.all() else Pool(self.lr[chosen], self.residual[chosen], self.weight[chosen])
