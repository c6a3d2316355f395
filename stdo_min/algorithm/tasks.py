"""One segment as a task: pure functions of picklable arguments, so any process on any machine can do it.

    survey: the frames -> a pool of patches        reads the segment
    fit:    the pool -> integer nets               reads nothing
    finish: the frames, the nets -> the segment    reads it again

Each draws random numbers of its own, which follow from the seed and the number of the segment alone. So with a budget
in steps the bytes do not depend on the order, on who does it, or on how often it was interrupted.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from threadpoolctl import threadpool_limits

from stdo_min.algorithm.assign import assign
from stdo_min.algorithm.chroma_net import FRAMES, MEMORY, Gatherer, Judge, train_chroma
from stdo_min.algorithm.fitted import Fitted, General
from stdo_min.algorithm.frames import Pairs, pairs
from stdo_min.algorithm.overfit import overfit
from stdo_min.algorithm.pace import Pace, show_seconds
from stdo_min.algorithm.price import DB_PER_LOG, Price
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.sample import Sampled, capacity, sample
from stdo_min.engine.budget import TRAINING_AT_LEAST, Budget, Clock, Progress
from stdo_min.engine.pool import Pool
from stdo_min.format import patchmap, sidecar
from stdo_min.video.output import write_whole
from stdo_min.video.probe import VideoInfo
from stdo_min.video.read import misplaced, on_any_road, on_road, read_lr, read_source

SURVEY, FIT, CHROMA, CHROMA_FIT = 0, 1, 2, 3  # what random numbers are for; 4 and 5 are of rung.py
PLAIN = Fitted((), "best")  # no nets: the lr video as it is


@dataclass(frozen=True, eq=False)
class SegmentTask:
    """A segment to overfit: `frames` frames of the source from frame `first` on.

    header: gives the sizes. halo: of the nets, in net pixels. lr: the lr video, whose frame `lr_first` is the segment's
    first; None where it is a file of this segment alone. checksums: of the source's frames, uint32 (frames,), as
    `read_source` takes them, or None. lr_crc: of its lr frames, where that is known. last: whether both videos must end
    with the segment. lr_bytes: of its lr video, about.
    """

    number: int
    first: int
    frames: int
    header: sidecar.Sidecar
    halo: int
    lr: VideoInfo
    lr_first: int | None
    source: VideoInfo
    checksums: np.ndarray | None
    lr_crc: int | None
    last: bool
    recipe: Recipe
    lr_bytes: int

    @property
    def price(self) -> Price:
        """What its bytes are worth."""
        header = self.header
        return Price(self.lr_bytes, self.frames * header.hr_width * header.hr_height,
                     self.frames * header.rows * header.columns, self.recipe.db_per_log or DB_PER_LOG)

    def rng(self, purpose: int) -> np.random.Generator:
        """The random numbers of one purpose."""
        return generator(self.recipe.seed, self.number, purpose)


def generator(seed: int, *key: int) -> np.random.Generator:
    """Random numbers that follow from a seed and a key alone, whatever was drawn before for other keys."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


@dataclass(frozen=True)
class Surveyed:
    """The pool of a segment, that for its chroma, and the pace at which its frames were read."""

    sampled: Sampled
    pace: Pace
    chroma: Pool | None = None

    def save(self, file: BinaryIO) -> None:
        """Write to a file what `load` reads."""
        np.save(file, np.array(self.pace), allow_pickle=False)
        self.sampled.save(file)
        np.save(file, np.array(self.chroma is not None), allow_pickle=False)
        if self.chroma:
            for array in (self.chroma.lr, self.chroma.residual, self.chroma.weight):
                np.save(file, array, allow_pickle=False)

    @classmethod
    def load(cls, file: BinaryIO) -> Surveyed:
        """Read what `save` wrote."""
        pace = Pace(*map(float, np.load(file, allow_pickle=False)))
        sampled = Sampled.load(file)
        more = np.load(file, allow_pickle=False)
        return cls(sampled, pace, Pool(*(np.load(file, allow_pickle=False) for _ in range(3))) if more else None)


