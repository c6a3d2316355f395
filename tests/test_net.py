import numpy as np
import pytest

from stdo_min.engine import readable
from stdo_min.engine.convolution import Workspace
from stdo_min.engine.gradients import loss_and_gradients, residual, squared_errors
from stdo_min.engine.net import new_net
from stdo_min.engine.shuffle import shuffle, unshuffle


def test_d16_has_the_shape_and_cost_it_should():
    net = new_net((16, 16), 4, np.random.default_rng(0))
    assert [w.shape for w in net.weights] == [(16, 1, 5, 5), (16, 16, 3, 3), (16, 16, 3, 3)]
    assert sum(w.size for w in net.weights) == 5008
    assert net.halo == 4
    assert len(net.parameters) == 6


def test_a_new_net_is_the_base_alone():
    net = new_net((4,), 2, np.random.default_rng(0))
    lr = np.random.default_rng(1).integers(0, 256, (3, 14, 13)).astype(np.uint8)
    found = residual(net, lr)
    assert found.shape == (3, 16, 14)
    assert not found.any()


@pytest.mark.parametrize("channels", [(), (0,), (65,), (4,) * 8])
def test_impossible_shapes_are_refused(channels):
    with pytest.raises(ValueError, match=r"1\.\.7 hidden layers of 1\.\.64"):
        new_net(channels, 2, np.random.default_rng(0))


def batch(rng):
    net = new_net((4, 4), 2, rng)
    net.weights[-1] += rng.standard_normal(net.weights[-1].shape).astype(np.float32) * 0.1
    lr = rng.integers(0, 256, (4, 16, 16)).astype(np.uint8)
    return net, lr, rng.integers(-900, 900, (4, 8, 8, 4)).astype(np.int16)


def test_a_step_against_the_gradient_lowers_the_loss():
    net, lr, target = batch(np.random.default_rng(2))
    everything, workspace = np.arange(4), Workspace()
    loss, gradients = loss_and_gradients(net, lr, target, everything, workspace)
    assert loss == pytest.approx(np.abs(residual(net, lr) - shuffle(target, 2) / 64).mean(), rel=1e-5)
    for p, g in zip(net.parameters, gradients, strict=True):
        p -= 0.01 * g
    assert loss_and_gradients(net, lr, target, everything, workspace)[0] < loss


def test_the_engine_and_numpy_agree():
    net, lr, target = batch(np.random.default_rng(3))
    loss, gradients = loss_and_gradients(net, lr, target, np.arange(4), Workspace())
    expected, expected_gradients = readable.loss_and_gradients(net, lr, target)
    assert loss == pytest.approx(expected, rel=1e-5)
    for found, wanted in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-5)


def test_squared_errors_are_those_of_the_residual():
    net, lr, target = batch(np.random.default_rng(4))
    found = squared_errors(net, lr, target, np.array([3, 1]), Workspace())
    expected = np.square(residual(net, lr) - shuffle(target, 2) / 64).mean(axis=(1, 2))
    np.testing.assert_allclose(found, expected[[3, 1]], rtol=1e-4)


def test_shuffle_places_channels():
    values = np.arange(4.0) * np.ones((2, 3, 5, 4))
    shuffled = shuffle(values, 2)
    assert shuffled.shape == (2, 6, 10)
    np.testing.assert_array_equal(shuffled[1, 2:4, 4:6], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(unshuffle(shuffled, 2), values)
