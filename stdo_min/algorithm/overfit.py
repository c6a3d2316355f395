"""Training the nets of one segment on its pool (sections 3.1 to 3.3 of the paper, arXiv 2303.08331).

    general model -> score -> chunk -> train each net on its chunk        as published
                                    -> part -> refine                     with refinement

Each mode is one function below: a short list of stages, where each takes what the ones before it made. No stage reads
a video: `sample.py` has cut out the patches before, and `assign.py` gives each patch of every frame its net after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from stdo_min.algorithm import chunk
from stdo_min.algorithm.fitted import Fitted, General, calibrated, worth_of
from stdo_min.algorithm.price import Price
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.refine import Chunks, least_errors, refine
from stdo_min.algorithm.sample import Sampled
from stdo_min.algorithm.score import Scored, score
from stdo_min.algorithm.separate import train_separately
from stdo_min.algorithm.trial import COUNTS, JUDGED, Judge, best_count
from stdo_min.engine.budget import Clock
from stdo_min.engine.net import Net
from stdo_min.engine.quantise import Parent
from stdo_min.engine.train import PEAK_RATE, train
from stdo_min.format import sidecar
from stdo_min.format.sidecar import MAX_NETS

TIME_CHUNKS = 4
# Before refinement a short run at a low learning rate parts the nets, that is, makes equal nets differ. At the usual
# rate they would stay alike for long. Its share of the budget, its rounds, and its peak rate:
PARTING, PARTING_ROUNDS, PARTING_RATE = 0.03, 8, 2e-3
MOST_NEAR = (MAX_NETS - 1) // 2  # nets, so that those near the general model and its own can be tried beside them


class Task(NamedTuple):
    """What every mode starts from: a segment's patches and frames, the general model, the recipe, the price, the clock.

    keep(nets): the seconds to keep back for giving each patch one of so many nets. parent: the general model's integer
    net where segments may share it, or None.
    """

    sampled: Sampled
    frames: int
    general: Net
    parent: Parent | None
    recipe: Recipe
    price: Price
    clock: Clock
    rng: np.random.Generator
    threads: int
    keep: Callable[[int], float]


def overfit(sampled: Sampled, frames: int, general: General, recipe: Recipe, price: Price, clock: Clock,
            rng: np.random.Generator, threads: int = 1, keep: Callable[[int], float] = lambda nets: 0.0) -> Fitted:
    """Train the nets of one segment.

    frames: of the segment. clock: with the budget of the segment. keep(nets): the seconds of it to keep back for
    `assign`.
    """
    return STAGES[recipe.mode](Task(sampled, frames, *general, recipe, price, clock, rng, threads, keep))


def single(task: Task) -> Fitted:
    """One net, all patches drawn alike (awDNN)."""
    return _one_net(task, 1 / task.sampled.probability)


def time(task: Task) -> Fitted:
    """One net for each part of the time (NAS)."""
    cut = chunk.by_time(task.frames, min(task.recipe.chunks or TIME_CHUNKS, task.frames))
    labels = cut.labels(task.sampled.frame)
    return _nets_of_chunks(task, labels, cut, task.sampled.base_errors, scored_by=None)


def stdo(task: Task, equal_counts: bool = False) -> Fitted:
    """One net a chunk of scores, cut by k-means, as the paper says."""
    scored = _score(task)
    most = _affordable(task, chunk.MOST_CHUNKS)
    cut = chunk.by_score(scored.scores, task.recipe.chunks, most, equal_counts, scored.weight)
    return _nets_of_chunks(task, cut.labels(scored.scores), cut, scored.errors, scored_by=task.general)


def stdo_quantile(task: Task) -> Fitted:
    """As `stdo`, but with scores cut at equal counts, as in the paper's released code."""
    return stdo(task, equal_counts=True)


def jstdo(task: Task) -> Fitted:
    """One net, patches drawn by what their chunk has to teach."""
    scored = _score(task)
    labels = chunk.by_score(scored.scores, task.recipe.chunks, weight=scored.weight).labels(scored.scores)
    return _one_net(task, chunk.informative(labels, scored.errors, scored.weight) * scored.weight)


