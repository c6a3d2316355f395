"""The code of a net in a sidecar of version 3: plain bytes for its shape, a range code for its numbers.

A number is coded as its length in bits, by adaptive contexts, and the bits below its first, of which one adapts. A
weight's contexts are chosen by the size of those around it. Nets are small, so contexts begin where trained nets leave
them (START) rather than at one half: that is most of what can be gained. The rest of a trained net looks like noise;
signs, and weights of the same place in other layers, say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache

import numpy as np

from stdo_min.format.net import (
    CHROMA_INPUTS,
    MAX_BIAS,
    MAX_CHANNELS,
    MAX_KERNEL,
    MAX_LAYERS,
    MAX_SHIFT,
    Layer,
    Net,
    Shape,
)
from stdo_min.format.plain_net import plain_bytes
from stdo_min.format.rangecoder import Decoder, Encoder

# A byte of code may stand for so many plain bytes, and a layer counts as LAYER_BYTES more, which is about what a player
# keeps for it: so a small file cannot ask for much memory or time.
LARGEST_RATIO, LAYER_BYTES = 64, 512

# What a code may begin with in place of the number of layers: all but biases and weights are those of the last net
# before it that stands alone; or its shape is that of the net before it.
DIFFERS, AGAIN = 0, 9

# Where the contexts of each kind begin, in 256ths: how often the bit is 0 in nets trained on four clips, at three
# scales and in five shapes, and quantised in full and to 3..31 steps a side.
START = {
    "digits": (109, 244, 89, 250, 90, 83, 99, 52, 145, 139, 73, 50, 120, 125, 250),
    "zeros": (250, 215, 145, 156, 218, 145, 128, 182, 134, 172, 176, 145, 128, 128, 128),
    "multiplier": (125, 135, 177, 195, 174, 189, 185, 184, 199, 229, 108),
    "bias": (58, 122, 119, 135, 145, 179, 109, 125, 124, 118, 149),
    "weight": (
        197, 244, 239, 240, 240, 240, 240, 240,
        128, 208, 246, 238, 240, 240, 240, 240,
        68, 134, 214, 248, 241, 240, 240, 240,
        40, 80, 149, 218, 246, 231, 141, 145,
        25, 45, 82, 149, 225, 241, 180, 199,
        10, 19, 42, 80, 150, 216, 204, 241,
        6, 9, 17, 35, 69, 122, 186, 250,
        6, 6, 10, 20, 40, 80, 146, 250,
        151, 160, 161, 159, 161, 155, 128,
    ),
}

# Of nets that were trained and rounded at the price of their bits on four clips (docs/nets.md): bytes of the shape and
# of the code's end, bits of an output's multiplier and bias together, and those of a weight, which matters the less the
# more there are: WEIGHT_BITS of a single one, and LESS_BITS less for each doubling.
SHAPE_BYTES, OUTPUT_BITS, WEIGHT_BITS, LESS_BITS = 9, 20.0, 13.0, 0.8


def expected_bytes(kernels: Sequence[int], channels: Sequence[int], planes: int = 1) -> int:
    """About the size of the code of a net that has this shape and is not quantised yet."""
    inputs = (planes, *channels)
    weights = sum(k * k * last * out for k, last, out in zip(kernels, inputs, channels, strict=False))
    bits = WEIGHT_BITS - LESS_BITS * math.log2(weights)
    return SHAPE_BYTES + round((OUTPUT_BITS * sum(channels) + bits * weights) / 8)


# ---- Numbers ----


class _Contexts:
    """Contexts of one kind, which adapt the slower the more they have seen."""

    def __init__(self, coder: Encoder | Decoder, start: tuple[int, ...]):
        self._coder, self._chance, self._seen = coder, [128 * value for value in start], [0] * len(start)

    def flag(self, index: int, bit: int) -> int:
        """A bit by one of the contexts."""
        seen = self._seen[index]
        self._seen[index] += 1
        return self._coder.code(self._chance, index, bit, 5 + (seen >= 16) + (seen >= 64))

    def small(self, value: int) -> int:
        """A number of 0..15, by its bits from the first on."""
        node = 1
        for at in (3, 2, 1, 0):
            node = 2 * node + self.flag(node - 1, value >> at & 1)
        return node - 16

    def near(self, before: int, value: int, most: int) -> int:
        """A number of 0..most, by its difference to the one before."""
        if not self.flag(0, value != before):
            return before
        down = self.flag(1, value < before)
        apart, limit = abs(value - before), before if down else most - before
        step = 1
        while step < limit and self.flag(2 + 4 * down + min(step - 1, 3), step < apart):
            step += 1
        step = min(step, limit)
        return before - step if down else before + step

    def tail(self, index: int, value: int, length: int, count: int, signed: int = 1) -> int:
        """A number of `length` bits, 1 or more: its first, which is 1, `count` bits of which one has the context at
        `index`, zeros, and a sign unless `signed` is 0."""
        size, zeros, more = abs(value), length - 1 - count, max(count - 1, 0)
        top = 2 + self.flag(index, size >> length - 2 & 1) if count else 1
        rest = self._coder.bits(more + signed, size >> zeros << signed | (value < 0))
        size = (top << more | rest >> signed) << zeros
        return -size if rest & signed else size

    def weight(self, level: int, value: int) -> int:
        """A weight; level: how large those around it are."""
        given, length = abs(value).bit_length(), 0
        while length < 8 and self.flag(8 * level + length, length < given):
            length += 1
        return self.tail(62 + length, value, length, length - 1) if length else 0


def _zeros(values: Iterable[int]) -> int:
    """How many zero bits, 15 at most, all values end with."""
    together = 0
    for value in values:
        together |= value
    return min((together & -together).bit_length() - 1, 15) if together else 0


def _digits(values: Iterable[int]) -> int:
    """How many bits below their first, the zeros at their end left out, values have at most."""
    return max(value.bit_length() - (value & -value).bit_length() for value in values)


class _Walk:
    """Visits the numbers of a net in coding order. A coder that decodes ignores the values that it is given."""

    def __init__(self, coder: Encoder | Decoder):
        self._of = {kind: _Contexts(coder, start) for kind, start in START.items()}
        # Lengths of the multiplier and the bias before, and 256 times the mean size of the latest weights.
        self._multiplier, self._bias, self._mean = 13, 8, 1024

    def multipliers(self, given: list[int]) -> list[int]:
        """The multipliers of a layer."""
        contexts, found = self._of["multiplier"], []
        digits = self._of["digits"].small(_digits(given))
        for value in given:
            length = self._multiplier = 1 + contexts.near(self._multiplier - 1, value.bit_length() - 1, 14)
            found.append(contexts.tail(10, value, length, min(length - 1, digits), 0))
        return found

    def biases(self, given: list[int], middle: list[int]) -> list[int]:
        """The biases of a layer, by their differences to `middle`."""
        apart = [value - other for value, other in zip(given, middle, strict=True)]
        zeros = self._of["zeros"].small(_zeros(apart))
        return [max(-MAX_BIAS, min(self._difference(value, zeros) + other, MAX_BIAS))
                for value, other in zip(apart, middle, strict=True)]

    def _difference(self, value, zeros) -> int:
        contexts = self._of["bias"]
        length = contexts.near(self._bias, abs(value).bit_length(), 31)
        if length == 0:
            return 0
        self._bias = length
        return contexts.tail(10, value, length, max(length - 1 - zeros, 0))

    def weights(self, given: np.ndarray, middle: np.ndarray) -> np.ndarray:
        """The weights of a layer, int8, by their differences to `middle`, which are kept to 8 bits."""
        out, kernel, _, inputs = middle.shape
        count, left, above = middle[0].size, inputs, kernel * inputs
        apart = (given - middle).reshape(out, count).tolist()  # of int8, so they wrap
        sizes, mean, found = [0] * count, self._mean, []  # sizes: 256 times those of the outputs so far, averaged
        contexts = self._of["weight"]
        for number, row in enumerate(apart):
            for at, value in enumerate(row):
                around = (mean + (sizes[at] if number else mean) + (sizes[at - left] if at % above >= left else mean)
                          + (sizes[at - above] if at >= above else mean))
                found.append(contexts.weight(min((around // 256 + 1).bit_length() - 1, 7), value))
                size = abs(found[-1])
                mean += 16 * size - mean // 16
                sizes[at] = (sizes[at] + 256 * size) // 2 if number else 256 * size
        self._mean = mean
        return (np.array(found).reshape(middle.shape) + middle).astype(np.int8)


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
def encode(net: Net, base: Net | None = None, before: Shape | None = None) -> bytes:
    """The code of a net that FORMAT.md allows, alone or by its differences to a base that it fits.

    before: the shape of the net before it in the table.
    """
    coder = Encoder()
    _walk(coder, net.shape, net, base)
    head = bytes([DIFFERS]) if base else bytes([AGAIN]) if before == net.shape else _head(net.shape)
    code = head + coder.finish()
    return code.ljust(_least_bytes(net.shape), b"\0")


class CodedNet(Net):
    """A net of a file, whose layers are decoded when they are first looked at. That raises nothing.

    nbytes: of its code in the file.
    """

    def __init__(self, code: bytes, shape: Shape, base: Net | None = None):
        """shape: the code's `read_shape`. base: what it is coded by its differences to, or None."""
        self.shape, self.nbytes, self._code, self._base = shape, len(code), code, base

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, first to last."""
        head = 1 if self._code[0] in (DIFFERS, AGAIN) else len(_head(self.shape))
        return _walk(Decoder(self._code[head:]), self.shape, None, self._base)


def _head(shape) -> bytes:
    head = [(kernel // 2 << 5 | shift, out) for kernel, out, shift in zip(*shape[1:], strict=True)]
    return bytes([len(head), *(byte for layer in head for byte in layer)])


def read_shape(code: bytes, planes: int, outputs: int, before: Shape | None) -> Shape:
    """The shape that the plain bytes of a code say.

    planes, outputs: of a net of this file; where planes is 1, one with twice the outputs serves chroma. before: the
    shape of the net before in the table, or None. Raises ValueError for the first byte that FORMAT.md does not allow.
    """
    if not code:
        raise ValueError("the code of a net is empty")
    shape = before
    if code[0] not in (DIFFERS, AGAIN):
        shape = _read_head(code, planes, outputs)
    elif before is None:
        raise ValueError("the first net has the shape of one before")
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
        allowed = (outputs, 2 * outputs) if planes == 1 else (outputs,)
        if not 1 <= out <= MAX_CHANNELS or (number == count - 1 and out not in allowed):
            raise ValueError(f"a layer has {out} channels; it must be 1..{MAX_CHANNELS}, the last "
                             f"{' or '.join(map(str, allowed))}")
    forms = code[1:1 + 2 * count:2]
    planes = CHROMA_INPUTS if code[2 * count] != outputs else planes
    return Shape(planes, tuple(1 + 2 * (form >> 5) for form in forms), tuple(code[2:2 + 2 * count:2]),
                 tuple(form & 31 for form in forms))
