import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stdo_min.algorithm import sample
from stdo_min.engine.shuffle import shuffle
from stdo_min.format import base as resample


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=60), st.integers(1, 70))
def test_inclusion_keeps_as_many_as_asked_in_proportion(weights, size):
    weights = np.array(weights)
    probability = sample.inclusion(weights, size)
    assert np.all((probability > 0) & (probability <= 1))
    assert probability.sum() == pytest.approx(min(size, len(weights)))
    free = probability < 1
    if free.any():
        assert np.ptp(probability[free] / weights[free]) < 1e-9 * (probability[free] / weights[free]).max() + 1e-15
        assert weights[~free].min(initial=np.inf) >= weights[free].max()


def test_expected_draws_do_not_depend_on_the_size_of_the_pool():
    rng = np.random.default_rng(0)
    errors = rng.exponential(20, (20, 10, 10))
    totals = []
    for size in (10**6, 500):
        sums = np.zeros(errors.shape)
        for _ in range(300):
            kept, probability = sample.choose(errors, size, rng)
            sums[kept] += sample.sampling(errors)[kept] / probability[kept]
        totals.append(sums.sum() / 300)
    assert kept.sum() == pytest.approx(500, rel=0.15)
    assert totals[1] == pytest.approx(totals[0], rel=0.01)


def frames_of(count, height, width, scale):
    rng = np.random.default_rng(3)
    return [(rng.integers(0, 256, (height, width)).astype(np.uint8),
             rng.integers(0, 256, (height * scale, width * scale)).astype(np.uint8)) for _ in range(count)]


def test_what_was_chosen_is_cut_out():
    patch, halo, scale = 8, 3, 2
    frames = frames_of(3, 20, 27, scale)
    kept = np.random.default_rng(1).random((3, 3, 4)) < 0.6
    found = sample.cut_out(iter(frames), kept, patch, halo, scale)
    assert len(found) == np.count_nonzero(kept)
    assert np.all(found.weight == 1)
    for (index, row, column), lr, residual in zip(
            np.argwhere(kept), found.lr, shuffle(found.residual, scale), strict=True):
        y, x = min(row * patch, 20 - patch), min(column * patch, 27 - patch)
        plane, hr = frames[index]
        np.testing.assert_array_equal(lr, np.pad(plane, halo, "edge")[y:y + 14, x:x + 14])
        base = resample.base(plane, scale)
        # What the arithmetic of FORMAT.md makes of base and residual is the source itself.
        np.testing.assert_array_equal((base[y * 2:y * 2 + 16, x * 2:x * 2 + 16] + residual) >> 6,
                                      hr[y * 2:y * 2 + 16, x * 2:x * 2 + 16])


def test_errors_of_the_base_and_parts_of_a_pool():
    residual = np.zeros((2, 2, 2, 4), np.int16)
    residual[1] = 64 * 7
    whole = sample.Pool(np.arange(8, dtype=np.uint8).reshape(2, 2, 2), residual, np.ones(2))
    np.testing.assert_allclose(whole.base_errors(), [0, 49])
    np.testing.assert_allclose(sample.sampling(whole.base_errors()), [0.05**0.75, 49.05**0.75])
    assert whole.drawable() is whole
    part = whole.weighing(np.array([0.0, 2.5])).drawable()
    assert len(part) == 1
    np.testing.assert_array_equal(part.lr, whole.lr[1:])
    np.testing.assert_array_equal(part.residual, residual[1:])
    assert part.weight.tolist() == [2.5]


def test_capacity_counts_bytes():
    assert sample.capacity(100 * (28**2 + 2 * 80**2), 20, 4, 4) == 100
    assert sample.capacity(1, 20, 4, 4) == sample.LEAST_PATCHES
