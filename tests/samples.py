"""Small random nets, sidecars and frames that the tests and the corpus are made of."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from stdo_min.kernels import StdoError, Upscaler, plane_shapes
from stdo_min.patchmap import encode
from stdo_min.sidecar import Layer, Net, Segment, Sidecar, SidecarError, read

CSRC = Path(__file__).parents[1] / "csrc"
# libstdo, and what only the Python extension has besides
PARTS = (".", "x86", "arm", "float", "train", "measure")
LIBRARY = sorted(path for part in PARTS for path in (CSRC / part).glob("*.c"))
INCLUDE = ["-I", CSRC / "include", "-I", CSRC]


def random_net(
    rng: np.random.Generator, scale: int, hidden: list[tuple[int, int]], last_kernel: int, planes: int = 1
) -> Net:
    """Return a net of random integers; hidden lists (kernel, channels)."""
    layers, inputs = [], planes
    for kernel, out in [*hidden, (last_kernel, planes * scale * scale)]:
        weight = rng.integers(-128, 128, (out, kernel, kernel, inputs)).astype(np.int8)
        # A shift and multiplier that bring most sums to 0..255, so that both ends of the clamp are met but not always.
        shift = int(rng.integers(0, 8))
        spread = 8000 * kernel * inputs**0.5 / (1 << shift)
        multiplier = rng.integers(1, max(2, min(32768, int(32768 * 300 / spread))), out).astype(np.uint16)
        bias = rng.integers(-10000, 10000, out).astype(np.int32)
        layers.append(Layer(kernel, shift, multiplier, bias, weight))
        inputs = out
    return Net(tuple(layers))


def make_sidecar(
    scale: int, size: tuple[int, int], patch: int, segments: list[tuple[tuple[Net, ...], np.ndarray]], *,
    crop: tuple[int, int] = (0, 0), chroma: int = 0, mode: int = 2, colour: int = 0,
) -> Sidecar:  # fmt: skip
    """Return a sidecar for lr frames of size (width, height); segments lists (nets, labels (frames, rows, columns))."""
    found, first_frame = [], 0
    for nets, labels in segments:
        found.append(Segment(first_frame, len(labels), 1, 2, nets, encode(labels, len(nets))))
        first_frame += len(labels)
    (width, height), (crop_x, crop_y) = size, crop
    hr_width, hr_height = width * scale - crop_x, height * scale - crop_y
    return Sidecar(scale, mode, patch, chroma, width, height, hr_width, hr_height, tuple(found), colour)


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
