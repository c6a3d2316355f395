"""Playing: the frames of an lr video upscaled by its sidecar, into a file, a pipe or a player.

This module and what it imports need NumPy, cffi and ffmpeg only.
"""

from __future__ import annotations

import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from stdo_min.format.library import Previous, StdoError, Upscaler
from stdo_min.video.ffmpeg import LOCAL, Address, VideoError
from stdo_min.video.mux import CONTAINERS, ending, read_attachment
from stdo_min.video.output import output_file
from stdo_min.video.probe import VideoInfo, probe
from stdo_min.video.read import Frame, read_lr
from stdo_min.video.write import Writer, Y4MWriter

PLAYERS = {"mpv": ["mpv", "--really-quiet", "-"], "ffplay": ["ffplay", "-loglevel", "error", "-autoexit", "-"]}
SIDECAR_LIMIT = 1 << 30


class Shown(NamedTuple):
    """One frame as it is played: the decoded lr frame, its labels uint8 (rows, columns), its segment, the hr frame."""

    lr: Frame
    labels: np.ndarray
    segment: int
    hr: Frame


class Video(NamedTuple):
    """An lr video with its sidecar; data are the bytes of the sidecar."""

    info: VideoInfo
    upscaler: Upscaler
    data: bytes


def open_video(path: Path | Address, sidecar: Path | None = None) -> Video:
    """Open an lr video and its sidecar: the one named, or the one attached to it, or the one beside it (.stdo).

    Raises VideoError where there is none, or it is damaged, or it belongs to a video of another size.
    """
    info = probe(path)
    beside = _beside(Path(path))
    if sidecar is not None:
        data, name = read_sidecar(sidecar), sidecar
    elif (data := read_attachment(info, SIDECAR_LIMIT)) is not None:
        name = f"{path} (its attachment)"
    elif beside.exists():
        data, name = read_sidecar(beside), beside
    else:
        raise VideoError(f"{path}: no sidecar in it and no {beside.name} beside it; name one with --sidecar, "
                         "or make one with stdo encode")
    upscaler = open_sidecar(data, name)
    if (info.width, info.height) != (upscaler.lr_width, upscaler.lr_height):
        raise VideoError(f"{name}: made for an lr video of {upscaler.lr_width}x{upscaler.lr_height}, {path} has "
                         f"{info.width}x{info.height}; {_OTHER}")
    return Video(info, upscaler, data)


def _beside(path: Path) -> Path:
    """The sidecar beside an lr video, .stdo or .STDO as cameras and old disks spell it; .stdo where there is none."""
    names = path.with_suffix(".stdo"), path.with_suffix(".STDO")
    return next((name for name in names if name.exists()), names[0])


def open_sidecar(data: bytes, name: str | Path) -> Upscaler:
    """The upscaler of a sidecar's bytes. Raises VideoError, about `name`, for what is no valid sidecar."""
    try:
        upscaler = Upscaler(data)
    except StdoError as error:
        if error.status == "STDO_ERROR_TIER":
            raise VideoError(str(error)) from None
        newer = error.status == "STDO_ERROR_VERSION"
        raise VideoError(f"{name}: {error}; {'update stdo' if newer else 'copy or make it again'}") from None
    if upscaler.colour:
        raise VideoError(f"{name}: its nets are for RGB frames, which no video here has; use one that stdo encode made")
    return upscaler


_OTHER = "it belongs to another video: name the right one with --sidecar"


def frames(video: Video, threads: int = 1) -> Iterator[Shown]:
    """The frames of a video upscaled one after the other by `threads` threads.

    The hr planes of a frame are written over by the next one, which keeps what did not change: read them, and the lr
    planes and labels, but do not change them. Raises VideoError as soon as the lr frames prove not to
    be those the sidecar was made for: at the first frame of a segment, at its end, or where frames are missing or
    left over.
    """
    info, upscaler, _ = video
    out, previous, count, whole = None, None, -1, 0
    with closing(read_lr(info)) as coded, ThreadPoolExecutor(threads) as executor:
        for count, lr in enumerate(coded):
            if count == upscaler.frames:
                raise VideoError(f"{info.path}: has more frames than the {upscaler.frames} of its sidecar; {_OTHER}")
            number = upscaler.segment_of(count)
            segment = upscaler.segments[number]
            whole = _crc(lr, 0 if count == segment.first_frame else whole)
            last = count + 1 == segment.first_frame + segment.frames
            if (count == segment.first_frame and whole != segment.lr_first_crc) or (last and whole != segment.lr_crc):
                raise VideoError(f"{info.path}: its pictures up to frame {count} are not those the sidecar was made "
                                 f"for; {_OTHER}")
            labels = upscaler.labels(count)
            out = upscaler.upscale(number, labels, lr, out, executor, threads, previous)
            previous = Previous(number, labels, lr)
            yield Shown(lr, labels, number, Frame(*out))
    if count + 1 != upscaler.frames:
        raise VideoError(f"{info.path}: ends after {count + 1} of the {upscaler.frames} frames of its sidecar; "
                         "copy it again, or name the right sidecar with --sidecar")


