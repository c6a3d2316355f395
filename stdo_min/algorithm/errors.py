"""Squared errors of the patches of a frame."""

from __future__ import annotations

import numpy as np
from numba import njit


def squared_errors(truth: np.ndarray, shown: np.ndarray, side: int, grid: tuple[int, int]) -> np.ndarray:
    """The sum of squared differences in every patch of `side` x `side` pixels.

    truth, shown: uint8 (H, W). grid: rows and columns of patches, which cover the planes; patches beyond the edge
    hold less, or nothing. Returns int64 (rows, columns). Raises ValueError where the shapes differ or the grid is too
    small.
    """
    if truth.shape != shown.shape:
        raise ValueError(f"planes of one size are compared, not {truth.shape} and {shown.shape}")
    if grid[0] * side < truth.shape[0] or grid[1] * side < truth.shape[1]:
        raise ValueError(f"{grid} patches of {side}x{side} do not cover a plane of shape {truth.shape}")
    return _squared_errors_numba(truth, shown, side, *grid)


@njit(cache=True, nogil=True)
def _squared_errors_numba(truth, shown, side, rows, columns):
    out = np.zeros((rows, columns), np.int64)
    for y in range(truth.shape[0]):
        for column in range(columns):
            a, b = truth[y, column * side:(column + 1) * side], shown[y, column * side:(column + 1) * side]
            total = np.uint32(0)  # holds a row of 66,051 pixels; 64 bits would be ten times as slow
            for x in range(len(a)):
                difference = np.int32(a[x]) - np.int32(b[x])
                total = np.uint32(total + np.uint32(np.int32(difference * difference)))
            out[y // side, column] += total
    return out


def _squared_errors_numpy(truth, shown, side, rows, columns):
    squares = np.zeros((rows * side, columns * side), np.int64)
    squares[:truth.shape[0], :truth.shape[1]] = np.square(truth.astype(np.int64) - shown)
    return squares.reshape(rows, side, columns, side).sum(axis=(1, 3))
