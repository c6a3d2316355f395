"""One segment of a video, from its frames to its nets and map (sections 3.1 to 3.3 of the paper, arXiv 2303.08331).

    sample -> warm up -> score -> chunk -> train each net on its chunk -> assign        as published
                                        -> part -> refine -> assign                     with refinement

Each mode is one function below: a short list of stages, where each takes what the ones before it made.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np

from stdo_min.algorithm import chunk
from stdo_min.algorithm.assign import Overfitted, assign_best, assign_one, assign_own
from stdo_min.algorithm.frames import Frames
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.refine import Chunks, refine
from stdo_min.algorithm.sample import Sampled, sample, sampling
from stdo_min.algorithm.score import Scored, score
from stdo_min.algorithm.separate import train_separately
from stdo_min.algorithm.trial import COUNTS, best_count
from stdo_min.engine.budget import Budget, Clock
from stdo_min.engine.net import Net, new_net
from stdo_min.engine.pool import Pool
from stdo_min.engine.train import PEAK_RATE, train

# Shares of the budget. Chunk nets start from the general model, so what it learns is learned for all of them.
WARM_UP, WARM_UP_REFINED, WARM_UP_JSTDO = 0.45, 0.2, 0.1  # as published, refined, and of jstdo
TIME_CHUNKS = 4
# Before refinement a short run at a low learning rate parts the nets, that is, makes equal nets differ. At the usual
# rate they would stay alike for long. Its share of the budget, its rounds, and its peak rate:
PARTING, PARTING_ROUNDS, PARTING_RATE = 0.03, 8, 2e-3
LABEL_SECONDS = 2e-6  # to code one label of the map (one core of a Zen 4)


class Segment(NamedTuple):
    """What every mode starts from: the frames, the recipe, the net to start from, and the segment's own clock.

    warm: whether the net was trained elsewhere, so that it needs no warm-up. executor: see `train_separately`.
    """

    frames: Frames
    recipe: Recipe
    start: Net
    warm: bool
    clock: Clock
    rng: np.random.Generator
    executor: Executor | None


def overfit(frames: Frames, recipe: Recipe, clock: Clock, rng: np.random.Generator, general: Net | None = None,
            executor: Executor | None = None) -> Overfitted:
    """Train the nets of one segment and give each patch its net.

    The frames are passed over at most four times. clock: with the budget of the segment, passes included; training
    takes at least a tenth of it. general: a net trained elsewhere that scores the patches and starts the nets.
    executor: trains the nets of a mode as published side by side, on recipe.threads workers; by default they train
    here in turn. Refinement does not use it: its nets share recipe.threads threads. Raises ValueError for a general
    net of another scale.
    """
    scale = frames.header.scale
    if general and general.scale != scale:
        raise ValueError(f"the general net is for scale {general.scale}, the video has scale {scale}")
    start = general or new_net(recipe.channels, scale, rng)
    return MODES[recipe.mode](Segment(frames, recipe, start, general is not None, clock, rng, executor))


def single(s: Segment) -> Overfitted:
    """One net, all patches drawn alike (awDNN)."""
    sampled = _sample(s)
    return _one_net(s, s.start, sampled.pool, _until_assigned(s, sampled.seconds, sampled.seconds / 2))


def time(s: Segment) -> Overfitted:
    """One net for each part of the time (NAS)."""
    sampled = _sample(s)
    count = min(s.recipe.chunks or TIME_CHUNKS, s.frames.count)
    keep = _until_assigned(s, sampled.seconds, sampled.seconds / 2, count)
    general = _warm_up(s, sampled, keep)
    labels = chunk.by_time(s.frames.shape, count)
    return _nets_of_chunks(s, general, labels, sampled.base_errors, sampled, keep)


def stdo(s: Segment, equal_counts: bool = False) -> Overfitted:
    """One net a chunk of scores, cut by k-means, as the paper says."""
    general, scored, sampled = _score(s, s.recipe.chunks or chunk.MOST_CHUNKS)
    labels = chunk.by_score(scored.scores, s.recipe.chunks, _affordable(s, scored, chunk.MOST_CHUNKS), equal_counts)
    keep = _until_assigned(s, scored.seconds, scored.net_seconds, int(labels.max()))
    return _nets_of_chunks(s, general, labels, scored.errors[sampled.kept], sampled, keep)


def stdo_quantile(s: Segment) -> Overfitted:
    """As `stdo`, but with scores cut at equal counts, as in the paper's released code."""
    return stdo(s, equal_counts=True)


def jstdo(s: Segment) -> Overfitted:
    """One net, patches drawn by what their chunk has to teach."""
    general, scored, sampled = _score(s, 1)
    labels = chunk.by_score(scored.scores, s.recipe.chunks)
    drawn = chunk.informative(labels, scored.errors)[sampled.kept] / sampled.probability
    keep = _until_assigned(s, scored.seconds, scored.net_seconds)
    return _one_net(s, general, sampled.pool.weighing(drawn), keep)


