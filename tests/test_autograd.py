"""Gradients against central differences in float64, and that graphs are not kept."""

import gc

import numpy as np
import pytest

from stdo_min.engine import autograd
from stdo_min.engine.autograd import Tensor
from stdo_min.engine.shuffle import shuffle


def numeric(function, arrays, index, step=1e-5):
    """The gradient of a scalar function of arrays with respect to one of them, by central differences."""
    gradient = np.zeros_like(arrays[index])
    for place in np.ndindex(gradient.shape):
        values = []
        for sign in (1, -1):
            moved = [array.copy() for array in arrays]
            moved[index][place] += sign * step
            values.append(function(*map(Tensor, moved)).data)
        gradient[place] = (values[0] - values[1]) / (2 * step)
    return gradient


def check(function, *shapes):
    rng = np.random.default_rng(5)
    arrays = [rng.standard_normal(shape) for shape in shapes]
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    function(*tensors).backward()
    for index, tensor in enumerate(tensors):
        np.testing.assert_allclose(tensor.grad, numeric(function, arrays, index), rtol=1e-6, atol=1e-8)


def weighted(tensor):
    """A scalar in which every element counts differently."""
    target = np.random.default_rng(1).standard_normal(tensor.data.shape)
    return autograd.l2(tensor, Tensor(target))


@pytest.mark.parametrize(("k", "inputs", "outputs"), [(1, 2, 3), (3, 1, 2), (3, 3, 2), (5, 2, 1)])
def test_conv2d(k, inputs, outputs):
    check(lambda x, w: weighted(autograd.conv2d(x, w)), (inputs, 2, 6, 7), (outputs, inputs, k, k))


def test_conv2d_is_the_sum_it_says():
    rng = np.random.default_rng(6)
    x, w = rng.standard_normal((2, 1, 5, 4)), rng.standard_normal((3, 2, 3, 3))
    found = autograd.conv2d(Tensor(x), Tensor(w)).data
    assert found.shape == (3, 1, 3, 2)
    assert found[1, 0, 2, 1] == pytest.approx(np.sum(x[:, 0, 2:5, 1:4] * w[1]))


def test_bias():
    check(lambda x, b: weighted(autograd.bias(x, b)), (3, 2, 4, 5), (3,))


def test_relu():
    check(lambda x: weighted(autograd.relu(x)), (2, 2, 3, 3))


def test_relu_has_gradient_zero_at_zero():
    x = Tensor(np.array([[[[-1.0, 0.0, 2.0]]]]), requires_grad=True)
    weighted(autograd.relu(x)).backward()
    assert x.grad[0, 0, 0, 0] == x.grad[0, 0, 0, 1] == 0 != x.grad[0, 0, 0, 2]


@pytest.mark.parametrize("loss", [autograd.l1, autograd.l2])
def test_losses(loss):
    target = Tensor(np.random.default_rng(7).standard_normal((1, 2, 3, 4)))
    check(lambda x: loss(x, target), (1, 2, 3, 4))


def test_a_tensor_used_twice_gets_both_gradients():
    check(lambda x: weighted(autograd.add(autograd.relu(x), x)), (1, 2, 3, 3))


def test_pad():
    check(lambda x: weighted(autograd.pad(x, margin=2)), (2, 1, 3, 4))


def test_pixel_shuffle():
    check(lambda x: weighted(autograd.pixel_shuffle(x, factor=2)), (8, 2, 3, 2))
    x = np.random.default_rng(2).standard_normal((9, 2, 4, 5))
    found = autograd.pixel_shuffle(Tensor(x), factor=3).data
    np.testing.assert_array_equal(found[0], shuffle(x.transpose(1, 2, 3, 0), 3))


def test_whole_net():
    def net(x, w1, b1, w2):
        hidden = autograd.relu(autograd.bias(autograd.conv2d(x, w1), b1))
        return weighted(autograd.conv2d(hidden, w2))

    check(net, (1, 2, 7, 6), (3, 1, 3, 3), (3,), (4, 3, 3, 3))


def test_a_deep_graph_needs_no_recursion():
    x = Tensor(np.ones(3), requires_grad=True)
    y = x
    for _ in range(5000):
        y = autograd.add(y, x)
    autograd.l2(y, Tensor(np.zeros(3))).backward()
    np.testing.assert_allclose(x.grad, 2 / 3 * 5001**2)


def test_backward_starts_from_a_scalar():
    with pytest.raises(ValueError, match=r"\(2,\)"):
        Tensor(np.zeros(2), requires_grad=True).backward()


def test_whole_numbers_are_refused():
    with pytest.raises(TypeError, match="int64"):
        Tensor(np.zeros(2, np.int64))


def test_inference_builds_no_graph():
    y = autograd.relu(Tensor(np.ones((1, 1, 2, 2))))
    assert not y.requires_grad
    assert y._maker is None


def test_graphs_die_without_the_cycle_collector():
    def step():
        w = Tensor(np.ones((2, 1, 3, 3)), requires_grad=True)
        weighted(autograd.relu(autograd.conv2d(Tensor(np.ones((1, 1, 5, 5))), w))).backward()

    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(item, (Tensor, autograd.Function)) for item in gc.get_objects())
        step()
        after = sum(isinstance(item, (Tensor, autograd.Function)) for item in gc.get_objects())
    finally:
        gc.enable()
    assert after == before
