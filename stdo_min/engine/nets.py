"""The float net that training works on: convolutions with ReLU between, pixel shuffle, a residual on the base.

Inputs are lr luma in units of `(x - 128) / 128`, outputs the residual in units of 32 grey levels; both are folded
into the weights when the net is quantised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stdo_min.engine import autograd
from stdo_min.engine.autograd import Tensor
from stdo_min.engine.convolution import Workspace, convolutions, gather, losses, residual_loss

INPUT_CENTRE, INPUT_UNIT = 128.0, 128.0
RESIDUAL_UNIT = 32.0  # grey levels: keeps the last layer's weights the size of the others' (Adam's steps are absolute)
TARGET_UNIT = 1 / (64 * RESIDUAL_UNIT)  # of a pool's residuals
CHARBONNIER = 1 / RESIDUAL_UNIT  # one grey level: where the loss turns from a square into a line


@dataclass
class Net:
    """A net of layers: weights[i] float32 (out, in, k, k), biases[i] float32 (out,); the last out is scale^2."""

    weights: list[np.ndarray]
    biases: list[np.ndarray]
    scale: int

    @property
    def halo(self) -> int:
        """lr pixels around a patch that the net reads."""
        return sum((weight.shape[2] - 1) // 2 for weight in self.weights)

    @property
    def parameters(self) -> list[np.ndarray]:
        """The arrays that training changes, weights and biases in turn."""
        return [array for pair in zip(self.weights, self.biases, strict=True) for array in pair]

    def copy(self) -> Net:
        """A net with arrays of its own."""
        return Net([w.copy() for w in self.weights], [b.copy() for b in self.biases], self.scale)


def create(channels: tuple[int, ...], scale: int, rng: np.random.Generator, first_kernel: int = 5) -> Net:
    """A new net with the given hidden `channels`, first kernel `first_kernel`, 3x3 after; it starts as the base alone.

    Hidden weights are drawn by He et al. 2015; the last layer is zero, so the first residual is zero. Raises
    ValueError for more than 7 hidden layers, or channels outside 1..64.
    """
    if not 1 <= len(channels) <= 7 or not all(1 <= c <= 64 for c in channels):
        raise ValueError(f"a net has 1..7 hidden layers of 1..64 channels, not {','.join(map(str, channels))}")
    weights, inputs = [], 1
    for index, outputs in enumerate((*channels, scale * scale)):
        k = first_kernel if index == 0 else 3
        deviation = np.sqrt(2 / (inputs * k * k)) if index < len(channels) else 0.0
        weights.append((rng.standard_normal((outputs, inputs, k, k)) * deviation).astype(np.float32))
        inputs = outputs
    return Net(weights, [np.zeros(len(w), np.float32) for w in weights], scale)


def shuffle(values: np.ndarray, scale: int) -> np.ndarray:
    """Channels to pixels: (N, H, W, scale^2) to (N, H*scale, W*scale), channel scale*dy+dx to offset (dy, dx)."""
    count, height, width, _ = values.shape
    return (values.reshape(count, height, width, scale, scale).transpose(0, 1, 3, 2, 4)
            .reshape(count, height * scale, width * scale))


def unshuffle(pixels: np.ndarray, scale: int) -> np.ndarray:
    """Pixels to channels, the inverse of `shuffle`."""
    count, height, width = pixels.shape
    return (pixels.reshape(count, height // scale, scale, width // scale, scale).transpose(0, 1, 3, 2, 4)
            .reshape(count, height // scale, width // scale, scale * scale))


def loss_and_gradients(net: Net, lr: np.ndarray, residual: np.ndarray, index: np.ndarray, workspace: Workspace,
                       loss: str = "l1") -> tuple[float, list[np.ndarray]]:
    """The mean loss over a batch of a pool's patches, and its gradient for each of `net.parameters`.

    lr: uint8 (patches, P + 2*halo, P + 2*halo). residual: int16 (patches, P, P, scale^2), hr minus base in 64ths of a
    grey level, unshuffled. index: int64 (N,), the batch. loss: 'l1', 'charbonnier' or 'l2' of residuals in units of
    RESIDUAL_UNIT; L1 is returned in grey levels. The gradients live in the workspace, until it is used again.
    """
    parameters = [Tensor(p, requires_grad=True) for p in net.parameters]
    x = Tensor(gather(lr, index, INPUT_CENTRE, INPUT_UNIT, workspace))
    y = convolutions(x, *parameters, workspace=workspace)
    found = residual_loss(y, pool=residual, index=index, unit=TARGET_UNIT, workspace=workspace, loss=loss,
                          epsilon=CHARBONNIER)
    found.backward()
    return float(found.data) * RESIDUAL_UNIT, [p.grad for p in parameters]


def squared_errors(net: Net, lr: np.ndarray, residual: np.ndarray, index: np.ndarray,
                   workspace: Workspace) -> np.ndarray:
    """The mean squared error of each patch of a batch, float64 (N,), in grey levels squared; arguments as above."""
    x = Tensor(gather(lr, index, INPUT_CENTRE, INPUT_UNIT, workspace))
    y = convolutions(x, *map(Tensor, net.parameters), workspace=workspace)
    return losses(y.data, residual, index, TARGET_UNIT, workspace, "l2") * RESIDUAL_UNIT**2


def residual(net: Net, lr: np.ndarray) -> np.ndarray:
    """The net's residual in grey levels, float32 (N, H*scale, W*scale), for lr uint8 (N, H + 2*halo, W + 2*halo)."""
    workspace = Workspace()
    x = Tensor(gather(np.ascontiguousarray(lr), np.arange(len(lr)), INPUT_CENTRE, INPUT_UNIT, workspace))
    y = convolutions(x, *map(Tensor, net.parameters), workspace=workspace).data
    outputs = len(net.weights[-1])
    channels = y.transpose(0, 2, 3, 1, 4).reshape(*y.shape[:1], *y.shape[2:4], -1)[..., :outputs]
    return shuffle(channels, net.scale) * np.float32(RESIDUAL_UNIT)


def forward(parameters: list[Tensor], lr: Tensor) -> Tensor:
    """What `convolutions` computes, in NumPy: the residual before the shuffle, (scale^2, N, H, W).

    lr: (1, N, H + 2*halo, W + 2*halo); both in the units of this module.
    """
    x = lr
    for index in range(0, len(parameters), 2):
        x = autograd.bias(autograd.conv2d(x, parameters[index]), parameters[index + 1])
        if index < len(parameters) - 2:
            x = autograd.relu(x)
    return x


def loss_and_gradients_numpy(net: Net, lr: np.ndarray, residual: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """What `loss_and_gradients` gives for L1 and the patches lr (N, ...) and residual (N, ...), in NumPy alone."""
    parameters = [Tensor(p, requires_grad=True) for p in net.parameters]
    x = (lr[None].astype(np.float32) - np.float32(INPUT_CENTRE)) * np.float32(1 / INPUT_UNIT)
    target = residual.transpose(3, 0, 1, 2).astype(np.float32) * np.float32(TARGET_UNIT)
    loss = autograd.l1(forward(parameters, Tensor(x)), Tensor(target))
    loss.backward()
    return float(loss.data) * RESIDUAL_UNIT, [p.grad for p in parameters]
