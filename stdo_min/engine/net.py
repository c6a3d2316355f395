"""The float net that training works on: convolutions with ReLU between, pixel shuffle, a residual on the base.

Inputs are lr luma in units of `(x - 128) / 128`, outputs the residual in units of 32 grey levels; both are folded
into the weights when the net is quantised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stdo_min.format.net import CHROMA_INPUTS, CHROMA_PLANES
from stdo_min.format.netcode import expected_bytes
from stdo_min.format.sidecar import check_channels

INPUT_CENTRE, INPUT_UNIT = 128.0, 128.0
RESIDUAL_UNIT = 32.0  # grey levels: keeps the last layer's weights the size of the others' (Adam's steps are absolute)
TARGET_UNIT = 1 / (64 * RESIDUAL_UNIT)  # of a pool's residuals
CHARBONNIER = 1 / RESIDUAL_UNIT  # one grey level: where the loss turns from a square into a line


@dataclass
class Net:
    """A net of layers: weights[i] float32 (out, in, k, k), biases[i] float32 (out,).

    The last out is scale^2 for each plane that it serves.
    """

    weights: list[np.ndarray]
    biases: list[np.ndarray]
    scale: int

    @property
    def halo(self) -> int:
        """Net pixels around a patch that the net reads."""
        return sum((weight.shape[2] - 1) // 2 for weight in self.weights)

    @property
    def nbytes(self) -> int:
        """About its size in the file, once quantised."""
        return expected_bytes([weight.shape[2] for weight in self.weights], [len(weight) for weight in self.weights],
                              self.weights[0].shape[1])

    @property
    def parameters(self) -> list[np.ndarray]:
        """The arrays that training changes, weights and biases in turn."""
        return [array for pair in zip(self.weights, self.biases, strict=True) for array in pair]

    def copy(self) -> Net:
        """A net with arrays of its own."""
        return Net([w.copy() for w in self.weights], [b.copy() for b in self.biases], self.scale)


def new_net(channels: tuple[int, ...], scale: int, rng: np.random.Generator, first_kernel: int = 5) -> Net:
    """A new net with the given hidden `channels`, first kernel `first_kernel`, 3x3 after; it starts as the base alone.

    Hidden weights are drawn by He et al. 2015; the last layer is zero, so the first residual is zero. Raises
    ValueError for more than 7 hidden layers, or channels outside 1..64.
    """
    return _new(channels, 1, scale * scale, first_kernel, scale, rng)


def new_chroma_net(channels: tuple[int, ...], scale: int, rng: np.random.Generator) -> Net:
    """The same with 3x3 kernels, for U and V, which it reads with the mean luma of their samples."""
    return _new(channels, CHROMA_INPUTS, CHROMA_PLANES * scale * scale, 3, scale, rng)


def _new(channels, inputs, last, first_kernel, scale, rng) -> Net:
    check_channels(channels)
    weights = []
    for index, outputs in enumerate((*channels, last)):
        k = first_kernel if index == 0 else 3
        deviation = np.sqrt(2 / (inputs * k * k)) if index < len(channels) else 0.0
        weights.append((rng.standard_normal((outputs, inputs, k, k)) * deviation).astype(np.float32))
        inputs = outputs
    return Net(weights, [np.zeros(len(w), np.float32) for w in weights], scale)
