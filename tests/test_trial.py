"""How many nets, by trials whose time and worth are made up."""

import numpy as np
import pytest

from stdo_min.algorithm.price import SHOWN, Price
from stdo_min.algorithm.refine import Chunks
from stdo_min.algorithm.sample import Sampled
from stdo_min.algorithm.trial import Judge, best_count
from stdo_min.engine.net import new_net
from stdo_min.engine.pool import Pool

FREE = Price(10**15, 10**6, 10**3)  # an lr video so large that more bytes are worth nothing


class Told:
    """A clock that shows what it is told."""

    now = 0.0

    def elapsed(self):
        return self.now


def chosen(worth, most=8, each=1.0, seconds=None):
    """What is chosen where `worth` says the cost of each number of nets, and which numbers were tried.

    A trial takes `each` seconds a net.
    """
    clock, tried = Told(), []

    def trained(count):
        clock.now += each * count
        tried.append(count)
        return Chunks(("net",) * count, None, None)
    found = best_count(most, trained, lambda nets: worth[len(nets)], clock, seconds)
    return len(found.nets), tried


def test_the_least_cost_is_chosen():
    assert chosen({1: 4.0, 2: 4.01, 4: 4.02, 8: 4.03}) == (1, [1, 2, 4, 8])
    assert chosen({1: 4.0, 2: 3.9, 4: 4.2, 8: 4.1}) == (2, [1, 2, 4, 8])
    assert chosen({1: 4.0, 2: 3.9, 4: 3.8, 8: 3.7}) == (8, [1, 2, 4, 8])


@pytest.mark.parametrize(("most", "tried"), [(1, [1]), (3, [1, 2]), (7, [1, 2, 4])])
def test_no_more_nets_than_asked(most, tried):
    assert chosen(dict.fromkeys((1, 2, 4, 8), 40.0), most)[1] == tried


@pytest.mark.parametrize(("seconds", "tried"), [(0.0, [1]), (11.0, [1]), (12.0, [1, 2]), (28.0, [1, 2, 4]),
                                                (60.0, [1, 2, 4, 8])])
def test_trials_take_a_quarter_of_what_is_left(seconds, tried):
    """They take 1, 2, 4 and 8 seconds; the next is begun only if twice as long as the last still fits."""
    assert chosen({1: 4.0, 2: 3.0, 4: 2.0, 8: 1.0}, seconds=seconds)[1] == tried


def test_the_judge_takes_the_best_net_of_each_patch():
    """Half of the patches want -8 grey levels, half want 8: nets of a constant each serve one half."""
    residual = np.zeros((64, 4, 4, 4), np.int16)
    residual[::2], residual[1::2] = -8 * 64, 8 * 64
    pool = Pool(np.full((64, 10, 10), 90, np.uint8), residual, np.ones(64))
    errors = np.mean((pool.residual / 64.0) ** 2, axis=(1, 2, 3))
    judge = Judge(Sampled(pool, np.ones(64), errors), FREE, np.random.default_rng(0), 1)
    nets = []
    for grey in (-8, 8):
        net = new_net((4,), 2, np.random.default_rng(0))
        net.biases[-1][:] = grey / 32
        nets.append(net)
    assert judge(()) == pytest.approx(64)
    assert judge(tuple(nets[:1])) == pytest.approx(32, rel=1e-3)
    assert judge(tuple(nets)) < 0.01


def test_what_nets_and_their_map_cost_counts():
    """Each halving of the error is worth 3 dB, and so, at 4 dB an e-fold, about half of the bytes."""
    price = Price(10_000, 10**6, 10**5)
    assert price.foretold(8.0, 0, 1) == 8.0
    assert price.foretold(8.0, 1000, 1) == pytest.approx(8.0 * (1 + SHOWN * 0.1 * 4 * np.log(10) / 10))
    assert price.foretold(8.0, 1000, 2) > price.foretold(8.0, 1000, 1)  # for its map
    assert price.foretold(4.0, 4000, 1) < price.foretold(8.0, 1000, 1) < price.foretold(7.9, 2000, 1)
