"""Playing: an lr video with its sidecar, and its frames upscaled one after the other.

This module and what it imports need NumPy, cffi and ffmpeg only.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stdo_min.format.library import Previous, SegmentInfo, StdoError, Upscaler
from stdo_min.format.sidecar import crc_of_planes
from stdo_min.video.ffmpeg import Address, VideoError
from stdo_min.video.mux import read_attachment
from stdo_min.video.probe import VideoInfo, probe
from stdo_min.video.read import Frame, read_lr
from stdo_min.video.stretch import ROADS

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


def frames(video: Video, threads: int = 1, first: int = 0, count: int | None = None) -> Iterator[Shown]:
    """Frames first..first+count-1 of a video, or all from `first` on, upscaled in turn by `threads` threads.

    All frames share their hr planes: each is written over the one before, and patches that did not change are left as
    they are. So read the planes and labels, but do not change them. Raises VideoError as soon as the lr frames prove
    not to be those the sidecar was made for: before the first of them comes, at the first frame of a segment, at the
    end of a segment that was played from its first frame, or where frames are missing or left over. Raises ValueError
    for frames that the sidecar does not have. Warns where the lr video must be decoded from its start.
    """
    info, upscaler, _ = video
    end = upscaler.frames if count is None else first + count
    if not 0 <= first < end <= upscaler.frames:
        raise ValueError(f"frames are {first}..{end - 1}; they must be within 0..{upscaler.frames - 1}")
    out, previous, at = None, None, first - 1
    checks = _Checks(video)
    with ThreadPoolExecutor(threads) as executor, closing(_coded(video, first, count)) as coded:
        for at, lr in enumerate(coded, first):
            if at == end:
                raise VideoError(f"{info.path}: has more frames than the {upscaler.frames} of its sidecar; {_OTHER}")
            number = checks.segment(at, lr)
            labels = upscaler.labels(at, lr.y)
            out = upscaler.upscale(number, labels, lr, out, executor, threads, previous)
            previous = Previous(number, labels, lr)
            yield Shown(lr, labels, number, Frame(*out))
    if at + 1 != end:
        raise VideoError(f"{info.path}: ends after {at + 1} of the {upscaler.frames} frames of its sidecar; "
                         "copy it again, or name the right sidecar with --sidecar")


class _Checks:
    """The checksums of a sidecar against lr frames as they come, in order from any frame on."""

    def __init__(self, video: Video):
        self._video, self._whole = video, None  # the crc of a segment so far, if all its frames came

    def segment(self, at: int, lr: Frame) -> int:
        """The segment of frame `at`. Raises VideoError where its planes prove not to be the sidecar's."""
        upscaler = self._video.upscaler
        number = upscaler.segment_of(at)
        segment = upscaler.segments[number]
        begins, ends = at == segment.first_frame, at + 1 == segment.first_frame + segment.frames
        if begins or self._whole is not None:
            self._whole = crc_of_planes(lr, 0 if begins else self._whole)
            if (begins and self._whole != segment.lr_first_crc) or (ends and self._whole != segment.lr_crc):
                raise _not_its_own(self._video, at)
        return number


def _not_its_own(video: Video, at: int) -> VideoError:
    return VideoError(f"{video.info.path}: its pictures up to frame {at} are not those the sidecar was made for; "
                      f"{_OTHER}")


# ---- From the middle ----


def _coded(video: Video, first: int, count: int | None) -> Iterator[Frame]:
    """The lr frames of a stretch, by the fastest of ROADS on which they prove to be the sidecar's."""
    info = video.info
    if first == 0:
        yield from read_lr(info, 0, count)
        return
    for road in ROADS[:-1]:
        with closing(read_lr(info, first, count, road)) as coded:
            if (lr := _proven(video, first, road, coded)) is not None:
                yield lr
                yield from coded
                return
    # Another video is told by its first frame, which takes no time, in place of hours of decoding.
    if _crc_of(info, 0, ROADS[-1]) != video.upscaler.segments[0].lr_first_crc:
        raise _not_its_own(video, 0)
    warnings.warn(f"{info.path}: cannot be entered in the middle, so it is decoded from its start", stacklevel=2)
    begin = _segment(video, first).first_frame
    with closing(read_lr(info, begin, None if count is None else first + count - begin)) as coded:
        for at, lr in enumerate(coded, begin):
            if at == begin and crc_of_planes(lr) != _segment(video, first).lr_first_crc:
                raise _not_its_own(video, at)
            if at >= first:
                yield lr


def _proven(video: Video, first: int, road: str, coded: Iterator[Frame]) -> Frame | None:
    """The first of the coded frames if it proves to be frame `first` of the sidecar's video, else None."""
    info, segment = video.info, _segment(video, first)
    if first == segment.first_frame:
        lr = _next(coded)
        return lr if lr is not None and crc_of_planes(lr) == segment.lr_first_crc else None
    # In the middle of a segment no checksum tells. But its first frame, found by its time in the same way, does: then
    # times and numbers agree here. Where a decoder skips pictures after a seek, nothing comes in the time of `first`
    # alone, so what came was not it.
    with ThreadPoolExecutor(3) as pool:  # all at once, which takes as long as the slowest
        lr, begins, found = (task.result() for task in (
            pool.submit(_next, coded), pool.submit(_crc_of, info, segment.first_frame, road),
            pool.submit(_crc_of, info, first, road)))
    return lr if lr is not None and begins == segment.lr_first_crc and found == crc_of_planes(lr) else None


def _segment(video: Video, frame: int) -> SegmentInfo:
    return video.upscaler.segments[video.upscaler.segment_of(frame)]


def _crc_of(info: VideoInfo, frame: int, road: str) -> int | None:
    """The checksum of one lr frame, None where it cannot be had on this road."""
    with closing(read_lr(info, frame, 1, road)) as coded:
        lr = _next(coded)
    return None if lr is None else crc_of_planes(lr)


def _next(coded: Iterator[Frame]) -> Frame | None:
    try:
        return next(coded, None)
    except VideoError:  # no frame there, or none that can be decoded: another road may lead to it
        return None


# ---- The sidecar ----


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
