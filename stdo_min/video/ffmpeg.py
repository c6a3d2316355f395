"""Reading video: what a file holds, and its frames as planes, all through one ffmpeg child process at a time."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, NamedTuple

import imageio_ffmpeg
import numpy as np

# Every resize of this project: the same bytes from every ffmpeg release and CPU, chroma columns sited on the left luma
# column of their pair, as MPEG video has it. Rows need no option: swscale's default for them is the same place.
RESIZE = "flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact:in_h_chr_pos=0:out_h_chr_pos=0"

# What ffmpeg may open for an input: see input_arguments.
LOCAL = "file,crypto,data"
NETWORK = "http,https,httpproxy,tcp,tls,crypto,data"
STALLED = 15  # seconds without a byte from the network

_DAMAGED = "the file is damaged or cut short; copy it again, or mend it with ffmpeg -i IN -crf 16 OUT.mkv"
_REMEDIES = {
    "not on whitelist": "it names what may not be opened from there; give the video itself",
    "codec not currently supported in container": "give the output the ending .mkv, which holds every codec",
    "Subtitle encoding currently only possible": "give the output the ending .mkv, which holds picture subtitles",
    "Unknown encoder": "choose another codec or install an ffmpeg built with it",
    "Source Height must be at least": "choose another codec or a smaller scale",
    "Source Width must be at least": "choose another codec or a smaller scale",
    "No space left on device": "free some space on the disk",
    "moov atom not found": "the end of the file is missing; copy or download it again",
    **dict.fromkeys(("File ended prematurely", "partial file", "orrupt", "rror while decoding", "Invalid NAL unit size",
                     "Invalid data found when processing"), _DAMAGED),
}
# ffmpeg ends well after these: a Matroska file cut short, and (before release 6) a disk full at the last bytes.
_UNSEEN = ("File ended prematurely", "Error writing trailer")
_AFTERMATH = ("Error opening", "Error while", "Error initializing", "Error submitting", "Error marking", "Terminating",
              "Conversion failed", "Nothing was written", "Could not write header", "Task finished", "Svt[info]",
              "x265 [info]")


class Address(str):
    """A network address that may be opened: who makes one of a name has asked the user."""

    __slots__ = ()


class VideoError(Exception):
    """A video cannot be read or written; the message is one line that names the file and the remedy."""


class Frame(NamedTuple):
    """One picture in Y'CbCr 4:2:0: y uint8 (H, W); u and v uint8 (ceil(H/2), ceil(W/2))."""

    y: np.ndarray
    u: np.ndarray
    v: np.ndarray


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


def ffmpeg_executable() -> str:
    """Path of the ffmpeg in use: $IMAGEIO_FFMPEG_EXE, else imageio-ffmpeg's own, else the one on PATH.

    Raises VideoError if there is none."""
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        raise VideoError("no ffmpeg found: install it (Termux: pkg install ffmpeg; Debian: apt install ffmpeg), "
                         "or name it in IMAGEIO_FFMPEG_EXE") from None


def file_url(path: str | os.PathLike) -> str:
    """The name under which ffmpeg takes `path` as a plain file, even if it begins with '-' or contains ':'."""
    return "file:" + os.fspath(path)


def input_arguments(path: str | os.PathLike) -> list[str]:
    """ffmpeg arguments that read `path` as a plain file, and an Address from the network.

    Either can name others, as playlists do. From a file ffmpeg opens files only, from an address addresses only."""
    if isinstance(path, Address):
        return ["-protocol_whitelist", NETWORK, "-rw_timeout", str(STALLED * 10**6), "-i", path]
    return ["-protocol_whitelist", LOCAL, "-i", file_url(path)]


def ffmpeg_encoders() -> frozenset[str]:
    """The names of the encoders that the ffmpeg in use has."""
    with ffmpeg_process(["-encoders"], Path("ffmpeg"), stdout=subprocess.PIPE) as process:
        return frozenset(line.split()[1] for line in process.stdout.read().decode().splitlines() if line[:2] in
                         (" V", " A", " S") and "=" not in line)


@contextmanager
def ffmpeg_process(arguments: Sequence[str], subject: Path, **pipes) -> Iterator[subprocess.Popen]:
    """Run ffmpeg while the block runs, killing it if the block is left early.

    `pipes` go to Popen (stdin, stdout). Raises VideoError, about `subject`, if ffmpeg fails or cannot start."""
    command = [ffmpeg_executable(), "-hide_banner", "-nostdin", "-y", "-v", "error", *arguments]
    # stderr goes to a file, because an undrained pipe would block ffmpeg; its own session keeps Ctrl-C from reaching
    # it before us, so that files are closed in one order only.
    with tempfile.TemporaryFile() as log:
        process = _start(command, stdin=pipes.pop("stdin", subprocess.DEVNULL), stderr=log, **pipes)
        try:
            yield process
            if process.stdin:
                process.stdin.close()
            process.wait()
        except BrokenPipeError:
            if not process.stdin:
                raise
            with suppress(OSError):
                process.stdin.close()
            # Most likely ffmpeg gave up, and its log says why; if it did not, the broken pipe was another one.
            if process.wait() == 0:
                raise
        finally:
            process.kill()
            process.wait()
            for pipe in filter(None, (process.stdin, process.stdout)):
                with suppress(OSError):
                    pipe.close()
        words = _words(log)
        if process.returncode or any(needle in words for needle in _UNSEEN):
            raise VideoError(f"{subject}: {_reason(words)}")


