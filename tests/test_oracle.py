"""SciPy as a judge that shares no code with the engine: convolutions, their gradients, that of the whole loss."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, check_grad
from scipy.signal import convolve, correlate
from tiers import TRAINING_TIERS, require

from stdo_min.engine import autograd, readable
from stdo_min.engine.autograd import Tensor
from stdo_min.engine.convolution import Workspace, batch_input, convolutions, residual_loss

LAYERS = st.lists(st.tuples(st.integers(1, 20), st.sampled_from([1, 3, 5])), min_size=1, max_size=3)
EPSILON = 0.05  # of Charbonnier


# ---- What SciPy says; float64, images (C, N, H, W), weights (O, C, k, k) ----


def forward(x, weight):
    return np.stack([[sum(correlate(x[c, n], w[c], "valid", "direct") for c in range(len(x)))
                      for n in range(x.shape[1])] for w in weight])


def weight_gradient(x, d_out):
    return np.stack([[sum(correlate(x[c, n], d[n], "valid", "direct") for n in range(x.shape[1]))
                      for c in range(len(x))] for d in d_out])


def input_gradient(weight, d_out):
    return np.stack([[sum(convolve(d_out[o, n], weight[o, c], "full", "direct") for o in range(len(weight)))
                      for n in range(d_out.shape[1])] for c in range(weight.shape[1])])


def net(parameters, x, d_out):
    """The output of convolutions with ReLU between, the gradient of each parameter, and the sum nearest to a kink."""
    weights, biases, inputs, sums = parameters[::2], parameters[1::2], [x], []
    for weight, bias in zip(weights, biases, strict=True):
        sums.append(forward(inputs[-1], weight) + bias[:, None, None, None])
        inputs.append(np.maximum(sums[-1], 0))
    gradients = []
    for weight, used in zip(weights[::-1], inputs[-2::-1], strict=True):
        gradients = [weight_gradient(used, d_out), d_out.sum(axis=(1, 2, 3)), *gradients]
        d_out = input_gradient(weight, d_out) * (used > 0)
    return sums[-1], gradients, min((np.abs(s).min() for s in sums[:-1]), default=1.0)


def mean_loss(loss, d):
    return np.mean({"l1": np.abs, "l2": np.square, "charbonnier": lambda d: np.sqrt(d * d + EPSILON**2)}[loss](d))


# ---- Problems ----


def random_parameters(rng, inputs, layers):
    found = []
    for outputs, k in layers:
        found += [rng.normal(0, (inputs * k * k) ** -0.5, (outputs, inputs, k, k)), rng.normal(0, 0.3, outputs)]
        inputs = outputs
    return [p.astype(np.float32) for p in found]


def room(layers):
    return sum(k - 1 for _, k in layers)


def blocked(y, channels):
    """The engine's (N, O/16, H, W, 16) as (O, N, H, W)."""
    return y.transpose(1, 4, 0, 2, 3).reshape(-1, y.shape[0], *y.shape[2:4])[:channels]


