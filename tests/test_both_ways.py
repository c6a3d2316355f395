"""One net trained twice: by the readable autograd, which defines the operations, and by the C code that runs."""

import numpy as np
import pytest

from stdo_min.engine import gradients, readable
from stdo_min.engine.convolution import Workspace
from stdo_min.engine.net import new_net
from stdo_min.engine.optimiser import Adam, learning_rate
from stdo_min.engine.train import PEAK_RATE

STEPS = 30
TURN = 12  # from L1 to L2, whose values don't compare
# Both are float32 and add in different orders, so they part by rounding. Found: losses 4e-7, gradients 1.1e-5.
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-4


def patches():
    """lr and residuals of 40 patches that a net can learn: a sharpening of the lr patch."""
    lr = np.random.default_rng(0).integers(0, 256, (40, 17, 15)).astype(np.uint8)
    x = lr.astype(int)
    detail = (4 * x[:, 4:-4, 4:-4] - x[:, 3:-5, 4:-4] - x[:, 5:-3, 4:-4] - x[:, 4:-4, 3:-5] - x[:, 4:-4, 5:-3]) // 8
    return lr, np.repeat(detail[..., None] * 64, 4, 3).astype(np.int16)


def by_c(net, lr, residual, index, loss):
    return gradients.loss_and_gradients(net, lr, residual, index, Workspace(), loss)


def by_numpy(net, lr, residual, index, loss):
    return readable.loss_and_gradients(net, lr[index], residual[index], loss)


def trained(compute):
    """The loss and the gradients, one float32 row, of each of 30 steps of Adam, first by L1 and then by L2."""
    net, rng, (lr, residual) = new_net((8, 8), 2, np.random.default_rng(1)), np.random.default_rng(2), patches()
    adam, curve = Adam(net.parameters), []
    for step in range(STEPS):
        done = step / STEPS
        index = np.sort(rng.integers(0, len(lr), 16))
        loss, found = compute(net, lr, residual, index, "l2" if step >= TURN else "l1")
        curve.append((loss, np.concatenate([np.ravel(g) for g in found])))
        adam.step(found, learning_rate(done, PEAK_RATE))
    return curve


def require_same(curve, wanted):
    for step, ((loss, gradient), (wanted_loss, wanted_gradient)) in enumerate(zip(curve, wanted, strict=True)):
        assert loss == pytest.approx(wanted_loss, rel=LOSS_TOLERANCE), f"the loss of step {step}"
        apart = np.linalg.norm(gradient - wanted_gradient) / np.linalg.norm(wanted_gradient)
        assert apart < GRADIENT_TOLERANCE, f"the gradient of step {step} is {apart:.1e} away"


def test_the_two_train_the_same_net():
    curve = trained(by_c)
    require_same(curve, trained(by_numpy))
    for first, last in ((0, TURN - 1), (TURN, STEPS - 1)):
        assert curve[last][0] < curve[first][0] / 1.5, "nothing was learnt"


@pytest.mark.parametrize("wrong", [by_c, by_numpy])
@pytest.mark.parametrize("part", [slice(None), slice(0, 1), slice(5, 6)], ids=["all", "first weight", "last bias"])
def test_a_gradient_that_is_a_hundredth_too_large_is_noticed(wrong, part):
    """Adam divides by the size of the gradients, so the losses alone would not tell if all were too large."""
    def scaled(*arguments):
        loss, found = wrong(*arguments)
        found = [g.copy() for g in found]
        for gradient in found[part]:
            gradient *= np.float32(1.01)
        return loss, found

    right = by_numpy if wrong is by_c else by_c
    with pytest.raises(AssertionError, match="the (loss|gradient) of step"):
        require_same(trained(scaled), trained(right))
