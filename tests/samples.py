"""Small random sidecars and frames that the tests and the corpus are made of, and their bytes damaged."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from stdo_min.format.library import StdoError, Upscaler, plane_shapes
from stdo_min.format.sidecar import SidecarError, read

CSRC = Path(__file__).parents[1] / "csrc"
# libstdo, and what only the Python extension has besides
PARTS = (".", "x86", "arm", "float", "train", "measure")
LIBRARY = sorted(path for part in PARTS for path in (CSRC / part).glob("*.c"))
INCLUDE = ["-I", CSRC / "include", "-I", CSRC]


def random_labels(rng: np.random.Generator, frames: int, size: tuple[int, int], patch: int, nets: int) -> np.ndarray:
    """Return labels uint8 (frames, rows, columns) of which about a tenth change from frame to frame."""
    columns, rows = (-(-side // patch) for side in size)
    labels = rng.integers(0, nets + 1, (frames, rows, columns)).astype(np.uint8)
    for frame in range(1, frames):
        keep = rng.random((rows, columns)) < 0.9
        labels[frame][keep] = labels[frame - 1][keep]
    return labels


def random_frame(rng: np.random.Generator, width: int, height: int, colour: int = 0) -> tuple[np.ndarray, ...]:
    """Return planes of noise with stretches of 0 and 255, which drive the clamps."""
    return tuple(
        np.clip(rng.integers(-100, 356, shape), 0, 255).astype(np.uint8)
        for shape in plane_shapes(width, height, colour)
    )


def statuses(data: bytes) -> tuple[str, str]:
    """Return the status that the Python reader and the C reader give for the bytes of a file."""
    python = c = "STDO_OK"
    try:
        read(data)
    except SidecarError as error:
        python = error.status
    try:
        Upscaler(data)
    except StdoError as error:
        c = error.status
    return python, c


def put(data: bytes, at: int, value: int, size: int) -> bytes:
    """Return the bytes with a little-endian integer (two's complement if negative) of `size` bytes put in place."""
    return data[:at] + value.to_bytes(size, "little", signed=value < 0) + data[at + size :]


def fix_header(data: bytes) -> bytes:
    """Return the file with the header's crc made right."""
    return put(data, 36, zlib.crc32(data[:36]), 4)


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number of seven bits a byte at a place, and where it ends."""
    value, shift = 0, 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


class Places:
    """Where the parts of a sidecar of version 3 stand, as far as its sizes lead.

    nets: (size, code, end) of each; table_crc; segments: (start, its fields, its crc) of each.
    """

    def __init__(self, data: bytes):
        self.nets, self.table_crc, self.segments, at = [], 0, [], 40
        try:
            for _ in range(int.from_bytes(data[33:35], "little")):
                size, code = varint(data, at)
                self.nets.append((at, code, code + size))
                at = code + size
            if self.nets:
                self.table_crc, at = at, at + 4
            while at < len(data):
                size, fields = varint(data, at)
                if not 4 <= size <= len(data) - fields:
                    break
                self.segments.append((at, fields, fields + size - 4))
                at = fields + size
        except IndexError:
            pass  # the file ends within a number


def fix_all(data: bytes) -> bytes:
    """Return the file with all checksums made right, as far as its sizes lead."""
    if len(data) < 40:
        return data
    data, at = fix_header(data), 40
    if data[8:10] == b"\3\0":
        places = Places(data)
        if 0 < places.table_crc <= len(data) - 4:
            data = put(data, places.table_crc, zlib.crc32(data[40:places.table_crc]), 4)
        for start, _, crc in places.segments:
            data = put(data, crc, zlib.crc32(data[start:crc]), 4)
        return data
    while at + 32 <= len(data):
        size = int.from_bytes(data[at:at + 4], "little")
        if not 32 <= size <= len(data) - at:
            break
        data, at = fix_segment(data, at), at + size
    return data


def fix_segment(data: bytes, start: int = 40) -> bytes:
    """Return the file of version 1 or 2 with the crc of the segment at `start` made right; its size must be."""
    end = start + int.from_bytes(data[start : start + 4], "little") - 4
    return put(data, end, zlib.crc32(data[start:end]), 4)
