"""One segment of a video, from its frames to its nets and map (sections 3.1 to 3.3 of the paper, arXiv 2303.08331).

    sample -> warm-up -> score -> chunk -> gather -> part -> refine -> quantise -> assign

The frames are passed over a few times and never kept: what stays in memory is a pool of patches of bounded size, and
one number a patch and frame.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from stdo_min.algorithm import chunk as chunking
from stdo_min.algorithm import refine as refinement
from stdo_min.algorithm import score as scoring
from stdo_min.algorithm.chunk import MOST_CHUNKS
from stdo_min.algorithm.refine import Chunks
from stdo_min.algorithm.sample import capacity, choose, gather, sampling
from stdo_min.engine import nets
from stdo_min.engine.budget import Clock, Effort, Progress
from stdo_min.engine.pool import Pool
from stdo_min.engine.quantise import quantize
from stdo_min.engine.train import PEAK_RATE, train
from stdo_min.format import patchmap, sidecar
from stdo_min.format.library import Upscaler
from stdo_min.format.psnr import patch_pixels, psnr
from stdo_min.video.read import Frame

MODES = (
    "auto",  # as many nets as short probes find best, refined
    "single",  # one net, all patches drawn alike (awDNN)
    "time",  # one net for each part of the time (NAS)
    "stdo",  # one net a chunk of scores, cut by k-means, as the paper says
    "stdo-quantile",  # the same, cut at equal counts, as the paper's released code has it
    "jstdo",  # one net, patches drawn by what their chunk has to teach
)
# Shares of the effort. Chunk nets start from the general model, so what it learns is learned for all of them.
WARM_UP, WARM_UP_REFINED, WARM_UP_JSTDO = 0.45, 0.2, 0.1  # of chunks as published, refined, and of one net for all
TIME_CHUNKS = 4
# Before refinement a short run at a low learning rate parts the nets: its share of the effort, rounds, and peak rate.
PARTING, PARTING_ROUNDS, PARTING_RATE = 0.03, 8, 2e-3
# Mode auto: the numbers of nets it parts, the patches it compares them on, and the dB that each doubling must gain.
COUNTS, JUDGED, DOUBLING = (1, 2, 4, 8), 2048, 0.01
CALIBRATION_PIXELS = 400_000  # lr, halo included: 512 patches of 20x20 with a halo of 4
Pairs = Iterator[tuple[Frame, Frame]]  # lr frame and hr frame of the padded size, in step


@dataclass(frozen=True)
class Overfitted:
    """What became of one segment: its nets and labels uint8 (frames, rows, columns), and squared errors of its luma.

    errors and base_errors: int64 (frames, rows, columns), sums over the hr pixels of each patch, as shown and under
    the base alone.
    """

    nets: tuple[sidecar.Net, ...]
    labels: np.ndarray
    errors: np.ndarray
    base_errors: np.ndarray


def overfit(header: sidecar.Sidecar, frames: int, passes: Iterator[Pairs], *, mode: str, chunks: int | None,
            refine: int, channels: tuple[int, ...], effort: Effort, memory: int, rng: np.random.Generator, threads: int,
            general: nets.Net | None = None, executor: Executor | None = None,
            progress: Progress | None = None) -> Overfitted:
    """Train the nets of one segment and give each patch its net.

    header: sizes, scale and patch (its segments are not read). frames: length of the segment. passes: gives, each
    time it is asked, an iterator over the segment's frame pairs; it is asked at most four times, in order. mode: one
    of MODES. chunks: how many, in mode auto at most; or None to choose: by the scores, in mode time TIME_CHUNKS, in
    auto by trying. refine: how often patches move to the net that serves them best while the nets train; 0 leaves the
    mode as published (single and jstdo have but one net). effort: the whole time, passes included; training takes at
    least a tenth of it. memory: bytes for patches. general: a net trained elsewhere that scores and starts the others.
    executor: where the chunks of a published mode are trained side by side, with `threads` workers; by default here, in
    turn; refinement is one training on `threads` threads. Raises ValueError for an unknown mode and for a general net
    of another scale.
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; it must be one of {', '.join(MODES)}")
    if general and general.scale != header.scale:
        raise ValueError(f"the general net is for scale {general.scale}, the video has scale {header.scale}")
    segment = _Segment(header, frames, passes, memory, rng, threads, executor, Clock(effort, progress))
    start = general or nets.create(channels, header.scale, rng)
    # Nets that the last pass shows every frame with; published modes show each patch with its own.
    most = {"single": 1, "jstdo": 1, "auto": min(chunks or COUNTS[-1], COUNTS[-1])}.get(mode, chunks or MOST_CHUNKS)
    pool = segment.sample(start.halo, most if refine else 1)
    if mode == "single":
        return segment.one_net(start, pool)
    if not general:
        drawn = pool.weighing(sampling(pool.base_errors())) if refine or mode == "jstdo" else pool
        share = WARM_UP_JSTDO if mode == "jstdo" else WARM_UP_REFINED if refine else WARM_UP
        start = segment.train("warm-up", start, drawn, share)
    if mode == "time":
        count = min(chunks or TIME_CHUNKS, frames)
        of_frame = (np.arange(frames) * count // frames).astype(np.uint8)
        labels = np.zeros(segment.shape, np.uint8) + of_frame[:, None, None]
        error = pool.base_errors()
    else:
        errors, scores = segment.score(start, pool, most if refine else 1)
        labels = None if mode == "auto" else _chunks(scores, chunks, mode)
        if not segment.kept.all():
            del pool  # memory is for one
            pool = segment.gather(errors, start.halo)
        error = errors[segment.kept]
    if mode == "jstdo":
        drawn = chunking.informative(labels, errors)[segment.kept] / segment.probability
        return segment.one_net(start, pool.weighing(drawn))
    if mode == "auto":
        return segment.auto(start, pool, scores, error, chunks, refine)
    return segment.chunk_nets(start, pool, labels, error, refine)


@dataclass
class _Segment:
    """What the stages of one segment share; `kept` and `probability` say which patches the pool holds."""

    header: sidecar.Sidecar
    frames: int
    passes: Iterator[Pairs]
    memory: int
    rng: np.random.Generator
    threads: int
    executor: Executor | None
    clock: Clock

    @property
    def shape(self):
        return self.frames, self.header.rows, self.header.columns

    def train(self, stage, net, pool, share):
        """A net trained with a share of what is left."""
        return self._train(stage, net, pool, self.clock.left(share), self.rng)

    def _train(self, stage, net, pool, effort, rng):
        return train(net, pool, effort, rng, threads=self.threads, progress=self.clock.counting(stage, effort))

    def sample(self, halo, most) -> Pool:
        """A pool of patches from everywhere; all of them where memory allows. most: as in `score`."""
        began = self.clock.elapsed()
        pool = self._pool(np.ones(self.shape), halo, "sample")
        # Until the score pass knows better, which mode time has not: to show a net takes less than half of decoding.
        self.clock.reserve = (1 + most / 2) * (self.clock.elapsed() - began)
        return pool

    def gather(self, errors, halo) -> Pool:
        """A pool of the patches that have most error."""
        return self._pool(errors, halo, "gather")

    def _pool(self, errors, halo, stage):
        size = capacity(self.memory, self.header.patch, halo, self.header.scale)
        self.kept, probability = choose(errors, size, self.rng)
        self.probability = probability[self.kept]
        luma = ((lr.y, hr.y) for lr, hr in self._pass(stage))
        return gather(luma, self.kept, self.header.patch, halo, self.header.scale)

    def score(self, general, pool, most):
        """The mean squared error of every patch under the general model, and its score, as float64 of `shape`.

        most: of the nets that may come of it; time is kept back to show the video with each of them.
        """
        began = self.clock.elapsed()
        ones = np.ones((1, *self.shape[1:]), np.uint8)
        (errors,) = self._errors([_quantized(general, pool)], [ones], "score")
        # The last pass does the same for every net and the base.
        self.clock.reserve = 1.1 * (self.clock.elapsed() - began + most * self.seconds_each)
        counts = _counts(self.header)
        return errors / np.maximum(counts, 1), scoring.scores(errors, counts)

    def one_net(self, start, pool) -> Overfitted:
        """One net for all patches: no choice, and so no map; and no net where the base alone is as good."""
        net = _quantized(self.train("train", start, pool, 1.0), pool)
        ones = np.ones(self.shape, np.uint8)
        base_errors, errors = self._errors([net], [0 * ones[:1], ones[:1]], "assign")
        if errors.sum() < base_errors.sum():
            return Overfitted((net,), ones, errors, base_errors)
        return Overfitted((), 0 * ones, base_errors, base_errors)

    def chunk_nets(self, general, pool, labels, error, rounds) -> Overfitted:
        """One net a chunk; with `rounds`, patches move to the net that serves them best while the nets train."""
        chunks = self._chunks(general, labels, error)
        if rounds:
            base_errors = pool.base_errors()
            chunks = self._parted(chunks, pool, base_errors)
            return self._assign(self._refined(chunks, pool, base_errors, rounds, self.clock.left(1.0)), pool)
        return self._assign(replace(chunks, nets=self._train_alike(chunks, pool)), pool, labels + np.uint8(1))

    def auto(self, general, pool, scores, error, most, rounds) -> Overfitted:
        """The number of nets, at most `most`, that has least error after a short training, refined."""
        flat, base_errors, best = scores.ravel(), pool.base_errors(), -np.inf
        judged = np.sort(self.rng.permutation(len(pool))[:JUDGED])
        for count in [count for count in COUNTS if count <= min(most or COUNTS[-1], len(np.unique(flat)))]:
            chunks = self._chunks(general, chunking.kmeans(flat, count)[0].reshape(self.shape), error)
            chunks = self._parted(chunks, pool, base_errors)
            found = refinement.least_errors(chunks.nets, pool, base_errors, judged, self.threads)
            found = np.average(found, weights=1 / self.probability[judged])
            worth = psnr(max(found, 1e-9), 1) - DOUBLING * np.log2(count)
            if worth > best:
                best, chosen = worth, chunks
        return self._assign(self._refined(chosen, pool, base_errors, rounds, self.clock.left(1.0)), pool)

    def _chunks(self, general, labels, error) -> Chunks:
        """The chunks of the pool's patches, each with the general model for a net."""
        return Chunks((general,) * (int(labels.max()) + 1), labels[self.kept].astype(int) + 1, error)

    def _parted(self, chunks, pool, base_errors) -> Chunks:
        """Nets that have begun to differ: at the usual rate, equal nets of one chunk or another long stay alike."""
        effort = self.clock.effort.times(PARTING)
        return self._refined(chunks, pool, base_errors, PARTING_ROUNDS, effort, PARTING_RATE)

    def _refined(self, chunks, pool, base_errors, rounds, effort, peak=PEAK_RATE) -> Chunks:
        return refinement.refine(chunks, pool, base_errors, self.probability, rounds, effort, self.rng, peak,
                                 self.threads, self.clock.counting("train", effort))

    def _assign(self, chunks, pool, labels=None) -> Overfitted:
        """Integer nets, each patch of every frame to the best of them and the base, or of its label's and the base."""
        pools = [pool.weighing((chunks.member == number).astype(float)) for number in range(1, len(chunks.nets) + 1)]
        integer = [_quantized(net, part if part.weight.any() else pool)
                   for net, part in zip(chunks.nets, pools, strict=True)]
        none = np.zeros((1, *self.shape[1:]), np.uint8)
        competing = [none, labels] if labels is not None else [none + np.uint8(n) for n in range(len(integer) + 1)]
        found = self._errors(integer, competing, "assign")
        best = np.argmin(found, axis=0)
        shown = (best if labels is None else best * labels).astype(np.uint8)
        used = [index for index in range(len(integer)) if np.any(shown == index + 1)]
        renumbered = np.zeros(len(integer) + 1, np.uint8)
        renumbered[[index + 1 for index in used]] = np.arange(1, len(used) + 1)
        return Overfitted(tuple(integer[index] for index in used), renumbered[shown], found.min(axis=0), found[0])

    def _train_alike(self, chunks, pool):
        """The nets of chunks, all for as long, each on its members drawn alike; side by side on an executor."""
        count = len(chunks.nets)
        effort = self.clock.left(1.0)
        pools = [pool.weighing((chunks.member == number) / self.probability) for number in range(1, count + 1)]
        tasks = list(zip(chunks.nets, pools, self.rng.spawn(count), strict=True))
        if self.executor:
            # Side by side each net may take longer than its part, but none longer than the whole.
            each = effort.times(min(self.threads, count) / count if effort.seconds else 1 / count)
            waiting = [self.executor.submit(train, net, part.drawable(), each, generator) if part.weight.any() else None
                       for net, part, generator in tasks]
            try:
                return tuple(task.result() if task else net for task, net in zip(waiting, chunks.nets, strict=True))
            finally:
                for task in filter(None, waiting):
                    task.cancel()
        return tuple(self._train("train", net, part, effort.times(1 / count), generator) if part.weight.any() else net
                     for net, part, generator in tasks)

    def _errors(self, integer, candidates, stage):
        """Squared errors of every patch as the player shows it, int64 (candidates, frames, rows, columns).

        integer: the nets. candidates: labels (1 or frames, rows, columns) to show. The pixels come from the C library
        itself, reading a sidecar made for the purpose.
        """
        header, (_, rows, columns) = self.header, self.shape
        blank = patchmap.encode(np.zeros((1, rows, columns), np.uint8), len(integer))
        whole = sidecar.Segment(0, 1, 0, 0, tuple(integer), blank)
        upscaler = Upscaler(sidecar.write(replace(header, segments=(whole,))))
        side, hr_shape = header.patch * header.scale, np.s_[:header.hr_height, :header.hr_width]
        found, self.seconds_each = np.zeros((len(candidates), *self.shape), np.int64), 0.0
        with ThreadPoolExecutor(self.threads) as own:
            for index, (lr, hr) in enumerate(self._pass(stage)):
                truth, began = hr.y[hr_shape], time.monotonic()
                for sums, labels in zip(found, candidates, strict=True):
                    shown = upscaler.upscale(0, labels[index % len(labels)], lr, executor=own, threads=self.threads)
                    sums[index] = scoring.squared_errors(truth, shown[0], side, (rows, columns))
                self.seconds_each += (time.monotonic() - began) / len(candidates)
        return found

    def _pass(self, stage):
        """The pairs of one pass, with its progress reported; raises ValueError where their number is not `frames`."""
        index = -1
        for index, pair in enumerate(next(self.passes)):
            if index == self.frames:
                raise ValueError(f"more than the {self.frames} frames expected came")
            yield pair
            self.clock.say(stage)
        if index + 1 != self.frames:
            raise ValueError(f"{index + 1} frames came where {self.frames} were expected")


def _chunks(scores, chunks, mode):
    """The chunk of every patch, uint8; no more chunks than there are different scores."""
    flat = scores.ravel()
    count = chunking.choose_k(flat) if chunks is None else min(chunks, len(np.unique(flat)))
    labels = chunking.quantiles(flat, count) if mode == "stdo-quantile" else chunking.kmeans(flat, count)[0]
    return labels.reshape(scores.shape)


def _quantized(net: nets.Net, pool: Pool) -> sidecar.Net:
    """The integer net of a float net, calibrated on patches spread over those of its pool that are drawn."""
    drawn = np.flatnonzero(pool.weight)
    count = min(len(drawn), max(8, CALIBRATION_PIXELS // pool.lr[0].size))
    return quantize(net, pool.lr[drawn[np.linspace(0, len(drawn) - 1, count).astype(int)]])


def _counts(header):
    """The hr pixels of each patch of the grid, int64 (rows, columns)."""
    side = header.patch * header.scale
    return patch_pixels(header.hr_height, header.hr_width, side, (header.rows, header.columns))
