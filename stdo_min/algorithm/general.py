"""The general model: one net trained on patches from the whole film; the nets of every segment start from it.

The paper warms one model up on the whole video before it scores the patches (section 3.1). Here that is done once for
a film, so what the net learns is learned for all segments, and they can train side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from stdo_min.algorithm.fitted import General, calibration, worth_of
from stdo_min.algorithm.price import Price
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.refine import least_errors
from stdo_min.algorithm.sample import Sampled, sampling
from stdo_min.algorithm.tasks import generator
from stdo_min.algorithm.trial import JUDGED
from stdo_min.engine.budget import Budget
from stdo_min.engine.net import new_net
from stdo_min.engine.pool import Pool
from stdo_min.engine.quantise import Parent, as_parent
from stdo_min.engine.train import train

SEGMENTS = 16  # at most, spread over the film, whose patches it learns from
# Shares of the budget of the segments that it learns from. As published, refined, and of jstdo:
WARM_UP, WARM_UP_REFINED, WARM_UP_JSTDO = 0.45, 0.2, 0.1
LEAST_PART = 0.005  # of a segment's lr video that a net takes, from which on segments may share one


def learned_from(segments: int) -> list[int]:
    """The numbers of the segments, of so many, whose patches the general model learns from; evenly spread."""
    count = min(segments, SEGMENTS)
    return [(2 * index + 1) * segments // (2 * count) for index in range(count)]


def share(recipe: Recipe, segments: int) -> float:
    """The share of a film's budget that the general model trains for.

    A film of one segment in mode single needs none: its net learns all that it can from the segment itself.
    """
    if recipe.plain:
        return 0.0
    if recipe.mode == "single":
        usual = 0.0 if segments == 1 else WARM_UP_REFINED
    elif recipe.mode == "jstdo":
        usual = WARM_UP_JSTDO
    else:
        usual = WARM_UP_REFINED if recipe.refine else WARM_UP
    return usual * len(learned_from(segments)) / segments


def shares(recipe: Recipe, segments: int, part: float) -> bool:
    """Whether the segments of a film may use the general model's own net, and nets near it.

    Not as published, and not where nets take so small a part of the lr video's bytes that the time is better spent on
    training: two more nets have to be tried on each frame.
    """
    return segments > 1 and part >= LEAST_PART and (recipe.mode in ("single", "jstdo") or recipe.refine > 0)


def train_general(pools: Sequence[Callable[[], Sampled]], recipe: Recipe, scale: int, budget: Budget, price: Price,
                  threads: int = 1, progress: Callable[[float, float], None] | None = None) -> General:
    """Train a new net on the pools of some segments, an equal part of the memory each.

    pools: functions that give them, so that they are not in memory at once. Patches are drawn by their error where
    nets are refined later and for jstdo, otherwise alike, as published. price: of bytes of one segment.
    """
    rng = generator(recipe.seed)
    net = new_net(recipe.channels, scale, rng)
    if budget.seconds == 0 or budget.steps == 0:
        return General(net)
    sampled = pools[0]() if len(pools) == 1 else merged([_part(load(), len(pools), rng) for load in pools])
    weight = 1 / sampled.probability
    if recipe.mode == "jstdo" or (recipe.refine and recipe.mode != "single"):
        weight = weight * sampling(sampled.base_errors)
    net = train(net, sampled.pool.weighing(weight), budget, rng, threads=threads, progress=progress)
    shared = shares(recipe, len(pools), net.nbytes / max(price.lr_bytes, 1))
    return General(net, _parent(net, sampled, price, rng, threads) if shared else None)


def _parent(net, sampled, price, rng, threads) -> Parent:
    """The integer net, with steps that pay where it serves one segment alone, as those of nets near it should."""
    index, everywhere = np.sort(rng.permutation(len(sampled.pool))[:JUDGED]), np.ones(len(sampled.pool), bool)
    found = least_errors((net,), sampled.pool, sampled.base_errors, index, threads)
    error = float(np.average(found, weights=1 / sampled.probability[index]))
    worth = worth_of(net, sampled, everywhere, error, price, rng)
    with threadpool_limits(1, "blas"):  # the sums of calibration depend on the number of threads
        return as_parent(net, calibration(sampled.pool), threads, worth)


def _part(sampled: Sampled, parts: int, rng: np.random.Generator) -> Sampled:
    """A random part of a pool."""
    count = max(1, len(sampled.pool) // parts)
    kept = np.sort(rng.permutation(len(sampled.pool))[:count])
    pool = Pool(sampled.pool.lr[kept], sampled.pool.residual[kept], sampled.pool.weight[kept])
    return Sampled(pool, sampled.probability[kept] * count / len(sampled.pool), sampled.base_errors[kept],
                   sampled.frame[kept], sampled.mean_error)


def merged(parts: Iterable[Sampled]) -> Sampled:
    """The pools of several segments as one."""
    parts = list(parts)
    pools = [part.pool for part in parts]
    pool = Pool(*(np.concatenate([getattr(pool, name) for pool in pools]) for name in ("lr", "residual", "weight")))
    return Sampled(pool, *(np.concatenate([getattr(part, name) for part in parts])
                           for name in ("probability", "base_errors", "frame")),
                   mean_error=float(np.mean([part.mean_error for part in parts])))
