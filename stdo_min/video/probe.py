"""What a video file holds."""

import os
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from stdo_min.video.ffmpeg import Address, VideoError, ask, ffmpeg_executable, input_arguments, reason


class Attachment(NamedTuple):
    """One file inside a Matroska file: its stream index, name and media type."""

    index: int
    filename: str
    mimetype: str


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds; sizes in pixels after rotation, times in seconds, names as ffmpeg spells them."""

    path: Path | Address
    width: int
    height: int
    rate: Fraction  # frames per second; a variable rate is made constant at this one
    start: float  # of the first video frame, after the start of the file
    duration: float | None
    pix_fmt: str
    color_range: str  # 'tv' (16..235) or 'pc' (0..255)
    color_space: str | None
    color_primaries: str | None
    color_trc: str | None
    sar: Fraction
    has_audio: bool
    subtitles: tuple[str, ...]  # codec names
    attachments: tuple[Attachment, ...]

    @property
    def frames_expected(self) -> int | None:
        """The number of frames by the clock, for progress only: files often lie a little about their duration."""
        return None if self.duration is None else max(1, round((self.duration - self.start) * self.rate))


def probe(path: str | os.PathLike) -> VideoInfo:
    """Read what a video holds by decoding its first two frames; `path` is a file, or an Address.

    Raises VideoError for a file that is missing, unreadable, empty, not a video, sound only, or a still image."""
    if not isinstance(path, Address):
        path = Path(path)
        _check_readable(path)
    report = ask(ffmpeg_executable(), ["-nostdin", *input_arguments(path), "-map", "0:V:0", "-vf", "showinfo",
                                       "-frames:v", "2", "-f", "null", "-"]).words
    if not re.search(r"^Input #0, ", report, re.M):
        raise VideoError(f"{path}: not a video that ffmpeg can read ({reason(report)})")
    header, _, decoded = report.partition("\nStream mapping:")
    streams = _streams(header)
    pictures = [text for _, kind, text, _ in streams if kind == "Video" and "(attached pic)" not in text]
    has_audio = any(kind == "Audio" for _, kind, _, _ in streams)
    if not pictures:
        raise VideoError(f"{path}: {'sound only' if has_audio else 'no video stream'}; give a file that holds a video")
    frames = re.findall(r" n: *\d+ pts: *\S+ +pts_time:(\S+).* fmt:(\S+).* sar:(\d+)/(\d+) s:(\d+)x(\d+)", decoded)
    if not frames:
        raise VideoError(f"{path}: its video cannot be decoded; the file is damaged or needs another ffmpeg")
    if len(frames) < 2:
        raise VideoError(f"{path}: a still image; give a video of two frames or more")
    time, pix_fmt, sar_num, sar_den, width, height = frames[0]
    tags = dict(re.findall(r"(color_(?:range|space|primaries|trc)):(\S+)", decoded.partition("\n[out")[0]))
    tags = {name: None if value in ("unknown", "reserved", "unspecified") else value for name, value in tags.items()}
    duration = re.search(r"^  Duration: (\d+):(\d+):(\d+\.\d+)", header, re.M)
    rgb = is_rgb(pix_fmt)
    return VideoInfo(
        path=path, width=int(width), height=int(height), rate=_rate(pictures[0], decoded),
        start=float(time) if re.fullmatch(r"[\d.]+", time) else 0.0,
        duration=float(duration[1]) * 3600 + float(duration[2]) * 60 + float(duration[3]) if duration else None,
        pix_fmt=pix_fmt,
        # RGB is converted on reading, so what the planes will be is told here.
        color_range="tv" if rgb else "pc" if pix_fmt.startswith("yuvj") else tags.get("color_range") or "tv",
        color_space="bt709" if rgb else tags.get("color_space"),
        color_primaries=tags.get("color_primaries"), color_trc=tags.get("color_trc"),
        sar=Fraction(int(sar_num), int(sar_den)) if int(sar_num) and int(sar_den) else Fraction(1),
        has_audio=has_audio,
        subtitles=tuple(text.split()[0].strip(",") for _, kind, text, _ in streams if kind == "Subtitle"),
        attachments=tuple(Attachment(index, tag.get("filename", ""), tag.get("mimetype", ""))
                          for index, kind, _, tag in streams if kind == "Attachment"))


def is_rgb(pix_fmt: str) -> bool:
    """Whether pixels of this kind are converted to Y'CbCr on reading."""
    return pix_fmt.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2rgb", "x2bgr"))


def _check_readable(path: Path) -> None:
    if not path.exists():
        hint = "add --allow-network to open an address" if re.match("https?:/", str(path)) else "check the name"
        raise VideoError(f"{path}: no such file; {hint}")
    if not path.is_file():
        raise VideoError(f"{path}: {'a directory' if path.is_dir() else 'not a regular file'}; give a video file")
    if not os.access(path, os.R_OK):
        raise VideoError(f"{path}: not readable; check its permissions")
    if not path.stat().st_size:
        raise VideoError(f"{path}: an empty file; copy or download it again")


def _streams(header: str) -> list[tuple[int, str, str, dict[str, str]]]:
    streams = []
    for line in header.splitlines():
        if found := re.match(r" {2,4}Stream #0:(\d+)\S*: (\w+): (.*)", line):
            streams.append((int(found[1]), found[2], found[3], {}))
        elif streams and (found := re.match(r" {4,}(filename|mimetype) *: (.*)", line)):
            streams[-1][3][found[1]] = found[2]
    return streams


def _rate(stream: str, decoded: str) -> Fraction:
    average = re.search(r"([\d.]+) fps", stream)
    average = Fraction(average[1]) if average else Fraction(0)
    stated = re.search(r"frame_rate: (\d+)/([1-9]\d*)", decoded)
    stated = Fraction(int(stated[1]), int(stated[2])) if stated else Fraction(0)
    # GIFs, screen and phone recordings with a variable rate often state the ticks of their clock as the rate.
    if not stated or stated > 240 or (average and stated > max(60, 1.5 * average)):
        stated = average
    return stated if 0 < stated <= 1000 else Fraction(25)