@dataclass(frozen=True)
class SegmentResult:
    """A segment of the sidecar, and its luma squared errors as shown and under the base alone.

    cost: J. shared: the same for a file with the general model's net, or None; see `Assigned`.
    """

    segment: sidecar.Segment
    error: int
    base_error: int
    cost: int = 0
    shared: SegmentResult | None = None

    def save(self, file: BinaryIO, header: sidecar.Sidecar) -> None:
        """Write to a file what `load` reads: a sidecar of this segment alone, and the errors; then what is shared."""
        alone = replace(header, segments=(replace(self.segment, first_frame=0),))
        np.save(file, np.array([self.segment.first_frame, self.error, self.base_error, self.cost,
                                self.shared is not None]), allow_pickle=False)
        np.save(file, np.frombuffer(sidecar.write(alone), np.uint8), allow_pickle=False)
        if self.shared:
            self.shared.save(file, header)

    @classmethod
    def load(cls, file: BinaryIO) -> SegmentResult:
        """Read what `save` wrote."""
        first, error, base_error, cost, more = map(int, np.load(file, allow_pickle=False))
        (segment,) = sidecar.read(np.load(file, allow_pickle=False).tobytes()).segments
        return cls(replace(segment, first_frame=first), error, base_error, cost, cls.load(file) if more else None)


def overfit_segment(task: SegmentTask, surveyed: Surveyed | Path | None, general: General, budget: Budget,
                    threads: int = 1, progress: Progress | None = None) -> SegmentResult:
    """Survey, fit and finish a segment within a budget.

    surveyed: the survey, or the file that holds it or takes it, or None.
    """
    began, part = time.monotonic(), _parts(progress, task.frames)
    if task.recipe.plain:
        return finish(task, PLAIN, threads, part("assign", 0.0, 1.0) if part else None)
    note = part("sample", 0.0, 0.1) if part else None
    if isinstance(surveyed, Path):
        survey_file(surveyed, task, threads, note)
        surveyed = load_survey(surveyed)
    surveyed = surveyed or survey(task, threads, note)
    training = (lambda stage, done, psnr: progress(stage, 0.1 + 0.7 * done, psnr)) if progress else None
    fitted = fit(task, surveyed, general, budget, threads, training, time.monotonic() - began)
    del surveyed  # or the pool would stay in memory
    return finish(task, fitted, threads, part("assign", 0.8, 0.2) if part else None)


def survey_file(path: Path, task: SegmentTask, threads: int = 1,
                progress: Callable[[int], None] | None = None) -> None:
    """Survey a segment into a file, unless the file exists."""
    if not path.exists():
        write_whole(path, survey(task, threads, progress).save)


def load_survey(path: Path) -> Surveyed:
    """The survey that `survey_file` wrote."""
    with path.open("rb") as file:
        return Surveyed.load(file)


def survey(task: SegmentTask, threads: int = 1, progress: Callable[[int], None] | None = None) -> Surveyed:
    """The pools of a segment, from one pass over its frames. progress: gets the number of frames done."""
    header, recipe, began = task.header, task.recipe, time.monotonic()
    size = capacity(recipe.memory, header.net_side, task.halo, header.net_scale)

    def on(road):
        frames, gatherer = _pairs(task, road), None
        if not recipe.as_published:  # then luma alone has what the paper says
            gatherer = Gatherer(header, task.frames, int(MEMORY * recipe.memory), task.rng(CHROMA))
            frames = gatherer.of(frames)
        sampled = sample(frames, header, task.halo, size, task.rng(SURVEY), threads, progress)
        return sampled, gatherer and gatherer.pool()

    sampled, chroma = _on_any_road(task, on)
    read = (time.monotonic() - began) / task.frames
    return Surveyed(sampled, Pace(read, show_seconds(header, recipe.channels, threads)), chroma)