def probe(path: str | os.PathLike) -> VideoInfo:
    """Read what a video holds by decoding its first two frames; `path` is a file, or an Address.

    Raises VideoError for a file that is missing, unreadable, empty, not a video, sound only, or a still image."""
    if not isinstance(path, Address):
        path = Path(path)
        _check_readable(path)
    with tempfile.TemporaryFile() as log:
        process = _start([ffmpeg_executable(), "-hide_banner", "-nostdin", *input_arguments(path), "-map", "0:V:0",
                          "-vf", "showinfo", "-frames:v", "2", "-f", "null", "-"], stdin=subprocess.DEVNULL, stderr=log)
        try:
            process.wait()
        finally:
            process.kill()
            process.wait()
        report = _words(log)
        if not re.search(r"^Input #0, ", report, re.M):
            raise VideoError(f"{path}: not a video that ffmpeg can read ({_reason(report)})")
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
    rgb = _is_rgb(pix_fmt)
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


def read_source(info: VideoInfo) -> Iterator[Frame]:
    """Frames of any video at its constant rate, as 8-bit 4:2:0 with the range of its values kept.

    Each frame has new arrays: y uint8 (info.height, info.width). Closing the generator ends ffmpeg. Raises VideoError
    if the file is damaged."""
    return _read_frames(info, ["-vf", source_filters(info)])


def read_lr(info: VideoInfo) -> Iterator[Frame]:
    """Frames of an lr video exactly as they are coded: nothing is converted, dropped or repeated.

    Each frame has new arrays: y uint8 (info.height, info.width). Closing the generator ends ffmpeg. Raises VideoError
    if the file is damaged or is not 8-bit 4:2:0."""
    if info.pix_fmt not in ("yuv420p", "yuvj420p"):
        raise VideoError(f"{info.path}: its pixels are {info.pix_fmt}, an lr video has yuv420p; give the one stdo made")
    return _read_frames(info, [])


def source_filters(info: VideoInfo) -> str:
    """The ffmpeg filters that make any source a constant-rate 8-bit 4:2:0 video with its own range and colour tags."""
    matrix = ":out_color_matrix=bt709" if _is_rgb(info.pix_fmt) else f":in_range={info.color_range}"
    return (f"fps={info.rate},scale={RESIZE}:out_range={info.color_range}{matrix}:sws_dither=none,format=yuv420p,"
            + tag_filters(info))


def tag_filters(info: VideoInfo) -> str:
    """The ffmpeg filters that state range, colours and pixel shape without touching a pixel."""
    names = {"range": info.color_range, "colorspace": info.color_space, "color_primaries": info.color_primaries,
             "color_trc": info.color_trc}
    return (f"setsar={info.sar.numerator}/{info.sar.denominator},setparams="
            + ":".join(f"{name}={value}" for name, value in names.items() if value))


def _read_frames(info: VideoInfo, filters: list[str]) -> Iterator[Frame]:
    width, height = info.width, info.height
    chroma_width, chroma_height = -(-width // 2), -(-height // 2)
    luma, chroma = width * height, chroma_width * chroma_height
    # -xerror: a frame that cannot be decoded must not silently become a copy of its neighbour.
    arguments = ["-xerror", *input_arguments(info.path), "-map", "0:V:0", *filters, "-fps_mode", "passthrough",
                 "-f", "rawvideo", "pipe:1"]
    frames = torn = 0
    with ffmpeg_process(arguments, info.path, stdout=subprocess.PIPE) as process:
        while True:
            pixels = np.empty(luma + 2 * chroma, np.uint8)
            got = process.stdout.readinto(pixels)
            if got < pixels.size:
                torn = got
                break
            y, u, v = np.split(pixels, (luma, luma + chroma))
            frames += 1
            yield Frame(y.reshape(height, width), u.reshape(chroma_height, chroma_width),
                        v.reshape(chroma_height, chroma_width))
    if torn or not frames:
        lack = "its last frame is torn" if torn else "it has no frame"
        raise VideoError(f"{info.path}: {lack}; the file is damaged, copy or download it again")


def _start(command: list[str], **pipes) -> subprocess.Popen:
    try:
        return subprocess.Popen(command, start_new_session=True, **pipes)
    except OSError as error:
        raise VideoError(f"{command[0]}: cannot run ffmpeg ({error.strerror}); check IMAGEIO_FFMPEG_EXE") from None


def _words(log: BinaryIO) -> str:
    log.seek(0)
    return log.read(1 << 20).decode(errors="replace")


def _reason(words: str) -> str:
    lines = [re.sub(r"^(\[[^]]*\] )*(file:)?", "", line.strip()) for line in words.splitlines()]
    for needle, remedy in _REMEDIES.items():
        for line in lines:
            if needle in line:
                return f"{line}; {remedy}"
    # The first complaint is the cause, those after it follow from it.
    telling = [line for line in lines if line and not line.startswith(_AFTERMATH)]
    return (telling or lines or ["ffmpeg stopped without a word"])[0]


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


def _is_rgb(pix_fmt: str) -> bool:
    return pix_fmt.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2rgb", "x2bgr"))
