"""Chunks: which patches share a net, by k-means on their scores (section 3.1 of the paper, arXiv 2303.08331).

Chunks are numbered from 1, as their nets are; 0 is the base, which has no chunk.

The authors' released code cuts the sorted scores at equal counts; the paper says k-means. In one dimension the best
clusters are intervals of the sorted scores, so dynamic programming finds the optimum (Wang & Song 2011, The R Journal
3/2); the divide-and-conquer form takes O(k n log n).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stdo_min.algorithm.compiled import compiled

MOST_CHUNKS = 8
EXPLAINED = 0.9
TAUGHT = 0.01  # share of the error below which JSTDO does not draw a chunk


@dataclass(frozen=True)
class Cut:
    """Chunks as intervals of one number that every patch has: its score, or its frame.

    starts: float64 (k - 1,), rising, the least number of chunks 2..k.
    """

    starts: np.ndarray

    @property
    def count(self) -> int:
        """How many chunks."""
        return len(self.starts) + 1

    def labels(self, values: np.ndarray) -> np.ndarray:
        """The chunk of each value, uint8 of the shape of `values`, 1..count."""
        return (np.searchsorted(self.starts, values, side="right") + 1).astype(np.uint8)


def by_score(scores: np.ndarray, chunks: int | None, most: int = MOST_CHUNKS, equal_counts: bool = False,
             weight: np.ndarray | None = None) -> Cut:
    """Chunks of scores; no more of them than there are different scores.

    scores: float (n,), finite. chunks: how many, or None for `choose_k` with `most`. equal_counts: cut as `quantiles`
    does, in place of k-means. weight: as in `kmeans`.
    """
    count = choose_k(scores, most, weight) if chunks is None else min(chunks, len(np.unique(scores)))
    labels = quantiles(scores, count, weight) if equal_counts else kmeans(scores, count, weight)[0]
    starts = [scores[labels == number].min() for number in range(2, count + 1) if np.any(labels == number)]
    return Cut(np.unique(np.array(starts, np.float64)))


def by_time(frames: int, chunks: int) -> Cut:
    """Equal parts of the time as chunks (NAS), of the numbers of frames 0..frames-1."""
    return Cut(-(-np.arange(1, chunks) * frames // chunks).astype(np.float64))


def kmeans(scores: np.ndarray, k: int, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The k clusters of the scores with the least sum of squared distances to their means.

    scores: float (n,), finite. weight: float (n,), how often each counts; None for once each. Returns labels, uint8
    (n,), 1 for the lowest scores (the hardest patches) up to k, and the means, float64 (k,), rising. Equal scores get
    equal labels. Raises ValueError unless there are k different scores.
    """
    scores = _checked(scores)
    different = len(np.unique(scores))
    if not 1 <= k <= min(different, 255):
        raise ValueError(f"{k} chunks of {different} different scores: choose 1..{min(different, 255)}")
    values, counts, cuts = _optimal_cuts(scores, k, weight)
    starts = cuts[k - 1][:k]
    labels = (np.searchsorted(values[starts[1:]], scores, side="right") + 1).astype(np.uint8)
    means = np.add.reduceat(values * counts, starts) / np.add.reduceat(counts, starts)
    return labels, means


def quantiles(scores: np.ndarray, k: int, weight: np.ndarray | None = None) -> np.ndarray:
    """The sorted scores cut at equal counts, as the authors' released code does: uint8 (n,), 1 for the lowest.

    scores: float (n,), finite. weight: as in `kmeans`. Equal scores may get different labels. Raises ValueError unless
    1 <= k <= n.
    """
    scores = _checked(scores)
    if not 1 <= k <= min(len(scores), 255):
        raise ValueError(f"{k} chunks of {len(scores)} scores: choose 1..{min(len(scores), 255)}")
    order = np.argsort(scores, kind="stable")
    weight = np.ones(len(scores)) if weight is None else weight[order]
    before = np.cumsum(weight) - weight
    labels = np.empty(len(scores), np.uint8)
    labels[order] = np.minimum(before * k / weight.sum(), k - 1).astype(int) + 1
    return labels