def auto(task: Task) -> Fitted:
    """As many nets as short trials find best, refined."""
    scored = _score(task)
    most = min(task.recipe.chunks or COUNTS[-1], COUNTS[-1], len(np.unique(scored.scores)))
    most = _affordable(task, most)

    def trained(count):
        labels = chunk.by_score(scored.scores, count, weight=scored.weight).labels(scored.scores)
        return _part(task, Chunks.of(task.general, labels, scored.errors), task.keep(count))

    judge = Judge(task.sampled, task.price, task.rng, task.threads)
    chunks = best_count(most, trained, judge, task.clock, task.clock.left(task.keep(most)).seconds)
    chunks = _refine(task, chunks, task.recipe.refine, task.clock.left(task.keep(len(chunks.nets))))
    return _fitted(task, chunks, "best")


STAGES = {"auto": auto, "single": single, "time": time, "stdo": stdo, "stdo-quantile": stdo_quantile, "jstdo": jstdo}


# ---- Stages that modes share ----


def _score(task) -> Scored:
    scored = score(task.sampled, task.general, task.threads)
    task.clock.say("score")
    return scored


def _one_net(task, weight) -> Fitted:
    pool, budget = task.sampled.pool.weighing(weight), task.clock.left(task.keep(1))
    net = train(task.general, pool, budget, task.rng, threads=task.threads,
                progress=task.clock.counting("train", budget))
    task.clock.say("quantise")
    everywhere = np.ones(len(pool), bool)
    worth = worth_of(net, task.sampled, everywhere, _mean_error(task, (net,)), task.price, task.rng)
    return Fitted((calibrated(net, pool, task.threads, worth),), "all", None, None,
                  *_sharing(task, [(net, pool, worth)]))


def _nets_of_chunks(task, labels, cut, error, scored_by) -> Fitted:
    """One net a chunk, refined or as published; labels, error: of the patches in the pool."""
    chunks, keep = Chunks.of(task.general, labels, error, cut.count), task.keep(cut.count)
    if task.recipe.refine:
        chunks = _part(task, chunks, keep)
        chunks = _refine(task, chunks, task.recipe.refine, task.clock.left(keep))
        return _fitted(task, chunks, "best")
    chunks = train_separately(chunks, task.sampled, task.clock.left(keep), task.rng, threads=task.threads,
                              counting=lambda budget: task.clock.counting("train", budget))
    scorer = None if scored_by is None else calibrated(scored_by, task.sampled.pool, task.threads)
    return _fitted(task, chunks, "own", cut, scorer)


def _part(task, chunks, keep) -> Chunks:
    budget = task.clock.budget.part(PARTING).at_most(task.clock.left(keep))
    return _refine(task, chunks, PARTING_ROUNDS, budget, PARTING_RATE)


def _refine(task, chunks, rounds, budget, peak=PEAK_RATE) -> Chunks:
    return refine(chunks, task.sampled, rounds, budget, task.rng, peak=peak, threads=task.threads,
                  progress=task.clock.counting("train", budget))


def _fitted(task, chunks, choice, cut=None, scorer=None) -> Fitted:
    task.clock.say("quantise")
    sampled, error, trained = task.sampled, _mean_error(task, chunks.nets), []
    for number, net in enumerate(chunks.nets, 1):
        serves = chunks.member == number
        worth = worth_of(net, sampled, serves, error, task.price, task.rng)
        trained.append((net, sampled.pool.weighing(serves.astype(float)), worth))
    nets = tuple(calibrated(net, pool, task.threads, worth) for net, pool, worth in trained)
    return Fitted(nets, choice, cut, scorer, *(_sharing(task, trained) if choice == "best" else ()))


def _sharing(task, trained) -> tuple[tuple[sidecar.Net, ...], sidecar.Net | None]:
    """The trained nets, each with its pool and its worth, rounded near the general model; and its integer net."""
    if task.parent is None or len(trained) > MOST_NEAR:
        return (), None
    return tuple(calibrated(net, pool, task.threads, worth, task.parent)
                 for net, pool, worth in trained if worth), task.parent.net


def _mean_error(task, nets) -> float:
    """The mean squared error of the segment under the best of some nets or the base, by some of its patches."""
    index = np.sort(task.rng.permutation(len(task.sampled.pool))[:JUDGED])
    found = least_errors(nets, task.sampled.pool, task.sampled.base_errors, index, task.threads)
    return float(np.average(found, weights=1 / task.sampled.probability[index]))


def _affordable(task, most) -> int:
    """The most nets whose last pass over the frames takes no more than half of the seconds that are left."""
    if task.clock.budget.seconds is None:
        return most
    left = task.clock.left().seconds
    return max([1, *(count for count in range(1, most + 1) if task.keep(count) <= left / 2)])
