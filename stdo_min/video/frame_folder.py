"""A folder of PNG frames as a source, the form in which data sets come."""

import re
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stdo_min.video.ffmpeg import Address, VideoError
from stdo_min.video.png import png_size, read_png
from stdo_min.video.probe import VideoInfo, probe

RATE = Fraction(25)  # frames per second where none is given


def open_source(path: Path | Address, rate: Fraction | None = None) -> VideoInfo:
    """What a source holds: a video, or a folder of PNG frames, which run at `rate` frames per second (25 if None).

    Frames of a folder are its *.png in natural order of their names (2 before 10), all of one size, 8-bit RGB or grey.
    Raises VideoError as probe does, for a folder without such frames, or for a rate with a video, which has its own."""
    if not isinstance(path, Address) and path.is_dir():
        return _probe_folder(path, rate or RATE)
    if rate is not None:
        raise VideoError(f"{path}: --rate is for a folder of pictures, and a video has its own; leave it out")
    return probe(path)


def picture_arguments(info: VideoInfo) -> list[str]:
    """ffmpeg arguments that read from stdin what `feed` writes."""
    return ["-f", "rawvideo", "-pix_fmt", info.pix_fmt, "-video_size", f"{info.width}x{info.height}", "-framerate",
            str(info.rate), "-i", "pipe:0"]


def feed(info: VideoInfo, file: BinaryIO) -> None:
    """Write the pixels of all pictures one after the other.

    Raises VideoError if one is damaged or has changed, and BrokenPipeError if nobody reads."""
    for path in info.pictures:
        pixels = read_png(path)
        if pixels.shape != (info.height, info.width, 3):
            raise VideoError(f"{path}: is no longer {info.width}x{info.height}; keep the folder as it is while it is "
                             "read")
        file.write(np.ascontiguousarray(pixels))


def _probe_folder(folder: Path, rate: Fraction) -> VideoInfo:
    try:
        found = sorted((path for path in folder.iterdir() if _is_frame(path)), key=_natural)
    except OSError as error:
        raise VideoError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from None
    if not found:
        raise VideoError(f"{folder}: a directory without PNG pictures; name one with *.png frames, or a video file")
    if len(found) < 2:
        raise VideoError(f"{folder}: holds one picture; give two frames or more")
    width, height = png_size(found[0])
    for path in found[1:]:
        size = png_size(path)
        if size != (width, height):
            raise VideoError(f"{path}: {size[0]}x{size[1]}, but {found[0].name} has {width}x{height}; all frames of a "
                             "folder must have one size")
    return VideoInfo(path=folder, width=width, height=height, rate=rate, start=0.0, duration=float(len(found) / rate),
                     pix_fmt="rgb24", color_range="tv", color_space="bt709", color_primaries=None, color_trc=None,
                     sar=Fraction(1), has_audio=False, subtitles=(), attachments=(), pictures=tuple(found))


def _is_frame(path: Path) -> bool:
    # A name with a leading dot is not a frame but a system's note on a file.
    return path.suffix.lower() == ".png" and not path.name.startswith(".") and path.is_file()


def _natural(path: Path) -> tuple:
    parts = re.split(r"([0-9]+)", path.name)
    return [int(part) if index % 2 else part.lower() for index, part in enumerate(parts)], path.name
