"""Nets that are more than a chain: convolutions, sums and pixel shuffles, each reading what an earlier one made.

The same graph runs on two sets of operations: `autograd` in NumPy, to read and to check gradients with, and `blocks`
in C, to train with.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from stdo_min.engine.autograd import Tensor

INPUT = 0  # the number of what the graph reads; its operations count from 1
MAX_PLANES, MAX_KERNEL = 16, 9  # channels of the input, and the side of a kernel, that both sets can compute
BLOCK = 16  # channels that are shuffled together


@dataclass(frozen=True)
class Convolution:
    """Of `source`, zeros around it; `deviation` of a new weight, 0 where the layer begins as nothing."""

    source: int
    inputs: int
    outputs: int
    kernel: int
    relu: bool
    deviation: float


@dataclass(frozen=True)
class Sum:
    """Of two results of one shape."""

    first: int
    second: int


@dataclass(frozen=True)
class Shuffle:
    """Of `source`: factor^2 channels to the factor x factor pixels of one."""

    source: int
    factor: int


class Graph:
    """Operations in the order in which they run, each known by its number; the last one gives the result."""

    def __init__(self, planes: int):
        """planes: channels of the input, up to 16; ValueError for others."""
        if not 1 <= planes <= MAX_PLANES:
            raise ValueError(f"the input has {planes} channels; it can have 1 to {MAX_PLANES}")
        self.operations: list[Convolution | Sum | Shuffle] = []
        self._channels, self._size, self._read = [planes], [Fraction(1)], set()

    def convolution(self, source: int, outputs: int, kernel: int = 3, relu: bool = False, gain: float = 1.0) -> int:
        """Add one and return its number; `gain` is how much larger than its input its output begins.

        kernel: its side, odd and at most 9. outputs: more than 256 can be counted, and run in NumPy, not in C. What
        ends with ReLU may be read by one convolution alone, whose gradient makes up for it. ValueError else.
        """
        if kernel not in range(1, MAX_KERNEL + 1, 2) or outputs < 1:
            raise ValueError(f"operation {len(self.operations) + 1} has a kernel of {kernel} and {outputs} outputs; "
                             f"the kernel must be odd and at most {MAX_KERNEL}, and outputs 1 or more")
        self._check(source)
        self._read.add(source)
        inputs = self._channels[source]
        deviation = gain * np.sqrt((2 if relu else 1) / (inputs * kernel**2))  # He et al. 2015
        return self._add(Convolution(source, inputs, outputs, kernel, relu, deviation), outputs, self._size[source])

    def sum(self, first: int, second: int) -> int:
        """Add a skip connection and return its number; ValueError for results of other channels or another size."""
        for source in (first, second):
            self._check(source, by_convolution=False)
        shapes = [(self._channels[source], self._size[source]) for source in (first, second)]
        if shapes[0] != shapes[1]:
            said = " and ".join(f"{channels} channels at {size} times the input" for channels, size in shapes)
            raise ValueError(f"operations {first} and {second} give {said}; only what is alike can be added")
        return self._add(Sum(first, second), self._channels[first], self._size[first])

    def shuffle(self, source: int, factor: int) -> int:
        """Add a pixel shuffle of a multiple of 16 * factor^2 channels and return its number; ValueError else."""
        self._check(source, by_convolution=False)
        if factor < 1 or self._channels[source] % (BLOCK * factor**2):
            raise ValueError(f"operation {source} gives {self._channels[source]} channels; a shuffle by {factor} needs "
                             f"a multiple of {BLOCK * factor**2}")
        return self._add(Shuffle(source, factor), self._channels[source] // factor**2, self._size[source] * factor)

    def _check(self, source, by_convolution=True):
        """Refuse to read what is not there, or what may not be read so."""
        if source not in range(len(self._channels)):
            raise ValueError(f"there is no operation {source} yet; there are {len(self.operations)}")
        if source == INPUT and not by_convolution:
            raise ValueError("convolutions alone may read the input")
        if self.after_relu(source) and (source in self._read or not by_convolution):
            raise ValueError(f"operation {source} ends with ReLU; one convolution alone may read it")

    def _add(self, operation, channels, size):
        self.operations.append(operation)
        self._channels.append(channels)
        self._size.append(size)
        return len(self.operations)

    @property
    def size(self) -> Fraction:
        """How much larger than its input the result is, along each axis."""
        return self._size[-1]

    @property
    def outputs(self) -> int:
        """Channels of the result."""
        return self._channels[-1]

    @property
    def parameters(self) -> int:
        """How many weights and biases there are."""
        return sum(layer.outputs * (layer.inputs * layer.kernel**2 + 1) for layer in self.convolutions)

    @property
    def products(self) -> int:
        """Multiply-accumulates for one pixel of the input."""
        return int(sum(operation.outputs * operation.inputs * operation.kernel**2 * size**2
                       for operation, size in zip(self.operations, self._size[1:], strict=True)
                       if isinstance(operation, Convolution)))

    @property
    def convolutions(self) -> list[Convolution]:
        """Those of the operations that have parameters."""
        return [operation for operation in self.operations if isinstance(operation, Convolution)]

    def after_relu(self, number: int) -> bool:
        """Whether the result of an operation ends with ReLU."""
        operation = self.operations[number - 1] if number != INPUT else None
        return isinstance(operation, Convolution) and operation.relu

    def new_parameters(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Weights float32 (out, in, k, k) and biases float32 (out,) in turn, drawn anew."""
        found = []
        for layer in self.convolutions:
            shape = (layer.outputs, layer.inputs, layer.kernel, layer.kernel)
            found += [(rng.standard_normal(shape) * layer.deviation).astype(np.float32),
                      np.zeros(layer.outputs, np.float32)]
        return found

    def run(self, operations, x: Tensor, parameters: list[Tensor]) -> Tensor:
        """The result for an input, by `convolution`, `sum` and `shuffle` of a set of operations.

        operations: `readable.Readable`, with x (C, N, H, W), or `blocks.Blocks`, with x (N, H, W, C). ValueError for a
        graph that ends with ReLU: nothing reads its result, so nothing would make up for it in the gradient.
        """
        if self.after_relu(len(self.operations)):
            raise ValueError("the last operation ends with ReLU, of which the gradient would be wrong")
        made, pairs = [x], iter(zip(parameters[::2], parameters[1::2], strict=True))
        for number, operation in enumerate(self.operations, 1):
            match operation:
                case Convolution(source=source):
                    found = operations.convolution(number, operation, made[source], *next(pairs),
                                                   self.after_relu(source))
                case Sum(first=first, second=second):
                    found = operations.sum(number, made[first], made[second])
                case Shuffle(source=source, factor=factor):
                    found = operations.shuffle(number, made[source], factor)
            made.append(found)
        return made[-1]
