"""Adam, plain and in a rotated basis; the learning rate over a run: a linear warm-up, then half a cosine down to almost
nothing."""

from __future__ import annotations

import math

import numpy as np

TURN_EVERY = 25  # steps from one turn of the basis to the next
BETA_COVARIANCE = 0.95
WIDEST = 1024  # inputs of an output: beyond, the basis would take longer than the step


def learning_rate(progress: float, peak: float, warm_up: float = 0.1, floor: float = 0.002) -> float:
    """The learning rate at `progress` (0..1) of a run: linear up to `peak` over `warm_up`, then cosine to a `floor`."""
    if progress < warm_up:
        return peak * max(progress / warm_up, 0.01)
    turn = min((progress - warm_up) / (1 - warm_up), 1.0)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * turn)))


class Adam:
    """Adam (Kingma & Ba, 2015, in the efficient order of its section 2) over float arrays, changed in place."""

    def __init__(self, parameters: list[np.ndarray], beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 1e-8):
        self.parameters, self.beta1, self.beta2, self.epsilon = parameters, beta1, beta2, epsilon
        self.means = [np.zeros_like(p) for p in parameters]
        self.squares = [np.zeros_like(p) for p in parameters]
        self.spares = [np.empty_like(p) for p in parameters]  # so that a step allocates nothing
        self.steps = 0

    def step(self, gradients: list[np.ndarray], rate: float) -> None:
        """Move every parameter by one step of size about `rate` against its gradient (same order and shapes)."""
        self.steps += 1
        rate *= math.sqrt(1 - self.beta2**self.steps) / (1 - self.beta1**self.steps)
        for number, (p, g) in enumerate(zip(self.parameters, gradients, strict=True)):
            p -= self._towards(number, g, rate)

    def _towards(self, number, g, rate):
        """What to take off a parameter; the result lives until the next call."""
        mean, square, spare = self.means[number], self.squares[number], self.spares[number]
        np.subtract(g, mean, out=spare)
        spare *= 1 - self.beta1
        mean += spare
        self._square(g, square, spare)
        return self._scaled(mean, square, rate, spare)

    def _square(self, g, square, spare):
        np.multiply(g, g, out=spare)
        spare -= square
        spare *= 1 - self.beta2
        square += spare

    def _scaled(self, mean, square, rate, spare):
        np.sqrt(square, out=spare)
        spare += self.epsilon
        np.divide(mean, spare, out=spare)
        spare *= rate
        return spare


class Soap(Adam):
    """Adam in a rotated basis of what each layer reads: SOAP (Vyas et al., 2024) with one of its two sides.

    A layer reads windows of channels that are much alike, so the gradients of its weights are too. In the eigenbasis of
    their own covariance they are independent, as Adam takes them to be. The side of the outputs gains nothing more
    (docs/training.md).
    """

    def __init__(self, parameters: list[np.ndarray], beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 1e-8):
        super().__init__(parameters, beta1, beta2, epsilon)
        self.bases: dict[int, np.ndarray] = {}  # the columns are the axes; for parameters that are weights
        self.covariances: dict[int, np.ndarray] = {}

    def _towards(self, number, g, rate):
        if g.ndim == 1 or g[0].size > WIDEST:
            return super()._towards(number, g, rate)
        flat, mean, spare = g.reshape(len(g), -1), self.means[number], self.spares[number]
        self._turn(number, flat)
        basis = self.bases[number]
        np.subtract(g, mean, out=spare)
        spare *= 1 - self.beta1
        mean += spare
        square, spare = self.squares[number].reshape(flat.shape), spare.reshape(flat.shape)
        self._square(flat @ basis, square, spare)
        return (self._scaled(mean.reshape(flat.shape) @ basis, square, rate, spare) @ basis.T).reshape(g.shape)

    def _turn(self, number, flat):
        """Keep the covariance of the gradients, and now and then turn the basis to its axes."""
        seen = flat.T @ flat
        if number not in self.covariances:
            self.covariances[number] = seen
        else:
            kept = self.covariances[number]
            seen -= kept
            seen *= 1 - BETA_COVARIANCE
            kept += seen
        if self.steps == 1:
            self.bases[number] = np.eye(len(seen), dtype=seen.dtype)
        # A net that diverged has none; whoever trains it sees that by its errors.
        if (self.steps - 1) % TURN_EVERY == 0 and np.isfinite(self.covariances[number]).all():
            self.bases[number] = np.linalg.eigh(self.covariances[number])[1]
