"""The code of a net in a sidecar of version 3: plain bytes for its shape, a range code for its numbers.

A number is coded as its length in bits, by a tree of adaptive contexts, and the bits below its first, of which one
adapts. On trained nets neither the weights beside one (same kernel, input or output before) nor contexts of each
layer's own say enough about it to pay for learning more contexts: `python -m bench nets` shows what is left to gain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache

import numpy as np

from stdo_min.format.net import (
    MAX_BIAS,
    MAX_CHANNELS,
    MAX_KERNEL,
    MAX_LAYERS,
    MAX_MULTIPLIER,
    MAX_SHIFT,
    Layer,
    Net,
    Shape,
)
from stdo_min.format.plain_net import plain_bytes
from stdo_min.format.rangecoder import HALF, Decoder, Encoder

# A byte of code may stand for so many plain bytes, and a layer counts as LAYER_BYTES more, which is about what a player
# keeps for it: so a small file cannot ask for much memory or time.
LARGEST_RATIO, LAYER_BYTES = 64, 512

# Of trained nets, measured with `python -m bench nets` on four clips: bytes that the shape takes and the contexts lose
# until they have learnt, bits of an output's multiplier and bias together, and of a weight.
LEARNING_BYTES, OUTPUT_BITS, WEIGHT_BITS = 32, 29.0, 7.2


def expected_bytes(kernels: Sequence[int], channels: Sequence[int], planes: int = 1) -> int:
    """About the size of the code of a net that has this shape and is not quantised yet."""
    inputs = (planes, *channels)
    weights = sum(k * k * last * out for k, last, out in zip(kernels, inputs, channels, strict=False))
    return LEARNING_BYTES + round((OUTPUT_BITS * sum(channels) + WEIGHT_BITS * weights) / 8)


# ---- Numbers ----


class _Numbers:
    """Codes numbers of 0..2^bits - 1 bits, with contexts that learn their lengths."""

    def __init__(self, bits: int):
        self._bits, self._node, self._first = bits, [HALF] * (1 << bits), [HALF] * (1 << bits)

    def length(self, coder: Encoder | Decoder, value: int) -> int:
        """A number of 0..2^bits - 1, by its bits from the first on."""
        node = 1
        for at in reversed(range(self._bits)):
            node = 2 * node + coder.code(self._node, node, value >> at & 1)
        return node - (1 << self._bits)

    def number(self, coder: Encoder | Decoder, value: int) -> int:
        """A number that is not negative."""
        return self._split(coder, value, 0)

    def signed(self, coder: Encoder | Decoder, value: int) -> int:
        """Any number; its sign is the last bit."""
        found = self._split(coder, abs(value) << 1 | (value < 0), 1)
        return -(found >> 1) if found & 1 else found >> 1

    def _split(self, coder, value, more):
        """A number with `more` bits behind it, which are left out with the number 0."""
        length = self.length(coder, (value >> more).bit_length())
        if length == 0:
            return 0
        top, below = 1, more
        if length > 1:
            below = length - 2 + more
            top = 2 + coder.code(self._first, length, value >> below & 1)
        return top << below | coder.bits(below, value)


def _zeros(values: Iterable[int]) -> int:
    """How many zero bits, 15 at most, all values end with."""
    together = 0
    for value in values:
        together |= value
    return min((together & -together).bit_length() - 1, 15) if together else 0


class _Walk:
    """Visits the numbers of a net in coding order. A coder that decodes ignores the values that it is given."""

    def __init__(self, coder: Encoder | Decoder):
        self._coder, self._zeros = coder, _Numbers(4)
        self._multipliers, self._biases, self._weights = _Numbers(4), _Numbers(5), _Numbers(4)

    def multipliers(self, given: list[int]) -> list[int]:
        """The multipliers of a layer."""
        zeros = self._zeros.length(self._coder, _zeros(given))
        return [min(self._multipliers.number(self._coder, (value >> zeros) - 1) + 1 << zeros, MAX_MULTIPLIER)
                for value in given]

    def biases(self, given: list[int], middle: list[int]) -> list[int]:
        """The biases of a layer, by their differences to `middle`."""
        apart = [value - other for value, other in zip(given, middle, strict=True)]
        zeros = self._zeros.length(self._coder, _zeros(apart))
        found = [self._biases.signed(self._coder, value >> zeros) << zeros for value in apart]
        return [max(-MAX_BIAS, min(value + other, MAX_BIAS)) for value, other in zip(found, middle, strict=True)]

    def weights(self, given: np.ndarray, middle: np.ndarray) -> np.ndarray:
        """The weights of a layer, int8, by their differences to `middle`, which are kept to 8 bits."""
        apart = (given - middle).ravel().tolist()  # of int8, so they wrap
        found = np.array([self._weights.signed(self._coder, value) for value in apart])
        return (found + middle.ravel()).astype(np.int8).reshape(middle.shape)


def _walk(coder: Encoder | Decoder, shape: Shape, net: Net | None, base: Net | None) -> tuple[Layer, ...]:
    """Code the numbers of a net, or decode them where there is no net."""
    walk, layers, inputs = _Walk(coder), [], shape.planes
    for number, (kernel, out, shift) in enumerate(zip(*shape[1:], strict=True)):
        given = net.layers[number] if net else None
        middle = base.layers[number] if base else None
        nothing, half = [0] * out, [(1 << shift) >> 1] * out  # half: the quantiser adds it, as the shift rounds down
        multiplier = (middle.multiplier if middle else
                      np.array(walk.multipliers(given.multiplier.tolist() if given else nothing), np.uint16))
        bias = walk.biases(given.bias.tolist() if given else nothing, middle.bias.tolist() if middle else half)
        zero = np.zeros((out, kernel, kernel, inputs), np.int8)
        weight = walk.weights(given.weight if given else zero, middle.weight if middle else zero)
        layers.append(Layer(kernel, shift, multiplier, np.array(bias, np.int32), weight))
        inputs = out
    return tuple(layers)


# ---- Codes ----


def fits(net: Net, base: Net) -> bool:
    """Whether a net can be coded by its differences to a base: all but biases and weights must be the same."""
    return net.shape == base.shape and all(
        np.array_equal(mine.multiplier, other.multiplier)
        and np.abs(mine.bias.astype(np.int64) - other.bias).max() < 2**31  # a number has 31 bits
        for mine, other in zip(net.layers, base.layers, strict=True))


@lru_cache(256)
def encode(net: Net, base: Net | None = None) -> bytes:
    """The code of a net that FORMAT.md allows, alone or by its differences to a base that it fits."""
    coder = Encoder()
    _walk(coder, net.shape, net, base)
    code = _head(net.shape, base) + coder.finish()
    return code.ljust(_least_bytes(net.shape), b"\0")


class CodedNet(Net):
    """A net of a file, whose layers are decoded when they are first looked at. That raises nothing.

    nbytes: of its code in the file.
    """

    def __init__(self, code: bytes, shape: Shape, base: Net | None = None):
        """shape: the code's `read_shape`. base: what it is coded by its differences to, where it begins with 0."""
        self.shape, self.nbytes, self._code, self._base = shape, len(code), code, base

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, first to last."""
        return _walk(Decoder(self._code[len(_head(self.shape, self._base)):]), self.shape, None, self._base)


def _head(shape, base) -> bytes:
    if base is not None:
        return b"\0"
    head = [(kernel // 2 << 5 | shift, out) for kernel, out, shift in zip(*shape[1:], strict=True)]
    return bytes([len(head), *(byte for layer in head for byte in layer)])


def read_shape(code: bytes, planes: int, outputs: int, base: Shape | None) -> Shape:
    """The shape that the plain bytes of a code say.

    planes, outputs: of a net of this file. base: the shape of the last net before that stands alone, or None. Raises
    ValueError for the first byte that FORMAT.md does not allow.
    """
    if not code:
        raise ValueError("the code of a net is empty")
    shape = base
    if code[0] > 0:
        shape = _read_head(code, planes, outputs)
    elif base is None:
        raise ValueError("the first net is coded by its differences to one before")
    least = _least_bytes(shape)
    if len(code) < least:
        raise ValueError(f"the code of a net of this shape has {len(code)} bytes; it must be {least} or more")
    return shape


def _least_bytes(shape) -> int:
    counted = plain_bytes(shape.kernels, shape.channels, shape.planes) + LAYER_BYTES * len(shape.kernels)
    return -(-counted // LARGEST_RATIO)


def _read_head(code, planes, outputs) -> Shape:
    count = code[0]
    if count > MAX_LAYERS:
        raise ValueError(f"a net has {count} layers; it must be 1..{MAX_LAYERS}")
    if len(code) < 1 + 2 * count:
        raise ValueError(f"a code of {len(code)} bytes ends within its {count} layers")
    for number in range(count):
        form, out = code[1 + 2 * number], code[2 + 2 * number]
        if form >> 5 > MAX_KERNEL // 2:
            raise ValueError(f"a kernel is {1 + 2 * (form >> 5)}; it must be 1, 3, 5, 7 or 9")
        if form & 31 > MAX_SHIFT:
            raise ValueError(f"a shift is {form & 31}; it must be 0..{MAX_SHIFT}")
        if not 1 <= out <= MAX_CHANNELS or (number == count - 1 and out != outputs):
            raise ValueError(f"a layer has {out} channels; it must be 1..{MAX_CHANNELS}, the last {outputs}")
    forms = code[1:1 + 2 * count:2]
    return Shape(planes, tuple(1 + 2 * (form >> 5) for form in forms), tuple(code[2:2 + 2 * count:2]),
                 tuple(form & 31 for form in forms))
