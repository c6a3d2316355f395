"""STDO on one segment of a video, from its frames to its nets and map (sections 3.1 and 3.2 of the paper, arXiv
2303.08331).

    sample -> warm-up -> score -> chunk -> gather -> train -> quantise -> assign

The frames are passed over a few times and never kept: what stays in memory is a pool of patches of bounded size, and
one number a patch and frame.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate

import numpy as np

from stdo_min import chunking, nets, patchmap, scoring, sidecar
from stdo_min.kernels import Upscaler
from stdo_min.pool import Pool, capacity, choose, gather
from stdo_min.quantize import quantize
from stdo_min.training import Effort, train
from stdo_min.video import Frame

# Shares of the effort. Chunk nets start from the general model, so what it learns is learned for all of them.
WARM_UP = 0.45
CALIBRATION_PIXELS = 400_000  # lr, halo included: 512 patches of 20x20 with a halo of 4
# About which part of the whole each stage takes; for the progress bar only.
PLANS = {"single": {"sample": 0.05, "train": 0.87, "assign": 0.08},
         "stdo": {"sample": 0.03, "warm-up": 0.45, "score": 0.05, "gather": 0.03, "train": 0.38, "assign": 0.06}}
Pairs = Iterator[tuple[Frame, Frame]]  # lr frame and hr frame of the padded size, in step
# Stage, how much of the whole is done (0..1), loss in grey levels, PSNR in dB; nan where a number is not known.
Progress = Callable[[str, float, float, float], None]


@dataclass(frozen=True)
class Overfitted:
    """What became of one segment: its nets and labels uint8 (frames, rows, columns), and squared errors of its luma.

    errors and base_errors: int64 (frames, rows, columns), sums over the hr pixels of each patch, as shown and under
    the base alone; counts (rows, columns): those pixels.
    """

    nets: tuple[sidecar.Net, ...]
    labels: np.ndarray
    errors: np.ndarray
    base_errors: np.ndarray
    counts: np.ndarray


def overfit(header: sidecar.Sidecar, frames: int, passes: Iterator[Pairs], *, mode: str, chunks: int | None,
            channels: tuple[int, ...], effort: Effort, memory: int, rng: np.random.Generator, threads: int,
            general: nets.Net | None = None, executor: Executor | None = None,
            progress: Progress | None = None) -> Overfitted:
    """Train the nets of one segment and give each patch its net.

    header: sizes, scale and patch (its segments are not read). frames: length of the segment. passes: gives, each
    time it is asked, an iterator over the segment's frame pairs; it is asked at most four times, in order. mode:
    'single' (one net) or 'stdo' (one a chunk). chunks: how many, or None to choose by the scores. effort: the whole
    time, passes included; each training takes at least a tenth of it. memory: bytes for patches. general: a net
    trained elsewhere that scores and starts the others. executor: where chunks are trained, with `threads` workers;
    by default threads here. Raises ValueError for an unknown mode and for a general net of another scale.
    """
    if mode not in ("single", "stdo"):
        raise ValueError(f"mode is {mode!r}; it must be 'single' or 'stdo'")
    if general and general.scale != header.scale:
        raise ValueError(f"the general net is for scale {general.scale}, the video has scale {header.scale}")
    report = _planned(progress, mode)
    started = time.monotonic()
    start = general or nets.create(channels, header.scale, rng)
    shape = (frames, header.rows, header.columns)
    size = capacity(memory, header.patch, start.halo, header.scale)

    def pools(errors, labels, count, stage):
        kept, weight = choose(errors, labels, count, size, rng)
        luma = ((lr.y, hr.y) for lr, hr in _counted(next(passes), frames, stage, report))
        return gather(luma, kept, weight, labels, count, header.patch, start.halo, header.scale)

    everything = np.zeros(shape, np.uint8)
    (sample,) = pools(np.ones(shape), everything, 1, "sample")
    sample = sample.weighed_by_error()
    pass_seconds = time.monotonic() - started
    if mode == "single":
        left = None if effort.seconds is None else effort.seconds - 3 * pass_seconds
        trained = [train(start, sample, _rest(effort, 1, left), rng, threads=threads,
                         progress=partial(report, "train"))]
        labels, samples = everything, [sample]
    else:
        if not general:
            left = None if effort.seconds is None else WARM_UP * (effort.seconds - pass_seconds)
            start = train(start, sample, _rest(effort, WARM_UP, left), rng, threads=threads,
                          progress=partial(report, "warm-up"))
        scored = time.monotonic()
        errors, _ = _errors(header, [_quantized(start, sample)], everything, next(passes), threads, "score", report)
        counts = _counts(header)
        labels = _chunks(scoring.scores(errors, counts), chunks)
        count = int(labels.max()) + 1
        score_seconds = time.monotonic() - scored
        del sample
        samples = pools(errors / np.maximum(counts, 1), labels, count, "gather")
        left = None if effort.seconds is None else (
            effort.seconds - (time.monotonic() - started) - 1.3 * score_seconds)
        rest = _rest(effort, 1 if general else 1 - WARM_UP, left)
        trained = _train_all(start, samples, np.bincount(labels.ravel()), rest, rng, threads, executor, report)
    integer = [_quantized(net, pool) for net, pool in zip(trained, samples, strict=True)]
    del samples
    errors, base_errors = _errors(header, integer, labels, next(passes), threads, "assign", report)
    shown = np.where(errors < base_errors, labels + 1, 0).astype(np.uint8)
    used = [index for index in range(len(integer)) if np.any(shown == index + 1)]
    renumbered = np.zeros(len(integer) + 1, np.uint8)
    renumbered[[index + 1 for index in used]] = np.arange(1, len(used) + 1)
    return Overfitted(tuple(integer[index] for index in used), renumbered[shown], np.minimum(errors, base_errors),
                      base_errors, _counts(header))


def _chunks(scores, chunks):
    """The chunk of every patch; no more chunks than there are different scores."""
    flat = scores.ravel()
    count = chunking.choose_k(flat) if chunks is None else min(chunks, len(np.unique(flat)))
    labels, _ = chunking.kmeans(flat, count)
    return labels.reshape(scores.shape)


class _Stopped(Exception):
    """Ends the training of a chunk because another one failed or the user stopped it."""


def _rest(effort, share, seconds):
    """What is left of an effort: `share` of its steps, or the `seconds` left, but never less than a tenth of it."""
    return effort.times(share) if seconds is None else Effort(seconds=max(seconds, 0.1 * effort.seconds))


def _train_all(start, samples, sizes, effort, rng, threads, executor, report):
    """One net a chunk, side by side; each gets its part of the time, or its part of the steps.

    sizes: patches of each chunk, by which its loss and error count in what is reported.
    """
    side_by_side = max(1, min(threads, len(samples)))
    share = 1 / len(samples) if effort.steps else 1 / math.ceil(len(samples) / side_by_side)
    done, losses, errors = np.zeros((3, len(samples)))
    stop = threading.Event()

    def task(index, generator):
        def note(fraction, loss, psnr):
            if stop.is_set():
                raise _Stopped
            done[index], losses[index], errors[index] = fraction, loss, 255**2 / 10 ** (psnr / 10)
            counted = sizes * (done > 0)
            report("train", float(done.mean()), float(np.average(losses, weights=counted)),
                   float(scoring.psnr(np.average(errors, weights=counted), 1)))
        return train(start, samples[index], effort.times(share), generator, threads=max(1, threads // len(samples)),
                     progress=note)

    generators = rng.spawn(len(samples))
    if executor:
        waiting = [executor.submit(train, start, pool, effort.times(share), generator)
                   for pool, generator in zip(samples, generators, strict=True)]
        try:
            return [future.result() for future in waiting]
        finally:
            for future in waiting:
                future.cancel()
    with ThreadPoolExecutor(side_by_side) as local:
        waiting = [local.submit(task, index, generator) for index, generator in enumerate(generators)]
        try:
            return [future.result() for future in waiting]
        except BaseException:
            stop.set()
            local.shutdown(wait=False, cancel_futures=True)
            raise


def _quantized(net: nets.Net, pool: Pool) -> sidecar.Net:
    """The integer net of a float net, calibrated on patches spread over its pool."""
    count = min(len(pool), max(8, CALIBRATION_PIXELS // pool.lr[0].size))
    return quantize(net, pool.lr[np.linspace(0, len(pool) - 1, count).astype(int)])


def _counts(header):
    """The hr pixels of each patch of the grid, int64 (rows, columns)."""
    side = header.patch * header.scale
    return scoring.samples(header.hr_height, header.hr_width, side, (header.rows, header.columns))


def _errors(header, integer, labels, pairs, threads, stage, report):
    """Squared errors of every patch as the player will show it with net `labels`, and under the base: two int64 arrays.

    The pixels come from the C library itself, reading a sidecar made for the purpose.
    """
    blank = patchmap.encode(np.zeros((1, header.rows, header.columns), np.uint8), len(integer))
    whole = sidecar.Segment(0, 1, 0, 0, tuple(integer), blank)
    upscaler = Upscaler(sidecar.write(replace(header, segments=(whole,))))
    side = header.patch * header.scale
    errors, base_errors = np.zeros(labels.shape, np.int64), np.zeros(labels.shape, np.int64)
    none = np.zeros(labels.shape[1:], np.uint8)
    hr_shape = np.s_[:header.hr_height, :header.hr_width]
    with ThreadPoolExecutor(threads) as executor:
        for index, (lr, hr) in enumerate(_counted(pairs, len(labels), stage, report)):
            truth = hr.y[hr_shape]
            for chosen, sums in ((labels[index] + np.uint8(1), errors), (none, base_errors)):
                shown = upscaler.upscale(0, chosen, lr, executor=executor, threads=threads)
                sums[index] = scoring.squared_errors(truth, shown[0], side, labels.shape[1:])
    return errors, base_errors


def _counted(pairs, frames, stage, report):
    """The pairs of one pass, with its progress reported; raises ValueError where their number is not `frames`."""
    index = -1
    for index, pair in enumerate(pairs):
        if index == frames:
            raise ValueError(f"more than the {frames} frames expected came")
        yield pair
        report(stage, (index + 1) / frames, math.nan, math.nan)
    if index + 1 != frames:
        raise ValueError(f"{index + 1} frames came where {frames} were expected")


def _planned(progress, mode):
    """The progress of the whole, from that of a stage."""
    if progress is None:
        return lambda *_: None
    plan = PLANS[mode]
    begins = dict(zip(plan, accumulate([0, *plan.values()][:-1]), strict=True))
    return lambda stage, done, loss, psnr: progress(stage, begins[stage] + plan[stage] * done, loss, psnr)
