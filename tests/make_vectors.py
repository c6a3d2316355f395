"""Writes tests/vectors: `python tests/make_vectors.py`.

NAME.stdo is a sidecar, NAME.lr the planes of its lr frames one after the other, and hashes.txt has a line for each hr
plane: name, frame, plane, and the crc32 of its bytes, as NumPy (stdo_min/format/reference.py) upscales it. Every tier,
here and under qemu, must give the same.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from samples import random_labels

from stdo_min.format import netcode, patchmap
from stdo_min.format.classes import Classes, activity, read_classes
from stdo_min.format.fields import Fields, varint
from stdo_min.format.library import plane_shapes
from stdo_min.format.netcode import CodedNet
from stdo_min.format.random_nets import like, make_sidecar, random_chroma_net, random_net
from stdo_min.format.reference import upscale_frame
from stdo_min.format.sidecar import Sidecar, read, write

VECTORS = Path(__file__).parent / "vectors"
CASES = {  # scale, (width, height), patch, hidden layers, last kernel, frames of each segment, nets, more fields
    "d16-x4": (4, (53, 37), 20, [(5, 16), (3, 16)], 3, [2], 2, {"crop": (2, 5), "chroma": 1, "version": 1}),
    "8-8-x2": (2, (61, 34), 11, [(5, 8), (3, 8)], 3, [3], 1, {"version": 1}),
    "odd-x3": (3, (29, 23), 9, [(9, 5), (1, 17), (3, 12)], 5, [2], 2, {"crop": (1, 3), "version": 1}),
    "segments-x4": (4, (40, 24), 8, [(3, 12)], 3, [2, 1, 2], 3, {"chroma": 1, "version": 1}),
    "rgb-x2": (2, (24, 19), 8, [(3, 32)], 3, [2], 2, {"colour": 1, "version": 2}),
    "restore-x1": (1, (45, 32), 16, [(5, 16), (3, 4)], 7, [2], 2, {"version": 1}),
    "d16-x1.5": (Fraction(3, 2), (54, 38), 20, [(5, 16), (3, 16)], 3, [2], 2, {"crop": (2, 5), "chroma": 1}),
    "8-x1.5": (Fraction(3, 2), (70, 46), 12, [(5, 8)], 3, [2, 1], 1, {}),
    "rgb-x1.5": (Fraction(3, 2), (30, 22), 8, [(1, 5)], 1, [2], 2, {"colour": 1, "crop": (1, 1)}),
    "computed-x2": (2, (53, 38), 9, [(5, 4)], 3, [3, 2], 2, {"crop": (1, 0)}),
    "shared-x2": (2, (48, 40), 12, [(5, 8), (3, 4)], 3, [2, 2, 1], 3, {"crop": (0, 3)}),
    "chroma-x1": (1, (47, 34), 9, [(5, 4)], 3, [2], 1, {"chroma": 1}),
    "chroma-x1.5": (Fraction(3, 2), (54, 38), 12, [(3, 4)], 3, [2, 2], 1, {"crop": (2, 5), "chroma": 1}),
    "chroma-x2": (2, (53, 37), 11, [(3, 4), (3, 5)], 3, [3, 1, 2], 0, {"crop": (2, 3), "chroma": 1}),
    "chroma-x3": (3, (45, 32), 8, [(3, 4)], 3, [3, 2], 2, {"chroma": 1}),
    "chroma-x4": (4, (33, 24), 16, [(5, 8)], 5, [2], 1, {"crop": (3, 1), "chroma": 1}),
    "rgb-x1": (1, (33, 26), 16, [(7, 6)], 3, [1], 1, {"colour": 1, "mode": 0}),
    "rgb-x3": (3, (26, 21), 13, [(3, 8), (3, 4)], 3, [2], 2, {"colour": 1, "crop": (2, 1), "mode": 255}),
    "rgb-x4": (4, (20, 17), 8, [(5, 7)], 1, [2], 1, {"colour": 1, "crop": (0, 3)}),
    "deep-x2": (2, (43, 31), 10, [(9, 3), (1, 5), (7, 4), (3, 6)], 3, [2, 1], 5, {"mode": 5, "crop": (1, 1)}),
    "codes-x2": (2, (37, 29), 8, [(5, 4), (3, 7)], 3, [1, 2], 4, {"crop": (0, 1), "chroma": 1}),
}
CODES = (None, 9, 0, 9, 0, 0, 9, 0, None, 0)  # how the codes of "codes-x2" begin; None: with a shape


def share(rng: np.random.Generator, segments: list) -> list:
    """Return three segments with the nets of the first, in another order, and some that differ a little from them."""
    (a, b, c), between = segments[0][0], [like(rng, segments[0][0][0]) for _ in range(2)]
    nets = (a, b, c), (between[0], c, a), (b, between[1], between[0])
    return [(mine, labels) for mine, (_, labels) in zip(nets, segments, strict=True)]


def with_chroma(rng: np.random.Generator, sidecar: Sidecar, hidden: list, last: int) -> Sidecar:
    """Return the sidecar with nets for chroma, that of the first segment in the third too, and none in the second."""
    nets = [random_chroma_net(rng, sidecar.scale, hidden, last), None]
    return replace(sidecar, segments=tuple(replace(segment, chroma=nets[number % 2])
                                           for number, segment in enumerate(sidecar.segments)))


def with_codes(rng: np.random.Generator, data: bytes) -> bytes:
    """Return a file of version 3 whose nets have codes of random bytes: every string of them is valid.

    Nets are decoded to the limits so, in each of the ways that a code may begin: with a shape, with that of the net
    before (9), and by differences to the latest net that has numbers of its own (0).
    """
    header, fields, table, alone = data[:40], Fields(data, 40, len(data), "TRUNCATED"), b"", None
    assert int.from_bytes(header[33:35], "little") == len(CODES)
    for begins in CODES:
        code = fields.take(fields.varint("NET"))
        head = code[:1 + 2 * code[0]] if begins is None else bytes([begins])
        # Of several codes that with the greatest biases: the limit, to which they are clamped, is met in the end. Equal
        # bytes at the end lead to long numbers, and noise that ends early to those that are read past the end.
        bodies = [rng.bytes(int(rng.integers(60, 160))) + bytes([int(rng.choice((0, 255)))]) * 40 for _ in range(60)]
        shape = netcode.read_shape(head + bodies[0], 1, 4, alone and alone.shape)
        tried = [CodedNet(head + body, shape, alone if begins == 0 else None) for body in bodies]
        wildest = max(range(60), key=lambda one: max(int(abs(layer.bias).max()) for layer in tried[one].layers))
        alone = alone if begins == 0 else tried[wildest]
        code = head + bodies[wildest]
        table += varint(len(code)) + code
    fields.take(4)  # the crc
    return header + table + zlib.crc32(table).to_bytes(4, "little") + data[fields.at:]


def lr_frames(rng: np.random.Generator, sidecar: Sidecar) -> list[tuple[np.ndarray, ...]]:
    """Planes with waves, edges and noise; from one frame to the next only a part moves."""
    frames = []
    shapes = plane_shapes(sidecar.lr_width, sidecar.lr_height, sidecar.colour)
    still = [rng.integers(-20, 21, shape) for shape in shapes]
    for frame in range(sidecar.frames):
        planes = []
        for shape, noise in zip(shapes, still, strict=True):
            y, x = np.mgrid[: shape[0], : shape[1]]
            wave = 128 + 90 * np.sin(x / 5) * np.cos(y / 4) + 200 * (x + y > 40 + 3 * frame) - 100 * (x % 11 == 3)
            planes.append(np.clip(wave + noise, 0, 255).astype(np.uint8))
        frames.append(tuple(planes))
    return frames


def hashes(sidecar: Sidecar, frames: list[tuple[np.ndarray, ...]], upscale) -> list[tuple[int, int, int]]:
    """Return (frame, plane, crc32) of every hr plane; upscale gets (segment, labels, lr planes)."""
    found, number = [], 0
    for index, segment in enumerate(sidecar.segments):
        grid = (segment.frames, sidecar.rows, sidecar.columns)
        coded = None if segment.computed else patchmap.decode(segment.map_data, *grid, len(segment.nets))
        for frame in range(segment.frames):
            lr = frames[number]
            labels = (read_classes(segment.map_data, len(segment.nets)).labels(activity(lr[0], sidecar.patch))
                      if coded is None else coded[frame])
            hr = upscale(index, labels, lr)
            found += [(number, plane, zlib.crc32(np.ascontiguousarray(pixels))) for plane, pixels in enumerate(hr)]
            number += 1
    return found


def read_frames(sidecar: Sidecar, data: bytes) -> list[tuple[np.ndarray, ...]]:
    """Return the frames that a .lr file holds."""
    shapes = plane_shapes(sidecar.lr_width, sidecar.lr_height, sidecar.colour)
    frames, at = [], 0
    for _ in range(sidecar.frames):
        planes = []
        for shape in shapes:
            planes.append(np.frombuffer(data, np.uint8, shape[0] * shape[1], at).reshape(shape))
            at += shape[0] * shape[1]
        frames.append(tuple(planes))
    return frames


def with_crcs(sidecar: Sidecar, frames: list[tuple[np.ndarray, ...]]) -> Sidecar:
    """Return the sidecar made for these lr frames."""
    planes = [b"".join(plane.tobytes() for plane in frame) for frame in frames]
    segments = []
    for segment in sidecar.segments:
        own = planes[segment.first_frame:segment.first_frame + segment.frames]
        segments.append(replace(segment, lr_first_crc=zlib.crc32(own[0]), lr_crc=zlib.crc32(b"".join(own))))
    return replace(sidecar, segments=tuple(segments))


def reference_hashes(sidecar: Sidecar, frames: list[tuple[np.ndarray, ...]]) -> list[tuple[int, int, int]]:
    """Return what NumPy gives."""
    return hashes(sidecar, frames, lambda index, labels, lr: upscale_frame(sidecar, index, labels, lr))


if __name__ == "__main__":
    VECTORS.mkdir(exist_ok=True)
    lines = []
    for seed, (name, (scale, size, patch, hidden, last, lengths, nets, more)) in enumerate(CASES.items()):
        rng = np.random.default_rng(seed)
        planes = 3 if more.get("colour") else 1
        segments = [
            (tuple(random_net(rng, scale, hidden, last, planes) for _ in range(nets)),
             random_labels(rng, frames, size, patch, nets))
            for frames in lengths
        ]  # fmt: skip
        if name.startswith("shared"):
            segments = share(rng, segments)
        sidecar = make_sidecar(scale, size, patch, segments, **more)
        if name.startswith("computed"):
            first, *others = sidecar.segments  # of the others the labels stay in the map
            seen = np.unique(activity(lr_frames(np.random.default_rng(seed), sidecar)[0][0], sidecar.patch))
            thresholds = seen[[len(seen) // 3, 2 * len(seen) // 3]]  # which two patches just reach
            classes = Classes(thresholds.astype(np.uint16), np.array([1, 0, 2], np.uint8))
            first = replace(first, map_data=classes.encode(), computed=True)
            sidecar = replace(sidecar, segments=(first, *others))
        if name.startswith("chroma"):
            sidecar = with_chroma(rng, sidecar, hidden, last)
        if name.startswith("codes"):
            nets = [random_chroma_net(rng, scale, [(3, 4)], 3) for _ in sidecar.segments]
            sidecar = replace(sidecar, segments=tuple(replace(segment, chroma=net) for segment, net
                                                      in zip(sidecar.segments, nets, strict=True)))
        frames = lr_frames(np.random.default_rng(seed) if name.startswith("computed") else rng, sidecar)
        data = write(with_crcs(sidecar, frames))
        if name.startswith("codes"):
            data = with_codes(rng, data)
        sidecar = read(data)
        (VECTORS / f"{name}.stdo").write_bytes(data)
        (VECTORS / f"{name}.lr").write_bytes(b"".join(plane.tobytes() for frame in frames for plane in frame))
        lines += [f"{name} {frame} {plane} {crc:08x}" for frame, plane, crc in reference_hashes(sidecar, frames)]
    (VECTORS / "hashes.txt").write_text("\n".join(lines) + "\n")
