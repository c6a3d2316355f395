"""What quality is counted in: squared errors of patches (in C), their pixels, and PSNR."""

from __future__ import annotations

import numpy as np

from stdo_min._stdo import ffi, lib


def psnr(squared_error: float | np.ndarray, samples: int | np.ndarray) -> float | np.ndarray:
    """PSNR in dB of 8-bit samples from the sum of their squared errors; inf where there is none."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255.0**2 * samples / np.asarray(squared_error, np.float64))[()]


def patch_pixels(height: int, width: int, side: int, grid: tuple[int, int]) -> np.ndarray:
    """How many pixels of a plane each patch of the grid (rows, columns) holds, int64 (rows, columns)."""
    rows, columns = (np.clip(length - side * np.arange(count), 0, side)
                     for length, count in zip((height, width), grid, strict=True))
    return rows[:, None] * columns


def squared_errors(truth: np.ndarray, shown: np.ndarray, side: int, grid: tuple[int, int]) -> np.ndarray:
    """The sum of squared differences in every patch of `side` x `side` pixels.

    truth, shown: uint8 (H, W). grid: rows and columns of patches, which cover the planes; patches beyond the edge
    hold less, or nothing. Returns int64 (rows, columns). Raises ValueError where the shapes differ or the grid is too
    small.
    """
    if truth.shape != shown.shape:
        raise ValueError(f"planes of one size are compared, not {truth.shape} and {shown.shape}")
    if truth.dtype != np.uint8 or shown.dtype != np.uint8 or truth.ndim != 2:
        raise ValueError(f"planes are {truth.dtype} and {shown.dtype} {truth.shape}; they must be uint8 (H, W)")
    if grid[0] * side < truth.shape[0] or grid[1] * side < truth.shape[1]:
        raise ValueError(f"{grid} patches of {side}x{side} do not cover a plane of shape {truth.shape}")
    # Rows may lie anywhere; only pixels of a row must lie side by side.
    truth, shown = (plane if plane.strides[1] == 1 else np.ascontiguousarray(plane) for plane in (truth, shown))
    sums = np.empty(grid, np.int64)
    first = [ffi.cast("uint8_t *", plane.ctypes.data) for plane in (truth, shown)]
    planes = ffi.new("stdo_compared *", (*first, truth.strides[0], shown.strides[0], truth.shape[1], truth.shape[0]))
    patches = ffi.new("stdo_patch_grid *", (side, grid[1], grid[0]))
    status = lib.stdo_squared_errors(planes, patches, ffi.cast("uint64_t *", sums.ctypes.data))
    if status != lib.STDO_OK:
        raise ValueError(ffi.string(lib.stdo_status_string(status)).decode())
    return sums
