"""The adaptive binary range coder that the map and the codes of nets share.

The decoder follows FORMAT.md; the encoder is its mirror, with the carry propagation of LZMA's range coder. Both have
the same methods, so that one function describes a code for both directions.
"""

from __future__ import annotations

from collections.abc import Iterator

HALF, RATE, _ONE = 1 << 14, 5, 1 << 15
_TOP, _MASK = 1 << 24, (1 << 32) - 1


def _portions(count: int) -> Iterator[tuple[int, int]]:
    """Cut bits into portions of 8, from the first on: (bits, those left after it)."""
    while count > 0:
        some = min(count, 8)
        count -= some
        yield some, count


class Encoder:
    """Writes bits for Decoder; all values from `low` on, `range` of them, stand for the bits so far."""

    def __init__(self) -> None:
        self.low, self.range, self.out = 0, _MASK, bytearray()

    def code(self, contexts: list[int], index: int, bit: int, rate: int = RATE) -> int:
        """Write a bit by the context contexts[index], which adapts by 1/2^rate of what it lacks, and return it."""
        p = contexts[index]
        bound = (self.range >> 15) * p
        if bit:
            self._add(bound)
            self.range -= bound
            contexts[index] = p - (p >> rate)
        else:
            self.range = bound
            contexts[index] = p + ((_ONE - p) >> rate)
        if self.range < _TOP:
            self._shift()
        return bit

    def bits(self, count: int, value: int) -> int:
        """Write the `count` lowest bits of a value, of which each is as often 0 as 1, and return them."""
        for some, left in _portions(count):
            self.range >>= some
            self._add(self.range * (value >> left & (1 << some) - 1))
            if self.range < _TOP:
                self._shift()
        return value & (1 << count) - 1

    def _shift(self) -> None:
        while self.range < _TOP:
            self.out.append(self.low >> 24)
            self.low = (self.low << 8) & _MASK
            self.range <<= 8

    def _add(self, amount: int) -> None:
        self.low += amount
        if self.low > _MASK:
            self.low &= _MASK
            last = len(self.out) - 1
            while self.out[last] == 255:
                self.out[last] = 0
                last -= 1
            self.out[last] += 1

    def finish(self) -> bytes:
        """The bytes of all bits, without zeros at their end."""
        # The range is 2^24 or more, so the interval holds a multiple of 2^24; the zeros after it need no bytes.
        self._add(_TOP - 1)
        self.out.append(self.low >> 24)
        return bytes(self.out).rstrip(b"\0")


class Decoder:
    """Reads bits from bytes; those past the end are 0, so any bytes may be read for ever."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position, self.range = data, 4, _MASK
        self.value = int.from_bytes(data[:4].ljust(4, b"\0"), "big")

    def code(self, contexts: list[int], index: int, bit: int = 0, rate: int = RATE) -> int:
        """Return the next bit by a context; the argument `bit` is only there to match the encoder."""
        p = contexts[index]
        bound = (self.range >> 15) * p
        if self.value < bound:
            self.range = bound
            contexts[index] = p + ((_ONE - p) >> rate)
            bit = 0
        else:
            self.value -= bound
            self.range -= bound
            contexts[index] = p - (p >> rate)
            bit = 1
        if self.range < _TOP:
            self._shift()
        return bit

    def bits(self, count: int, value: int = 0) -> int:
        """Return the next `count` bits, of which each is as often 0 as 1; the argument `value` as above."""
        value = 0
        for some, _ in _portions(count):
            self.range >>= some
            digits = min(self.value // self.range, (1 << some) - 1)
            self.value -= digits * self.range
            value = value << some | digits
            if self.range < _TOP:
                self._shift()
        return value

    def _shift(self) -> None:
        while self.range < _TOP:
            byte = self.data[self.position] if self.position < len(self.data) else 0
            self.position += 1
            self.range <<= 8
            self.value = ((self.value << 8) & _MASK) | byte
