"""A whole video, segment by segment: from its frames to the bytes of its sidecar."""

from __future__ import annotations

from concurrent.futures import Executor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from threadpoolctl import threadpool_limits

from stdo_min.algorithm.frames import Frames, Passes, frame_pairs
from stdo_min.algorithm.overfit import overfit
from stdo_min.algorithm.recipe import Recipe
from stdo_min.engine.budget import TRAINING_AT_LEAST, Budget, Clock, Progress
from stdo_min.engine.net import Net
from stdo_min.format import patchmap, sidecar
from stdo_min.format.psnr import psnr
from stdo_min.video.probe import VideoInfo

SEGMENT_SECONDS = 60
SEGMENT_PATCHES = 1 << 20  # in all its frames; a score and a label of each are kept in memory


@dataclass(frozen=True)
class Made:
    """A sidecar's bytes, and what it is worth: frames, nets, luma PSNR in dB as played and of the base alone."""

    data: bytes
    frames: int
    nets: int
    psnr_y: float
    psnr_bicubic_y: float


def overfit_video(lr_info: VideoInfo, info: VideoInfo, frames: int, scale: int, siting: int, recipe: Recipe,
                 general: Net | None = None, executor: Executor | None = None,
                 progress: Progress | None = None) -> Made:
    """Overfit every segment of an lr video to its source, in turn.

    frames: of the lr video. siting: the header's chroma field. general, executor: as in `overfit`. progress: over the
    whole video. Raises VideoError where the two videos do not show the same frames.
    """
    rng = np.random.default_rng(recipe.seed)
    header = sidecar.Sidecar(
        scale=scale, mode=0, patch=recipe.patch, chroma=siting, lr_width=lr_info.width,
        lr_height=lr_info.height, hr_width=info.width, hr_height=info.height, segments=())
    lengths = segment_lengths(frames, lr_info.rate, header.rows * header.columns)
    budgets = recipe.budget.split([length / frames for length in lengths])
    segments, errors, first, whole = [], np.zeros(2, np.int64), 0, Clock(recipe.budget)
    with ExitStack() as readers:
        # One thread: the sums of calibration depend on their number.
        readers.enter_context(threadpool_limits(1, "blas"))
        passes = Passes(lambda: readers.enter_context(closing(frame_pairs(lr_info, info, scale))))
        for length, budget in zip(lengths, budgets, strict=True):
            least = None
            if budget.seconds is not None:  # what a segment overran or saved is shared by those after it
                least = TRAINING_AT_LEAST * budget.seconds
                budget = Budget(seconds=max(0.0, recipe.budget.seconds - whole.elapsed()) * length / (frames - first))
            crcs = _Crcs()
            # The last segment takes all that is left, so that its first pass notices surplus frames.
            pairs = crcs.of_first(passes.over(first, None if first + length == frames else length))
            clock = Clock(budget, _part(progress, first / frames, length / frames), least)
            made = overfit(Frames(header, length, pairs), recipe, clock, rng, general, executor)
            # Only the sums are kept: nothing in memory but the sidecar grows with the video.
            errors += made.errors.sum(), made.base_errors.sum()
            segments.append(sidecar.Segment(first, length, crcs.first, crcs.whole, made.nets,
                                            patchmap.encode(made.labels, len(made.nets))))
            first += length
    data = sidecar.write(replace(header, mode=_mode_number(recipe.mode, segments), segments=tuple(segments)))
    pixels = frames * info.width * info.height
    return Made(data, frames, sum(len(segment.nets) for segment in segments),
                *(float(psnr(error, pixels)) for error in errors))


def segment_lengths(frames: int, rate: Fraction, patches: int) -> list[int]:
    """The frames of each segment: nearly equal parts of at most a minute and SEGMENT_PATCHES patches.

    frames: of the video; rate: frames per second; patches: of one frame.
    """
    most = max(1, min(round(SEGMENT_SECONDS * rate), SEGMENT_PATCHES // patches, sidecar.MAX_SEGMENT_FRAMES))
    count = -(-frames // most)
    return [frames * (index + 1) // count - frames * index // count for index in range(count)]


def _mode_number(mode, segments) -> int:
    """The header's mode field; for mode auto it says what was chosen."""
    if mode == "auto":
        mode = "stdo" if any(len(segment.nets) > 1 for segment in segments) else "single"
    return next(number for number, name in sidecar.MODE_NAMES.items() if name == mode)


class _Crcs:
    """The checksums by which the player knows that an lr video is the sidecar's own; see lr_first_crc in FORMAT.md."""

    def __init__(self):
        self.first, self.whole = 0, 0

    def of_first(self, passes):
        """The same passes; checksums are taken while the first one is read."""
        yield self._taken(next(passes))
        yield from passes

    def _taken(self, pairs):
        for index, (lr, hr) in enumerate(pairs):
            self.whole = sidecar.crc_of_planes(lr, self.whole)
            if index == 0:
                self.first = self.whole
            yield lr, hr


def _part(progress, begin, share):
    if progress is None:
        return None
    return lambda stage, done, psnr: progress(stage, begin + share * done, psnr)
