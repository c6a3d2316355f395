import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdo_min.engine.autograd import Tensor, conv2d
from stdo_min.engine.gradients import residual
from stdo_min.engine.net import INPUT_CENTRE, INPUT_UNIT, new_net
from stdo_min.engine.pool import Pool
from stdo_min.engine.quantise import Worth, as_parent, dequantise, quantise, quantise_layers, sample_layers
from stdo_min.engine.sensitivity import sensitivity
from stdo_min.engine.shuffle import shuffle
from stdo_min.engine.train import Stepper
from stdo_min.format import netcode, reference, sidecar

HEADER = sidecar.Sidecar(2, 2, 8, 1, 32, 24, 64, 48, ())


def random_net(channels, scale, seed, first_kernel=5, strength=0.1):
    rng = np.random.default_rng(seed)
    net = new_net(channels, scale, rng, first_kernel)
    net.weights[-1] += (rng.standard_normal(net.weights[-1].shape) * strength).astype(np.float32)
    for bias in net.biases:
        bias += (rng.standard_normal(bias.shape) * 0.1).astype(np.float32)
    return net


def nbytes(net):
    return len(netcode.encode(net))


def textured(count, side, seed=0):
    """Patches with smooth and sharp parts, as pictures have them."""
    rng = np.random.default_rng(seed)
    smooth = rng.normal(0, 1, (count, side, side)).cumsum(axis=1).cumsum(axis=2)
    return np.clip(128 + 12 * smooth / (1 + np.abs(smooth).mean()), 0, 255).astype(np.uint8)


def residuals(net, lr, halo):
    """The integer net's residual in grey levels, as the reference decoder computes it inside a margin."""
    scale = int(round(net.channels[-1] ** 0.5))
    found = np.stack([reference.net_residual(net, patch[None], scale)[0] for patch in lr]) / 64
    return found[:, halo * scale:-halo * scale, halo * scale:-halo * scale]


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(1, 4))
def test_the_integer_net_is_close_to_the_float_net(seed, channels, scale):
    net = random_net(tuple(channels), scale, seed)
    lr = textured(20, 2 * net.halo + 10, seed)
    whole = quantise(net, lr)
    assert whole.channels == (*channels, scale * scale)
    wanted = residual(net, lr)
    found = residuals(whole, lr, net.halo)
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.02 * np.abs(wanted).max() + 0.05


def test_wide_nets_are_calibrated_on_as_many_patches_as_the_encoder_takes():
    net = random_net((32, 24), 2, 1)
    lr = textured(128, 28)
    wanted, found = residual(net, lr[:8]), residuals(quantise(net, lr), lr[:8], net.halo)
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.02 * np.abs(wanted).max()


def test_what_comes_out_is_a_valid_sidecar_net():
    net = random_net((7, 5), 2, 3)
    whole = quantise(net, textured(20, 24))
    data = sidecar.write(sidecar.of_nets(HEADER, [whole]))
    (read,) = sidecar.read(data).segments[0].nets
    for a, b in zip(whole.layers, read.layers, strict=True):
        np.testing.assert_array_equal(a.weight, b.weight)
        np.testing.assert_array_equal(a.bias, b.bias)
        np.testing.assert_array_equal(a.multiplier, b.multiplier)


@pytest.mark.parametrize("strength", [1e-3, 1e-4, 1e-5, 1e-6])
def test_tiny_weights_do_not_cost_the_bias(strength):
    net = random_net((6,), 2, 12, strength=strength)
    net.biases[-1][:] = 0.3  # 9.6 grey levels
    lr = textured(20, 24)
    assert np.abs(residuals(quantise(net, lr), lr, net.halo) - residual(net, lr)).max() < 0.1


def test_the_mean_is_kept():
    # What rounding the weights does to the brightness is taken back by the biases.
    net = random_net((16, 16), 4, 11, strength=0.3)
    lr = textured(60, 2 * net.halo + 12)
    wanted, found = residual(net, lr), residuals(quantise(net, lr), lr, net.halo)
    assert abs(np.mean(found) - np.mean(wanted)) < 0.02


@pytest.mark.parametrize("dead", ["all off", "one off", "one hardly on", "last layer zero", "constant"])
def test_dead_channels_do_no_harm(dead):
    net = random_net((6, 6), 2, 4)
    lr = textured(20, 24)
    if dead == "all off":
        net.biases[0][:] = -1000
    elif dead == "one off":
        net.biases[1][2] = -1000
    elif dead == "one hardly on":
        x = Tensor((lr[None] - np.float32(INPUT_CENTRE)) / np.float32(INPUT_UNIT))
        net.biases[0][1] = 0.01 - conv2d(x, Tensor(net.weights[0])).data[1].max()
    elif dead == "last layer zero":
        net.weights[-1][:] = 0
    else:
        net.weights[0][:] = 0
    wanted, found = residual(net, lr), residuals(quantise(net, lr), lr, net.halo)
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max() + 0.3


def test_enormous_weights_saturate_and_stay_valid():
    net = random_net((4,), 2, 5, strength=1e5)
    lr = textured(10, 24)
    whole = quantise(net, lr)
    sidecar.write(sidecar.of_nets(HEADER, [whole]))
    found = residuals(whole, lr, net.halo)
    assert found.max() > 500 and found.min() < -500  # 16 bits hold 511 grey levels either way


def test_back_to_a_float_net():
    net = random_net((8, 8), 2, 6)
    lr = textured(30, 2 * net.halo + 12)
    whole = quantise(net, lr)
    again = dequantise(whole, 2)
    wanted = residual(net, lr)
    assert np.abs(residual(again, lr) - wanted).mean() < 0.03 * np.abs(wanted).max()
    with pytest.raises(ValueError, match="4 outputs; scale 3 takes 9"):
        dequantise(whole, 3)


