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


def fix_segment(data: bytes, start: int = 40) -> bytes:
    """Return the file with the crc of the segment at `start` made right; its size must be."""
    end = start + int.from_bytes(data[start : start + 4], "little") - 4
    return put(data, end, zlib.crc32(data[start:end]), 4)
