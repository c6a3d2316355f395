"""Computed labels: each patch gets its net by how much its lr pixels differ from those around them, for no bits.

The more active a patch, the higher its class; thresholds cut the classes apart, and a table says which net serves
which. Integers alone, so that every player computes the same (FORMAT.md, csrc/map.c).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Classes:
    """Thresholds of activity, uint16 (k,), rising, and the label of each class, uint8 (k + 1,), the least active first.

    A patch is in the class numbered as many thresholds as its activity reaches.
    """

    thresholds: np.ndarray
    table: np.ndarray

    def labels(self, activity: np.ndarray) -> np.ndarray:
        """The label of each activity, uint8 of the same shape."""
        return self.table[np.searchsorted(self.thresholds, activity, side="right")]

    def encode(self) -> bytes:
        """The bytes in the file: how many thresholds, they, and the labels."""
        return bytes([len(self.thresholds)]) + self.thresholds.astype("<u2").tobytes() + self.table.tobytes()


def read_classes(data: bytes, nets: int) -> Classes:
    """What `Classes.encode` gave, for a segment with so many nets. Raises ValueError for bytes that are not valid."""
    count = data[0] if data else 0
    if len(data) < 2 or count > 63 or len(data) != 2 + 3 * count:
        raise ValueError(f"{len(data)} bytes of classes, the first {count}; there must be 2 + 3 * count")
    thresholds = np.array(struct.unpack_from(f"<{count}H", data, 1), np.uint16)
    table = np.frombuffer(data, np.uint8, offset=1 + 2 * count)
    if np.any(np.diff(thresholds.astype(int)) <= 0):
        raise ValueError(f"thresholds are {thresholds.tolist()}; they must rise")
    if table.max() > nets:
        raise ValueError(f"the label of a class is {table.max()}; the segment has {nets} nets")
    return Classes(thresholds, table)


def activity(plane: np.ndarray, patch: int) -> np.ndarray:
    """How much the pixels of each patch differ from those around them: uint16 (rows, columns).

    plane: uint8 (height, width), a plane of an lr frame. patch: the side of a patch; the last row and column of patches
    may be smaller. It is min(65535, floor(16 sum |4 c - left - right - up - down| / pixels of the patch)); pixels
    outside the plane are those at its edge. Raises ValueError for another plane.
    """
    if plane.dtype != np.uint8 or plane.ndim != 2 or plane.size == 0:
        raise ValueError(f"the plane is {plane.dtype} {plane.shape}; it must be uint8 (height, width)")
    wide = np.pad(plane, 1, "edge").astype(np.int32)
    differ = np.abs(4 * wide[1:-1, 1:-1] - wide[1:-1, :-2] - wide[1:-1, 2:] - wide[:-2, 1:-1] - wide[2:, 1:-1])
    starts = [np.arange(0, side, patch) for side in plane.shape]
    sums = np.add.reduceat(np.add.reduceat(differ, starts[0], axis=0), starts[1], axis=1).astype(np.int64)
    high, wide = (np.diff(np.append(start, side)) for start, side in zip(starts, plane.shape, strict=True))
    return np.minimum(65535, 16 * sums // (high[:, None] * wide)).astype(np.uint16)