def informative(labels: np.ndarray, errors: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """How often JSTDO draws each patch, float64 (n,): by the error share of its chunk.

    labels: chunks 1..k; errors: mean squared error of each patch; weight: how many patches each stands for. A chunk
    with a share E of all error and a share N of all patches is drawn in proportion to E^0.75 N^0.25, its patches
    alike: between drawing it by its patches (N) and by its error (E). A chunk with less than 1 % of the error has
    nothing to teach and is not drawn. The paper (section 3.3) keeps all of the hardest chunk and ever less of the
    easier ones, in ratios set by hand.
    """
    error = np.bincount(labels, errors * weight)[1:]
    number = np.bincount(labels, weight)[1:]
    share = error / max(error.sum(), 1e-300)
    drawn = (share / np.maximum(number, 1e-300)) ** 0.75 * (share >= TAUGHT)
    return drawn[labels - 1] if drawn.any() else np.ones(len(labels))


def choose_k(scores: np.ndarray, most: int = MOST_CHUNKS, weight: np.ndarray | None = None) -> int:
    """The number of chunks that `--chunks auto` takes: the least k that explains 90 % of the variance of the scores.

    scores: float (n,). weight: as in `kmeans`. For k = 1, 2, ... up to `most`, exact k-means is asked how much of the
    variance is left inside the chunks; the first k that leaves a tenth or less is taken. Scores that spread evenly
    give 4 (k equal parts leave 1/k^2), two separate heaps give 2, scores that are all alike give 1. More chunks than
    that sort patches by differences in difficulty too small to need another net, and each net costs its bytes and its
    share of the training time.
    """
    scores = _checked(scores)
    most = min(most, len(np.unique(scores)))
    values, counts, cuts = _optimal_cuts(scores, most, weight)
    total = _spread(values, counts, cuts[0][:1])
    for k in range(1, most):
        if _spread(values, counts, cuts[k - 1][:k]) <= (1 - EXPLAINED) * total:
            return k
    return most


def _checked(scores):
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or len(scores) == 0 or not np.isfinite(scores).all():
        raise ValueError(f"scores have shape {scores.shape} and {np.count_nonzero(~np.isfinite(scores))} that are not "
                         "finite; they must be one row (n,) of finite numbers")
    return scores


def _spread(values, counts, starts):
    """The sum of squared distances to the means of the clusters that begin at `starts`."""
    n, s = np.add.reduceat(counts, starts), np.add.reduceat(values * counts, starts)
    return float(np.sum(np.square(values - np.repeat(s / n, np.diff(np.append(starts, len(values))))) * counts))


def _optimal_cuts(scores, most, weight=None):
    """Sorted different values, how often each counts, and for k = 1..most the indices where the k clusters start."""
    values, place = np.unique(scores, return_inverse=True)
    counts = np.bincount(place, weight).astype(np.float64)
    centred = values - np.average(values, weights=counts)  # otherwise sums of squares would lose digits
    rows = _cuts_numba(centred, counts, most)
    cuts, ends = np.zeros((most, most), np.int64), np.full(most, len(values))
    for cluster in range(most - 1, -1, -1):  # from the last cluster back, for all k > cluster at once
        ends[cluster:] = _starts(rows[cluster], len(values))[ends[cluster:] - 1]
        cuts[cluster:, cluster] = ends[cluster:]
    return values, counts, cuts


def _starts(row, n):
    """back[j] of `_cuts_numpy`, from a row of `_cuts_numba`: int64 (n,)."""
    return np.flatnonzero(np.unpackbits(row, count=2 * n)) - np.arange(n)


@compiled
def _mark(row, back):
    """Set the bits of a row."""
    for i in range(len(back)):
        place = i + back[i]
        row[place >> 3] |= np.uint8(128 >> (place & 7))


@compiled
def _cuts_numba(values, counts, most):
    """back[j, i]: where the last of j+1 clusters of values[0..i] starts, at the least total spread; a row in 2n bits.

    A row never falls, so the places i + back[j, i] rise, and a bit set at each place stores the row. A million values
    in 63 clusters take 16 MiB, where int64 would take 504. `_starts` reads a row.
    """
    n = len(values)
    weight, first, second = np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1)
    for i in range(n):
        weight[i + 1] = weight[i] + counts[i]
        first[i + 1] = first[i] + counts[i] * values[i]
        second[i + 1] = second[i] + counts[i] * values[i] * values[i]
    rows, back = np.zeros((most, (2 * n + 7) // 8), np.uint8), np.zeros(n, np.int64)
    _mark(rows[0], back)
    before, least = np.empty(n), np.empty(n)
    for i in range(n):
        least[i] = second[i + 1] - first[i + 1] * first[i + 1] / weight[i + 1]
    stack = np.empty((130, 4), np.int64)  # (from, to, lowest start, highest start), as deep as a bisection goes
    for j in range(1, most):
        before, least = least, before
        top = 0
        stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = j, n - 1, j, n - 1
        while top >= 0:
            low, high, start_low, start_high = stack[top]
            top -= 1
            if low > high:
                continue
            # The best start never moves left as the end moves right, so the middle's answer bounds both halves.
            middle = (low + high) // 2
            best, best_start = np.inf, start_low
            for start in range(start_low, min(middle, start_high) + 1):
                s = first[middle + 1] - first[start]
                spread = second[middle + 1] - second[start] - s * s / (weight[middle + 1] - weight[start])
                if before[start - 1] + spread < best:
                    best, best_start = before[start - 1] + spread, start
            least[middle], back[middle] = best, best_start
            top += 1
            stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3] = low, middle - 1, start_low, best_start
            top += 1
            stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3] = middle + 1, high, best_start, start_high
        back[:j] = 0  # fewer values than clusters
        _mark(rows[j], back)
    return rows


def _cuts_numpy(values, counts, most):
    """The twin of `_cuts_numba`, but back[j, i] as int64: tries every start of every last cluster, O(k n^2)."""
    n = len(values)
    weight, first, second = (np.concatenate(([0.0], np.cumsum(counts * values**power))) for power in (0, 1, 2))
    back = np.zeros((most, n), np.int64)
    least = second[1:] - np.square(first[1:]) / weight[1:]
    for j in range(1, most):
        before, least = least, np.full(n, np.inf)
        for i in range(j, n):
            start = np.arange(j, i + 1)
            spread = (second[i + 1] - second[start]
                      - np.square(first[i + 1] - first[start]) / (weight[i + 1] - weight[start]))
            total = before[start - 1] + spread
            back[j, i] = start[np.argmin(total)]
            least[i] = total.min()
    return back
