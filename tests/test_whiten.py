import numpy as np
import pytest

from stdo_min.engine.net import INPUT_CENTRE, INPUT_UNIT, new_net
from stdo_min.engine.whiten import NOISE, START, Whitening


def smooth(rng, shape):
    """Patches whose neighbouring pixels are nearly equal, as in pictures."""
    drawn = np.cumsum(np.cumsum(rng.normal(0, 2, shape), axis=1), axis=2)
    return np.clip(128 + drawn, 0, 255).astype(np.uint8)


def windows(lr, k):
    lr = lr.reshape(*lr.shape[:3], -1)
    found = np.lib.stride_tricks.sliding_window_view(lr, (k, k), (1, 2))
    return (found.reshape(-1, lr.shape[3] * k * k) - INPUT_CENTRE) / INPUT_UNIT


@pytest.mark.parametrize("planes", [(), (2,)])
def test_whitened_windows_are_independent_and_of_one_size(planes):
    lr = smooth(np.random.default_rng(0), (40, 12, 12, *planes))
    white = Whitening.of(lr, 3)
    seen = (windows(lr, 3) - white.mean) @ white.matrix
    covariance = np.cov(seen.T)
    raw = np.cov(windows(lr, 3).T)
    assert np.linalg.cond(raw) > 100
    # What is larger than the noise is of size 1, what is smaller is not blown up.
    sizes = np.linalg.eigvalsh(raw)
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance), sizes / (sizes + NOISE), atol=0.02)


def test_there_and_back():
    rng = np.random.default_rng(1)
    white, weight = Whitening.of(smooth(rng, (30, 16, 16)), 5), rng.standard_normal((8, 1, 5, 5)).astype(np.float32)
    np.testing.assert_allclose(white.pixels(white.whitened(weight), weight.shape), weight, atol=1e-4)


def test_a_new_net_begins_with_activations_of_one_size():
    rng = np.random.default_rng(2)
    lr = smooth(rng, (60, 16, 16))
    white, net = Whitening.of(lr, 5), new_net((64,), 1, rng)
    begun = white.start(net)
    seen = windows(lr, 5) @ begun.weights[0].reshape(64, -1).T + begun.biases[0]
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=0.05)
    assert 0.3 * START < seen.std() < 1.5 * START  # what the noise takes makes it smaller
    raw = windows(lr, 5) @ net.weights[0].reshape(64, -1).T
    assert raw.std(axis=0).max() / raw.std(axis=0).min() > seen.std(axis=0).max() / seen.std(axis=0).min()
    assert not np.any(begun.weights[1])


def test_few_and_small_patches_will_do():
    white = Whitening.of(np.full((1, 5, 5), 7, np.uint8), 5)
    assert np.isfinite(white.matrix).all()
    np.testing.assert_allclose(white.matrix, np.eye(25) / np.sqrt(NOISE), rtol=1e-4)
