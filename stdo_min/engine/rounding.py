"""Rounding weights to whole numbers of a step, one after another, so that each makes good the errors of those before.

The inputs of a weight are much like those of its neighbours, so what one weight does too much another can do less. By
the covariance of the inputs it is known how much less (GPTQ, Frantar et al., 2023; the idea is Hassibi and Stork's,
Optimal Brain Surgeon, 1993). Of a 5x5 kernel over a picture, what is left then lies where pictures have little to show.
"""

from __future__ import annotations

import numpy as np

DAMPING = 0.003  # of the inputs' mean variance, added to each: what was seen on some patches must hold on others
LARGEST = 127  # whole numbers are -127..127


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
        left = weight[:, self._order] / step[:, None]
        whole = np.empty_like(left)
        for at in range(left.shape[1]):
            row = self._shifted[at]
            whole[:, at] = np.clip(np.rint(left[:, at]), -LARGEST, LARGEST)
            left[:, at + 1:] -= np.outer((left[:, at] - whole[:, at]) / row[at], row[at + 1:])
        found = np.empty_like(whole)
        found[:, self._order] = whole
        return found
