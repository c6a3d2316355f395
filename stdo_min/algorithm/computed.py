"""Which thresholds and labels computed labels should have: those of least J, by dynamic programming."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from stdo_min.algorithm.compiled import compiled
from stdo_min.format.classes import Classes

MOST_SETS = 8  # nets of which every set is tried
THRESHOLD_BITS, LABEL_BITS = 16, 8


def bits_of(classes: Classes, net_bits: np.ndarray) -> float:
    """What thresholds, labels and the nets in use cost; net_bits: float or int (nets,)."""
    used = np.unique(classes.table[classes.table > 0]).astype(int) - 1
    return THRESHOLD_BITS * len(classes.thresholds) + LABEL_BITS * len(classes.table) + float(net_bits[used].sum())


def fit_thresholds(activity: np.ndarray, errors: np.ndarray, weight: float, net_bits: np.ndarray) -> Classes:
    """The classes with the least sum of squared errors + weight * `bits_of`; at most one class more than nets.

    activity: uint16 (frames, rows, columns). errors: float or int (frames, 1 + nets, rows, columns). weight: squared
    error a bit, >= 0. net_bits: float or int (nets,), >= 0. It is the optimum, by dynamic programming over the values
    that occur, for each set of nets; beyond 8 nets for the sets of the 8 that leave the least error alone. Raises
    ValueError for shapes that do not fit.
    """
    net_bits = np.asarray(net_bits, np.float64)
    nets = len(net_bits)
    if activity.dtype != np.uint16 or errors.shape != (len(activity), 1 + nets, *activity.shape[1:]):
        raise ValueError(f"{activity.dtype} {activity.shape} are no activities for errors {errors.shape}, {nets} nets")
    sums = np.stack([np.bincount(activity.ravel(), errors[:, label].ravel()) for label in range(1 + nets)], axis=1)
    values = np.flatnonzero(np.bincount(activity.ravel()))
    sums = sums[values]
    best_nets = np.sort(np.argsort(sums[:, 1:].sum(axis=0), kind="stable")[:MOST_SETS]) + 1
    found = (np.inf, ())
    for size in range(len(best_nets) + 1):
        for chosen in combinations(best_nets.tolist(), size):
            labels = np.array((0, *chosen))
            price = weight * net_bits[labels[1:] - 1].sum()
            if price < found[0]:
                own = np.ascontiguousarray(sums[:, labels])
                total, starts, numbers = _cut_numba(own, weight * (THRESHOLD_BITS + LABEL_BITS), nets + 1)
                if total + price < found[0]:
                    found = total + price, (values[starts[1:]].astype(np.uint16), labels[numbers].astype(np.uint8))
    return Classes(*found[1])


@compiled
def _cut_numba(sums, price, most):
    """Cut the rows of sums into classes, each with one column; the least sum + price for each class after the first.

    sums: float64 (n, columns). At most `most` classes. Returns the sum, and the first row and the column of each class.
    """
    n, columns = sums.shape
    least = np.full((most, columns), np.inf)  # by the classes before the current one, and its column
    came = np.full((n, most, columns), -1, np.int16)  # the column of the class before, where a class starts here
    for column in range(columns):
        least[0, column] = sums[0, column]
    for row in range(1, n):
        for k in range(most - 1, -1, -1):
            before, cheapest = 0, np.inf
            if k:
                for column in range(columns):
                    if least[k - 1, column] < cheapest:
                        before, cheapest = column, least[k - 1, column]
            for column in range(columns):
                if cheapest + price < least[k, column]:
                    least[k, column] = cheapest + price
                    came[row, k, column] = before
                least[k, column] += sums[row, column]
    place = np.argmin(least)
    k, column = place // columns, place % columns
    total, starts, numbers = least[k, column], np.zeros(k + 1, np.int64), np.zeros(k + 1, np.int64)
    numbers[k] = column
    for row in range(n - 1, 0, -1):
        if came[row, k, column] >= 0:
            starts[k] = row
            column = came[row, k, column]
            k -= 1
            numbers[k] = column
    return total, starts, numbers


def _cut_numpy(sums, price, most):
    """The twin of `_cut_numba`, which tries every first row of every last class."""
    before = np.concatenate([np.zeros((1, sums.shape[1])), np.cumsum(sums, axis=0)])
    n = len(sums)
    ways = [{0: (0.0, [], [])}]
    best = (np.inf, [], [])
    for k in range(most):
        now = {}
        for end in range(1, n + 1):
            for start, (total, starts, numbers) in ways[-1].items():
                if start < end:
                    cost = before[end] - before[start]
                    one = total + cost.min() + (price if k else 0)
                    if end not in now or one < now[end][0]:
                        now[end] = one, [*starts, start], [*numbers, int(cost.argmin())]
        ways.append(now)
        if n in now and now[n][0] < best[0]:
            best = now[n]
    return best
