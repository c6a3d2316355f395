"""The engine in C against the autograd in NumPy, and every tier against plain C."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import TRAINING_TIERS, require

from stdo_min.engine import autograd, readable
from stdo_min.engine.autograd import Tensor
from stdo_min.engine.convolution import BLOCK, Workspace, batch_input, convolutions, losses, residual_loss
from stdo_min.engine.gradients import loss_and_gradients
from stdo_min.engine.net import new_net


def workspace(tier):
    found = Workspace(tier)
    require(found.tier, tier)
    return found


def random_net(rng, inputs, layers):
    """Weights and biases in turn of layers (channels, kernel)."""
    parameters = []
    for channels, kernel in layers:
        parameters += [(rng.standard_normal((channels, inputs, kernel, kernel)) / np.sqrt(inputs * kernel**2)),
                       rng.standard_normal(channels) * 0.1]
        inputs = channels
    return [p.astype(np.float32) for p in parameters]


def run(tier, parameters, lr, residual, index, loss="l1"):
    """Output, losses and gradients by the engine."""
    work, tensors = workspace(tier), [Tensor(p, requires_grad=True) for p in parameters]
    y = convolutions(Tensor(batch_input(lr, index, 128.0, 128.0, work)), *tensors, workspace=work)
    out = y.data.copy()
    found = residual_loss(y, pool=residual, index=index, unit=2**-11, workspace=work, loss=loss, epsilon=0.05)
    found.backward()
    return out, found.data, [t.grad.copy() for t in tensors]


def run_numpy(parameters, lr, residual, index, loss):
    """The same in float64."""
    tensors = [Tensor(p.astype(np.float64), requires_grad=True) for p in parameters]
    x = (lr[index].astype(np.float64) - 128) / 128
    y = readable.forward(tensors, Tensor(np.ascontiguousarray(x.transpose(3, 0, 1, 2))))
    target = Tensor(residual[index].transpose(3, 0, 1, 2) * 2.0**-11)
    if loss == "charbonnier":  # by hand: its gradient is what is handed back
        d = y.data - target.data
        root = np.sqrt(d * d + 0.05**2)
        found = Tensor(np.mean(root))
        autograd.l2(y, Tensor(y.data - d / root / 2)).backward()
    else:
        found = (autograd.l1 if loss == "l1" else autograd.l2)(y, target)
        found.backward()
    return y.data, found.data, [t.grad for t in tensors]


def batch(rng, inputs, layers, height, width, pool=5):
    margin = sum(kernel - 1 for _, kernel in layers)
    lr = rng.integers(0, 256, (pool, height + margin, width + margin, inputs)).astype(np.uint8)
    return lr, rng.integers(-3000, 3000, (pool, height, width, layers[-1][0])).astype(np.int16)


NETS = [(1, [(16, 5), (16, 3), (16, 3)]), (1, [(4, 3)]), (3, [(20, 3), (33, 3), (48, 3)]), (2, [(8, 5), (9, 3)]),
        (1, [(64, 3), (5, 1), (4, 3)]), (5, [(12, 7), (17, 3)])]


@pytest.mark.parametrize("loss", ["l1", "charbonnier", "l2"])
@pytest.mark.parametrize(("inputs", "layers"), NETS)
def test_the_engine_computes_what_numpy_computes(inputs, layers, loss):
    rng = np.random.default_rng(len(layers))
    parameters = random_net(rng, inputs, layers)
    lr, residual = batch(rng, inputs, layers, 7, 10)
    index = np.array([3, 0, 4])
    out, value, gradients = run("c", parameters, lr, residual, index, loss)
    expected, expected_value, expected_gradients = run_numpy(parameters, lr, residual, index, loss)
    channels = layers[-1][0]
    plain = out.transpose(1, 4, 0, 2, 3).reshape(-1, *out.shape[:1], *out.shape[2:4])[:channels]
    np.testing.assert_allclose(plain, expected, rtol=1e-4, atol=1e-5)
    assert value == pytest.approx(expected_value, rel=1e-5)
    for found, wanted in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("tier", TRAINING_TIERS)
@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 16), st.integers(1, 6), st.integers(1, 30),
       st.lists(st.tuples(st.integers(1, 64), st.sampled_from([1, 3, 5])), min_size=1, max_size=3))
def test_every_tier_gives_the_floats_of_plain_c(tier, seed, inputs, height, width, layers):
    rng = np.random.default_rng(seed)
    parameters = random_net(rng, inputs, layers)
    lr, residual = batch(rng, inputs, layers, height, width, pool=3)
    index = np.array([2, 1])
    for found, plain in zip(run(tier, parameters, lr, residual, index), run("c", parameters, lr, residual, index),
                            strict=True):
        for a, b in zip(*(x if isinstance(x, list) else [x] for x in (found, plain)), strict=True):
            np.testing.assert_array_equal(np.asarray(a).view(np.uint32), np.asarray(b).view(np.uint32))


@pytest.mark.parametrize("wrong", ["weights", "columns", "mask", "start"])
def test_the_comparison_of_tiers_would_notice(wrong):
    """One value changed by one unit in its last place, where a wrong kernel would change it."""
    rng = np.random.default_rng(0)
    layers = [(16, 3), (16, 3)]
    parameters = random_net(rng, 1, layers)
    lr, residual = batch(rng, 1, layers, 4, 11, pool=1)
    right = run("c", parameters, lr, residual, np.array([0]), "l2")
    if wrong == "weights":
        parameters[2][3, 4, 2, 2] = np.nextafter(parameters[2][3, 4, 2, 2], np.float32(9))
    elif wrong == "columns":
        lr[0, :, -1] ^= 1
    elif wrong == "mask":
        parameters[1][5] = -100.0  # a channel that is never on
    else:
        parameters[3][0] += np.float32(1e-3)
    other = run("c", parameters, lr, residual, np.array([0]), "l2")
    assert not np.array_equal(right[0], other[0])
    assert any(not np.array_equal(a, b) for a, b in zip(right[2], other[2], strict=True))


def test_the_loss_of_each_patch():
    rng = np.random.default_rng(1)
    y = rng.standard_normal((2, 2, 3, 4, BLOCK)).astype(np.float32)
    pool = rng.integers(-2000, 2000, (3, 3, 4, 20)).astype(np.int16)
    index = np.array([2, 0])
    d = y.transpose(0, 2, 3, 1, 4).reshape(2, 3, 4, 32)[..., :20] - pool[index] / 1024
    for loss, error in (("l2", np.square(d)), ("l1", np.abs(d))):
        found = losses(y, pool, index, 2**-10, Workspace(), loss)
        np.testing.assert_allclose(found, error.mean(axis=(1, 2, 3)), rtol=1e-5)


def test_nothing_is_allocated_after_the_first_step():
    rng = np.random.default_rng(2)
    net = new_net((16, 16), 4, rng)
    lr, residual = batch(rng, 1, [(16, 5), (16, 3), (16, 3)], 20, 20)
    work, index = Workspace(), np.array([0, 1, 2, 3])
    first = loss_and_gradients(net, lr[..., 0], residual, index, work)[1]
    kept = work.nbytes
    second = loss_and_gradients(net, lr[..., 0], residual, index, work)[1]
    assert work.nbytes == kept
    assert all(a is b for a, b in zip(first, second, strict=True))


def test_what_does_not_fit_is_refused():
    rng = np.random.default_rng(3)
    net = new_net((4,), 2, rng)
    lr, residual = np.zeros((2, 14, 14), np.uint8), np.zeros((2, 8, 8, 4), np.int16)
    work = Workspace()
    loss_and_gradients(net, lr, residual, np.array([0, 1]), work)
    for wrong, message in (((lr, residual, np.array([2])), "0..1"), ((lr, residual, np.array([-1])), "0..1"),
                           ((lr, residual, np.array([0], np.int32)), "int64"),
                           ((lr, residual[:, :7], np.array([0])), "the pool is int16"),
                           ((lr[:, :5, :5].copy(), residual, np.array([0])), "would give 1 patches")):
        with pytest.raises(ValueError, match=message):
            loss_and_gradients(net, *wrong, work)
    x, y = np.zeros((1, 8, 8, 1), np.float32), np.zeros((1, 1, 4, 4, 16), np.float32)
    weight, bias = np.zeros((4, 1, 5, 5), np.float32), np.zeros(4, np.float32)
    index, pool = np.zeros(1, np.int64), np.zeros((1, 4, 4, 4), np.int16)
    out = convolutions(Tensor(x), Tensor(weight, requires_grad=True), Tensor(bias), workspace=work)
    assert out.data.shape == y.shape
    for call, message in (
        (lambda: convolutions(Tensor(x.astype(np.float16)), Tensor(weight), Tensor(bias), workspace=work), "float16"),
        (lambda: convolutions(Tensor(x), Tensor(weight.astype(float)), Tensor(bias), workspace=work), "float64"),
        (lambda: convolutions(Tensor(x), Tensor(weight[..., :3]), Tensor(bias), workspace=work), "a weight of shape"),
        (lambda: convolutions(Tensor(x), Tensor(weight), Tensor(bias[:2]), workspace=work), "a bias of"),
        (lambda: convolutions(Tensor(x[:, ::2]), Tensor(weight[..., :3, :3]), Tensor(bias), workspace=work), "gaps"),
        (lambda: out._maker.backward(np.zeros(1, np.float32)), "it must be float32"),
        (lambda: losses(y, pool, index, 1.0, work, d_y=y[..., :8].copy()), "it must be float32"),
        (lambda: losses(y.astype(np.float16), pool, index, 1.0, work), "float16"),
        (lambda: losses(y, pool, index, 1.0, work, "l3"), "l1, charbonnier, l2"),
        (lambda: losses(y, pool, index[:0], 1.0, work), "one row of int64"),
        (lambda: batch_input(lr.astype(np.int16), index, 0.0, 1.0, work), "uint8"),
        (lambda: batch_input(lr, index[None], 0.0, 1.0, work), "one row of int64"),
        (lambda: batch_input(lr[:, ::2], index, 0.0, 1.0, work), "contiguous"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match="no such tier"):
        Workspace("sse9")
