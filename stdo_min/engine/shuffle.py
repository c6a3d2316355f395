"""The pixel shuffle: a net gives the scale^2 hr pixels of an lr pixel as its channels.

Shi et al. 2016, arXiv 1609.05158: the net works at lr size, and at the end its values only change places.
"""

from __future__ import annotations

import numpy as np


def shuffle(values: np.ndarray, scale: int) -> np.ndarray:
    """Channels to pixels: (N, H, W, scale^2) to (N, H*scale, W*scale), channel scale*dy+dx to offset (dy, dx)."""
    count, height, width, _ = values.shape
    return (values.reshape(count, height, width, scale, scale).transpose(0, 1, 3, 2, 4)
            .reshape(count, height * scale, width * scale))


def unshuffle(pixels: np.ndarray, scale: int) -> np.ndarray:
    """Pixels to channels, the inverse of `shuffle`."""
    count, height, width = pixels.shape
    return (pixels.reshape(count, height // scale, scale, width // scale, scale).transpose(0, 1, 3, 2, 4)
            .reshape(count, height // scale, width // scale, scale * scale))
