"""Labels that count their bits, and those that have none, against maps that they must not be worse than."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import random_labels

from stdo_min.algorithm import computed, labels
from stdo_min.algorithm.computed import bits_of, fit_thresholds
from stdo_min.algorithm.labels import drop_nets, map_bits, rate_aware
from stdo_min.format import patchmap
from stdo_min.format.classes import Classes, activity

reproducible = settings(derandomize=True, deadline=None, max_examples=100, database=None)
SEED, NETS, SIDE = st.integers(0, 2**32), st.integers(0, 5), st.integers(1, 7)


def noisy(seed, frames, nets, rows, columns):
    """Errors under nets of which each serves some patches best for some time, with noise."""
    rng = np.random.default_rng(seed)
    errors = rng.gamma(2, 100, (frames, 1 + nets, rows, columns))
    best = random_labels(rng, frames, (columns, rows), 1, nets)
    errors *= np.where(np.arange(1 + nets)[:, None, None] == best[:, None], 0.6, 1)
    return errors.astype(np.int64)


def total(errors, chosen, weight):
    return (np.take_along_axis(errors, chosen[:, None].astype(int), axis=1).sum()
            + weight * map_bits(chosen, errors.shape[1] - 1))


def plain(errors):
    """The maps that rate_aware may not be worse than."""
    frames, labels, rows, columns = errors.shape
    yield np.argmin(errors, axis=1).astype(np.uint8)
    yield from (np.full((frames, rows, columns), label, np.uint8) for label in range(labels))
    yield np.repeat(np.argmin(errors.sum(axis=0), axis=0)[None], frames, axis=0).astype(np.uint8)


@reproducible
@given(SEED, st.integers(1, 9), NETS, SIDE, SIDE, st.sampled_from([0, 0.5, 10, 100, 3000]))
def test_no_plain_map_is_better(seed, frames, nets, rows, columns, weight):
    errors = noisy(seed, frames, nets, rows, columns)
    found = rate_aware(errors, weight)
    assert found.dtype == np.uint8 and found.shape == (frames, rows, columns) and found.max() <= nets
    ours = total(errors, found, weight)
    assert all(ours <= total(errors, other, weight) * (1 + 1e-12) for other in plain(errors))


def test_the_ends():
    errors = noisy(1, 12, 3, 5, 6)
    np.testing.assert_array_equal(rate_aware(errors, 0), np.argmin(errors, axis=1))
    assert len(np.unique(rate_aware(errors, 1e9))) == 1


def test_noise_costs_no_bits():
    """Where the nets differ by noise alone for most patches, most of the map goes, and little of the gain."""
    rng = np.random.default_rng(3)
    errors = 10_000 + rng.normal(0, 30, (60, 3, 8, 9))
    errors[20:, 1, 2:5, 3:6] -= 5000
    errors[:, 2, 6:, :] -= 5000
    greedy, found = np.argmin(errors, axis=1).astype(np.uint8), rate_aware(errors, 100)
    assert map_bits(found, 2) < 0.03 * map_bits(greedy, 2)
    assert (found[20:, 2:5, 3:6] == 1).all() and (found[:, 6:] == 2).all()


@reproducible
@given(SEED, st.integers(1, 63), st.integers(1, 6), st.integers(1, 9), st.integers(1, 9))
def test_bits_are_those_of_the_file(seed, nets, frames, rows, columns):
    found = random_labels(np.random.default_rng(seed), frames, (columns, rows), 1, nets)
    assert abs(map_bits(found, nets) - 8 * len(patchmap.encode(found, nets))) <= 16
    assert map_bits(found, nets) == labels._bits_python(found, nets)


@pytest.mark.parametrize("often", [0, 1e-4, 0.003, 0.1])
def test_bits_of_long_maps(often):
    rng = np.random.default_rng(4)
    found = np.where(rng.random((120, 18, 22)) < often, rng.integers(0, 5, (120, 18, 22)), 3).astype(np.uint8)
    for maps in (found, np.zeros_like(found)):
        exact = 8 * len(patchmap.encode(maps, 4))
        assert abs(map_bits(maps, 4) - exact) <= 16


@reproducible
@given(SEED, st.integers(1, 7), st.integers(1, 5), SIDE, SIDE, st.sampled_from([0.5, 10, 100]))
def test_a_sweep_is_its_twin(seed, frames, nets, rows, columns, weight):
    rng = np.random.default_rng(seed)
    errors = np.ascontiguousarray(noisy(seed, frames, nets, rows, columns).transpose(2, 3, 0, 1), np.float64)
    start = random_labels(rng, frames, (columns, rows), 1, nets)
    flag, jump = labels.costs(start, nets)
    one, other = (start.transpose(1, 2, 0).copy() for _ in range(2))
    labels._sweep_numba(errors, one, weight * flag, weight * jump)
    labels._sweep_numpy(errors, other, weight * flag, weight * jump)
    np.testing.assert_array_equal(one, other)


@reproducible
@given(SEED, st.integers(2, 6), st.integers(1, 3), st.sampled_from([1.0, 30.0]))
def test_one_patch_gets_the_best_of_all_labels(seed, frames, nets, weight):
    """Without neighbours, and with the costs given, the labels over time are the optimum."""
    errors = noisy(seed, frames, nets, 1, 1)
    flag, jump = (weight * part for part in labels.costs(np.argmin(errors, axis=1).astype(np.uint8), nets))

    def price(way):
        way = np.array(way)
        sums = errors[np.arange(frames), way, 0, 0].sum()
        return sums + sum(flag[0 if t else 3, int(now != then)] + (jump[then, now] if now != then else 0)
                          for t, (then, now) in enumerate(zip((0, *way), way, strict=False)))

    found = np.zeros((1, 1, frames), np.uint8)
    labels._sweep_numba(np.ascontiguousarray(errors.transpose(2, 3, 0, 1), np.float64), found, flag, jump)
    assert price(found[0, 0]) <= min(map(price, itertools.product(range(1 + nets), repeat=frames))) * (1 + 1e-12)


def test_costs_are_near_what_a_long_map_takes():
    found = random_labels(np.random.default_rng(5), 200, (20, 15), 1, 3)
    flag, jump = labels.costs(found, 3)
    predicted, context = labels._predictions(found)
    moved = found != predicted
    bits = flag[context, moved.astype(int)].sum() + jump[predicted, found].sum()
    assert bits == pytest.approx(map_bits(found, 3), rel=0.03)
    assert (np.diag(jump) == 0).all()


def test_refusals():
    errors = noisy(1, 2, 2, 3, 3)
    for bad in (errors[0], errors[:0], np.ones((1, 65, 2, 2))):
        with pytest.raises(ValueError, match="must be"):
            rate_aware(bad, 1)
    with pytest.raises(ValueError, match="finite"):
        rate_aware(errors * np.nan, 1)
    for weight in (-1, np.inf, np.nan):
        with pytest.raises(ValueError, match="weight"):
            rate_aware(errors, weight)
    with pytest.raises(ValueError, match="net_bits"):
        drop_nets(errors, 1, [3])


def summed(errors, chosen, weight, net_bits):
    """The sum with nets, the map written for those in use."""
    used = np.unique(np.append(0, chosen))
    return (total(errors[:, used], np.searchsorted(used, chosen).astype(np.uint8), weight)
            + weight * np.asarray(net_bits, float)[used[1:].astype(int) - 1].sum())


@settings(reproducible, max_examples=30)
@given(SEED, st.integers(1, 6), st.integers(0, 4), SIDE, SIDE, st.sampled_from([0, 1.0, 30.0]))
def test_nets_are_worth_their_bits(seed, frames, nets, rows, columns, weight):
    errors = noisy(seed, frames, nets, rows, columns)
    bits = np.random.default_rng(seed).integers(0, 300, nets)
    found = drop_nets(errors, weight, bits)
    ours = summed(errors, found, weight, bits) * (1 - 1e-12)
    assert ours <= summed(errors, rate_aware(errors, weight), weight, bits)
    assert ours <= errors[:, 0].sum()
    for net in range(1, 1 + nets):
        alone = np.array([0, net], np.uint8)[rate_aware(errors[:, (0, net)], weight)]
        assert ours <= summed(errors, alone, weight, bits)


def test_the_few_nets_of_many_that_are_missed_stay():
    """Two nets serve half of the patches each; fourteen are a little better for a sixteenth of the frame, each."""
    errors = np.full((20, 17, 4, 8), 1000.0)
    errors[:, 1, :, :4], errors[:, 2, :, 4:] = 100, 100
    for net in range(3, 17):
        errors[:, net, net % 4, net % 8] = 50
    assert np.unique(drop_nets(errors, 1, [9000] * 16)).tolist() == [1, 2]


def test_a_net_for_one_patch_goes():
    errors = np.full((30, 3, 5, 6), 1000.0)
    errors[:, 1, :, :3], errors[:, 1, :, 3:], errors[:, 2] = 100, 1500, 1500
    errors[7, 2, 4, 4] = 0
    assert np.unique(drop_nets(errors, 1, [2000, 2000])).tolist() == [0, 1]
    assert np.unique(drop_nets(errors, 1, [0, 0])).tolist() == [0, 1, 2]
    assert not drop_nets(errors, 1, [1e9, 1e9]).any()


def test_nets_that_pay_together_alone_stay():
    """Each net serves half of the patches, and each one by itself is not worth what it costs the other half."""
    errors = np.full((20, 3, 4, 6), 1000.0)
    errors[:, 1, :, :3], errors[:, 2, :, 3:] = 0, 0
    errors = np.append(errors, errors[:, :1], axis=1)
    assert np.unique(drop_nets(errors, 1, [9000, 9000, 1])).tolist() == [1, 2]


# ---- labels that the player computes ----


@reproducible
@given(SEED, st.integers(1, 40), st.integers(1, 40), st.integers(1, 17))
def test_activity_by_its_definition(seed, height, width, patch):
    plane = (np.random.default_rng(seed).integers(0, 2, (height, width)) * 255).astype(np.uint8)
    expected = np.zeros((-(-height // patch), -(-width // patch)), int)
    for top, left in itertools.product(range(0, height, patch), range(0, width, patch)):
        inside = list(itertools.product(range(top, min(top + patch, height)), range(left, min(left + patch, width))))
        def at(y, x):
            return int(plane[min(max(y, 0), height - 1), min(max(x, 0), width - 1)])
        sums = sum(abs(4 * at(y, x) - at(y, x - 1) - at(y, x + 1) - at(y - 1, x) - at(y + 1, x)) for y, x in inside)
        expected[top // patch, left // patch] = min(65535, 16 * sums // len(inside))
    found = activity(plane, patch)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, expected)


def test_activity_of_the_wildest_patch():
    plane = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    inner = activity(plane, 128)[0, 0]
    assert 16 * 1000 < inner <= 16 * 1020
    with pytest.raises(ValueError, match="plane"):
        activity(plane.astype(int), 8)


def test_classes():
    classes = Classes(np.array([3, 9], np.uint16), np.array([2, 0, 2], np.uint8))
    assert classes.labels(np.array([0, 2, 3, 8, 9, 65535], np.uint16)).tolist() == [2, 2, 0, 0, 2, 2]
    assert bits_of(classes, np.array([5, 70])) == 2 * 16 + 3 * 8 + 70


def priced(classes, values, errors, weight, net_bits):
    return (np.take_along_axis(errors, classes.labels(values)[:, None].astype(int), axis=1).sum()
            + weight * bits_of(classes, net_bits))


@settings(reproducible, max_examples=60)
@given(SEED, st.integers(0, 2), st.integers(1, 5), st.sampled_from([0, 0.5, 5.0]))
def test_thresholds_are_the_best(seed, nets, different, weight):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, different, (3, 2, 3)).astype(np.uint16) * 9
    errors = rng.integers(0, 200, (3, 1 + nets, 2, 3))
    errors -= 60 * (np.arange(1 + nets)[:, None, None] == values[:, None] % 3)
    bits = rng.integers(0, 40, nets)
    found = fit_thresholds(values, errors, weight, bits)
    assert found.thresholds.dtype == np.uint16 and found.table.dtype == np.uint8
    assert len(found.table) == len(found.thresholds) + 1 <= nets + 1
    ways = (Classes(np.array(cuts, np.uint16), np.array(table, np.uint8))
            for k in range(nets + 1) for cuts in itertools.combinations(np.unique(values)[1:], k)
            for table in itertools.product(range(nets + 1), repeat=k + 1))
    best = min(priced(way, values, errors, weight, bits) for way in ways)
    assert priced(found, values, errors, weight, bits) == pytest.approx(best, rel=1e-12)


@reproducible
@given(SEED, st.integers(1, 12), st.integers(1, 4), st.integers(1, 4), st.sampled_from([0, 30, 10**6]))
def test_the_cut_is_its_twin(seed, rows, columns, most, price):
    sums = np.random.default_rng(seed).integers(0, 1000, (rows, columns)).astype(float)
    (total, starts, numbers), (least, *_) = (cut(sums, float(price), most)
                                            for cut in (computed._cut_numba, computed._cut_numpy))
    assert total == least
    ends = [*starts[1:], rows]
    assert starts[0] == 0 and (np.diff([*starts, rows]) > 0).all() and len(starts) <= most
    assert total == price * (len(starts) - 1) + sum(
        sums[start:end, number].sum() for start, end, number in zip(starts, ends, numbers, strict=True))


def test_thresholds_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="no activities"):
        fit_thresholds(np.zeros((2, 3, 4), np.uint16), np.zeros((2, 3, 3, 4)), 1, [8])
