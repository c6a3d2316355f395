"""One picture that shows what was gained: the base, the upscaled video and the source, side by side."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from stdo_min.format.psnr import squared_errors
from stdo_min.video.ffmpeg import Frame, VideoInfo, ffmpeg_process, file_url
from stdo_min.video.write import Y4MWriter

SIDE, ENLARGED = 192, 2


class Comparison:
    """Watches frames go by and keeps the place, 192 x 192 pixels at most, where the error sank the most."""

    def __init__(self):
        self._most, self._panels = -1, None

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

    def write(self, path: Path, info: VideoInfo) -> None:
        """Write the panels (base, upscaled, source) as a PNG, enlarged twice by repeating pixels; info gives the
        colours.

        Raises VideoError if ffmpeg cannot write it.
        """
        whole = Frame(*(np.hstack(planes) for planes in zip(*self._panels, strict=True)))
        height, width = whole.y.shape
        colours = info.color_space or "bt709"
        arguments = ["-f", "yuv4mpegpipe", "-i", "pipe:0", "-vf",
                     f"scale=iw*{ENLARGED}:ih*{ENLARGED}:flags=neighbor:in_color_matrix={colours}:in_range={info.color_range}",
                     "-frames:v", "1", "-update", "1", file_url(path)]
        with ffmpeg_process(arguments, path, stdin=subprocess.PIPE) as process:
            Y4MWriter(process.stdin, info, width, height).write(whole)


def _cut(frame: Frame, top: int, left: int) -> Frame:
    """A copy of an even number of rows and columns of a frame, at most SIDE."""
    height, width = (min(SIDE, (length - start) & ~1)
                     for length, start in zip(frame.y.shape, (top, left), strict=True))
    halves = np.s_[top // 2:(top + height) // 2, left // 2:(left + width) // 2]
    return Frame(frame.y[top:top + height, left:left + width].copy(), frame.u[halves].copy(), frame.v[halves].copy())
