"""What `stdo report` shows: sums by frame from one pass, three frames that are read once more, curves of training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from stdo_min.commands.eval import Judged, base_of, numbers_of
from stdo_min.commands.picture import to_rgb
from stdo_min.format import sidecar
from stdo_min.format.psnr import psnr, squared_errors
from stdo_min.player import Video, frames
from stdo_min.video.keyframes import packet_sizes
from stdo_min.video.probe import VideoInfo
from stdo_min.video.read import Frame, checksum, on_any_road, read_source

if TYPE_CHECKING:
    from stdo_min.algorithm.crew import Crew

BANDS = 300  # of the picture of the map along time
KEPT = 200  # about so many points of a training curve for each e-fold of its time: the first ones lie densest


class Course:
    """What a pass over the frames leaves for the page.

    error, base_error: squared errors of luma of each frame, int64 (frames,). pixels: of the luma of a frame. shares:
    patches of each net in each of some bands of frames, int64 (bands, 1 + nets). chroma, base_chroma: squared errors of
    U and V. sums: the checksums of the source's frames, uint32 (frames,), by which three of them are found again.
    """

    def __init__(self, video: Video):
        upscaler = video.upscaler
        self.data, self.frames, self.parsed = video.data, upscaler.frames, sidecar.read(video.data)
        self.error, self.base_error = np.zeros((2, upscaler.frames), np.int64)
        self.sums = np.zeros(upscaler.frames, np.uint32)
        self.pixels = upscaler.hr_width * upscaler.hr_height
        self.shares = np.zeros((min(upscaler.frames, BANDS), 1 + len(self.parsed.luma_nets)), np.int64)
        self.chroma, self.base_chroma = np.zeros((2, 2), np.int64)
        self._next = 0

    def add(self, seen: Judged) -> None:
        """Add the next frame."""
        at, band = self._next, self._next * len(self.shares) // self.frames
        self._next += 1
        self.error[at], self.base_error[at] = seen.error.sum(), seen.base_error.sum()
        self.sums[at] = checksum(seen.truth)
        np.add.at(self.shares[band], seen.nets.ravel(), 1)
        for sums, shown in ((self.chroma, seen.shown.hr), (self.base_chroma, seen.base)):
            sums += [_error(truth, plane) for truth, plane in zip(seen.truth[1:], shown[1:], strict=True)]

    def decibel(self, error: np.ndarray) -> np.ndarray:
        """PSNR of each frame to rank and draw; one without any error has that of a single grey level in it."""
        return psnr(np.maximum(error, 1), self.pixels)

    def decibel_of(self, number: int) -> tuple[float | None, float | None]:
        """PSNR of a frame, and that of the base there; None where there is no error."""
        return tuple(float(psnr(error[number], self.pixels)) if error[number] else None
                     for error in (self.error, self.base_error))

    @property
    def gains(self) -> np.ndarray:
        """What each frame gained, in dB."""
        return self.decibel(self.error) - self.decibel(self.base_error)

    def chosen(self) -> list[tuple[str, int]]:
        """The frames to look at and what they are called: the one that gained the least, the median, the most."""
        order = np.argsort(self.gains, kind="stable")
        return [(name, int(order[place])) for name, place in
                (("worst", 0), ("median", (len(order) - 1) // 2), ("best", -1))]


class Curve:
    """Keeps what training reports on its way, for the page.

    lines: each a stage and its points, (seconds, PSNR in dB), from where the stage begins to where another follows.
    afar: whether segments were trained in other processes, which report nothing.
    """

    def __init__(self, progress: Callable[[str, float, float], None]):
        """progress: gets everything too."""
        self.lines: list[tuple[str, list[tuple[float, float]]]] = []
        self.afar, self._progress, self._began, self._stage = False, progress, None, None

    def watching(self, crew: Callable[[int], Crew]) -> Callable[[int], Crew]:
        """What gives a crew for so many segments, so that `afar` is known."""
        def watched(segments):
            found = crew(segments)
            self.afar = not found.here
            return found

        return watched

    def note(self, stage: str, done: float, decibel: float) -> None:
        """The progress of `encode`; see engine.budget.Progress."""
        self._progress(stage, done, decibel)
        self._began = self._began or time.monotonic()
        seconds = time.monotonic() - self._began
        if math.isfinite(decibel):
            if stage != self._stage or not self.lines:
                self.lines.append((stage, []))
            points = self.lines[-1][1]
            if len(points) > 1 and points[-1][0] - points[-2][0] < seconds / KEPT:
                points.pop()  # too near the one before, but the last of a line is kept
            points.append((seconds, decibel))
        self._stage = stage


@dataclass(frozen=True)
class Look:
    """A frame to look at: its name, number and PSNR, None without any error; pictures uint8 (H, W, 3) of base, stdo and
    source; the net of each patch, and their side in pixels; and the middle (x, y) of the patch that gained the most."""

    name: str
    number: int
    psnr: float | None
    base_psnr: float | None
    pictures: tuple[np.ndarray, ...]
    nets: np.ndarray
    side: int
    place: tuple[int, int]


@dataclass(frozen=True)
class Facts:
    """All that the page says.

    name: of the video. command: the one that made the page. found: what `evaluate` returns. parts: names and bytes that
    make up the files. curve: of the training, None where it was not done now.
    """

    name: str
    command: str
    found: dict
    rate: Fraction
    sar: Fraction
    course: Course
    parts: dict[str, int]
    looks: list[Look]
    curve: Curve | None


def look(video: Video, info: VideoInfo, course: Course, name: str, number: int, threads: int = 1) -> Look:
    """Frame `number` once more, from the source `info` and as it plays. Raises VideoError where it is not to be had."""
    def truth_on(road: str) -> Frame:
        with closing(read_source(info, number, 1, road, course.sums[number:number + 1])) as found:
            return next(found)

    truth, upscaler, parsed = on_any_road(truth_on, info, number), video.upscaler, course.parsed
    with closing(frames(video, threads, number, 1)) as found:
        shown = next(found)
    none = np.zeros((upscaler.rows, upscaler.columns), np.uint8)
    base = Frame(*base_of(parsed).upscale(shown.segment, none, shown.lr))
    nets = numbers_of(parsed)[shown.segment][shown.labels]
    side = int(upscaler.patch * upscaler.scale)
    gain = (squared_errors(truth.y, base.y, side, none.shape) - squared_errors(truth.y, shown.hr.y, side, none.shape))
    row, column = divmod(int(gain.argmax()), none.shape[1])
    matrix, levels = video.info.color_space or "bt709", video.info.color_range
    return Look(name, number, *course.decibel_of(number),
                tuple(to_rgb(frame, matrix, levels) for frame in (base, shown.hr, truth)), nets, side,
                (int((column + 0.5) * side), int((row + 0.5) * side)))


def parts_of(video: Video, found: dict) -> dict[str, int]:
    """What the bytes of a video and its sidecar are spent on."""
    parsed, pictures = sidecar.read(video.data), sum(packet_sizes(video.info.path))
    luma = sum(map(parsed.bytes_of, parsed.luma_nets))
    chroma = sum(map(parsed.bytes_of, parsed.nets)) - luma
    return {"lr pictures": pictures, "nets for luma": luma, "net for chroma": chroma, "map": found["bytes_map"],
            "rest of the sidecar": found["bytes_sidecar"] - found["bytes_map"] - luma - chroma,
            "sound, container": found["bytes_lr"] - pictures}


def _error(truth: np.ndarray, plane: np.ndarray) -> int:
    return int(squared_errors(truth, plane, max(truth.shape), (1, 1))[0, 0])
