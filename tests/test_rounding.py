import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stdo_min.engine.rounding import LARGEST, Rounding


def smooth_inputs(rng, count=4000, inputs=9):
    """Inputs that are nearly equal to their neighbours, as pixels are."""
    return 128 + rng.normal(0, 40, (count, 1)) + rng.normal(0, 3, (count, inputs))


def output_error(seen, weight, other):
    """The mean squared difference of outputs whose means are equal."""
    return float(np.mean(((seen - seen.mean(axis=0)) @ (weight - other).T) ** 2))


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_errors_are_made_good_where_inputs_are_alike(seed):
    rng = np.random.default_rng(seed)
    seen, weight, step = smooth_inputs(rng), rng.normal(0, 1, (60, 9)), np.full(60, 0.3)
    rounded = Rounding(seen)(weight, step)
    np.testing.assert_array_equal(rounded, np.rint(rounded))
    nearest = output_error(seen, weight, step[:, None] * np.rint(weight / step[:, None]))
    assert output_error(seen, weight, step[:, None] * rounded) < 0.5 * nearest


def test_whole_weights_stay_and_large_ones_are_clipped():
    rng = np.random.default_rng(1)
    whole = rng.integers(-LARGEST, LARGEST + 1, (3, 9)).astype(float)
    np.testing.assert_array_equal(Rounding(smooth_inputs(rng))(whole * 0.25, np.full(3, 0.25)), whole)
    assert np.abs(Rounding(smooth_inputs(rng))(whole, np.full(3, 0.25))).max() == LARGEST


def test_what_is_left_lies_below_the_variance_and_is_that_of_independent_inputs():
    rng = np.random.default_rng(2)
    alike, free = Rounding(smooth_inputs(rng)), Rounding(rng.normal(0, 5, (20000, 9)))
    assert alike.left < 0.15 * alike.variance  # the last input, a ninth, has nobody behind it
    assert abs(free.left / free.variance - 1) < 0.02


def test_refitting_finds_the_weights_that_give_what_is_wanted():
    rng = np.random.default_rng(3)
    seen, weight = rng.normal(0, 5, (5000, 9)), rng.normal(0, 1, (4, 9))
    found = Rounding(seen).refitted(np.zeros((4, 9)), seen @ weight.T + 7)
    np.testing.assert_allclose(found, weight, atol=0.02)


def test_constant_inputs_do_no_harm():
    found = Rounding(np.full((100, 9), 50.0))
    np.testing.assert_array_equal(found(np.full((1, 9), 0.9), np.ones(1)), np.ones((1, 9)))


def test_near_a_parent_a_weight_moves_where_that_pays():
    rng = np.random.default_rng(4)
    rounding, parent = Rounding(smooth_inputs(rng)), rng.integers(-9, 10, (20, 9)).astype(float)
    weight, step = 0.1 * (parent + rng.laplace(0, 0.7, parent.shape)), np.full(20, 0.1)
    free, dear = (rounding.near(weight, step, parent, np.full(20, bits)) for bits in (1e9, 1e-9))
    np.testing.assert_array_equal(free, rounding(weight, step))
    np.testing.assert_array_equal(dear, parent)
    some = rounding.near(weight, step, parent, np.full(20, 8.0))
    assert 0 < np.count_nonzero(some != parent) < np.count_nonzero(free != parent)