def fit(task: SegmentTask, surveyed: Surveyed, general: General, budget: Budget, threads: int = 1,
        progress: Progress | None = None, used: float = 0.0) -> Fitted:
    """The nets of a segment, trained on its pool from the general model on; reads no file.

    budget: of the segment, of which `used` seconds are over; `finish` takes a part too. Training gets a tenth of it in
    any case. Of a budget in steps that for chroma comes on top.
    """
    began = time.monotonic()
    chroma = train_chroma(surveyed.chroma, task.header.net_scale, budget.less(used), task.price, task.rng(CHROMA_FIT),
                          threads)
    used += time.monotonic() - began
    least = None if budget.seconds is None else TRAINING_AT_LEAST * budget.seconds
    clock = Clock(budget.less(used), progress, least)

    def keep(nets):
        tried = 2 * nets + 1 if general.parent else nets  # those near the general model too, and its own
        judged = 2 * min(FRAMES, task.frames) * surveyed.pace.show if chroma else 0.0
        return surveyed.pace.finishing(task.frames, task.header.rows * task.header.columns, tried) + judged

    with threadpool_limits(1, "blas"):  # the sums of calibration depend on the number of threads
        fitted = overfit(surveyed.sampled, task.frames, general, task.recipe, task.price, clock, task.rng(FIT), threads,
                         keep)
    return replace(fitted, chroma=chroma)


def finish(task: SegmentTask, fitted: Fitted, threads: int = 1,
           progress: Callable[[int], None] | None = None) -> SegmentResult:
    """The segment of the sidecar: the nets that are used, which of them each patch has, and that for chroma if it pays.

    progress: gets the number of frames done.
    """
    def on(road):
        crcs, judge = _Crcs(), Judge(task.header, fitted.chroma, task.frames)
        return crcs, judge, assign(judge.of(crcs.of(_pairs(task, road))), task.header, fitted, task.price, threads,
                                   progress, task.recipe.max_mac)

    crcs, judge, assigned = _on_any_road(task, on)
    chroma = judge.paying(task.price)

    def result(assigned) -> SegmentResult:
        nets = assigned.nets
        map_data = assigned.classes.encode() if assigned.classes else patchmap.encode(assigned.labels, len(nets))
        segment = sidecar.Segment(task.first, task.frames, crcs.first, crcs.whole, nets, map_data,
                                  assigned.classes is not None, chroma)
        return SegmentResult(segment, assigned.error, assigned.base_error, assigned.cost,
                             assigned.shared and result(assigned.shared))

    return result(assigned)


def _on_any_road(task, work):
    return on_any_road(work, task.source, task.first, partial(warnings.warn, stacklevel=2))


def _pairs(task, road) -> Pairs:
    """The frames of a segment, just those that it has; otherwise VideoError, or Misplaced where a road led astray."""
    count, whole = None if task.last else task.frames, 0
    lr = read_lr(task.lr) if task.lr_first is None else read_lr(task.lr, task.lr_first, count, road)
    source = read_source(task.source, task.first, count, road, task.checksums)
    with on_road(task.source, task.first, road):
        for lr_frame, hr_frame in pairs(lr, source, str(task.source.path), task.frames, task.first):
            if task.lr_crc is not None:
                whole = sidecar.crc_of_planes(lr_frame, whole)
            yield lr_frame, hr_frame
    if task.lr_crc not in (None, whole):
        raise misplaced(task.lr, task.first)


class _Crcs:
    """The checksums by which the player knows that an lr video is the sidecar's own; see lr_first_crc in FORMAT.md."""

    def __init__(self):
        self.first, self.whole = 0, 0

    def of(self, frames: Pairs) -> Pairs:
        """The same frames; checksums are taken of those that pass."""
        for index, (lr, hr) in enumerate(frames):
            self.whole = sidecar.crc_of_planes(lr, self.whole)
            if index == 0:
                self.first = self.whole
            yield lr, hr


def _parts(progress, frames):
    """Gives progress(frames done) of a stage that takes a share of the whole from `begin` on."""
    if progress is None:
        return None
    return lambda stage, begin, share: lambda done: progress(stage, begin + share * done / frames, float("nan"))
