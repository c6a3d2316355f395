"""What is said of a file before its frames are decoded: by ffprobe, or where there is none by ffmpeg's own report."""

import json
import os
import re
import shutil
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from stdo_min.video.ffmpeg import Address, VideoError, ask, ffmpeg_executable, input_arguments

FFPROBE = "STDO_FFPROBE"  # the environment variable
_UNTOLD = ("unknown", "reserved", "unspecified", None)
# As libavutil/pixdesc.c spells them, a name before those that it begins with.
_COLORS = (
    "tv", "pc", "unknown", "reserved", "gbr", "rgb", "bt709", "fcc", "bt470m", "bt470bg", "smpte170m", "smpte240m",
    "smpte2084", "smpte2085", "smpte428", "smpte431", "smpte432", "film", "ycgco-re", "ycgco-ro", "ycgco",
    "bt2020-10", "bt2020-12", "bt2020nc", "bt2020c", "bt2020", "chroma-derived-nc", "chroma-derived-c", "ictcp",
    "ipt-c2", "ebu3213", "linear", "log100", "log316", "iec61966-2-4", "iec61966-2-1", "bt1361e", "arib-std-b67")


class Attachment(NamedTuple):
    """One file inside a Matroska file: its stream index, name and media type."""

    index: int
    filename: str
    mimetype: str


class Facts(NamedTuple):
    """What a file holds; pix_fmt is None without a video stream, `average` 0 where no average rate is known."""

    pix_fmt: str | None
    colors: dict[str, str | None]  # color_range, color_space, color_primaries, color_trc: None if not told
    average: Fraction  # frames per second, to 1/100
    duration: float | None  # seconds, to 1/100
    has_audio: bool
    subtitles: tuple[str, ...]  # codec names
    attachments: tuple[Attachment, ...]


def ffprobe_executable() -> str | None:
    """Path of the ffprobe in use: $STDO_FFPROBE, else the one beside ffmpeg, else the one on PATH; None for none.

    With STDO_FFPROBE=none there is none either."""
    if named := os.environ.get(FFPROBE):
        return None if named == "none" else named
    ffmpeg = shutil.which(ffmpeg_executable())
    if ffmpeg:
        folder, name = os.path.split(ffmpeg)
        for beside in (name.replace("ffmpeg", "ffprobe"), "ffprobe"):
            if found := shutil.which(beside, path=folder):
                return found
    return shutil.which("ffprobe")


def ask_ffprobe(program: str, path: Path | Address) -> Facts | None:
    """The facts of a file as ffprobe's JSON has them; None if it cannot read the file.

    Raises VideoError if `program` cannot be started or is no ffprobe."""
    answer = ask(program, ["-v", "error", "-show_streams", "-show_format", "-of", "json", *input_arguments(path)],
                 FFPROBE)
    if answer.code:
        return None
    try:
        told = json.loads(answer.out.decode(errors="replace"))
        return _facts(told["streams"], told["format"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise VideoError(f"{program}: does not answer as ffprobe does; check {FFPROBE}, or set it to none") from None


def _facts(streams: list[dict], form: dict) -> Facts:
    pictures = [s for s in streams if s.get("codec_type") == "video" and not s["disposition"]["attached_pic"]]
    picture = pictures[0] if pictures else {}
    colors = {ours: picture.get(theirs) for ours, theirs in (
        ("color_range", "color_range"), ("color_space", "color_space"), ("color_primaries", "color_primaries"),
        ("color_trc", "color_transfer"))}
    return Facts(
        pix_fmt=picture.get("pix_fmt", "unknown") if picture else None, colors=_told(colors),
        average=_hundredths(_ratio(picture.get("avg_frame_rate", "0/0"))),
        duration=float(_hundredths(Fraction(form["duration"]))) if "duration" in form else None,
        has_audio=any(s.get("codec_type") == "audio" for s in streams),
        subtitles=tuple(s.get("codec_name", "none") for s in streams if s.get("codec_type") == "subtitle"),
        attachments=tuple(Attachment(s["index"], s.get("tags", {}).get("filename", ""),
                                     s.get("tags", {}).get("mimetype", ""))
                          for s in streams if s.get("codec_type") == "attachment"))


def read_report(report: str) -> Facts | None:
    """The facts as ffmpeg reports them on its stderr, with what showinfo says of the first frames; None if the report
    names no input."""
    if not re.search(r"^Input #0, ", report, re.M):
        return None
    header, _, decoded = report.partition("\nStream mapping:")
    streams = _streams(header)
    pictures = [text for _, kind, text, _ in streams if kind == "Video" and "(attached pic)" not in text]
    shown = re.search(r" n: *\d+ pts: *\S+ +pts_time:\S+.* fmt:(\S+)", decoded)
    # Known names first: ffmpeg's threads write into each other's lines, as in "color_space:unknownOutput #0" or, with
    # a "12" of another thread's line, "color_trc:bt70912".
    colors = dict(re.findall(rf"(color_(?:range|space|primaries|trc)):({'|'.join(_COLORS)}|[a-z0-9_-]+)",
                             decoded.partition("\n[out")[0]))
    average = re.search(r"([\d.]+)(k?) fps", pictures[0]) if pictures else None
    duration = re.search(r"^  Duration: (\d+):(\d+):(\d+)\.(\d\d)", header, re.M)
    hours, minutes, seconds, hundredths = map(int, duration.groups()) if duration else (0, 0, 0, 0)
    return Facts(
        pix_fmt=(shown[1] if shown else "unknown") if pictures else None, colors=_told(colors),
        average=Fraction(average[1]) * (1000 if average[2] else 1) if average else Fraction(0),
        duration=(((hours * 60 + minutes) * 60 + seconds) * 100 + hundredths) / 100 if duration else None,
        has_audio=any(kind == "Audio" for _, kind, _, _ in streams),
        subtitles=tuple(text.split()[0].strip(",") for _, kind, text, _ in streams if kind == "Subtitle"),
        attachments=tuple(Attachment(index, tag.get("filename", ""), tag.get("mimetype", ""))
                          for index, kind, _, tag in streams if kind == "Attachment"))


def _told(colors: dict) -> dict[str, str | None]:
    return {name: None if colors.get(name) in _UNTOLD else colors[name]
            for name in ("color_range", "color_space", "color_primaries", "color_trc")}


def _ratio(text: str) -> Fraction:
    above, _, below = text.partition("/")
    return Fraction(int(above), int(below)) if int(below or 1) else Fraction(0)


def _hundredths(number: Fraction) -> Fraction:
    """Round as ffmpeg's report does, so that both ways give the same, and average rates are simple fractions."""
    return Fraction(int(number * 100 + Fraction(1, 2)), 100)


def _streams(header: str) -> list[tuple[int, str, str, dict[str, str]]]:
    streams = []
    for line in header.splitlines():
        if found := re.match(r" {2,4}Stream #0:(\d+)\S*: (\w+): (.*)", line):
            streams.append((int(found[1]), found[2], found[3], {}))
        elif streams and (found := re.match(r" {4,}(filename|mimetype) *: (.*)", line)):
            streams[-1][3][found[1]] = found[2]
    return streams
