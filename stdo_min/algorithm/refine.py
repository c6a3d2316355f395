"""Refinement: patches move to the net that serves them best while the nets train (hard EM, or k-means over nets).

Clustering by score says which patches are alike in difficulty; this says which are alike for a net. Net 0, the base,
competes, so patches it serves best cost nothing when played. Many short rounds under one learning-rate schedule do
better than few long ones (docs/training.md): early on nets differ little and patches move freely, later they settle,
as in annealing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stdo_min.algorithm.sample import Sampled, sampling
from stdo_min.engine.budget import Budget
from stdo_min.engine.net import Net
from stdo_min.engine.pool import Pool
from stdo_min.engine.train import PEAK_RATE, PROBE_PATCHES, Learner, Stepper
from stdo_min.engine.whiten import Whitening
from stdo_min.format.psnr import psnr


@dataclass(frozen=True)
class Chunks:
    """Nets, and for each patch of a pool the number of its net, intp (N,), and its mean squared error, float64 (N,).

    Nets are numbered from 1; 0 is the base alone.
    """

    nets: tuple[Net, ...]
    member: np.ndarray
    error: np.ndarray

    @classmethod
    def of(cls, general: Net, labels: np.ndarray, error: np.ndarray, count: int | None = None) -> Chunks:
        """Chunks as they begin: labels uint8 (N,), 1..count, and the general model as the net of each.

        count: by default the highest label.
        """
        return cls((general,) * (count or int(labels.max())), labels.astype(int), error)


def refine(chunks: Chunks, sampled: Sampled, rounds: int, budget: Budget, rng: np.random.Generator, *,
           peak: float = PEAK_RATE, threads: int = 1,
           progress: Callable[[float, float], None] | None = None) -> Chunks:
    """Train the nets of chunks for a budget, and move patches to the net with the least error `rounds` times.

    In each round the nets train in turn, each for its share (`shares`), on patches drawn by the error they have left
    (`sampling`). Then a sample of patches is tried with every net, in about a third of the time the round trained, and
    each patch goes to its best net. A net without patches takes over some from another (`fill`). A net that died or
    diverged falls back, as in `train`. peak: of the learning rate. progress(done, dB): called after every step, with
    the PSNR of the pool as last known. The members and errors returned are those last found.
    """
    pool, probability, count = sampled.pool, sampled.probability, len(chunks.nets)
    member, error = chunks.member.copy(), chunks.error.copy()
    owed = np.zeros(count)  # of the budget, to each net; carried over, so that short rounds starve no net
    round_, step, started = 0, 0, time.monotonic()
    done = budget.done(step, started)
    with Stepper(pool, threads) as stepper:
        whitening = Whitening.of(pool.lr, chunks.nets[0].weights[0].shape[2])
        learners = [Learner(net, whitening, peak) for net in chunks.nets]
        while done < 1 and member.any():
            before, end = step, min(1.0, (round_ + 1) / (rounds + 1))
            weight = sampling(error) / probability
            parts = shares(weight, member, count)
            owed[parts == 0] = 0
            owed += parts * max(0.0, end - done - owed.sum())
            known = psnr(np.average(error, weights=1 / probability), 1)
            for number in np.argsort(-owed, kind="stable"):
                drawn = np.cumsum(weight * (member == number + 1)) if owed[number] > 0 else None
                while owed[number] > 0 and done < 1:
                    learners[number].step(stepper, stepper.draw(drawn, stepper.batch, rng), done)
                    step, began = step + 1, done
                    done = budget.done(step, started)
                    owed[number] -= done - began
                    if progress:
                        progress(done, known)
            round_ += 1
            if round_ <= rounds and step > before and done < 1:
                # A forward pass costs a third of a step: forward, gradient of the input, gradient of the weights.
                tries = max(1, (step - before) * stepper.batch // count)
                tried = (np.unique(stepper.draw(np.cumsum(weight), tries, rng)) if tries < len(pool)
                         else np.arange(len(pool)))
                _move(learners, stepper, tried, member, error, sampled.base_errors)
                done = budget.done(step, started)
        _check(learners, stepper, rng.permutation(len(pool)), member, error)
    return Chunks(tuple(learner.net for learner in learners), member, error)


def _check(learners, stepper, index, member, error):
    """Try each net on some of its members among `index`; a net that failed since the latest move falls back."""
    for number, learner in enumerate(learners, 1):
        mine = np.sort(index[member[index] == number][:PROBE_PATCHES])
        if len(mine) and not learner.sound(stepper.errors(learner.net, mine).mean(), error[mine].mean()):
            learner.fall_back()


def least_errors(trained: tuple[Net, ...], pool: Pool, base_errors: np.ndarray, index: np.ndarray,
                 threads: int) -> np.ndarray:
    """The mean squared error of each patch at `index`, int64 (n,), under its best net or the base: float64 (n,)."""
    with Stepper(pool, threads) as stepper:
        return np.fmin.reduce([base_errors[index], *(stepper.errors(net, index) for net in trained)])


def _move(learners, stepper, tried, member, error, base_errors):
    """Move the tried patches to their best nets, in place; nets that fail fall back, nets without patches get some."""
    errors = [base_errors[tried]]
    for number, learner in enumerate(learners, 1):
        errors.append(stepper.errors(learner.net, tried))
        mine = member[tried] == number
        if np.any(mine):
            if learner.sound(errors[-1][mine].mean(), error[tried][mine].mean()):
                learner.keep()
            else:
                learner.fall_back()
                errors[-1] = stepper.errors(learner.net, tried)
    errors = np.nan_to_num(errors, nan=np.inf, posinf=np.inf)
    member[tried], error[tried] = np.argmin(errors, axis=0), np.min(errors, axis=0)
    filled = fill(member, error, len(learners))
    for number, learner in enumerate(learners, 1):
        heirs = member[filled == number]
        if len(heirs) and not np.any(member == number):
            learner.restart(learners[heirs[0] - 1].net)  # from the net that had the patches
    member[:] = filled


def fill(member: np.ndarray, error: np.ndarray, count: int) -> np.ndarray:
    """The members (N,) with no net empty: each of `count` nets without patches takes the harder half of the heaviest's.

    error: (N,) mean squared error of each patch under its net; the heaviest net is the one with the largest sum.
    """
    member = member.copy()
    for number in range(1, count + 1):
        if not np.any(member == number):
            mass = np.bincount(member, error, count + 1)
            mass[0] = 0
            if not mass.any():
                break  # nothing is left to learn, or the base serves all
            heaviest = np.flatnonzero(member == np.argmax(mass))
            member[heaviest[np.argsort(error[heaviest], kind="stable")][(len(heaviest) + 1) // 2:]] = number
    return member


def shares(weight: np.ndarray, member: np.ndarray, count: int) -> np.ndarray:
    """The share of the budget of each of `count` nets, float64 (count,), summing to 1: as its patches weigh together.

    weight: float (N,), how often each patch should be drawn, by the error it still has; member: (N,), the
    number of its net, 0 for the base. So a net trains as often as if batches were drawn from the patches of all nets.
    """
    mass = np.bincount(member, weight, count + 1)[1:]
    return mass / mass.sum() if mass.any() else np.full(count, 1 / count)
