"""Adam, and the learning rate over a run: a short linear warm-up, then half a cosine down to almost nothing."""

from __future__ import annotations

import math

import numpy as np


def learning_rate(progress: float, peak: float, warm_up: float = 0.02, floor: float = 0.002) -> float:
    """The learning rate at `progress` (0..1) of a run: linear up to `peak` over `warm_up`, then cosine to a `floor`."""
    if progress < warm_up:
        return peak * max(progress / warm_up, 0.01)
    turn = min((progress - warm_up) / (1 - warm_up), 1.0)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * turn)))


class Adam:
    """Adam (Kingma & Ba, 2015, in the efficient order of its section 2) over float arrays, changed in place."""

    def __init__(self, parameters: list[np.ndarray], beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 1e-8,
                 factors: list[float] | None = None):
        """factors: of the rate, one for each parameter; by default 1."""
        self.factors = factors or [1.0] * len(parameters)
        self.parameters, self.beta1, self.beta2, self.epsilon = parameters, beta1, beta2, epsilon
        self.means = [np.zeros_like(p) for p in parameters]
        self.squares = [np.zeros_like(p) for p in parameters]
        self.spares = [np.empty_like(p) for p in parameters]  # so that a step allocates nothing
        self.steps = 0

    @property
    def trust(self) -> float:
        """The share of the learning rate that is safe yet, 0..1: it grows over the first 2 / (1 - beta2) steps.

        Until then Adam's memory is short, and it takes full steps in directions that are mostly noise; on a small
        sparse residual these switch ReLUs off for good (the warm-up is that of Ma & Yarats, 2021).
        """
        return min(1.0, (self.steps + 1) * (1 - self.beta2) / 2)

    def step(self, gradients: list[np.ndarray], rate: float) -> None:
        """Move every parameter by one step of size about `rate` against its gradient (same order and shapes)."""
        self.steps += 1
        rate *= math.sqrt(1 - self.beta2**self.steps) / (1 - self.beta1**self.steps)
        for p, g, mean, square, spare, factor in zip(
                self.parameters, gradients, self.means, self.squares, self.spares, self.factors, strict=True):
            np.subtract(g, mean, out=spare)
            spare *= 1 - self.beta1
            mean += spare
            np.multiply(g, g, out=spare)
            spare -= square
            spare *= 1 - self.beta2
            square += spare
            np.sqrt(square, out=spare)
            spare += self.epsilon
            np.divide(mean, spare, out=spare)
            spare *= rate * factor
            p -= spare
