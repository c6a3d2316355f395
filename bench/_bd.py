"""Bjontegaard's delta rate, and what else is read off curves of bytes over quality."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.interpolate import Akima1DInterpolator, PchipInterpolator

METHODS = {"pchip": PchipInterpolator, "akima": Akima1DInterpolator}

Point = tuple[float, float]  # bytes, quality


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats, by rising bytes and quality: one with as much quality for fewer bytes does."""
    front: list[Point] = []
    for size, quality in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if math.isfinite(quality) and (not front or quality > front[-1][1]):
            front.append((size, quality))
    return front


def bd_rate(reference: Sequence[Point], tested: Sequence[Point], method: str = "pchip") -> float | None:
    """How many percent more bytes the tested curve takes than the reference at equal quality; negative is fewer.

    The mean difference of log(bytes) over the interval of quality that both have, each interpolated through its points
    that no other of its own beats. None where there is no such interval, or a curve has fewer than two points."""
    fronts = [pareto(points) for points in (reference, tested)]
    if min(map(len, fronts)) < 2:
        return None
    low, high = max(front[0][1] for front in fronts), min(front[-1][1] for front in fronts)
    if low >= high:
        return None
    before, after = (float(_curve(front, method).integrate(low, high)) for front in fronts)
    return 100 * math.expm1((after - before) / (high - low))


def bytes_at(points: Sequence[Point], quality: float) -> float | None:
    """The bytes that a curve takes for a quality, None outside of it: exact at its points, else PCHIP in log(bytes)."""
    if same := [size for size, reached in points if reached == quality]:
        return min(same)
    front = pareto(points)
    if len(front) < 2 or not front[0][1] < quality < front[-1][1]:
        return None
    return math.exp(float(_curve(front, "pchip")(quality)))


def value_at(points: Sequence[tuple[float, float]], place: float) -> float | None:
    """What (place, value) points have at a place, by PCHIP; None outside of them, or where they are fewer than two."""
    places, values = np.array(sorted(dict(points).items()), float).reshape(-1, 2).T
    if len(places) < 2 or not places[0] <= place <= places[-1]:
        return None
    return float(PchipInterpolator(places, values)(place))


def _curve(front: Sequence[Point], method: str):
    sizes, qualities = np.array(front, float).T
    return METHODS[method](qualities, np.log(sizes))
