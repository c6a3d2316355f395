"""Playing: an lr video with its sidecar, and its frames upscaled one after the other.

This module and what it imports need NumPy, cffi and ffmpeg only.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stdo_min.format.library import Previous, StdoError, Upscaler
from stdo_min.format.sidecar import crc_of_planes
from stdo_min.video.ffmpeg import Address, VideoError
from stdo_min.video.mux import read_attachment
from stdo_min.video.probe import VideoInfo, probe
from stdo_min.video.read import Frame, read_lr

SIDECAR_LIMIT = 1 << 30
_OTHER = "it belongs to another video: name the right one with --sidecar"


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
    """The sidecar beside an lr video: .stdo, or .STDO as cameras and old disks spell it; .stdo where neither exists."""
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


def frames(video: Video, threads: int = 1) -> Iterator[Shown]:
    """The frames of a video upscaled one after the other by `threads` threads.

    All frames share their hr planes: each is written over the one before, and patches that did not change are left as
    they are. So read the planes and labels, but do not change them. Raises VideoError as soon as the lr frames prove
    not to be those the sidecar was made for: at the first frame of a segment, at its end, or where frames are missing
    or left over.
    """
    info, upscaler, _ = video
    out, previous, count, whole = None, None, -1, 0
    with closing(read_lr(info)) as coded, ThreadPoolExecutor(threads) as executor:
        for count, lr in enumerate(coded):
            if count == upscaler.frames:
                raise VideoError(f"{info.path}: has more frames than the {upscaler.frames} of its sidecar; {_OTHER}")
            number = upscaler.segment_of(count)
            segment = upscaler.segments[number]
            whole = crc_of_planes(lr, 0 if count == segment.first_frame else whole)
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
