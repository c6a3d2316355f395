"""One picture that shows what was gained: the base, the upscaled video and the source, side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stdo_min.format.psnr import squared_errors
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.png import write_png
from stdo_min.video.probe import VideoInfo
from stdo_min.video.read import Frame

SIDE, ENLARGED = 192, 2
_BT601, _BT2020 = (0.299, 0.114), (0.2627, 0.0593)
# The shares of red and blue in luma, by ffmpeg's names.
MATRICES = {"bt709": (0.2126, 0.0722), "smpte170m": _BT601, "bt470bg": _BT601, "fcc": (0.3, 0.11),
            "smpte240m": (0.212, 0.087), "bt2020nc": _BT2020, "bt2020c": _BT2020}


class Comparison:
    """Watches frames go by and keeps the place, 192 x 192 pixels at most, where the error sank the most."""

    def __init__(self, info: VideoInfo):
        """info: of the video, for its colour matrix, by default bt709.

        Raises VideoError where that is not one of MATRICES.
        """
        if (info.color_space or "bt709") not in MATRICES:
            raise VideoError(f"{info.path}: its colours are {info.color_space}, of which no picture can be drawn; "
                             "leave --picture out")
        self._info, self._most, self._panels = info, -1, None

    def consider(self, base: Frame, shown: Frame, truth: Frame) -> None:
        """Look at one frame as the base, as shown and as the source has it; all of one size."""
        height, width = truth.y.shape
        cell = SIDE // 2
        grid = -(-height // cell), -(-width // cell)
        gain = (squared_errors(truth.y, base.y, cell, grid)
                - squared_errors(truth.y, shown.y, cell, grid))
        if gain.max() <= self._most:
            return
        self._most = int(gain.max())
        row, column = divmod(int(gain.argmax()), grid[1])
        # Even corners, so that the chroma samples are cut with their luma; the place is moved inwards at the edges.
        top = max(0, min(row * cell - cell // 2, height - SIDE)) & ~1
        left = max(0, min(column * cell - cell // 2, width - SIDE)) & ~1
        self._panels = [_cut(frame, top, left) for frame in (base, shown, truth)]

    def write(self, path: Path) -> None:
        """Write the panels (base, upscaled, source) as a PNG, at twice their size by repeating pixels.

        Raises OSError if that fails.
        """
        panels = [to_rgb(frame, self._info.color_space or "bt709", self._info.color_range) for frame in self._panels]
        write_png(path, np.hstack(panels).repeat(ENLARGED, 0).repeat(ENLARGED, 1))


def to_rgb(frame: Frame, matrix: str, levels: str) -> np.ndarray:
    """The pixels of a frame, uint8 (H, W, 3); chroma samples are repeated.

    matrix: a key of MATRICES. levels: "tv" (16..235 and 16..240) or "pc" (0..255).
    """
    red, blue = MATRICES[matrix]
    green = 1 - red - blue
    y, u, v = (plane.astype(np.float32) for plane in frame)
    height, width = y.shape
    y = (y - 16) * (255 / 219) if levels == "tv" else y
    u, v = ((plane.repeat(2, 0).repeat(2, 1)[:height, :width] - 128) * (255 / 224 if levels == "tv" else 1)
            for plane in (u, v))
    pixels = np.stack([y + 2 * (1 - red) * v,
                       y - 2 * (1 - blue) * blue / green * u - 2 * (1 - red) * red / green * v,
                       y + 2 * (1 - blue) * u], axis=-1)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _cut(frame: Frame, top: int, left: int) -> Frame:
    """A copy of an even number of rows and columns of a frame, at most SIDE."""
    height, width = (min(SIDE, (length - start) & ~1)
                     for length, start in zip(frame.y.shape, (top, left), strict=True))
    halves = np.s_[top // 2:(top + height) // 2, left // 2:(left + width) // 2]
    return Frame(frame.y[top:top + height, left:left + width].copy(), frame.u[halves].copy(), frame.v[halves].copy())
