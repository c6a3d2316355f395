"""Scores: the squared error and the PSNR of every patch of a frame (section 3.1 of the paper, arXiv 2303.08331)."""

from __future__ import annotations

import numpy as np

from stdo_min import kernels


def psnr(squared_error: float | np.ndarray, samples: int | np.ndarray) -> float | np.ndarray:
    """PSNR in dB of 8-bit samples from the sum of their squared errors; inf where there is none."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255.0**2 * samples / np.asarray(squared_error, np.float64))[()]


def squared_errors(truth: np.ndarray, shown: np.ndarray, side: int, grid: tuple[int, int]) -> np.ndarray:
    """The sum of squared differences in every patch of `side` x `side` pixels.

    truth, shown: uint8 (H, W). grid: rows and columns of patches, which cover the planes; patches beyond the edge
    hold less, or nothing. Returns int64 (rows, columns). Raises ValueError where the shapes differ or the grid is too
    small.
    """
    return kernels.squared_errors(truth, shown, side, grid)


def samples(height: int, width: int, side: int, grid: tuple[int, int]) -> np.ndarray:
    """How many pixels of a plane each patch of the grid (rows, columns) holds, int64 (rows, columns)."""
    rows, columns = (np.clip(length - side * np.arange(count), 0, side)
                     for length, count in zip((height, width), grid, strict=True))
    return rows[:, None] * columns


def scores(errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The score of each patch: its PSNR in dB, float64, of the shape of `errors`, always finite.

    errors: sums of squared differences (..., rows, columns); counts: `samples` (rows, columns). A patch without any
    error is scored as if one of its pixels were off by one grey level, so that k-means keeps a finite scale.
    """
    return psnr(np.maximum(errors, 1), np.maximum(counts, 1))


def _squared_errors_numpy(truth, shown, side, rows, columns):
    squares = np.zeros((rows * side, columns * side), np.int64)
    squares[:truth.shape[0], :truth.shape[1]] = np.square(truth.astype(np.int64) - shown)
    return squares.reshape(rows, side, columns, side).sum(axis=(1, 3))
