"""What a video file holds."""

import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from stdo_min.video.facts import Attachment, ask_ffprobe, ffprobe_executable, read_report
from stdo_min.video.ffmpeg import Address, VideoError, ask, ffmpeg_executable, file_url, input_arguments, reason

_TICKS = 10**6  # a second, the unit in which the first frame's time is asked for


@dataclass(frozen=True)
class VideoInfo:
    """What a source holds; sizes in pixels after rotation, times in seconds, names as ffmpeg spells them."""

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
    pictures: tuple[Path, ...] = ()  # the frames in order, where path is a folder of them

    @property
    def frames_expected(self) -> int | None:
        """The number of frames by the clock, for progress only: the stated duration is often a little wrong."""
        return None if self.duration is None else max(1, round((self.duration - self.start) * self.rate))


def probe(path: str | os.PathLike) -> VideoInfo:
    """Read what a video holds, and decode its first two frames; `path` is a file, or an Address.

    Raises VideoError for a file that is missing, unreadable, empty, not a video, sound only, or a still image."""
    if not isinstance(path, Address):
        path = Path(path)
        _check_readable(path)
    ffprobe = ffprobe_executable()
    with ThreadPoolExecutor(1) as pool:  # both at once: players wait for this
        asked = pool.submit(ask_ffprobe, ffprobe, path) if ffprobe else None
        shown, report = _decode_two(path)
    facts = asked.result() if asked else None
    if facts is None or facts.pix_fmt == "unknown":  # no ffprobe, or one that is older than the ffmpeg in use
        facts = read_report(report)
    if facts is None:
        raise VideoError(f"{path}: not a video that ffmpeg can read ({reason(report)})")
    if facts.pix_fmt is None:
        raise VideoError(f"{path}: {'sound only' if facts.has_audio else 'no video stream'}; give a file that holds a "
                         "video")
    if not shown.frames:
        raise VideoError(f"{path}: its video cannot be decoded; the file is damaged or needs another ffmpeg")
    if shown.frames < 2:
        raise VideoError(f"{path}: a still image; give a video of two frames or more")
    rgb = is_rgb(facts.pix_fmt)
    return VideoInfo(
        path=path, width=shown.width, height=shown.height, rate=_rate(shown.rate, facts.average), start=shown.start,
        duration=facts.duration, pix_fmt=facts.pix_fmt,
        # RGB is converted on reading: told here is what the planes will be then.
        color_range="tv" if rgb else "pc" if facts.pix_fmt.startswith("yuvj") else facts.colors["color_range"] or "tv",
        color_space="bt709" if rgb else facts.colors["color_space"],
        color_primaries=facts.colors["color_primaries"], color_trc=facts.colors["color_trc"], sar=shown.sar,
        has_audio=facts.has_audio, subtitles=facts.subtitles, attachments=facts.attachments)


def is_rgb(pix_fmt: str) -> bool:
    """Whether pixels of this kind are converted to Y'CbCr on reading."""
    return pix_fmt.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2rgb", "x2bgr"))


class _Shown(NamedTuple):
    """The first two frames as ffmpeg's filters give them: size after rotation, start in seconds, the stated rate."""

    frames: int = 0
    start: float = 0.0
    width: int = 0
    height: int = 0
    sar: Fraction = Fraction(1)
    rate: Fraction = Fraction(0)


def _decode_two(path: Path | Address) -> tuple[_Shown, str]:
    """The first two frames and what ffmpeg reported."""
    # Written twice: once with exact times, once in ffmpeg's own time base, which is one over the stated rate.
    each = ["-fps_mode", "passthrough", "-frames:v", "2", "-f", "framecrc"]
    with tempfile.TemporaryDirectory(prefix="stdo-") as folder:
        # Without -nostats a line of progress may be written into the middle of a line of the report.
        answer = ask(ffmpeg_executable(), [
            "-nostdin", "-nostats", *input_arguments(path), "-map", "0:V:0", "-vf", "showinfo", "-enc_time_base:v",
            f"1:{_TICKS}", *each, "pipe:1", "-map", "0:V:0", *each, file_url(Path(folder, "rate"))])
        rated = Path(folder, "rate").read_bytes() if Path(folder, "rate").exists() else b""
    told, times = _framecrc(answer.out)
    if not times or not rated:
        return _Shown(), answer.words
    base = _framecrc(rated)[0]["tb 0"].split("/")
    width, height = map(int, told["dimensions 0"].split("x"))
    above, below = map(int, told["sar 0"].split("/"))
    return _Shown(len(times), max(0, times[0]) / _TICKS, width, height, Fraction(above, below) if above and below
                  else Fraction(1), Fraction(int(base[1]), int(base[0]))), answer.words


def _framecrc(written: bytes) -> tuple[dict[str, str], list[int]]:
    """The header of ffmpeg's framecrc format, and the times of its frames in ticks."""
    lines = written.decode().splitlines()
    return (dict(line[1:].split(": ", 1) for line in lines if line.startswith("#")),
            [int(line.split(",")[2]) for line in lines if not line.startswith("#")])


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


def _rate(stated: Fraction, average: Fraction) -> Fraction:
    # GIFs, screen and phone recordings with a variable rate often state the ticks of their clock as the rate.
    if stated > 240 or (average and stated > max(60, Fraction(3, 2) * average)):
        stated = average
    return stated if 0 < stated <= 1000 else Fraction(25)