def as_blocks(d):
    """The way back, with zeros in the channels that are not there."""
    channels, n, height, width = d.shape
    whole = np.zeros((-(-channels // 16) * 16, n, height, width), np.float32)
    whole[:channels] = d
    return np.ascontiguousarray(whole.reshape(-1, 16, n, height, width).transpose(2, 0, 3, 4, 1))


def flat(arrays):
    return np.concatenate([np.ravel(a) for a in arrays])


def like(values, arrays):
    """Flat values in the shapes of `arrays`."""
    cuts = np.cumsum([a.size for a in arrays])[:-1]
    return [part.reshape(a.shape) for part, a in zip(np.split(values, cuts), arrays, strict=True)]


# ---- The autograd in NumPy ----


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 6), st.integers(1, 3), st.sampled_from([1, 3, 5]),
       st.integers(0, 6), st.integers(0, 6))
def test_conv2d_and_its_gradients(seed, inputs, outputs, n, k, more_rows, more_columns):
    rng = np.random.default_rng(seed)
    x = Tensor(rng.normal(size=(inputs, n, k + more_rows, k + more_columns)), requires_grad=True)
    weight = Tensor(rng.normal(size=(outputs, inputs, k, k)), requires_grad=True)
    y = autograd.conv2d(x, weight)
    np.testing.assert_allclose(y.data, forward(x.data, weight.data), rtol=1e-11, atol=1e-12)
    d_out = rng.normal(size=y.data.shape)
    d_x, d_weight = y._maker.backward(d_out)
    np.testing.assert_allclose(d_weight, weight_gradient(x.data, d_out), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(d_x, input_gradient(weight.data, d_out), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("loss", ["l1", "l2"])
@pytest.mark.parametrize("layers", [[(4, 3)], [(3, 5), (4, 3)], [(5, 1), (3, 3), (9, 3)]])
def test_the_gradient_of_the_whole_loss(layers, loss):
    """All parameters at once, by finite differences in float64."""
    rng = np.random.default_rng(len(layers))
    parameters = [p.astype(np.float64) for p in random_parameters(rng, 2, layers)]
    x = rng.normal(size=(2, 3, 5 + room(layers), 7 + room(layers)))
    target = rng.normal(size=(layers[-1][0], 3, 5, 7))

    def run(values):
        tensors = [Tensor(p, requires_grad=True) for p in like(values, parameters)]
        found = readable.LOSSES[loss](readable.forward(tensors, Tensor(x)), Tensor(target))
        found.backward()
        return float(found.data), flat([t.grad for t in tensors])

    start = flat(parameters)
    assert check_grad(lambda p: run(p)[0], lambda p: run(p)[1], start) < 1e-6 * np.linalg.norm(run(start)[1]) + 1e-6
    # The same call finds a gradient that is wrong by a hundredth.
    assert check_grad(lambda p: run(p)[0], lambda p: 1.01 * run(p)[1], start) > 5e-3 * np.linalg.norm(run(start)[1])


# ---- The engine in C ----


@pytest.mark.parametrize("tier", TRAINING_TIERS)
@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 5), LAYERS, st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))
def test_convolutions_and_their_gradients(tier, seed, inputs, layers, n, height, width):
    workspace = Workspace(tier)
    require(workspace.tier, tier)
    rng = np.random.default_rng(seed)
    parameters = random_parameters(rng, inputs, layers)
    x = rng.normal(size=(n, height + room(layers), width + room(layers), inputs)).astype(np.float32)
    d_out = rng.normal(size=(layers[-1][0], n, height, width)).astype(np.float32)
    wanted, wanted_gradients, kink = net([p.astype(np.float64) for p in parameters],
                                         x.transpose(3, 0, 1, 2).astype(np.float64), d_out.astype(np.float64))
    assume(kink > 1e-5)  # nearer to it, float32 may be on the other side
    y = convolutions(Tensor(x), *[Tensor(p, requires_grad=True) for p in parameters], workspace=workspace)
    np.testing.assert_allclose(blocked(y.data, layers[-1][0]), wanted, rtol=1e-5, atol=1e-5)
    nothing, *gradients = y._maker.backward(as_blocks(d_out))
    assert nothing is None
    for found, expected in zip(gradients, wanted_gradients, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("loss", ["l1", "l2", "charbonnier"])
@pytest.mark.parametrize(("inputs", "layers"), [(1, [(6, 5), (4, 3)]), (2, [(17, 1), (3, 3)]), (1, [(4, 3)])])
def test_the_gradient_of_the_whole_loss_in_c(inputs, layers, loss):
    """Against finite differences, in float64, of the loss as SciPy's convolutions have it."""
    rng = np.random.default_rng(7)
    parameters = random_parameters(rng, inputs, layers)
    lr = rng.integers(0, 256, (3, 3 + room(layers), 5 + room(layers), inputs)).astype(np.uint8)
    pool = rng.integers(-3000, 3000, (3, 3, 5, layers[-1][0])).astype(np.int16)
    index, workspace = np.array([2, 0]), Workspace()
    tensors = [Tensor(p, requires_grad=True) for p in parameters]
    y = convolutions(Tensor(batch_input(lr, index, 128.0, 128.0, workspace)), *tensors, workspace=workspace)
    found = residual_loss(y, pool=pool, index=index, unit=2**-11, workspace=workspace, loss=loss, epsilon=EPSILON)
    found.backward()
    x = (lr[index].transpose(3, 0, 1, 2).astype(np.float64) - 128) / 128
    target = pool[index].transpose(3, 0, 1, 2) * 2.0**-11

    def exact(values):
        out, weights_and_biases = x, like(values, parameters)
        for number in range(0, len(parameters), 2):
            out = forward(np.maximum(out, 0) if number else out, weights_and_biases[number])
            out += weights_and_biases[number + 1][:, None, None, None]
        return mean_loss(loss, out - target)

    start = flat(parameters).astype(np.float64)
    assert float(found.data) == pytest.approx(exact(start), rel=1e-5)
    wanted, gradient = approx_fprime(start, exact), flat([t.grad for t in tensors])
    assert np.linalg.norm(gradient - wanted) < 1e-4 * np.linalg.norm(wanted)  # wrong by a hundredth is 1e-2
