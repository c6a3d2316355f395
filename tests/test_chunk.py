import subprocess
import sys
import zlib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdo_min.algorithm import chunk

PAPER = Path(__file__).parents[2] / "shared" / "paper" / "label_vlog_15.npy"
SCORES = st.lists(st.integers(200, 600).map(lambda tenth: tenth / 10), min_size=1, max_size=12)


def spread(scores, labels):
    return sum(np.sum((scores[labels == label] - scores[labels == label].mean()) ** 2) for label in set(labels))


def least_spread(scores, k):
    """The best of all ways to cut the sorted scores into k runs."""
    ordered = np.sort(scores)
    return min(sum(np.sum((run - run.mean()) ** 2) for run in np.split(ordered, cuts))
               for cuts in combinations(range(1, len(ordered)), k - 1))


@given(SCORES, st.integers(1, 5))
def test_kmeans_is_the_optimum(scores, k):
    scores = np.array(scores)
    k = min(k, len(np.unique(scores)))
    labels, means = chunk.kmeans(scores, k)
    assert spread(scores, labels) == pytest.approx(least_spread(scores, k), abs=1e-9)
    assert set(labels) == set(range(1, k + 1))
    np.testing.assert_allclose(means, [scores[labels == label].mean() for label in range(1, k + 1)])
    assert np.all(np.diff(means) > 0)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(5, 300), st.integers(1, 6))
def test_divide_and_conquer_equals_its_twin(seed, n, most):
    rng = np.random.default_rng(seed)
    values = np.sort(rng.normal(0, 5, n))
    counts = rng.integers(1, 9, n).astype(float)
    fast, plain = chunk._cuts_numba(values, counts, most), chunk._cuts_numpy(values, counts, most)
    for row, wanted in zip(fast, plain, strict=True):
        np.testing.assert_array_equal(chunk._starts(row, n), wanted)


