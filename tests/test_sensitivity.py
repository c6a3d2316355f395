import numpy as np

from stdo_min.engine.gradients import residual
from stdo_min.engine.pool import Pool
from stdo_min.engine.sensitivity import sensitivity
from stdo_min.engine.train import Stepper
from tests.test_quantise import random_net, textured


def stepper_of(net, count=64, side=12):
    lr = textured(count, side + 2 * net.halo)
    return Stepper(Pool(lr, np.zeros((count, side, side, net.scale**2), np.int16), np.ones(count)), 2)


def rise(stepper, net, change):
    """How much the mean squared difference to the net's own outputs rises when a copy of it is changed."""
    changed = net.copy()
    change(changed)
    return float(np.mean((residual(changed, stepper.pool.lr) - residual(net, stepper.pool.lr)) ** 2))


def test_it_foretells_what_a_wrong_bias_does():
    net = random_net((6, 5), 2, 1)
    with stepper_of(net) as stepper:
        found = sensitivity(net, stepper, np.ones(64), np.random.default_rng(0))
        for layer in range(3):
            for channel in range(len(net.biases[layer])):
                def change(other, layer=layer, channel=channel):
                    other.biases[layer][channel] += 1e-2
                foretold = 1e-4 * found.biases[layer][channel]
                assert foretold / 2 < rise(stepper, net, change) < 2 * foretold, (layer, channel)


def test_a_weight_counts_without_what_its_bias_makes_good():
    net = random_net((6, 5), 2, 2)
    with stepper_of(net) as stepper:
        stepper.pool.lr[:] = 90 + np.random.default_rng(1).integers(0, 3, stepper.pool.lr.shape)
        found = sensitivity(net, stepper, np.ones(64), np.random.default_rng(0))
    # Over so flat a picture the first layer's weights do hardly more than its biases: 2/128 units of contrast.
    assert found.weights[0].max() < 1e-2 * found.biases[0].max()
