"""A stretch of a video: its frames between two times, and how ffmpeg gets to them.

Times are those of a player's clock: seconds after the start of the file. The first frame lies at info.start, which is
0 in most files."""

import math
from fractions import Fraction
from typing import NamedTuple

from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.probe import VideoInfo

# How to reach a frame in the middle, the fastest way first. "seek" is exact where the container has an index, or times
# that can be searched. "early" begins EARLIER seconds before, for containers that are searched by guessing, decoders
# that begin with pictures missing, and a frame that has been standing for a while. "start" decodes all before it.
ROADS = ("seek", "early", "start")
EARLIER = 15
_HALF = Fraction(1, 2)


class Stretch(NamedTuple):
    """Frames first..first+count-1 of a video, or all from `first` on."""

    first: int = 0
    count: int | None = None


WHOLE = Stretch()


def stretch_between(info: VideoInfo, frames: int, start: Fraction | None, end: Fraction | None) -> Stretch:
    """The frames of a video whose times are at least `start` and before `end`, to the millisecond; None: no limit.

    frames: of the whole video. Raises VideoError where there are none."""
    length = time_of(info, frames)
    if start is not None and end is not None and end <= start:
        raise VideoError(f"--end {clock(end)} is not after --start {clock(start)}; give a later --end")
    if start is not None and start >= length:
        raise VideoError(f"{info.path}: --start {clock(start)} lies beyond its end; it is {clock(length)} long")
    first = 0 if start is None else _first_at(info, start)
    after = frames if end is None else min(frames, _first_at(info, end))
    if first >= after:
        raise VideoError(f"{info.path}: no frame lies between {clock(start or Fraction(0))} and {clock(end or length)};"
                         f" the first one is at {clock(time_of(info, 0))}, and there are {float(info.rate):.5g} a "
                         "second")
    return Stretch(first, None if after == frames else after - first)


def time_of(info: VideoInfo, frame: int) -> Fraction:
    """When a frame is shown; that of the frame after the last is the length of the video."""
    return Fraction(info.start).limit_denominator(10**6) + frame / info.rate


def clock(time: Fraction) -> str:
    """A time as HH:MM:SS.mmm."""
    thousandths = math.floor(time * 1000 + _HALF)
    seconds = thousandths // 1000
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{thousandths % 1000:03}"


def lr_arguments(info: VideoInfo, stretch: Stretch, road: str) -> tuple[list[str], list[str]]:
    """ffmpeg arguments, before the input and after it, that read a stretch on one of ROADS; none for a whole video."""
    first, count = stretch
    if stretch == WHOLE:
        return [], []
    if road == "start" or not first:
        end = "" if count is None else f":end_frame={first + count}"
        return [], ["-vf", f"trim=start_frame={first}{end}"]
    # Half a frame to either side: times are rounded, in Matroska to a millisecond.
    begin = time_of(info, first) - _HALF / info.rate
    end = "" if count is None else f":end={float(begin + count / info.rate):.6f}"
    seek = max(Fraction(0), begin - (EARLIER if road == "early" else 0))
    return ["-copyts", "-start_at_zero", "-ss", f"{float(seek):.6f}"], ["-vf", f"trim=start={float(begin):.6f}{end}"]


class Beside(NamedTuple):
    """ffmpeg arguments that put what lies beside the picture in step with the frames of a stretch.

    frames: before the input of the frames; others: before the file with sound and subtitles; out: before the output."""

    frames: list[str]
    others: list[str]
    out: list[str]


def beside(info: VideoInfo, stretch: Stretch) -> Beside:
    """How sound, subtitles and chapters of `info` go with the frames of a stretch."""
    first, count = stretch
    # With the first frame comes all that is heard before it; a later one begins the new file.
    begin = time_of(info, first) if first else Fraction(0)
    length = [] if count is None else ["-t", f"{float(time_of(info, first + count) - begin):.6f}"]
    if first:
        # Where sound is copied, ffmpeg keeps what lies between the place it sought to and the one asked for.
        return Beside([], ["-ss", f"{float(begin):.6f}"], ["-copypriorss", "0", *length])
    return Beside(["-itsoffset", f"{info.start:.6f}"], [], length)


def _first_at(info: VideoInfo, time: Fraction) -> int:
    """The first frame at a time or after it.

    To the millisecond, as players show times and Matroska keeps them: 0.042 is frame 1 of 24 a second."""
    return max(0, math.ceil((time - Fraction(1, 2000) - time_of(info, 0)) * info.rate))
