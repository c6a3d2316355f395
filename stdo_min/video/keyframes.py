"""Where a source can be opened: its keyframes, found without decoding."""

import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from stdo_min.video.ffmpeg import VideoError, ffmpeg_process, input_arguments
from stdo_min.video.probe import VideoInfo
from stdo_min.video.read import grid_start

_KEY, _DISCARD = 1, 4  # ffmpeg's AV_PKT_FLAG_KEY and AV_PKT_FLAG_DISCARD
_NO_TIME = -(1 << 63)  # AV_NOPTS_VALUE


def keyframes(info: VideoInfo) -> tuple[np.ndarray, int]:
    """The keyframes of a source, and how many frames it has by its last packet: (numbers, frames).

    numbers: int64 (keyframes,), of the frames that read_source gives, rising, the first 0. Nothing is decoded: both
    are exact where packets have times, and a few frames off in an .avi or .mpg. In a folder every picture is a
    keyframe. Raises VideoError if the file is damaged."""
    if info.pictures:
        return np.arange(len(info.pictures)), len(info.pictures)
    # MPEG program streams repeat decoding times, at which ffmpeg's muxers stop: these are made up.
    arguments = ["-xerror", "-copyts", "-start_at_zero", *input_arguments(info.path), "-map", "0:V:0", "-c", "copy",
                 "-copyinkf", "-bsf:v", "setts=pts=PTS:dts=N-1e12", "-f", "framecrc", "pipe:1"]
    start = grid_start(info)
    numbers, frames, packets, untimed = [0], 1, 0, 0
    with ffmpeg_process(arguments, info.path, stdout=subprocess.PIPE) as process:
        for packet in _packets(process.stdout, info.rate):
            if packet.key:
                numbers.append(packets if packet.number is None else packet.number - start)
            if packet.number is None:
                untimed += 1
            else:
                frames = max(frames, packet.end - start)
            packets += 1
    if not packets:
        raise VideoError(f"{info.path}: it has no frame; the file is damaged, copy or download it again")
    # Packets of old formats may have no time, and then stand for one frame each.
    numbers = np.unique(np.array(numbers, np.int64))
    return numbers[numbers >= 0], max(frames, packets) if untimed else frames


def packet_sizes(path: Path) -> list[int]:
    """The bytes of each packet of a video, in the order of the file; nothing is decoded."""
    arguments = [*input_arguments(path), "-map", "0:V:0", "-c", "copy", "-copyinkf", "-bsf:v", "setts=pts=N:dts=N",
                 "-f", "framecrc", "pipe:1"]
    with ffmpeg_process(arguments, path, stdout=subprocess.PIPE) as process:
        return [int(line.split(b",")[4]) for line in process.stdout if not line.startswith(b"#")]


class _Packet(NamedTuple):
    """A packet that is shown: its number on the constant rate's grid, None without a time, and that of the next."""

    number: int | None
    end: int | None
    key: bool


def _packets(framecrc: BinaryIO, rate: Fraction) -> Iterator[_Packet]:
    """From ffmpeg's framecrc format, a line a packet: stream, dts, pts, duration, size, checksum, flags."""
    scale = Fraction(0)
    for line in framecrc:
        if line.startswith(b"#"):
            if line.startswith(b"#tb 0: "):
                scale = Fraction(line[7:].decode().strip()) * rate
            continue
        fields = line.split(b",", 7)
        pts, duration = int(fields[2]), int(fields[3])
        # Flags are written where they are other than "a keyframe"; after them, or in their place, comes side data.
        flagged = len(fields) > 6 and fields[6].startswith(b" F=")
        flags = int(fields[6][3:], 16) if flagged else _KEY
        if flags & _DISCARD:
            continue
        if pts == _NO_TIME:
            yield _Packet(None, None, bool(flags & _KEY))
        else:
            number = _round(pts * scale)
            yield _Packet(number, max(number + 1, _round((pts + duration) * scale)), bool(flags & _KEY))


def _round(number: Fraction) -> int:
    return (2 * number.numerator + number.denominator) // (2 * number.denominator)
