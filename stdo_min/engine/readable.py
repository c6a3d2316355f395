"""The readable twin of the C engine: a net, its loss and its gradients by the autograd, in NumPy alone.

Nothing trains with it. It says what `gradients.py` and csrc/train/ must give, and the tests hold them to it.
"""

from __future__ import annotations

import numpy as np

from stdo_min.engine import autograd
from stdo_min.engine.autograd import Tensor
from stdo_min.engine.net import INPUT_CENTRE, INPUT_UNIT, RESIDUAL_UNIT, TARGET_UNIT, Net

LOSSES = {"l1": autograd.l1, "l2": autograd.l2}


def forward(parameters: list[Tensor], lr: Tensor) -> Tensor:
    """The net's residual before the shuffle, (scale^2, N, H, W): what `convolution.convolutions` computes.

    parameters: weights and biases in turn, as `Net.parameters` has them. lr: (1, N, H + 2*halo, W + 2*halo). Both are
    float, in the units of `net.py`.
    """
    x = lr
    for index in range(0, len(parameters), 2):
        x = autograd.bias(autograd.conv2d(x, parameters[index]), parameters[index + 1])
        if index < len(parameters) - 2:
            x = autograd.relu(x)
    return x


class Readable:
    """The operations of a `graph.Graph` on images (C, N, H, W)."""

    @staticmethod
    def convolution(number: int, layer, x: Tensor, weight: Tensor, bias: Tensor, after_relu: bool) -> Tensor:
        """The convolution with zeros around its input, and its ReLU."""
        y = autograd.bias(autograd.conv2d(autograd.pad(x, margin=layer.kernel // 2), weight), bias)
        return autograd.relu(y) if layer.relu else y

    @staticmethod
    def sum(number: int, first: Tensor, second: Tensor) -> Tensor:
        """The sum."""
        return autograd.add(first, second)

    @staticmethod
    def shuffle(number: int, x: Tensor, factor: int) -> Tensor:
        """The pixel shuffle."""
        return autograd.pixel_shuffle(x, factor=factor)


def loss_and_gradients(net: Net, lr: np.ndarray, residual: np.ndarray,
                       loss: str = "l1") -> tuple[float, list[np.ndarray]]:
    """What `gradients.loss_and_gradients` gives for a batch that is a whole pool: the mean loss and its gradients.

    lr: uint8 (N, P + 2*halo, P + 2*halo). residual: int16 (N, P, P, scale^2) in 64ths of a grey level. loss: 'l1', or
    'l2'. The gradients are float32, one for each of `net.parameters`.
    """
    parameters = [Tensor(p, requires_grad=True) for p in net.parameters]
    x = (lr[None].astype(np.float32) - np.float32(INPUT_CENTRE)) * np.float32(1 / INPUT_UNIT)
    target = residual.transpose(3, 0, 1, 2).astype(np.float32) * np.float32(TARGET_UNIT)
    found = LOSSES[loss](forward(parameters, Tensor(x)), Tensor(target))
    found.backward()
    return float(found.data) * RESIDUAL_UNIT, [p.grad for p in parameters]
