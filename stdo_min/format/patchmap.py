"""The map: which net serves each patch, as an adaptive range code around a prediction from the frame before.

The decoder follows FORMAT.md; the encoder is its mirror, with the carry propagation of LZMA's range coder.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_HALF, _ONE, _RATE = 1 << 14, 1 << 15, 5
_TOP, _MASK = 1 << 24, (1 << 32) - 1


class _Encoder:
    """Writes bits for _Decoder; all values from `low` on, `range` of them, stand for the bits so far."""

    def __init__(self) -> None:
        self.low, self.range, self.out = 0, _MASK, bytearray()

    def code(self, contexts: list[int], index: int, bit: int) -> int:
        p = contexts[index]
        bound = (self.range >> 15) * p
        if bit:
            self.add(bound)
            self.range -= bound
            contexts[index] = p - (p >> _RATE)
        else:
            self.range = bound
            contexts[index] = p + ((_ONE - p) >> _RATE)
        while self.range < _TOP:
            self.out.append(self.low >> 24)
            self.low = (self.low << 8) & _MASK
            self.range <<= 8
        return bit

    def add(self, amount: int) -> None:
        self.low += amount
        if self.low > _MASK:
            self.low &= _MASK
            last = len(self.out) - 1
            while self.out[last] == 255:
                self.out[last] = 0
                last -= 1
            self.out[last] += 1

    def finish(self) -> bytes:
        # The range is 2^24 or more, so the interval holds a multiple of 2^24; the zeros after it need no bytes.
        self.add(_TOP - 1)
        self.out.append(self.low >> 24)
        return bytes(self.out).rstrip(b"\0")


class _Decoder:
    """Reads bits from bytes; those past the end are 0."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position, self.range = data, 4, _MASK
        self.value = int.from_bytes(data[:4].ljust(4, b"\0"), "big")

    def code(self, contexts: list[int], index: int, bit: int = 0) -> int:
        """Return the next bit; the argument `bit` is only there to match the encoder."""
        p = contexts[index]
        bound = (self.range >> 15) * p
        if self.value < bound:
            self.range = bound
            contexts[index] = p + ((_ONE - p) >> _RATE)
            bit = 0
        else:
            self.value -= bound
            self.range -= bound
            contexts[index] = p - (p >> _RATE)
            bit = 1
        while self.range < _TOP:
            byte = self.data[self.position] if self.position < len(self.data) else 0
            self.position += 1
            self.range <<= 8
            self.value = ((self.value << 8) & _MASK) | byte
        return bit


def _walk(frames: int, rows: int, columns: int, nets: int, code_label: Callable) -> None:
    """Visit every patch in coding order.

    code_label(frame, patch, predicted, same, context, other) codes one label and returns it.
    """
    same = [_HALF] * 4
    other = [[_HALF] * (nets - 1) for _ in range(nets + 1)]
    labels = [0] * (rows * columns)
    for frame in range(frames):
        moved = [0] * columns  # from the current patch on those of the row above, before it those of this row
        for patch in range(rows * columns):
            x = patch % columns
            if frame == 0:
                predicted = labels[patch - 1] if x else labels[patch - columns] if patch else 0
                context = 3
            else:
                predicted = labels[patch]
                context = moved[x] + (moved[x - 1] if x else 0)
            label = code_label(frame, patch, predicted, same, context, other)
            labels[patch] = label
            moved[x] = int(label != predicted)


def encode(labels: np.ndarray, nets: int) -> bytes:
    """Return the map of one segment.

    labels is uint8 (frames, rows, columns) with values 0..nets; nets is 0..63. Raises ValueError for a greater label.
    """
    if labels.dtype != np.uint8 or labels.ndim != 3:
        raise ValueError(f"labels are {labels.dtype} {labels.shape}; they must be uint8 (frames, rows, columns)")
    if labels.size and labels.max() > nets:
        raise ValueError(f"a label is {labels.max()}; the segment has {nets} nets")
    if nets == 0:
        return b""
    frames, rows, columns = labels.shape
    wanted = labels.reshape(frames, -1).tolist()
    coder = _Encoder()

    def code_label(frame, patch, predicted, same, context, other):
        label = wanted[frame][patch]
        if coder.code(same, context, int(label != predicted)):
            rank = label - (label > predicted)
            for i in range(nets - 1):
                if not coder.code(other[predicted], i, int(i < rank)):
                    break
        return label

    _walk(frames, rows, columns, nets, code_label)
    return coder.finish()


def decode(data: bytes, frames: int, rows: int, columns: int, nets: int) -> np.ndarray:
    """Return the labels, uint8 (frames, rows, columns), of one segment's map; any bytes are a valid map."""
    labels = np.zeros((frames, rows * columns), np.uint8)
    if nets:
        coder = _Decoder(data)

        def code_label(frame, patch, predicted, same, context, other):
            label = predicted
            if coder.code(same, context):
                i = 0
                while i < nets - 1 and coder.code(other[predicted], i):
                    i += 1
                label = i + (i >= predicted)
            labels[frame, patch] = label
            return label

        _walk(frames, rows, columns, nets, code_label)
    return labels.reshape(frames, rows, columns)
