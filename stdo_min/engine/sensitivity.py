"""Sensitivity: how much worse the picture gets when the numbers of a net are off by a little.

The mean squared error rises with the square of each number's error, by half the curvature of the loss there, which is
the mean square of the derivatives of the outputs (Gauss-Newton). With a random sign for each output, the square of one
gradient is an estimate of the sum of all of them (Hutchinson, 1990), so a few backward passes tell.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stdo_min.engine.gradients import signed_gradients
from stdo_min.engine.net import RESIDUAL_UNIT, Net
from stdo_min.engine.train import SHARDS, Stepper

BATCHES = 6


class Sensitivity(NamedTuple):
    """What the mean squared error, in grey levels squared, rises by for each squared unit of error in the numbers.

    weights: float64 (out, in) for each layer, of a weight between two channels, the mean over the kernel. biases:
    float64 (out,) for each. An error of a weight counts without what its bias makes good.
    """

    weights: list[np.ndarray]
    biases: list[np.ndarray]


def sensitivity(net: Net, stepper: Stepper, weight: np.ndarray, rng: np.random.Generator) -> Sensitivity:
    """The sensitivity of a net on the patches of a stepper's pool; weight: float (N,), how much each counts."""
    drawn, layers = np.cumsum(weight), range(len(net.weights))
    squares, both, biases = ([0.0] * len(layers) for _ in range(3))
    for _ in range(BATCHES):
        for part in np.split(stepper.draw(drawn, stepper.batch, rng), SHARDS):
            found = signed_gradients(net, stepper.pool.lr, part, rng, stepper.workspaces[0])
            scale = RESIDUAL_UNIT**2 / (BATCHES * SHARDS * len(part) * stepper.pool.residual[0].size)
            for layer in layers:
                of_weight, of_bias = (array.astype(np.float64) for array in found[2 * layer:2 * layer + 2])
                squares[layer] = squares[layer] + scale * of_weight**2
                both[layer] = both[layer] + scale * of_weight * of_bias[:, None, None, None]
                biases[layer] = biases[layer] + scale * of_bias**2
    weights = [np.mean(square - pair**2 / np.maximum(bias, 1e-30)[:, None, None, None], axis=(2, 3))
               for square, pair, bias in zip(squares, both, biases, strict=True)]
    return Sensitivity([np.maximum(array, 0) for array in weights], biases)
