"""Refinement: patches move to the net that serves them best, and nets train on (hard EM; Lloyd's algorithm over nets).

Clustering by score says which patches are alike in difficulty; this says which are alike for a net. Net 0, the base,
competes, so patches it serves best cost nothing when played.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from stdo_min import nets
from stdo_min.pool import Pool

TASK_PIXELS = 1 << 16  # lr, of one task


def move(trained: list[nets.Net], pool: Pool, base_errors: np.ndarray, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """The number of the best net for each patch of a pool, intp (N,), 0 the base; and its mean squared error, (N,).

    base_errors: as `Pool.base_errors` gives them.
    """
    errors = [base_errors, *(net_errors(net, pool, threads) for net in trained)]
    best = np.argmin(errors, axis=0)
    return best, np.choose(best, errors)


def fill(member: np.ndarray, error: np.ndarray, count: int) -> np.ndarray:
    """The members (N,) again, where each of `count` nets without any takes the harder half of the heaviest net's.

    error: (N,) mean squared error of each patch under its net.
    """
    member = member.copy()
    for number in range(1, count + 1):
        if not np.any(member == number):
            mass = np.bincount(member, error, count + 1)
            mass[0] = 0
            heaviest = np.flatnonzero(member == np.argmax(mass))
            if len(heaviest) > 1:
                member[heaviest[error[heaviest] > np.median(error[heaviest])]] = number
    return member


def net_errors(net: nets.Net, pool: Pool, threads: int) -> np.ndarray:
    """Mean squared error of each patch of a pool under a float net, float64 (N,), in grey levels squared."""
    tasks = np.array_split(np.arange(len(pool)), -(-pool.lr.size // TASK_PIXELS))

    def errors_of(tasks):
        workspace = nets.Workspace()
        return [nets.squared_errors(net, pool.lr, pool.residual, task, workspace) for task in tasks if len(task)]

    with ThreadPoolExecutor(threads) as executor:
        found = executor.map(errors_of, [tasks[len(tasks) * t // threads:len(tasks) * (t + 1) // threads]
                                         for t in range(threads)])
        return np.concatenate([part for parts in found for part in parts])


def shares(weight: np.ndarray, member: np.ndarray, count: int) -> np.ndarray:
    """The share of the effort that each of `count` nets gets, float64 (count,): as its patches weigh, 1 in all.

    weight: float (N,), how often each patch should be drawn, the root of the error it still has; member: (N,), the
    number of its net, 0 for none. So a net trains as often as if one draw over all patches fed all nets.
    """
    mass = np.bincount(member, weight, count + 1)[1:]
    return mass / mass.sum() if mass.any() else np.full(count, 1 / count)
