"""The frames of a stretch of an lr video and of its source, in pairs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.probe import VideoInfo
from stdo_min.video.read import Frame, read_lr, read_source

Pairs = Iterator[tuple[Frame, Frame]]  # an lr frame and its source


def frame_pairs(lr_info: VideoInfo, info: VideoInfo) -> Pairs:
    """The frames of a whole lr video and its source; raises as `pairs` does."""
    return pairs(read_lr(lr_info), read_source(info), str(info.path))


def pairs(coded: Iterator[Frame], original: Iterator[Frame], name: str, count: int | None = None,
          first: int = 0) -> Pairs:
    """The frames of two readers in step; both are closed at the end.

    name: of the source, and first: the number of their first frame, for the error. Raises VideoError where one of them
    has more frames than the other, or they have not `count`.
    """
    with closing(coded), closing(original):
        number = 0
        for number, lr in enumerate(coded, 1):
            hr = next(original, None)
            if hr is None:
                raise _miscount(name, f"ends after {first + number - 1} frames, before")
            yield lr, hr
        if next(original, None) is not None:
            raise _miscount(name, f"goes on after frame {first + number}, the last of")
        if count is not None and number != count:
            raise VideoError(f"{name}: {number} frames came where {count} were expected; was it changed meanwhile?")


def _miscount(name, what):
    return VideoError(f"{name}: {what} its lr video; both must show the same frames at one constant rate: make the lr "
                      "video with stdo encode, or remake the source with ffmpeg -fps_mode cfr")
