"""PSNR, and how many pixels a patch of the grid holds: what quality is counted in."""

from __future__ import annotations

import numpy as np


def psnr(squared_error: float | np.ndarray, samples: int | np.ndarray) -> float | np.ndarray:
    """PSNR in dB of 8-bit samples from the sum of their squared errors; inf where there is none."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255.0**2 * samples / np.asarray(squared_error, np.float64))[()]


def patch_pixels(height: int, width: int, side: int, grid: tuple[int, int]) -> np.ndarray:
    """How many pixels of a plane each patch of the grid (rows, columns) holds, int64 (rows, columns)."""
    rows, columns = (np.clip(length - side * np.arange(count), 0, side)
                     for length, count in zip((height, width), grid, strict=True))
    return rows[:, None] * columns
