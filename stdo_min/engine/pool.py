"""The pool: the bounded set of patches that training draws from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Pool:
    """Patches of one segment.

    lr: uint8 (N, P + 2*halo, P + 2*halo), with an axis more where nets read several planes. residual: int16 (N, P, P,
    scale^2 for each plane that they serve), hr minus base in 64ths of a grey level, unshuffled. weight: float64
    (N,), how often each is drawn relative to the others; 0 outside a chunk.
    """

    lr: np.ndarray
    residual: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.lr)

    def weighing(self, weight: np.ndarray) -> Pool:
        """The same patches with other weights."""
        return replace(self, weight=weight)
