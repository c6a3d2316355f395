"""What training asks of a batch of patches: its loss and gradients, its errors, its residual; the C engine computes it.

`readable.py` computes the same in NumPy.
"""

from __future__ import annotations

import numpy as np

from stdo_min.engine.autograd import Tensor
from stdo_min.engine.convolution import Workspace, batch_input, convolutions, losses, residual_loss
from stdo_min.engine.net import CHARBONNIER, INPUT_CENTRE, INPUT_UNIT, RESIDUAL_UNIT, TARGET_UNIT, Net
from stdo_min.engine.shuffle import shuffle


def loss_and_gradients(net: Net, lr: np.ndarray, residual: np.ndarray, index: np.ndarray, workspace: Workspace,
                       loss: str = "l1") -> tuple[float, list[np.ndarray]]:
    """The mean loss over a batch of a pool's patches, and its gradient for each of `net.parameters`.

    lr: uint8 (patches, P + 2*halo, P + 2*halo). residual: int16 (patches, P, P, scale^2), hr minus base in 64ths of a
    grey level, unshuffled. index: int64 (N,), the batch. loss: 'l1', 'charbonnier' or 'l2' of residuals in units of
    RESIDUAL_UNIT; L1 is returned in grey levels. The gradients live in the workspace, until it is used again.
    """
    parameters = [Tensor(p, requires_grad=True) for p in net.parameters]
    x = Tensor(batch_input(lr, index, INPUT_CENTRE, INPUT_UNIT, workspace))
    y = convolutions(x, *parameters, workspace=workspace)
    found = residual_loss(y, pool=residual, index=index, unit=TARGET_UNIT, workspace=workspace, loss=loss,
                          epsilon=CHARBONNIER)
    found.backward()
    return float(found.data) * RESIDUAL_UNIT, [p.grad for p in parameters]


def signed_gradients(net: Net, lr: np.ndarray, index: np.ndarray, rng: np.random.Generator,
                     workspace: Workspace) -> list[np.ndarray]:
    """The gradients of the sum of all outputs, each with a random sign, for each of `net.parameters`.

    Outputs are in units of RESIDUAL_UNIT. The gradients live in the workspace, until it is used again.
    """
    parameters = [Tensor(p, requires_grad=True) for p in net.parameters]
    x = Tensor(batch_input(lr, index, INPUT_CENTRE, INPUT_UNIT, workspace))
    y = convolutions(x, *parameters, workspace=workspace)
    used = np.arange(y.data.shape[1] * y.data.shape[4]).reshape(y.data.shape[1], 1, 1, -1) < len(net.weights[-1])
    signs = 2 * rng.integers(0, 2, y.data.shape, np.int8) - 1
    y.backward((signs * used).astype(np.float32))
    return [p.grad for p in parameters]


def squared_errors(net: Net, lr: np.ndarray, residual: np.ndarray, index: np.ndarray,
                   workspace: Workspace) -> np.ndarray:
    """The mean squared error of each patch of a batch, float64 (N,), in grey levels squared; arguments as above."""
    x = Tensor(batch_input(lr, index, INPUT_CENTRE, INPUT_UNIT, workspace))
    y = convolutions(x, *map(Tensor, net.parameters), workspace=workspace)
    return losses(y.data, residual, index, TARGET_UNIT, workspace, "l2") * RESIDUAL_UNIT**2


def residual(net: Net, lr: np.ndarray) -> np.ndarray:
    """The net's residual in grey levels, float32 (N, H*scale, W*scale), for lr uint8 (N, H + 2*halo, W + 2*halo)."""
    workspace = Workspace()
    x = Tensor(batch_input(np.ascontiguousarray(lr), np.arange(len(lr)), INPUT_CENTRE, INPUT_UNIT, workspace))
    y = convolutions(x, *map(Tensor, net.parameters), workspace=workspace).data
    outputs = len(net.weights[-1])
    channels = y.transpose(0, 2, 3, 1, 4).reshape(*y.shape[:1], *y.shape[2:4], -1)[..., :outputs]
    return shuffle(channels, net.scale) * np.float32(RESIDUAL_UNIT)
