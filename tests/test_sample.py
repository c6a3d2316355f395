import io

import numpy as np
import pytest

from stdo_min.algorithm import sample
from stdo_min.engine.shuffle import shuffle
from stdo_min.format import base as resample
from stdo_min.format.psnr import patch_pixels, squared_errors
from stdo_min.format.sidecar import Sidecar
from stdo_min.video.read import Frame

PATCH, HALO, SCALE, LR = 8, 3, 2, (20, 27)  # height, width: the last row and column of patches reach over the edge
HEADER = Sidecar(SCALE, 0, PATCH, 1, LR[1], LR[0], LR[1] * SCALE, LR[0] * SCALE, ())
GRID = 3, 4


def frames_of(count, seed=3):
    """Pairs of frames whose detail differs from patch to patch."""
    rng, pairs = np.random.default_rng(seed), []
    chroma = np.zeros((2, 2), np.uint8)
    for _ in range(count):
        lr = rng.integers(60, 200, LR).astype(np.uint8)
        detail = rng.normal(0, 1, (LR[0] * 2, LR[1] * 2)) * np.linspace(0, 12, LR[1] * 2)
        hr = np.clip(resample.upscale(lr, SCALE) + detail, 0, 255).astype(np.uint8)
        pairs.append((Frame(lr, chroma, chroma), Frame(hr, chroma, chroma)))
    return pairs


def sampled(pairs, size, seed=0):
    return sample.sample(iter(pairs), HEADER, HALO, size, np.random.default_rng(seed))


def place_of(pairs, found, number):
    """Where a patch of the pool was cut from, (frame, row, column)."""
    frame = found.frame[number]
    lr = np.pad(pairs[frame][0].y, HALO, "edge")
    for row in range(GRID[0]):
        for column in range(GRID[1]):
            y, x = min(row * PATCH, LR[0] - PATCH), min(column * PATCH, LR[1] - PATCH)
            if np.array_equal(lr[y:y + 14, x:x + 14], found.pool.lr[number]):
                return frame, row, column
    raise AssertionError("a patch of the pool is in none of the frames")


@pytest.mark.parametrize("size", [1000, 200, 64])
def test_what_is_kept_is_what_the_frames_hold(size):
    """The arithmetic of FORMAT.md makes the source of lr patch and residual; with few slots patches give way."""
    pairs = frames_of(30)
    found = sampled(pairs, size)
    assert len(found.pool) == min(size, 30 * 12)
    assert np.all(found.pool.weight == 1)
    places = [place_of(pairs, found, number) for number in range(len(found.pool))]
    assert len(set(places)) == len(places)
    if size == 1000:
        assert places == sorted(places)
    for (frame, row, column), residual in zip(places, shuffle(found.pool.residual, SCALE), strict=True):
        lr, hr = pairs[frame][0].y, pairs[frame][1].y
        y, x = 2 * min(row * PATCH, LR[0] - PATCH), 2 * min(column * PATCH, LR[1] - PATCH)
        at = slice(y, y + 16), slice(x, x + 16)
        np.testing.assert_array_equal((resample.base(lr, SCALE)[at] + residual) >> 6, hr[at])
    residual = found.pool.residual.astype(float) / 64
    np.testing.assert_allclose(found.base_errors, np.mean(residual**2, axis=(1, 2, 3)), rtol=1e-5)


def test_each_patch_stands_for_as_many_as_its_probability_says():
    """Whatever is summed over the pool, divided by the probability, is on average the sum over all patches."""
    pairs = frames_of(24)
    errors = np.array([squared_errors(hr.y, resample.upscale(lr.y, 2), 16, GRID) for lr, hr in pairs])
    errors = errors / patch_pixels(LR[0] * 2, LR[1] * 2, 16, GRID)
    weight = sample.sampling(errors)
    numbers, weights, hard = [], [], []
    for seed in range(150):
        found = sampled(pairs, 64, seed)
        assert len(found.pool) == 64
        numbers.append(np.sum(1 / found.probability))
        weights.append(np.sum(sample.sampling(found.base_errors) / found.probability))
        hard.append(np.mean(found.base_errors))
    assert np.mean(numbers) == pytest.approx(24 * 12, rel=0.1)
    assert np.mean(weights) == pytest.approx(weight.sum(), rel=0.1)  # patches at the edge are moved inwards
    assert np.mean(hard) > 1.3 * np.mean(errors)


def test_a_pool_is_read_as_it_was_written():
    found, file = sampled(frames_of(6), 64), io.BytesIO()
    found.save(file)
    file.seek(0)
    again = sample.Sampled.load(file)
    for name in ("probability", "base_errors", "frame"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    for name in ("lr", "residual", "weight"):
        np.testing.assert_array_equal(getattr(again.pool, name), getattr(found.pool, name))


def test_equal_seeds_keep_equal_patches_whatever_the_threads():
    one, two = (sample.sample(iter(frames_of(20)), HEADER, HALO, 70, np.random.default_rng(5), threads)
                for threads in (1, 3))
    np.testing.assert_array_equal(one.pool.lr, two.pool.lr)
    np.testing.assert_array_equal(one.probability, two.probability)


def test_more_patches_at_a_time_than_are_kept():
    keeper = sample.Keeper(64, 8, 2, 2)
    rng = np.random.default_rng(0)
    for _ in range(3):
        chosen, places = keeper.choose(rng.exponential(1, 1000), rng)
        assert len(chosen) == len(places) == len(set(places)) <= 68
    assert len(keeper.sampled().pool) == 64


def test_harder_patches_train_more_often():
    np.testing.assert_allclose(sample.sampling(np.array([0.0, 49.0])), [0.05**0.75, 49.05**0.75])


def test_capacity_counts_bytes():
    assert sample.capacity(170 * (28**2 + 2 * 80**2), 20, 4, 4) == 160  # a 17th is slack
    assert sample.capacity(1, 20, 4, 4) == sample.LEAST_PATCHES
