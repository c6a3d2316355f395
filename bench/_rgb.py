"""A clip as the paper has it: RGB frames, lr made by antialiased bicubic and not coded, both cut into patches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np

HR = 96  # pixels of a patch's side: lr patches of 48, 32 and 24, near those of the paper's 10 x 20 grid
HALO = 8  # lr pixels around a patch that are kept for nets that read its neighbours
EXACT = ["-sws_flags", "accurate_rnd+full_chroma_int+full_chroma_inp+bicubic"]


@dataclass(frozen=True)
class Patches:
    """All patches of some frames, N of them, frame by frame.

    hr: uint8 (N, 96, 96, 3). lr: uint8 (N, h + 2 * HALO, h + 2 * HALO, 3), h = 96 / scale. base: int16 (N, 96, 96, 3),
    the bicubic upscale of lr in 64ths of a grey level. frame: int32 (N,), counted from 0.
    """

    scale: int
    hr: np.ndarray
    lr: np.ndarray
    base: np.ndarray
    frame: np.ndarray

    def __len__(self) -> int:
        return len(self.hr)

    @property
    def frames(self) -> int:
        """How many frames they are of."""
        return int(self.frame[-1]) + 1

    def unpadded(self) -> np.ndarray:
        """The lr patches alone, uint8 (N, h, h, 3): with zeros around, as the paper's nets see them."""
        return np.ascontiguousarray(self.lr[:, HALO:-HALO, HALO:-HALO])

    def residual(self, factor: int) -> np.ndarray:
        """hr minus base in 64ths of a grey level, int16 (N, 96 / factor, 96 / factor, 3 * factor^2), unshuffled."""
        side = HR // factor
        found = np.empty((len(self), side, side, 3 * factor**2), np.int16)
        for to, hr, base in zip(found, self.hr, self.base, strict=True):
            apart = (hr.astype(np.int16) * 64 - base).reshape(side, factor, side, factor, 3)
            to[:] = apart.transpose(0, 2, 4, 1, 3).reshape(to.shape)
        return found

    def errors(self, index: np.ndarray, residual: np.ndarray, factor: int, shave: int) -> tuple[np.ndarray, np.ndarray]:
        """Squared errors of the pictures that residuals make: sums, float64 (n,), of whole and of shaved patches.

        index: int64 (n,). residual: float32 (n, 96 / factor, 96 / factor, 3 * factor^2), in grey levels.
        """
        side, whole, inner = HR // factor, np.empty(len(index)), np.empty(len(index))
        for number, (at, one) in enumerate(zip(index, residual, strict=True)):
            shuffled = one.reshape(side, side, 3, factor, factor).transpose(0, 3, 1, 4, 2).reshape(HR, HR, 3)
            shown = np.clip(np.rint(self.base[at] * np.float32(1 / 64) + shuffled), 0, 255)
            apart = np.square(shown - self.hr[at])
            whole[number], inner[number] = apart.sum(), apart[shave:-shave, shave:-shave].sum()
        return whole, inner


def read(clip: Path, frames: int) -> np.ndarray:
    """Frames at equal distances over a clip, uint8 (n, H, W, 3), cropped in the middle to whole patches.

    frames: how many, or all where the clip has fewer. The clip is decoded twice, so that no others are kept. Raises
    ValueError for a clip without frames, or smaller than a patch.
    """
    count = sum(1 for _ in _decoded(clip))
    chosen = set(np.linspace(0, count - 1, frames).astype(int).tolist())
    found = [whole for number, whole in enumerate(_decoded(clip)) if number in chosen]
    if not found:
        raise ValueError(f"{clip}: holds no frame")
    return np.stack(found)


def _decoded(clip: Path) -> Iterator[np.ndarray]:
    """The frames of a clip one after the other, cropped."""
    reader = imageio_ffmpeg.read_frames(str(clip), pix_fmt="rgb24", output_params=EXACT)
    width, height = next(reader)["size"]
    rows, columns = height // HR * HR, width // HR * HR
    if not rows or not columns:
        raise ValueError(f"{clip}: {width}x{height}, smaller than a patch of {HR}x{HR}")
    top, left = (height - rows) // 2, (width - columns) // 2
    for data in reader:
        whole = np.frombuffer(data, np.uint8).reshape(height, width, 3)
        yield whole[top:top + rows, left:left + columns].copy()


def cut(frames: np.ndarray, scale: int) -> Patches:
    """The patches of frames (n, H, W, 3) at a scale."""
    _, height, width, _ = frames.shape
    down, across = (resizing(side, side // scale) for side in (height, width))
    up, along = (resizing(side // scale, side) for side in (height, width))
    side, found = HR // scale, {"hr": [], "lr": [], "base": []}
    for frame in frames:
        lr = np.stack([down @ plane @ across.T for plane in frame.transpose(2, 0, 1).astype(np.float32)], axis=2)
        lr = np.clip(np.rint(lr), 0, 255).astype(np.uint8)
        base = np.stack([up @ plane @ along.T for plane in lr.transpose(2, 0, 1).astype(np.float32)], axis=2)
        padded = np.pad(lr, ((HALO, HALO), (HALO, HALO), (0, 0)), "edge")
        for y in range(0, height, HR):
            for x in range(0, width, HR):
                found["hr"].append(frame[y:y + HR, x:x + HR])
                found["base"].append(np.rint(base[y:y + HR, x:x + HR] * 64).astype(np.int16))
                at, to = y // scale, x // scale
                found["lr"].append(padded[at:at + side + 2 * HALO, to:to + side + 2 * HALO])
    each = len(found["hr"]) // len(frames)
    arrays = {name: np.stack(patches) for name, patches in found.items()}
    return Patches(scale, **arrays, frame=np.repeat(np.arange(len(frames), dtype=np.int32), each))


def resizing(before: int, after: int) -> np.ndarray:
    """The matrix float32 (after, before) of bicubic resizing (Keys 1981, a = -0.5), widened where it shrinks.

    That is what MATLAB's imresize does, with which the field makes its lr pictures; edges are mirrored.
    """
    ratio = after / before
    stretch = min(ratio, 1.0)
    centre = (np.arange(after) + 0.5) / ratio - 0.5
    reach = int(np.ceil(2 / stretch)) + 1
    taps = np.floor(centre).astype(int)[:, None] + np.arange(-reach, reach + 1)
    distance = np.abs(centre[:, None] - taps) * stretch
    weight = np.where(distance <= 1, 1.5 * distance**3 - 2.5 * distance**2 + 1,
                      np.where(distance < 2, -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2, 0.0))
    mirrored = np.where(taps < 0, -1 - taps, np.where(taps < before, taps, 2 * before - 1 - taps))
    matrix = np.zeros((after, before))
    np.add.at(matrix, (np.arange(after)[:, None], mirrored), weight / weight.sum(axis=1, keepdims=True))
    return matrix.astype(np.float32)
