"""Options that several verbs have, and what their values may be."""

from __future__ import annotations

import argparse
import re
from fractions import Fraction
from pathlib import Path

from stdo_min.format.base import SCALES
from stdo_min.format.cores import fast_cores
from stdo_min.player import Video
from stdo_min.video.stretch import Stretch, stretch_between

MOST_THREADS = 256


def threads(parser: argparse.ArgumentParser) -> None:
    """--threads."""
    parser.add_argument("--threads", type=thread_count, default="auto", metavar="N|auto",
                        help=f"threads to use; default %(default)s, one for each fast core: here {fast_cores()}")


def network(parser: argparse.ArgumentParser) -> None:
    """--allow-network."""
    parser.add_argument("--allow-network", action="store_true",
                        help="the video may be at http://... or https://...; without this nothing is ever fetched")


def played(parser: argparse.ArgumentParser) -> None:
    """The lr video to play, its sidecar, and threads."""
    parser.add_argument("video", metavar="IN", help="an .mkv with its sidecar inside, or an lr video with it beside")
    parser.add_argument("--sidecar", type=Path, metavar="FILE", help="the sidecar, where it lies elsewhere")
    threads(parser)


def stretch(parser: argparse.ArgumentParser) -> None:
    """--start and --end."""
    parser.add_argument("--start", type=moment, metavar="TIME",
                        help="begin with the first frame at TIME or after it: 00:31:07.5, 31:07.5, 90s, 5m or 1h on a "
                        "player's clock, which begins with the file, as ffmpeg's and mpv's do")
    parser.add_argument("--end", type=moment, metavar="TIME",
                        help="end before the first frame at TIME or after it; default: with the last frame")


def stretch_of(video: Video, a: argparse.Namespace) -> Stretch:
    """The frames that --start and --end ask for. Raises VideoError where there are none."""
    return stretch_between(video.info, video.upscaler.frames, a.start, a.end)


def quiet(parser: argparse.ArgumentParser) -> None:
    """--quiet."""
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


def rate(parser: argparse.ArgumentParser) -> None:
    """--rate."""
    parser.add_argument("--rate", type=frames_per_second, metavar="N",
                        help="frames per second of a folder of PNG frames, such as 24 or 30000/1001; default 25. A "
                        "video has its own")


def written(parser: argparse.ArgumentParser) -> None:
    """--force."""
    parser.add_argument("--force", action="store_true", help="overwrite an output that exists")


def scale(text: str) -> Fraction:
    """hr pixels per lr pixel: 1, 1.5, 2, 3 or 4."""
    try:
        found = Fraction(text)
    except (ValueError, ZeroDivisionError):
        found = None
    if found not in SCALES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a scale: {', '.join(map(str, map(plain, SCALES)))}")
    return found


def plain(number: Fraction) -> int | float:
    """A scale as JSON takes it and people say it: 2, 1.5."""
    return int(number) if number.denominator == 1 else float(number)


def thread_count(text: str) -> int:
    """`auto`, or a number of threads."""
    return min(fast_cores(), MOST_THREADS) if text == "auto" else whole(1, MOST_THREADS)(text)


def whole(least: int, most: int):
    """The type of an option that takes a whole number of least..most."""
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d+", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least}..{most}")
        return int(text)
    return parse


def seconds(text: str) -> float:
    """A time such as 90s, 5m or 1h, in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h|)", text)
    if not found or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time above zero such as 90s, 5m or 1h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def moment(text: str) -> Fraction:
    """A place in a video, such as 00:31:07.5, 31:07.5, 7.5, 90s, 5m or 1h, in seconds."""
    clock = re.fullmatch(r"(?:(?:(\d+):)?([0-5]?\d):(?=[0-5]?\d(?:\.|$)))?(\d+(?:\.\d+)?)", text)
    unit = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)", text)
    if clock:
        return 3600 * int(clock[1] or 0) + 60 * int(clock[2] or 0) + Fraction(clock[3])
    if unit:
        return Fraction(unit[1]) * {"s": 1, "m": 60, "h": 3600}[unit[2]]
    raise argparse.ArgumentTypeError(f"{text!r} is not a time; write [[HH:]MM:]SS[.fraction], or 90s, 5m, 1h")


def frames_per_second(text: str) -> Fraction:
    """A rate above 0 and up to 1000, such as 24, 23.976 or 30000/1001."""
    try:
        found = Fraction(text)
    except (ValueError, ZeroDivisionError):
        found = Fraction(0)
    if not 0 < found <= 1000 or max(found.numerator, found.denominator) >= 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate above 0 and up to 1000, such as 24, 23.976 or "
                                         "30000/1001")
    return found
