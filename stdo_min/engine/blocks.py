"""The operations of a graph in C: they compute what those of `readable.Readable` do, on blocks of 16 channels.

Activations are float32 (N, C/16, H, W, 16), the input of a graph is (N, H, W, C). Arrays are kept from step to step,
so results and gradients are valid until the same `Blocks` runs again.
"""

from __future__ import annotations

import numpy as np

from stdo_min._stdo import ffi, lib
from stdo_min.engine.autograd import Function, Tensor
from stdo_min.engine.convolution import BLOCK, Workspace, check_status, floats
from stdo_min.engine.graph import Convolution

MAX_CHANNELS = lib.STDO_TRAIN_MAX_CHANNELS  # of an operation


class Blocks:
    """The operations for one thread."""

    def __init__(self, workspace: Workspace | None = None):
        """workspace: whose arrays and kernels are used; by default a new one's."""
        self.workspace = workspace or Workspace()

    def convolution(self, number: int, layer: Convolution, x: Tensor, weight: Tensor, bias: Tensor,
                    after_relu: bool) -> Tensor:
        """The convolution with zeros around its input, and its ReLU.

        after_relu: x was made by ReLU, so its gradient is made 0 where x is not above 0. ValueError for more than 256
        channels.
        """
        if layer.outputs > MAX_CHANNELS:
            raise ValueError(f"operation {number} has {layer.outputs} channels; in C it may have {MAX_CHANNELS}")
        return Padded.apply(x, weight, bias, number=number, relu=layer.relu, after_relu=after_relu,
                            workspace=self.workspace)

    def sum(self, number: int, first: Tensor, second: Tensor) -> Tensor:
        """The sum."""
        return Sum.apply(first, second, number=number, workspace=self.workspace)

    def shuffle(self, number: int, x: Tensor, factor: int) -> Tensor:
        """The pixel shuffle, of as many channels as a multiple of 16 * factor^2."""
        return Shuffle.apply(x, factor=factor, number=number, workspace=self.workspace)


class Padded(Function):
    """A convolution with zeros around x, ReLU after it; the gradient that it is given is that before its ReLU."""

    def forward(self, x, weight, bias, number, relu, after_relu, workspace):
        outputs, inputs, kernel = weight.shape[:3]
        dense = x.ndim == 4
        patches, (height, width) = len(x), x.shape[1:3] if dense else x.shape[2:4]
        self.layer = ffi.new("stdo_train_layer *",
                             (patches, height, width, kernel, inputs, outputs, dense, relu, True))
        size = lib.stdo_train_scratch_size(self.layer)
        wanted = (patches, height, width, inputs) if dense else (patches, -(-inputs // BLOCK), height, width, BLOCK)
        if (x.shape != wanted or weight.shape != (outputs, inputs, kernel, kernel) or bias.shape != (outputs,)
                or not size):
            raise ValueError(f"operation {number} has a weight of shape {weight.shape} and a bias of {bias.shape} for "
                             f"an input of {x.shape}")
        scratch = workspace.array(f"scratch {size}", (-(-size // 4),))  # layers of one shape share it, in the cache
        out = workspace.array(f"out {number}", (patches, -(-outputs // BLOCK), height, width, BLOCK))
        self.number, self.workspace, self.x, self.weight, self.after_relu = number, workspace, x, weight, after_relu
        self.scratch = floats(scratch)
        check_status(lib.stdo_train_forward(workspace.kernels, self.layer, floats(x), floats(weight), floats(bias),
                                            floats(out), self.scratch))
        return out

    def backward(self, d_out):
        workspace, number, x = self.workspace, self.number, self.x
        d_weight = workspace.array(f"d_weight {number}", self.weight.shape)
        d_bias = workspace.array(f"d_bias {number}", (len(self.weight),))
        check_status(lib.stdo_train_weight_gradient(workspace.kernels, self.layer, floats(x), floats(d_out),
                                                    floats(d_weight), floats(d_bias), self.scratch))
        if not self.parents[0].requires_grad:
            return None, d_weight, d_bias
        d_x = workspace.array(f"d_x {number}", x.shape)
        check_status(lib.stdo_train_input_gradient(
            workspace.kernels, self.layer, floats(x) if self.after_relu else ffi.NULL, floats(self.weight),
            floats(d_out), floats(d_x), self.scratch))
        return d_x, d_weight, d_bias


class Sum(Function):
    """`autograd.Add` into an array that is kept."""

    def forward(self, a, b, number, workspace):
        return np.add(a, b, out=workspace.array(f"out {number}", a.shape))

    def backward(self, d_out):
        return d_out, d_out


class Shuffle(Function):
    """`autograd.PixelShuffle` on blocks."""

    def forward(self, x, factor, number, workspace):
        patches, blocks, height, width, _ = x.shape
        if blocks % factor**2:
            raise ValueError(f"operation {number} shuffles {blocks * BLOCK} channels; it needs a multiple of "
                             f"{BLOCK * factor**2}")
        self.number, self.workspace = number, workspace
        self.shape = (patches, height, width, blocks // factor**2 * BLOCK, factor)
        out = workspace.array(f"out {number}", (patches, blocks // factor**2, height * factor, width * factor, BLOCK))
        lib.stdo_train_shuffle(*self.shape, 0, floats(x), floats(out))
        self.x_shape = x.shape
        return out

    def backward(self, d_out):
        d_x = self.workspace.array(f"d_x {self.number}", self.x_shape)
        lib.stdo_train_shuffle(*self.shape, 1, floats(d_x), floats(d_out))
        return (d_x,)