def test_bad_calibration_and_bad_nets_are_refused():
    net = random_net((4,), 2, 7)
    with pytest.raises(ValueError, match=r"S > 6"):
        quantise(net, textured(3, 6))
    net.weights[0][0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        quantise(net, textured(3, 20))


def evaluated(layers, patches):
    """What float layers make of patches (planes, N, S, S), float64 (N, rows, columns, channels)."""
    x = patches.astype(np.float64)
    for number, (weight, bias) in enumerate(layers):
        x = conv2d(Tensor(x), Tensor(weight)).data + bias[:, None, None, None]
        x = np.maximum(x, 0) if number + 1 < len(layers) else x
    return x.transpose(1, 2, 3, 0)


def test_layers_in_the_units_of_samples_are_the_same_net():
    net = random_net((5, 7), 2, 8)
    lr = textured(4, 2 * net.halo + 6)
    found = shuffle(evaluated(sample_layers(net), lr[None]), 2)
    np.testing.assert_allclose(found, residual(net, lr), rtol=1e-4, atol=1e-4)


def test_a_net_of_three_planes():
    """The residual of each plane is close to the float net's; planes that are missing are refused."""
    rng = np.random.default_rng(9)
    layers = [(rng.normal(0, 1 / 128, (6, 3, 3, 3)), rng.normal(0, 0.3, 6)),
              (rng.normal(0, 1, (12, 6, 3, 3)), np.ones(12))]
    patches = np.stack([textured(20, 20, seed) for seed in range(3)])
    whole = quantise_layers(layers, patches)
    wanted = evaluated(layers, patches).reshape(20, 16, 16, 3, 4)
    found = np.stack([reference.net_residual(whole, patch, 2) for patch in patches.swapaxes(0, 1)]) / 64
    found = found[:, :, 4:-4, 4:-4].reshape(20, 3, 16, 2, 16, 2).transpose(0, 2, 4, 1, 3, 5).reshape(wanted.shape)
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.02 * np.abs(wanted).max()
    with pytest.raises(ValueError, match="of 3 planes with S > 4, not shape"):
        quantise_layers(layers, patches[:2])


def test_the_dearer_a_bit_the_shorter_the_code_and_the_rise_is_as_foretold():
    net, lr = random_net((8, 8), 2, 21, strength=0.3), textured(200, 20)
    with Stepper(Pool(lr, np.zeros((200, 12, 12, 4), np.int16), np.ones(200)), 1) as stepper:
        found = sensitivity(net, stepper, np.ones(200), np.random.default_rng(0))
    fine, wanted = quantise(net, lr), residual(net, lr)
    error, before = [], nbytes(fine) + 1
    for bit in (1e-6, 1e-4, 1e-2):
        whole = quantise(net, lr, worth=Worth(found, bit))
        assert nbytes(whole) < before
        before = nbytes(whole)
        error.append(float(np.mean((residuals(whole, lr, net.halo) - wanted) ** 2)))
    # Steps that pay cost half a bit's worth / ln 2 in each weight; small weights and what is made good leave less.
    count = sum(layer.weight.size for layer in fine.layers)
    assert error[0] < error[1] < error[2] < 2 * count * 1e-2 / (2 * np.log(2))
    assert before < 0.7 * nbytes(fine)


def test_multipliers_and_biases_are_as_short_as_pays():
    net, lr = random_net((8, 8), 2, 22, strength=0.3), textured(200, 20)
    with Stepper(Pool(lr, np.zeros((200, 12, 12, 4), np.int16), np.ones(200)), 1) as stepper:
        found = sensitivity(net, stepper, np.ones(200), np.random.default_rng(0))
    whole = quantise(net, lr, worth=Worth(found, 1e-3))
    for layer in whole.layers:
        for multiplier in layer.multiplier.tolist():
            assert (multiplier // (multiplier & -multiplier)).bit_length() <= 4, multiplier
    ends = [int(np.bitwise_or.reduce(layer.bias - (1 << layer.shift >> 1))) for layer in whole.layers]
    assert any(end & 1 == 0 for end in ends), ends


def test_a_net_near_another_is_coded_by_few_differences():
    net, lr = random_net((8, 8), 2, 23, strength=0.3), textured(200, 20)
    with Stepper(Pool(lr, np.zeros((200, 12, 12, 4), np.int16), np.ones(200)), 1) as stepper:
        worth = Worth(sensitivity(net, stepper, np.ones(200), np.random.default_rng(0)), 1e-4)
    parent = as_parent(net, lr, worth=worth)
    assert netcode.encode(parent.net) == netcode.encode(quantise(net, lr, worth=worth))
    rng, other = np.random.default_rng(1), net.copy()
    for array in other.parameters:
        array += rng.normal(0, 0.02 * array.std(), array.shape)
    alone, near = quantise(other, lr, worth=worth), quantise(other, lr, worth=worth, near=parent)
    assert netcode.fits(near, parent.net) and not netcode.fits(alone, parent.net)
    assert len(netcode.encode(near, parent.net)) < 0.4 * nbytes(alone)
    wanted = residual(other, lr)
    error, usual, unmoved = (np.mean((residuals(whole, lr, net.halo) - wanted) ** 2)
                             for whole in (near, alone, parent.net))
    assert error < 2 * usual and error < unmoved
    with pytest.raises(ValueError, match="what bits are worth must be known"):
        quantise(other, lr, near=parent)
