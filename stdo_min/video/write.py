"""Writing frames: as H.264 into a file with the lr video's sound, or as plain y4m into a pipe."""

import os
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stdo_min.video.ffmpeg import ffmpeg_process, file_url, input_arguments
from stdo_min.video.mux import carried_streams
from stdo_min.video.probe import VideoInfo
from stdo_min.video.read import RESIZE, Frame, tag_filters
from stdo_min.video.stretch import WHOLE, Stretch, beside


class Writer:
    """Codes hr frames as H.264 into an .mp4 or .mkv that also carries the sound, subtitles and chapters of `info`.

    `info` is the lr video: its rate, start, colour tags and pixel shape hold for the hr frames too. `stretch` says
    which of its frames are coded; all else is cut to them. Used as a context manager; an exception in the block ends
    ffmpeg and leaves the file incomplete. Raises VideoError if ffmpeg fails."""

    def __init__(self, path: str | os.PathLike, info: VideoInfo, width: int, height: int, crf: int = 16,
                 stretch: Stretch = WHOLE):
        path, step = Path(path), beside(info, stretch)
        filters, pix_fmt = tag_filters(info), "yuv420p"
        if width % 2 or height % 2:
            # H.264 cannot code 4:2:0 of odd size, and cropping or padding would change the picture's size.
            pix_fmt = "yuv444p"
            levels = info.color_range
            filters = f"scale={RESIZE}:in_range={levels}:out_range={levels},format=yuv444p,{filters}"
        arguments = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{width}x{height}",
                     "-framerate", str(info.rate), *step.frames, "-i", "pipe:0", *step.others,
                     *input_arguments(info.path), "-map", "0:v", "-vf", filters, "-fps_mode", "passthrough",
                     "-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf), "-pix_fmt", pix_fmt,
                     *carried_streams(info, 1, path), *step.out, file_url(path)]
        self._shape = (height, width)
        self._running = ffmpeg_process(arguments, path, stdin=subprocess.PIPE)

    def __enter__(self) -> "Writer":
        self._process = self._running.__enter__()
        return self

    def __exit__(self, *exception) -> bool | None:
        return self._running.__exit__(*exception)

    def write(self, frame: Frame) -> None:
        """Add one frame, y uint8 (height, width); a failure of ffmpeg is raised when the block is left."""
        _write_planes(self._process.stdin, frame, self._shape)


class Y4MWriter:
    """Writes frames as YUV4MPEG2 to a binary file object, such as a pipe to a player; the object stays open.

    `info` gives rate, pixel shape and range; `chroma` is 'left' or 'centre', the place of chroma columns. Raises
    BrokenPipeError if the reader has gone."""

    def __init__(self, file: BinaryIO, info: VideoInfo, width: int, height: int, chroma: str = "left"):
        siting = {"left": "420mpeg2", "centre": "420jpeg"}[chroma]
        levels = {"tv": "LIMITED", "pc": "FULL"}[info.color_range]
        rate, sar = (f"{ratio.numerator}:{ratio.denominator}" for ratio in (Fraction(info.rate), info.sar))
        self._file, self._shape = file, (height, width)
        file.write(f"YUV4MPEG2 W{width} H{height} F{rate} Ip A{sar} C{siting} XCOLORRANGE={levels}\n".encode())

    def write(self, frame: Frame) -> None:
        """Add one frame, y uint8 (height, width)."""
        self._file.write(b"FRAME\n")
        _write_planes(self._file, frame, self._shape)


def _write_planes(file: BinaryIO, frame: Frame, shape: tuple[int, int]) -> None:
    if frame.y.shape != shape:
        raise ValueError(f"a frame of {frame.y.shape} was given, the video has {shape} (height, width)")
    for plane in frame:
        file.write(np.ascontiguousarray(plane))