def test_cuts_of_many_scores_as_recorded():
    """Recorded when the starts were whole numbers, 63 for each score: two bits hold as much."""
    _, _, cuts = chunk._optimal_cuts(np.random.default_rng(1).normal(40, 6, 1 << 17), 63)
    assert zlib.crc32(cuts) == 0x30ED337D


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no /proc to read memory from")
def test_the_memory_of_kmeans_does_not_grow_with_the_clusters():
    """63 whole numbers for each of 2^18 scores would be 126 MiB; that much is then taken, to see that it is noticed."""
    code = """
import numpy as np
from pathlib import Path
from stdo_min.algorithm.chunk import kmeans

def memory(field):
    return int(Path("/proc/self/status").read_text().partition(field)[2].split()[0]) / 1024

scores = np.random.default_rng(0).normal(40, 6, 1 << 18)
kmeans(scores[:99], 3)  # what Numba takes to compile is not what k-means takes
Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
before = memory("VmRSS:")
kmeans(scores, 63)
print(memory("VmHWM:") - before)
kept = np.ones((63, 1 << 18))
print(memory("VmHWM:") - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    taken, with_table = map(float, done.stdout.split())
    assert taken < 60 < 100 < with_table, (taken, with_table)


def test_more_chunks_than_scores_are_refused():
    with pytest.raises(ValueError, match=r"3 chunks of 2 different scores: choose 1\.\.2"):
        chunk.kmeans(np.array([30.0, 30.0, 40.0]), 3)


def test_choose_k():
    rng = np.random.default_rng(0)
    assert chunk.choose_k(np.full(50, 38.0)) == 1
    assert chunk.choose_k(np.concatenate([rng.normal(30, 1, 500), rng.normal(50, 1, 500)])) == 2
    assert chunk.choose_k(rng.uniform(30, 50, 5000)) == 4
    assert chunk.choose_k(rng.uniform(30, 50, 5000), most=2) == 2


@pytest.mark.skipif(not PAPER.exists(), reason="the authors' scores (label_vlog_15.npy) are not at hand")
def test_on_the_scores_of_the_papers_authors():
    scores = np.load(PAPER)
    labels, means = chunk.kmeans(scores, 4)
    # From python -c "... chunk.kmeans(np.load('label_vlog_15.npy'), 4)"; Lloyd's algorithm must not find less.
    np.testing.assert_allclose(means, [41.0374, 49.2602, 54.0720, 63.6819], atol=1e-3)
    np.testing.assert_array_equal(np.bincount(labels), [0, 9921, 37578, 30483, 12018])
    centres = np.quantile(scores, [0.125, 0.375, 0.625, 0.875])
    for _ in range(100):
        nearest = np.abs(scores[:, None] - centres).argmin(axis=1)
        centres = np.array([scores[nearest == index].mean() for index in range(4)])
    assert spread(scores, labels) <= spread(scores, nearest) + 1e-6
    assert chunk.choose_k(scores) == 5
    # The hardest chunk holds a ninth of the patches and most of the error.
    error = 10 ** (-scores / 10)
    assert error[labels == 1].sum() / error.sum() > 0.6


def test_quantiles_cut_at_equal_counts():
    scores = np.array([5.0, 1, 4, 2, 3, 0])
    assert chunk.quantiles(scores, 3).tolist() == [3, 1, 3, 2, 2, 1]
    assert np.bincount(chunk.quantiles(np.random.default_rng(0).random(1000), 7)).tolist() == [0] + [143] * 6 + [142]
    with pytest.raises(ValueError, match="7 chunks of 6 scores"):
        chunk.quantiles(scores, 7)


def test_jstdo_draws_the_chunks_that_hold_the_error():
    labels = np.repeat(np.array([1, 2, 3], np.uint8), [10, 30, 60])
    errors = np.repeat([80.0, 6.0, 0.01], [10, 30, 60])
    drawn = chunk.informative(labels, errors, np.ones(100))
    share = np.array([800, 180, 0.6]) / 980.6
    assert np.all(drawn[labels == 3] == 0)  # under 1 % of the error: nothing to learn
    # A chunk as a whole is drawn in proportion to (error share)^0.75 (patch share)^0.25.
    mass = [drawn[labels == number].sum() for number in (1, 2)]
    assert mass[0] / mass[1] == pytest.approx((share[0] / share[1])**0.75 * (0.1 / 0.3)**0.25)
    assert np.all(chunk.informative(labels, np.zeros(100), np.ones(100)) == 1)
    # One patch that stands for ten is as ten.
    few = chunk.informative(labels[::10], errors[::10], np.full(10, 10.0))
    np.testing.assert_allclose(few / few[0], drawn[::10] / drawn[0])


def test_chunks_by_score_are_no_more_than_the_scores_differ():
    scores = np.array([30.0, 30.0, 40.0, 50.0])
    cut = chunk.by_score(scores, 8)
    assert cut.count == 3 and cut.starts.tolist() == [40, 50]
    assert cut.labels(scores.reshape(2, 2)).tolist() == [[1, 1], [2, 3]]
    assert chunk.by_score(scores, 2, equal_counts=True).labels(scores).tolist() == [1, 1, 2, 2]
    # Equal scores cannot be told apart, so a chunk may be left without any.
    assert chunk.by_score(np.full(6, 3.0), 1, equal_counts=True).count == 1
    assert chunk.by_score(np.array([1.0, 1, 1, 2]), 2, equal_counts=True).labels(np.array([1.0, 2])).tolist() == [2, 2]


@given(st.lists(st.integers(0, 12), min_size=2, max_size=30), st.integers(1, 5), st.data())
def test_a_score_of_weight_three_is_as_three_scores(values, k, data):
    values = np.array(values, float)
    k = min(k, len(np.unique(values)))
    times = np.array(data.draw(st.lists(st.integers(1, 4), min_size=len(values), max_size=len(values))))
    repeated = np.repeat(values, times)
    labels, means = chunk.kmeans(values, k, times.astype(float))
    whole, whole_means = chunk.kmeans(repeated, k)
    np.testing.assert_allclose(means, whole_means)
    np.testing.assert_array_equal(np.repeat(labels, times), whole)
    assert chunk.choose_k(values, 5, times.astype(float)) == chunk.choose_k(repeated, 5)


def test_chunks_by_time_are_equal_parts():
    cut = chunk.by_time(5, 2)
    assert cut.labels(np.arange(5)).tolist() == [1, 1, 1, 2, 2]
    for frames in range(1, 30):
        for chunks in range(1, frames + 1):
            labels = chunk.by_time(frames, chunks).labels(np.arange(frames))
            assert labels.dtype == np.uint8
            assert labels.tolist() == (np.arange(frames) * chunks // frames + 1).tolist()
