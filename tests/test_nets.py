import numpy as np
import pytest

from stdo_min import nets


def test_d16_has_the_shape_and_cost_it_should():
    net = nets.create((16, 16), 4, np.random.default_rng(0))
    assert [w.shape for w in net.weights] == [(16, 1, 5, 5), (16, 16, 3, 3), (16, 16, 3, 3)]
    assert sum(w.size for w in net.weights) == 5008
    assert net.halo == 4
    assert len(net.parameters) == 6


def test_a_new_net_is_the_base_alone():
    net = nets.create((4,), 2, np.random.default_rng(0))
    lr = np.random.default_rng(1).integers(0, 256, (3, 14, 13)).astype(np.uint8)
    found = nets.residual(net, lr)
    assert found.shape == (3, 16, 14)
    assert not found.any()


@pytest.mark.parametrize("channels", [(), (0,), (65,), (4,) * 8])
def test_impossible_shapes_are_refused(channels):
    with pytest.raises(ValueError, match=r"1\.\.7 hidden layers of 1\.\.64"):
        nets.create(channels, 2, np.random.default_rng(0))


def test_a_step_against_the_gradient_lowers_the_loss():
    rng = np.random.default_rng(2)
    net = nets.create((4, 4), 2, rng)
    net.weights[-1] += rng.standard_normal(net.weights[-1].shape).astype(np.float32) * 0.1
    lr = rng.integers(0, 256, (4, 16, 16)).astype(np.uint8)
    target = rng.integers(-900, 900, (4, 16, 16)).astype(np.int16)
    loss, gradients = nets.loss_and_gradients(net, lr, target)
    assert loss == pytest.approx(np.abs(nets.residual(net, lr) - target / 64).mean(), rel=1e-5)
    for p, g in zip(net.parameters, gradients, strict=True):
        p -= 0.01 * g
    assert nets.loss_and_gradients(net, lr, target)[0] < loss
