"""The integer net as data: its layers, its shape, and the limits that hold in every version of the format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stdo_min.format.fields import limit

MAX_LAYERS, MAX_KERNEL, MAX_CHANNELS, MAX_SHIFT = 8, 9, 64, 24
MAX_MULTIPLIER, MAX_BIAS = 2**15 - 1, 2**30

CHROMA_INPUTS = 3  # planes that a net for chroma reads: U, V and the mean luma of each of their samples
CHROMA_PLANES = 2  # that it serves


@dataclass(frozen=True, eq=False)
class Layer:
    """One convolution with its requantisation.

    multiplier is uint16 (out,) with 1..32767, bias int32 (out,) with -2^30..2^30, and weight int8 (out, kernel,
    kernel, in).
    """

    kernel: int
    shift: int
    multiplier: np.ndarray
    bias: np.ndarray
    weight: np.ndarray

    @property
    def out(self) -> int:
        """Output channels."""
        return self.weight.shape[0]


class Shape(NamedTuple):
    """All of a net but its numbers: the planes that it reads, and the kernel, output channels and shift of each
    layer."""

    planes: int
    kernels: tuple[int, ...]
    channels: tuple[int, ...]
    shifts: tuple[int, ...]


class Net:
    """The layers of one net, first to last. A net is not changed once it is made, and equal to itself alone."""

    def __init__(self, layers: tuple[Layer, ...]):
        self.layers = layers
        self.shape = Shape(layers[0].weight.shape[3], tuple(layer.kernel for layer in layers),
                           tuple(layer.out for layer in layers), tuple(layer.shift for layer in layers))

    @property
    def halo(self) -> int:
        """The net pixels that the net reads on each side of a patch."""
        return sum(kernel // 2 for kernel in self.shape.kernels)

    @property
    def channels(self) -> tuple[int, ...]:
        """Output channels of each layer."""
        return self.shape.channels

    @property
    def kernels(self) -> tuple[int, ...]:
        """Kernel side of each layer."""
        return self.shape.kernels

    @property
    def planes(self) -> int:
        """Input channels of the first layer."""
        return self.shape.planes

    @property
    def products(self) -> int:
        """Products of a weight and a value for each net pixel."""
        inputs = (self.planes, *self.channels)
        return sum(k * k * i * o for k, i, o in zip(self.kernels, inputs, self.channels, strict=False))


def check_net(net: Net, planes: int, outputs: int) -> None:
    """Raise ValueError, with the value and its limit, for a net that no version can hold.

    planes, outputs: the input channels of its first layer and the output channels of its last.
    """
    limit("layers of a net", len(net.layers), 1, MAX_LAYERS)
    if net.channels[-1] != outputs:
        raise ValueError(f"the last layer has {net.channels[-1]} channels; at this scale it must be {outputs}")
    for layer, inputs in zip(net.layers, (planes, *net.channels), strict=False):
        _check_layer(layer, inputs)


def _check_layer(layer: Layer, inputs: int) -> None:
    out = layer.out
    limit("out channels", out, 1, MAX_CHANNELS)
    limit("kernel", layer.kernel, 1, MAX_KERNEL)
    if layer.kernel % 2 == 0:
        raise ValueError(f"kernel is {layer.kernel}; it must be odd")
    limit("shift", layer.shift, 0, MAX_SHIFT)
    for name, array, dtype, shape in (
        ("multiplier", layer.multiplier, np.uint16, (out,)),
        ("bias", layer.bias, np.int32, (out,)),
        ("weight", layer.weight, np.int8, (out, layer.kernel, layer.kernel, inputs)),
    ):
        if array.dtype != dtype or array.shape != shape:
            raise ValueError(f"{name} is {array.dtype} {array.shape}; it must be {np.dtype(dtype)} {shape}")
    for extreme in (layer.multiplier.min(), layer.multiplier.max()):
        limit("multiplier", int(extreme), 1, MAX_MULTIPLIER)
    for extreme in (layer.bias.min(), layer.bias.max()):
        limit("bias", int(extreme), -MAX_BIAS, MAX_BIAS)
