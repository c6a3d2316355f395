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
from stdo_min.algorithm.trial import COUNTS, Judge, best_count
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


class Task(NamedTuple):
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
    return STAGES[recipe.mode](Task(frames, recipe, start, general is not None, clock, rng, executor))


def single(task: Task) -> Overfitted:
    """One net, all patches drawn alike (awDNN)."""
    sampled = _sample(task)
    keep = _until_assigned(task, sampled.seconds, sampled.seconds / 2, 1, mapped=False)
    return _one_net(task, task.start, sampled.pool, keep)


def time(task: Task) -> Overfitted:
    """One net for each part of the time (NAS)."""
    sampled = _sample(task)
    count = min(task.recipe.chunks or TIME_CHUNKS, task.frames.count)
    keep = _until_assigned(task, sampled.seconds, sampled.seconds / 2, count)
    general = _warm_up(task, sampled, keep, *_usual(task))
    labels = chunk.by_time(task.frames.shape, count)
    return _nets_of_chunks(task, general, labels, sampled.base_errors, sampled, keep)


def stdo(task: Task, equal_counts: bool = False) -> Overfitted:
    """One net a chunk of scores, cut by k-means, as the paper says."""
    general, scored, sampled = _score(task, task.recipe.chunks or chunk.MOST_CHUNKS, *_usual(task))
    most = _affordable(task, scored, chunk.MOST_CHUNKS)
    labels = chunk.by_score(scored.scores, task.recipe.chunks, most, equal_counts)
    keep = _until_assigned(task, scored.seconds, scored.net_seconds, int(labels.max()))
    return _nets_of_chunks(task, general, labels, scored.errors[sampled.kept], sampled, keep)


def stdo_quantile(task: Task) -> Overfitted:
    """As `stdo`, but with scores cut at equal counts, as in the paper's released code."""
    return stdo(task, equal_counts=True)


def jstdo(task: Task) -> Overfitted:
    """One net, patches drawn by what their chunk has to teach."""
    general, scored, sampled = _score(task, 1, WARM_UP_JSTDO, by_error=True)
    labels = chunk.by_score(scored.scores, task.recipe.chunks)
    drawn = chunk.informative(labels, scored.errors)[sampled.kept] / sampled.probability
    keep = _until_assigned(task, scored.seconds, scored.net_seconds, 1, mapped=False)
    return _one_net(task, general, sampled.pool.weighing(drawn), keep)


def auto(task: Task) -> Overfitted:
    """As many nets as short trials find best, refined."""
    most = min(task.recipe.chunks or COUNTS[-1], COUNTS[-1])
    general, scored, sampled = _score(task, most, *_usual(task))
    most = _affordable(task, scored, most)
    keep = _until_assigned(task, scored.seconds, scored.net_seconds, most)
    judge, error = Judge(sampled, task.rng, task.recipe.threads), scored.errors[sampled.kept]

    def trained(count):
        labels = chunk.by_score(scored.scores, count)[sampled.kept]
        return _part(task, Chunks.of(general, labels, error), sampled, keep)

    most = min(most, len(np.unique(scored.scores)))
    chunks = best_count(most, trained, judge, task.clock, task.clock.left(keep).seconds)
    keep = _until_assigned(task, scored.seconds, scored.net_seconds, len(chunks.nets))
    chunks = _refine(task, chunks, sampled, task.recipe.refine, task.clock.left(keep))
    return assign_best(task.frames, chunks, sampled.pool, task.recipe.threads, task.clock)


STAGES = {"auto": auto, "single": single, "time": time, "stdo": stdo, "stdo-quantile": stdo_quantile, "jstdo": jstdo}


# ---- Stages that modes share ----


def _sample(task, errors=None) -> Sampled:
    return sample(task.frames, errors, task.start.halo, task.recipe.memory, task.rng, task.clock)


def _usual(task) -> tuple[float, bool]:
    """The share of the warm-up, and whether its patches are drawn by their error, of modes with several nets."""
    return (WARM_UP_REFINED, True) if task.recipe.refine else (WARM_UP, False)


def _warm_up(task, sampled, keep, share, by_error) -> Net:
    """The general model: the start, trained on patches from everywhere for a share of what is left."""
    if task.warm:
        return task.start
    pool = sampled.pool.weighing(sampling(sampled.base_errors)) if by_error else sampled.pool
    return _train(task, "warm-up", task.start, pool, task.clock.left(keep).part(share))


def _score(task, most, share, by_error) -> tuple[Net, Scored, Sampled]:
    """The general model, the score of every patch under it, and a pool in which the hard patches are many.

    most: how many nets may be trained later; the time to show them is kept back. share, by_error: of the warm-up.
    """
    sampled = _sample(task)
    # An estimate, until the score pass measures it: showing a net takes less than half as long as decoding.
    keep = sampled.seconds + _until_assigned(task, sampled.seconds, sampled.seconds / 2, most)
    general = _warm_up(task, sampled, keep, share, by_error)
    scored = score(task.frames, general, sampled.pool, task.recipe.threads, task.clock)
    if not sampled.whole:
        del sampled  # or two pools would be in memory at once
        sampled = _sample(task, scored.errors)
    return general, scored, sampled


def _nets_of_chunks(task, general, labels, error, sampled, keep) -> Overfitted:
    """One net a chunk, refined or as published. labels: of all patches; error: of the patches in the pool."""
    chunks = Chunks.of(general, labels[sampled.kept], error)
    if task.recipe.refine:
        chunks = _part(task, chunks, sampled, keep)
        chunks = _refine(task, chunks, sampled, task.recipe.refine, task.clock.left(keep))
        return assign_best(task.frames, chunks, sampled.pool, task.recipe.threads, task.clock)
    chunks = train_separately(chunks, sampled, task.clock.left(keep), task.rng, threads=task.recipe.threads,
                              executor=task.executor, counting=lambda budget: task.clock.counting("train", budget))
    return assign_own(task.frames, chunks, sampled.pool, labels, task.recipe.threads, task.clock)


def _part(task, chunks, sampled, keep) -> Chunks:
    budget = task.clock.budget.part(PARTING).at_most(task.clock.left(keep))
    return _refine(task, chunks, sampled, PARTING_ROUNDS, budget, PARTING_RATE)


def _refine(task, chunks, sampled, rounds, budget, peak=PEAK_RATE) -> Chunks:
    return refine(chunks, sampled, rounds, budget, task.rng, peak=peak, threads=task.recipe.threads,
                  progress=task.clock.counting("train", budget))


def _train(task, stage, net, pool: Pool, budget: Budget) -> Net:
    return train(net, pool, budget, task.rng, threads=task.recipe.threads, progress=task.clock.counting(stage, budget))


def _one_net(task, net, pool, keep) -> Overfitted:
    net = _train(task, "train", net, pool, task.clock.left(keep))
    return assign_one(task.frames, net, pool, task.recipe.threads, task.clock)


def _affordable(task, scored, most) -> int:
    """How many nets, 1 to `most`, can be shown in half of the seconds that are left."""
    if task.clock.budget.seconds is None:
        return most
    left = task.clock.left().seconds / 2 - scored.seconds  # the other half is for training
    return max(1, min(most, int(left / scored.net_seconds)))


def _until_assigned(task, pass_seconds, net_seconds, nets_shown, mapped=True) -> float:
    """The seconds that the last pass and, where one is sent, the map will take, a tenth more than it seems."""
    labels = np.prod(task.frames.shape) if mapped else 0
    return 1.1 * (pass_seconds + nets_shown * net_seconds + LABEL_SECONDS * labels)
