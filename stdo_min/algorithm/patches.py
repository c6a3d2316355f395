"""Patches: the fixed grid over an lr frame, and cutting patches out with the halo around them.

Every function in Numba (`_numba` at the end of the name) has a plain NumPy twin (`_numpy`) that says what it means;
the tests hold them equal.
"""

from __future__ import annotations

import numpy as np

from stdo_min.algorithm.compiled import compiled


def grid(height: int, width: int, patch: int) -> tuple[np.ndarray, np.ndarray]:
    """The top left corners (ys, xs), int64 (rows*columns,) each, of the patches of a plane, row by row.

    The patches of the last row and column may reach over the edge. Raises ValueError where the plane is smaller than
    one patch.
    """
    if patch < 1 or height < patch or width < patch:
        raise ValueError(f"a {width}x{height} plane is smaller than one {patch}x{patch} patch")
    ys, xs = np.meshgrid(np.arange(0, height, patch), np.arange(0, width, patch), indexing="ij")
    return ys.ravel(), xs.ravel()


def cut(plane: np.ndarray, ys: np.ndarray, xs: np.ndarray, side: int, halo: int = 0) -> np.ndarray:
    """The patches of `side` x `side` pixels at (ys, xs) of a plane (H, W), with `halo` pixels more on each side.

    Returns (N, side + 2*halo, side + 2*halo) of the plane's dtype; positions outside the plane take its nearest edge
    pixel. Raises ValueError for corners outside the plane.
    """
    _check_corners(plane, ys, xs)
    return _cut_numba(plane, ys, xs, side, halo)


def _check_corners(plane, ys, xs):
    if len(ys) and (min(ys.min(), xs.min()) < 0 or ys.max() >= plane.shape[0] or xs.max() >= plane.shape[1]):
        raise ValueError(f"patch corners up to ({ys.max()}, {xs.max()}) lie outside a plane of shape {plane.shape}")


@compiled
def _cut_numba(plane, ys, xs, side, halo):
    height, width = plane.shape
    whole = side + 2 * halo
    out = np.empty((len(ys), whole, whole), plane.dtype)
    for n in range(len(ys)):
        for i in range(whole):
            y = min(max(ys[n] - halo + i, 0), height - 1)
            for j in range(whole):
                out[n, i, j] = plane[y, min(max(xs[n] - halo + j, 0), width - 1)]
    return out


def _cut_numpy(plane, ys, xs, side, halo):
    offsets = np.arange(-halo, side + halo)
    rows = np.clip(ys[:, None] + offsets, 0, plane.shape[0] - 1)
    columns = np.clip(xs[:, None] + offsets, 0, plane.shape[1] - 1)
    return plane[rows[:, :, None], columns[:, None, :]]
