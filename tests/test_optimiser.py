import numpy as np
import pytest
from scipy.stats import ortho_group

from stdo_min.engine.optimiser import Adam, Soap, learning_rate


def test_learning_rate_rises_then_falls():
    rates = [learning_rate(x, 1.0) for x in np.linspace(0, 1, 501)]
    peak = int(np.argmax(rates))
    assert rates[peak] == pytest.approx(1.0)
    assert peak == 50  # the end of the warm-up, at 10 %
    assert np.all(np.diff(rates[:peak]) >= 0)
    assert np.all(np.diff(rates[peak:]) <= 0)
    assert rates[-1] == pytest.approx(0.002)


def test_first_step_of_adam_has_the_size_of_the_rate():
    p = np.array([1.0, -2.0, 0.5])
    Adam([p]).step([np.array([10.0, -0.1, 0.003])], 0.01)
    np.testing.assert_allclose(p, [0.99, -1.99, 0.49], atol=1e-6)


def test_three_steps_as_the_paper_computes_them():
    # Algorithm 1 of Kingma & Ba by hand, in plain Python floats.
    p, m, v = 0.3, 0.0, 0.0
    array = np.array([p])
    adam = Adam([array], beta1=0.9, beta2=0.999, epsilon=0.0)
    for t in (1, 2, 3):
        gradient = 2 * p - 1.7
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        adam.step([2 * array - 1.7], 0.05)
        p -= 0.05 * (m / (1 - 0.9**t)) / (v / (1 - 0.999**t)) ** 0.5
        assert array[0] == pytest.approx(p, rel=1e-12)


def test_adam_finds_a_minimum():
    p = np.array([5.0, -3.0])
    adam = Adam([p])
    for step in range(400):
        adam.step([2 * (p - np.array([1.0, 2.0]))], learning_rate(step / 400, 0.2))
    np.testing.assert_allclose(p, [1.0, 2.0], atol=1e-3)


def test_soap_does_not_know_how_the_inputs_were_mixed():
    """Its steps turn with the coordinates, which Adam's do not: the same descent whatever the basis."""
    rng = np.random.default_rng(0)
    mix, wanted = ortho_group.rvs(6, random_state=1), rng.standard_normal((8, 6))
    sizes = np.array([9, 4, 1, 0.5, 0.2, 0.1])

    def descend(kind, axes):
        weight = np.zeros((8, 6))
        optimiser = kind([weight])
        for _ in range(60):
            noise = rng_of_noise.standard_normal((8, 6))
            optimiser.step([((weight @ axes.T - wanted) * sizes + noise) @ axes], 0.02)
        return weight @ axes.T

    found = {}
    for kind in (Soap, Adam):
        for name, axes in (("straight", np.eye(6)), ("mixed", mix)):
            rng_of_noise = np.random.default_rng(2)
            found[kind, name] = descend(kind, axes)
    np.testing.assert_allclose(found[Soap, "mixed"], found[Soap, "straight"], atol=1e-9)
    assert np.abs(found[Adam, "mixed"] - found[Adam, "straight"]).max() > 0.01


def test_soap_moves_biases_as_adam_does():
    one, other = (np.array([1.0, -2.0, 0.5]) for _ in range(2))
    adam, soap = Adam([one]), Soap([other])
    for step in range(5):
        for optimiser in (adam, soap):
            optimiser.step([np.array([10.0, -0.1, 0.003]) * (step - 2)], 0.01)
    np.testing.assert_array_equal(one, other)