def decode(video: Video, out: Path, *, crf: int = 16, threads: int = 1, force: bool = False,
           progress: Callable[[int, int], None] | None = None) -> int:
    """Write the upscaled video to a file and return its frame count.

    .mp4 and .mkv are H.264 with the sound, subtitles and chapters of the lr video; .y4m is the plain frames. progress
    gets (frames done, frames). Nothing is left behind on failure. Raises VideoError.
    """
    info, upscaler, _ = video
    if ending(out) not in (".y4m", *CONTAINERS):
        raise VideoError(f"{out}: cannot write {out.suffix or 'a file without ending'}; use .mp4, .mkv or .y4m")
    size = upscaler.hr_width, upscaler.hr_height
    with output_file(out, force, [info.path]) as final:
        if ending(out) == ".y4m":
            with final.open("wb") as file:
                return _write_all(video, Y4MWriter(file, info, *size, chroma=_siting(upscaler)), threads, progress)
        with Writer(final, info, *size, crf=crf) as writer:
            return _write_all(video, writer, threads, progress)


def pipe(video: Video, file: BinaryIO, threads: int = 1) -> int:
    """Write the upscaled video as YUV4MPEG2 to a file object and return its frame count.

    Raises VideoError, and BrokenPipeError when nobody reads any more.
    """
    size = video.upscaler.hr_width, video.upscaler.hr_height
    return _write_all(video, Y4MWriter(file, video.info, *size, chroma=_siting(video.upscaler)), threads, None)


def play(video: Video, player: str | None = None, threads: int = 1) -> None:
    """Show the upscaled video in mpv or ffplay, with sound where mpv plays; returns when the player is closed.

    Raises VideoError if the player is not installed or fails.
    """
    wanted = [player] if player else list(PLAYERS)
    found = next((name for name in wanted if shutil.which(name)), None)
    if found is None:
        raise VideoError(f"{' and '.join(wanted)} not found; install one (apt install mpv, Termux: pkg install mpv) "
                         "or use stdo decode")
    command = list(PLAYERS[found])
    if found == "mpv" and video.info.has_audio:
        path = video.info.path
        if isinstance(path, Address):
            command.insert(-1, f"--audio-file={path}")
        else:  # what it names must not be fetched: see video.input_arguments
            command[-1:-1] = [f"--audio-file={path.absolute()}", f"--demuxer-lavf-o-append=protocol_whitelist={LOCAL}",
                              "--audio-demuxer=lavf", "--ytdl=no", "--load-unsafe-playlists=no"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        pipe(video, process.stdin, threads)
        process.stdin.close()
    except BrokenPipeError:  # the user closed the player's window
        pass
    except BaseException:
        process.kill()
        raise
    finally:
        code = process.wait()
    if code:
        raise VideoError(f"{found}: stopped with exit code {code}; is there a display? If not, use stdo decode")


def _write_all(video, writer, threads, progress):
    with closing(frames(video, threads)) as shown:
        for count, frame in enumerate(shown, 1):
            writer.write(frame.hr)
            if progress:
                progress(count, video.upscaler.frames)
    return video.upscaler.frames


def _siting(upscaler):
    return "left" if upscaler.chroma else "centre"


def _crc(lr, crc):
    for plane in lr:
        crc = zlib.crc32(plane, crc)
    return crc


def read_sidecar(path: Path) -> bytes:
    """The bytes of a sidecar file. Raises VideoError if it cannot be read."""
    try:
        if path.exists() and not path.is_file():
            raise VideoError(f"{path}: not a regular file, so not a sidecar; name a .stdo file")
        with path.open("rb") as file:
            data = file.read(SIDECAR_LIMIT + 1)
        if len(data) > SIDECAR_LIMIT:
            raise VideoError(f"{path}: larger than {SIDECAR_LIMIT >> 20} MiB, so not a sidecar; name a .stdo file")
        return data
    except OSError as error:
        raise VideoError(f"{path}: {error.strerror}; name the sidecar with --sidecar") from None
