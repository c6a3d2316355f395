"""How many nets, by trials whose time and worth are made up."""

import numpy as np
import pytest

from stdo_min.algorithm.refine import Chunks
from stdo_min.algorithm.sample import Sampled
from stdo_min.algorithm.trial import Judge, best_count
from stdo_min.engine.net import new_net
from stdo_min.engine.pool import Pool


class Told:
    """A clock that shows what it is told."""

    now = 0.0

    def elapsed(self):
        return self.now


def chosen(worth, most=8, each=1.0, seconds=None):
    """What is chosen where `worth` says the dB of each number of nets, and which numbers were tried.

    A trial takes `each` seconds a net.
    """
    clock, tried = Told(), []

    def trained(count):
        clock.now += each * count
        tried.append(count)
        return Chunks(("net",) * count, None, None)
    found = best_count(most, trained, lambda nets: worth[len(nets)], clock, seconds)
    return len(found.nets), tried


def test_a_doubling_must_gain_a_hundredth_of_a_decibel():
    assert chosen({1: 40.0, 2: 40.009, 4: 40.018, 8: 40.029}) == (1, [1, 2, 4, 8])
    assert chosen({1: 40.0, 2: 40.011, 4: 40.015, 8: 40.029}) == (2, [1, 2, 4, 8])
    assert chosen({1: 40.0, 2: 40.5, 4: 40.6, 8: 40.7}) == (8, [1, 2, 4, 8])


@pytest.mark.parametrize(("most", "tried"), [(1, [1]), (3, [1, 2]), (7, [1, 2, 4])])
def test_no_more_nets_than_asked(most, tried):
    assert chosen(dict.fromkeys((1, 2, 4, 8), 40.0), most)[1] == tried


@pytest.mark.parametrize(("seconds", "tried"), [(0.0, [1]), (11.0, [1]), (12.0, [1, 2]), (28.0, [1, 2, 4]),
                                                (60.0, [1, 2, 4, 8])])
def test_trials_take_a_quarter_of_what_is_left(seconds, tried):
    """They take 1, 2, 4 and 8 seconds; the next is begun only if twice as long as the last still fits."""
    assert chosen({1: 40.0, 2: 41.0, 4: 42.0, 8: 43.0}, seconds=seconds)[1] == tried


def test_the_judge_takes_the_best_net_of_each_patch():
    """Half of the patches want -8 grey levels, half want 8: nets of a constant each serve one half."""
    residual = np.zeros((64, 4, 4, 4), np.int16)
    residual[::2], residual[1::2] = -8 * 64, 8 * 64
    pool = Pool(np.full((64, 10, 10), 90, np.uint8), residual, np.ones(64))
    errors = np.mean((pool.residual / 64.0) ** 2, axis=(1, 2, 3))
    judge = Judge(Sampled(pool, np.ones(64), errors), np.random.default_rng(0), 1)
    nets = []
    for grey in (-8, 8):
        net = new_net((4,), 2, np.random.default_rng(0))
        net.biases[-1][:] = grey / 32
        nets.append(net)
    assert judge(()) == pytest.approx(10 * np.log10(255**2 / 64))
    assert judge(tuple(nets[:1])) == pytest.approx(10 * np.log10(255**2 / 32), abs=0.01)
    assert judge(tuple(nets)) > 100
