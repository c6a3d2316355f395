"""Windows: the pixels that a kernel reads at some places, as rows of a matrix."""

from __future__ import annotations

import numpy as np

WINDOWS = 20_000  # that are looked at, about; the statistics of more are the same
NUMBERS = 4_000_000  # in all of them at most, about: 32 MB


def most_windows(numbers: int) -> int:
    """How many windows of so many numbers each are looked at, about."""
    return min(WINDOWS, NUMBERS // numbers)


def windows(planes: np.ndarray, kernel: int, most: int | None = None) -> np.ndarray:
    """Windows of kernel x kernel pixels, spread evenly over patches: (`most` or fewer, about; planes * kernel^2).

    planes: (planes, N, H, W) with H, W >= kernel. most: by default `most_windows`. A window lists its pixels plane by
    plane, as the weights of an output do. Patches of one size give windows at the same places for the same `most`,
    whatever the kernel that made them smaller.
    """
    count, height, width = planes.shape[1:]
    most = most or most_windows(len(planes) * kernel * kernel)
    side = max(1, round(np.sqrt(most / count)))  # rows and columns of windows that are taken of a patch
    ys, xs = (np.unique(np.linspace(0, size - kernel, min(side, size - kernel + 1)).astype(int))
              for size in (height, width))
    patches = np.linspace(0, count - 1, min(count, max(1, most // (len(ys) * len(xs))))).astype(int)
    seen = np.lib.stride_tricks.sliding_window_view(planes[:, patches], (kernel, kernel), (2, 3))[:, :, ys[:, None], xs]
    return seen.transpose(1, 2, 3, 0, 4, 5).reshape(-1, len(planes) * kernel * kernel)
