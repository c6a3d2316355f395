"""Patches of any plane, cut out by NumPy: what training does in C for luma alone."""

from __future__ import annotations

import numpy as np


def cut(plane: np.ndarray, ys: np.ndarray, xs: np.ndarray, side: int, halo: int = 0) -> np.ndarray:
    """The patches of `side` x `side` pixels at (ys, xs) of a plane (H, W), with `halo` pixels more on each side.

    Returns (N, side + 2*halo, side + 2*halo) of the plane's dtype; positions outside the plane take its nearest pixel.
    """
    offsets = np.arange(-halo, side + halo)
    rows = np.clip(ys[:, None] + offsets, 0, plane.shape[0] - 1)
    columns = np.clip(xs[:, None] + offsets, 0, plane.shape[1] - 1)
    return plane[rows[:, :, None], columns[:, None, :]]
