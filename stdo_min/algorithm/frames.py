"""The frames of an lr video and its source in pairs; passes over the pairs; the pairs of one segment.

Frames are passed over a few times and never kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from stdo_min.engine.budget import Clock
from stdo_min.format.sidecar import Sidecar
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.probe import VideoInfo
from stdo_min.video.read import Frame, read_lr, read_source

Pairs = Iterator[tuple[Frame, Frame]]  # an lr frame and its source, of lr size times scale


def frame_pairs(lr_info: VideoInfo, info: VideoInfo, scale: int) -> Pairs:
    """The frames of an lr video and its source in step, the source's luma padded by its edge to lr size times scale.

    Raises VideoError where one of them has more frames than the other.
    """
    pad = (0, lr_info.height * scale - info.height), (0, lr_info.width * scale - info.width)
    with closing(read_lr(lr_info)) as coded, closing(read_source(info)) as original:
        for number, lr in enumerate(coded):
            hr = next(original, None)
            if hr is None:
                raise _miscount(info, lr_info, f"ends after {number} frames, before the lr video")
            yield lr, (hr._replace(y=np.pad(hr.y, pad, "edge")) if any(map(any, pad)) else hr)
        if next(original, None) is not None:
            raise _miscount(info, lr_info, f"has more frames than the {number + 1} of the lr video")


def _miscount(info, lr_info, what):
    return VideoError(f"{info.path}: {what} {lr_info.path}; both must show the same frames at one constant rate: "
                      "make the lr video with stdo encode, or remake the source with ffmpeg -fps_mode cfr")


class Passes:
    """Passes over the frames of a video, segment by segment.

    A pass stays open from segment to segment, so it decodes no frame twice. It is opened when it is first asked for.
    """

    def __init__(self, open_pass: Callable[[], Pairs]):
        self._open_pass, self._opened = open_pass, []

    def over(self, first: int, length: int | None) -> Iterator[Pairs]:
        """One iterator a pass, over the pairs of `length` frames from frame `first` on, or of all that are left."""
        for number in count():
            if number == len(self._opened):
                self._opened.append([0, self._open_pass()])
            at, left = self._opened[number]
            for _ in islice(left, first - at):
                pass  # an earlier segment did without this pass
            self._opened[number][0] = first + (length or 0)
            yield left if length is None else islice(left, length)


@dataclass(frozen=True)
class Frames:
    """The frames of one segment, `count` of them.

    header: gives the sizes; its segments are not read. passes: each item is one more pass over the segment's pairs.
    """

    header: Sidecar
    count: int
    passes: Iterator[Pairs]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows and columns of patches."""
        return self.count, self.header.rows, self.header.columns

    @property
    def side(self) -> int:
        """The side of a patch in hr pixels."""
        return self.header.patch * self.header.scale

    def over(self, stage: str, clock: Clock) -> Pairs:
        """The pairs of one more pass, told to the clock as progress of a stage.

        Raises ValueError where their number is not `count`.
        """
        index = -1
        for index, pair in enumerate(next(self.passes)):
            if index == self.count:
                raise ValueError(f"more than the {self.count} frames expected came")
            yield pair
            clock.say(stage)
        if index + 1 != self.count:
            raise ValueError(f"{index + 1} frames came where {self.count} were expected")
