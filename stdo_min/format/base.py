"""The base: the integer bicubic upscale of FORMAT.md, in NumPy."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import numpy as np

SCALES = tuple(map(Fraction, ("1", "3/2", "2", "3", "4")))
"""hr pixels per lr pixel, each way."""

SHARPNESS = Fraction(-3, 4)  # a: what OpenCV and most video scalers call bicubic


def _weight(distance: Fraction) -> Fraction:
    """Keys' cubic convolution kernel (1981) with free a."""
    a, d = SHARPNESS, abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else Fraction(0)


def _phase(scale: Fraction, r: int, left: bool) -> tuple[int, tuple[int, ...]]:
    # Chroma samples at the left lie half a luma pixel, a quarter of a chroma pixel, further left than centred ones.
    place = Fraction(1, 4) if left else Fraction(1, 2)
    position = (r + place) / scale - place
    offset = floor(position)
    taps = [round(128 * _weight(position - (offset - 1 + j))) for j in range(4)]
    taps[taps.index(max(taps))] += 128 - sum(taps)  # flat areas keep their level
    return offset, tuple(taps)


TAPS = {
    (place, scale): tuple(_phase(scale, r, place == "left") for r in range(scale.numerator))
    for place in ("centre", "left")
    for scale in SCALES
}
"""(place, scale) -> for each output position r its (offset, taps), as in the table of FORMAT.md."""


def _filter(samples: np.ndarray, scale: Fraction, place: str) -> np.ndarray:
    """Upscale the first axis of int32 samples (n, ...) to (n * scale, rounded up, ...), in 128ths of their unit."""
    n = len(samples)
    out = np.empty((ceil(n * scale), *samples.shape[1:]), np.int32)
    for r, (offset, taps) in enumerate(TAPS[place, scale]):
        count = len(out[r :: scale.numerator])
        first = np.arange(count) * scale.denominator + offset - 1
        out[r :: scale.numerator] = sum(
            tap * samples[np.clip(first + j, 0, n - 1)] for j, tap in enumerate(taps)
        )
    return out


def base(plane: np.ndarray, scale: Fraction | int, chroma_left: bool = False) -> np.ndarray:
    """Return the bicubic upscale of a plane in 64ths of a grey level, plus half a level.

    plane is uint8 (height, width); the result is int32 (height * scale, width * scale), rounded up. chroma_left:
    whether the samples are chroma that lies at the left.
    """
    scale = Fraction(scale)
    rows = _filter(plane.astype(np.int32) - 128, scale, "centre")
    both = _filter(rows.T, scale, "left" if chroma_left else "centre").T
    return (both + ((128 << 14) + 128 + (32 << 8))) >> 8


def to_pixels(values: np.ndarray) -> np.ndarray:
    """Return uint8 pixels from 64ths of a grey level to which half a level was added."""
    return np.clip(values >> 6, 0, 255).astype(np.uint8)


def upscale(plane: np.ndarray, scale: Fraction | int, chroma_left: bool = False) -> np.ndarray:
    """Return the bicubic upscale of a plane, uint8 (height * scale, width * scale), rounded up; see `base`."""
    return to_pixels(base(plane, scale, chroma_left))
