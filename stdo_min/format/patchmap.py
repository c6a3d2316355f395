"""The map: which net serves each patch, as an adaptive range code around a prediction from the frame before.

Coder and decoder walk the patches in the same way; rangecoder.py turns bits into bytes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stdo_min.format.rangecoder import HALF, Decoder, Encoder


def _walk(frames: int, rows: int, columns: int, nets: int, code_label: Callable) -> None:
    """Visit every patch in coding order.

    code_label(frame, patch, predicted, same, context, other) codes one label and returns it.
    """
    same = [HALF] * 4
    other = [[HALF] * (nets - 1) for _ in range(nets + 1)]
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
    coder = Encoder()

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
        coder = Decoder(data)

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
