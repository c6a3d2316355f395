"""Rounding weights to whole numbers of a step, one after another, so that each makes good the errors of those before.

The inputs of a weight are much like those of its neighbours, so what one weight does too much another can do less. By
the covariance of the inputs it is known how much less (GPTQ, Frantar et al., 2023; the idea is Hassibi and Stork's,
Optimal Brain Surgeon, 1993). Of a 5x5 kernel over a picture, what is left then lies where pictures have little to show.
"""

from __future__ import annotations

import numpy as np

DAMPING = 0.003  # of the inputs' mean variance, added to each: what was seen on some patches must hold on others
LARGEST = 127  # whole numbers are -127..127
SIZES, EXPECTED = 64, 8  # of differences that are told apart; how many count as seen before the first


class Rounding:
    """Rounds the weights of a layer by what its inputs have in common."""

    def __init__(self, seen: np.ndarray):
        """seen: float (windows, n), what the n weights of an output are multiplied by."""
        self._apart = seen - seen.mean(axis=0)  # a bias takes care of the mean
        covariance = self._apart.T @ self._apart / len(seen)
        variance = np.diag(covariance)
        self._covariance = covariance + (DAMPING * variance.mean() + 1e-9) * np.eye(len(covariance))
        self._order = np.argsort(-variance, kind="stable")  # what matters least comes last, and can be off by most
        ordered = self._covariance[np.ix_(self._order, self._order)]
        self._shifted = np.linalg.cholesky(np.linalg.inv(ordered)).T
        self.variance = float(np.diag(self._covariance).mean())

    @property
    def left(self) -> float:
        """The mean variance of an input when those that are rounded after it have made good what they can."""
        return float(np.mean(1 / np.diag(self._shifted) ** 2))

    def refitted(self, weight: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """The weights (out, n) changed so that, with their biases, they give what is wanted, by least squares.

        wanted: float (windows, out). What cannot be told from the inputs seen stays as it is.
        """
        lacking = wanted - wanted.mean(axis=0) - self._apart @ weight.T
        return weight + np.linalg.solve(self._covariance, self._apart.T @ lacking / len(lacking)).T

    def __call__(self, weight: np.ndarray, step: np.ndarray) -> np.ndarray:
        """The whole numbers of a step for each output, float64 (out, n), for weights (out, n); step: (out,)."""
        return self._in_order(weight, step, lambda at, value: _nearest(value))

    def near(self, weight: np.ndarray, step: np.ndarray, parent: np.ndarray, bits: np.ndarray) -> np.ndarray:
        """As a call gives them, but nearer to whole numbers `parent` (out, n) where that saves more bits than it costs.

        bits: (out,), what the squared error of a step, where later weights can make good some of it, costs.
        """
        price = _code_bits(self(weight, step) - parent)
        worth = np.empty_like(self._shifted[0])
        worth[self._order] = 1 / np.diag(self._shifted) ** 2 / self.left

        def choose(at, value):
            middle, nearest = parent[:, at], _nearest(value)
            options = np.stack([nearest, nearest - np.sign(nearest - middle), middle])
            apart = np.minimum(np.abs(options - middle), len(price) - 1).astype(int)
            cost = bits * worth[at] * (value - options) ** 2 + price[apart]
            return np.take_along_axis(options, cost.argmin(axis=0)[None], axis=0)[0]

        return self._in_order(weight, step, choose)

    def _in_order(self, weight, step, choose):
        """Whole numbers, by choose(place, values of all outputs there), and each error spread over those to come."""
        left = weight[:, self._order] / step[:, None]
        found = np.empty_like(left)
        for at, place in enumerate(self._order):
            row = self._shifted[at]
            found[:, place] = choose(place, left[:, at])
            left[:, at + 1:] -= np.outer((left[:, at] - found[:, place]) / row[at], row[at + 1:])
        return found


def _nearest(value):
    return np.clip(np.rint(value), -LARGEST, LARGEST)


def _code_bits(apart):
    """About what a code that adapts spends on differences of 0, 1, 2, ..., their signs included; apart: whole."""
    size = np.minimum(np.abs(apart), SIZES - 1).astype(int)
    ratio = size.mean() / (1 + size.mean())  # of a geometric distribution, for sizes that are hardly seen
    counts = np.bincount(size.ravel(), minlength=SIZES) + EXPECTED * (1 - ratio) * ratio ** np.arange(SIZES) + 1e-9
    bits = -np.log2(counts / counts.sum())
    bits[1:] += 1
    return bits
