"""Whitening: the coordinates in which the first layer learns.

Pixels beside each other are nearly equal, so a kernel's weights pull in nearly the same direction, that of brightness,
while what a net must see are small differences. In whitened coordinates all that a window of pixels can show is equally
large and independent, and the steps of Adam go equally far in each direction (LeCun et al., Efficient BackProp, 1998,
section 4.3; ZCA as in Krizhevsky, 2009). Only training knows of them: a net's weights are those of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stdo_min.engine.net import INPUT_CENTRE, INPUT_UNIT, Net
from stdo_min.engine.windows import windows

NOISE = 1e-3  # added to every variance, in squared input units: what is smaller than 4 grey levels stays smaller
START = 0.3  # size of a new net's first activations, of what He et al. 2015 take


@dataclass(frozen=True)
class Whitening:
    """The whitened coordinates of windows of k x k pixels.

    matrix: float32 (n, n), n = planes * k * k, symmetric; a weight in pixels is the whitened one times it. inverse:
    the same, of it. mean: float32 (n,), of the windows in input units.
    """

    matrix: np.ndarray
    inverse: np.ndarray
    mean: np.ndarray

    @classmethod
    def of(cls, lr: np.ndarray, kernel: int) -> Whitening:
        """The coordinates that fit the windows of some patches, uint8 (N, S, S) or (N, S, S, planes), S >= kernel."""
        planes = np.moveaxis(lr.reshape(*lr.shape[:3], -1), 3, 0)
        seen = (windows(planes, kernel) - INPUT_CENTRE) / INPUT_UNIT
        mean = seen.mean(axis=0)
        variances, axes = np.linalg.eigh((seen - mean).T @ (seen - mean) / len(seen))
        sizes = np.sqrt(np.maximum(variances, 0) + NOISE)
        return cls(*(array.astype(np.float32) for array in (axes / sizes @ axes.T, axes * sizes @ axes.T, mean)))

    def whitened(self, weight: np.ndarray) -> np.ndarray:
        """First weights (out, planes, k, k) in whitened coordinates, float32 (out, n)."""
        return weight.reshape(len(weight), -1) @ self.inverse

    def pixels(self, whitened: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The weights of `whitened`, in pixels, in the shape they had."""
        return (whitened @ self.matrix).reshape(shape)

    def start(self, net: Net) -> Net:
        """A new net with its first weights, which were drawn for inputs of equal size, taken as whitened ones."""
        net = net.copy()
        net.weights[0] = self.pixels(START * net.weights[0].reshape(len(net.weights[0]), -1), net.weights[0].shape)
        net.biases[0] = net.biases[0] - net.weights[0].reshape(len(net.weights[0]), -1) @ self.mean
        return net