def auto(s: Segment) -> Overfitted:
    """As many nets as short trials find best, refined."""
    most = min(s.recipe.chunks or COUNTS[-1], COUNTS[-1])
    general, scored, sampled = _score(s, most)
    most = _affordable(s, scored, most)
    keep = _until_assigned(s, scored.seconds, scored.net_seconds, most)
    chunks = best_count(general, scored.scores, scored.errors[sampled.kept], sampled, most, s.rng, s.recipe.threads,
                        s.clock, keep, lambda chunks: _part(s, chunks, sampled, keep))
    keep = _until_assigned(s, scored.seconds, scored.net_seconds, len(chunks.nets))
    chunks = _refine(s, chunks, sampled, s.recipe.refine, s.clock.left(keep))
    return assign_best(s.frames, chunks, sampled.pool, s.recipe.threads, s.clock)


MODES = {"auto": auto, "single": single, "time": time, "stdo": stdo, "stdo-quantile": stdo_quantile, "jstdo": jstdo}


# ---- Stages that modes share ----


def _sample(s, errors=None) -> Sampled:
    return sample(s.frames, errors, s.start.halo, s.recipe.memory, s.rng, s.clock)


def _warm_up(s, sampled, keep) -> Net:
    """The general model: the start, trained on patches from everywhere."""
    if s.warm:
        return s.start
    by_error = s.recipe.refine or s.recipe.mode == "jstdo"
    share = WARM_UP_JSTDO if s.recipe.mode == "jstdo" else WARM_UP_REFINED if s.recipe.refine else WARM_UP
    pool = sampled.pool.weighing(sampling(sampled.base_errors)) if by_error else sampled.pool
    return _train(s, "warm-up", s.start, pool, s.clock.left(keep).part(share))


def _score(s, most) -> tuple[Net, Scored, Sampled]:
    """The general model, the score of every patch under it, and a pool in which the hard patches are many.

    most: how many nets may be trained later; the time to show them is kept back.
    """
    sampled = _sample(s)
    # An estimate, until the score pass measures it: showing a net takes less than half as long as decoding.
    keep = sampled.seconds + _until_assigned(s, sampled.seconds, sampled.seconds / 2, most)
    general = _warm_up(s, sampled, keep)
    scored = score(s.frames, general, sampled.pool, s.recipe.threads, s.clock)
    if not sampled.whole:
        del sampled  # or two pools would be in memory at once
        sampled = _sample(s, scored.errors)
    return general, scored, sampled


def _nets_of_chunks(s, general, labels, error, sampled, keep) -> Overfitted:
    """One net a chunk, refined or as published. labels: of all patches; error: of the patches in the pool."""
    chunks = Chunks.of(general, labels[sampled.kept], error)
    if s.recipe.refine:
        chunks = _part(s, chunks, sampled, keep)
        chunks = _refine(s, chunks, sampled, s.recipe.refine, s.clock.left(keep))
        return assign_best(s.frames, chunks, sampled.pool, s.recipe.threads, s.clock)
    chunks = train_separately(chunks, sampled, s.clock.left(keep), s.rng, threads=s.recipe.threads, executor=s.executor,
                              counting=lambda budget: s.clock.counting("train", budget))
    return assign_own(s.frames, chunks, sampled.pool, labels, s.recipe.threads, s.clock)


def _part(s, chunks, sampled, keep) -> Chunks:
    budget = s.clock.budget.part(PARTING).at_most(s.clock.left(keep))
    return _refine(s, chunks, sampled, PARTING_ROUNDS, budget, PARTING_RATE)


def _refine(s, chunks, sampled, rounds, budget, peak=PEAK_RATE) -> Chunks:
    return refine(chunks, sampled, rounds, budget, s.rng, peak=peak, threads=s.recipe.threads,
                  progress=s.clock.counting("train", budget))


def _train(s, stage, net, pool: Pool, budget: Budget) -> Net:
    return train(net, pool, budget, s.rng, threads=s.recipe.threads, progress=s.clock.counting(stage, budget))


def _one_net(s, net, pool, keep) -> Overfitted:
    net = _train(s, "train", net, pool, s.clock.left(keep))
    return assign_one(s.frames, net, pool, s.recipe.threads, s.clock)


def _affordable(s, scored, most) -> int:
    """How many nets, 1 to `most`, can be shown in half of the seconds that are left."""
    if s.clock.budget.seconds is None:
        return most
    left = s.clock.left().seconds / 2 - scored.seconds  # the other half is for training
    return max(1, min(most, int(left / scored.net_seconds)))


def _until_assigned(s, pass_seconds, net_seconds, nets_shown=1) -> float:
    """The seconds to keep back for the last pass and the map: an estimate, and a tenth more."""
    labels = 0 if nets_shown == 1 else np.prod(s.frames.shape)
    return 1.1 * (pass_seconds + nets_shown * net_seconds + LABEL_SECONDS * labels)
