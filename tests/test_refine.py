import numpy as np
import pytest

from stdo_min import nets, refine
from stdo_min.pool import Pool


def constant_net(grey):
    """A net whose residual is the same everywhere."""
    net = nets.create((4,), 2, np.random.default_rng(0))
    net.biases[-1][:] = grey / nets.RESIDUAL_UNIT
    return net


@pytest.fixture
def pool():
    """Thirty patches whose residual is -8, 0 or 8 grey levels, in turn."""
    residual = np.zeros((30, 4, 4, 4), np.int16)
    residual[0::3], residual[2::3] = -8 * 64, 8 * 64
    return Pool(np.full((30, 10, 10), 90, np.uint8), residual, np.ones(30))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_patches_move_to_the_net_that_serves_them(pool, threads):
    member, error = refine.move([constant_net(8), constant_net(-7)], pool, pool.base_errors(), threads)
    assert member.tolist() == [2, 0, 1] * 10  # 0: the base, which is right where there is no residual
    np.testing.assert_allclose(error, [1, 0, 0] * 10, atol=1e-9)


def test_errors_of_many_patches_are_in_order():
    rng = np.random.default_rng(1)
    many = Pool(rng.integers(0, 256, (900, 10, 10)).astype(np.uint8),
                rng.integers(-500, 500, (900, 4, 4, 4)).astype(np.int16), np.ones(900))
    net = constant_net(2)
    expected = np.square(2 - many.residual / 64).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(refine.net_errors(net, many, 3), expected, rtol=1e-5)


def test_effort_follows_the_error_that_is_left():
    member = np.array([0, 1, 1, 2, 3])
    np.testing.assert_allclose(refine.shares(np.array([9.0, 1, 2, 3, 0]), member, 3), [0.5, 0.5, 0])
    np.testing.assert_allclose(refine.shares(np.zeros(5), member, 4), [0.25] * 4)


def test_an_empty_net_takes_the_harder_half_of_the_heaviest():
    member = np.array([0, 1, 1, 3, 3, 3, 3])
    error = np.array([50.0, 1, 1, 2, 9, 8, 3])
    assert refine.fill(member, error, 3).tolist() == [0, 1, 1, 3, 2, 2, 3]
    np.testing.assert_array_equal(member, [0, 1, 1, 3, 3, 3, 3])
    full = np.array([1, 2, 1, 2])
    np.testing.assert_array_equal(refine.fill(full, np.ones(4), 2), full)
