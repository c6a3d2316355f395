import numpy as np
import pytest

from stdo_min.algorithm import refine as refinement
from stdo_min.algorithm.overfit import PARTING_RATE
from stdo_min.algorithm.refine import Chunks, refine
from stdo_min.algorithm.sample import Sampled
from stdo_min.engine.budget import Budget
from stdo_min.engine.convolution import Workspace
from stdo_min.engine.gradients import squared_errors
from stdo_min.engine.net import RESIDUAL_UNIT, new_net
from stdo_min.engine.pool import Pool


def base_errors(pool):
    """The mean squared error of each patch under the base."""
    return np.mean((pool.residual / 64.0) ** 2, axis=(1, 2, 3))


@pytest.fixture
def pool():
    """Thirty patches whose residual is -8, 0 or 8 grey levels, in turn."""
    residual = np.zeros((30, 4, 4, 4), np.int16)
    residual[0::3], residual[2::3] = -8 * 64, 8 * 64
    return Pool(np.full((30, 10, 10), 90, np.uint8), residual, np.ones(30))


def constant_net(grey):
    """A net whose residual is the same everywhere."""
    net = new_net((4,), 2, np.random.default_rng(0))
    net.biases[-1][:] = grey / RESIDUAL_UNIT
    return net


def refined(pool, chunks, rounds=8, steps=160, seed=0, threads=1, **options):
    sampled = Sampled(pool, np.ones(len(pool)), base_errors(pool))
    return refine(chunks, sampled, rounds, Budget(steps=steps), np.random.default_rng(seed), threads=threads, **options)


def test_patches_move_to_the_net_that_serves_them_and_nets_learn_them(pool):
    """Both nets begin with a mixture of all patches, a little apart; each ends with one kind and learns it."""
    start = Chunks((constant_net(5), constant_net(-5)), np.arange(30) % 2 + 1, base_errors(pool))
    # As `overfit` does: a short run at a low rate first, or the squared error pulls both to the mean of the mixture.
    found = refined(pool, refined(pool, start, steps=40, peak=PARTING_RATE))
    assert found.member.tolist() == [2, 0, 1] * 10  # 0: the base, which is right where there is no residual
    errors = [np.mean(squared_errors(net, pool.lr, pool.residual, np.flatnonzero(found.member == number),
                                          Workspace())) for number, net in enumerate(found.nets, 1)]
    assert max(errors) < 2
    assert start.nets[0].biases[-1][0] == np.float32(5 / RESIDUAL_UNIT)  # what came in is left as it was


def test_without_rounds_no_patch_moves(pool):
    start = Chunks((constant_net(5), constant_net(-5)), np.arange(30) % 2 + 1, base_errors(pool))
    found = refined(pool, start, rounds=0)
    np.testing.assert_array_equal(found.member, start.member)


def test_equal_seeds_give_equal_nets_whatever_the_threads(pool):
    start = Chunks((constant_net(5), constant_net(-5)), np.arange(30) % 2 + 1, base_errors(pool))
    one, two, other = (refined(pool, start, seed=seed, threads=threads, steps=20)
                       for seed, threads in ((5, 1), (5, 3), (6, 1)))
    same = [all(np.array_equal(p, q) for a, b in zip(one.nets, more.nets, strict=True)
                for p, q in zip(a.parameters, b.parameters, strict=True)) for more in (two, other)]
    assert same == [True, False]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # what diverged overflows
@pytest.mark.parametrize("wrong", [np.nan, 1e30])
def test_a_net_that_diverged_is_replaced(pool, wrong):
    broken = constant_net(1)
    broken.weights[-1][:] = wrong
    found = refined(pool, Chunks((broken, constant_net(-7)), np.arange(30) % 2 + 1, base_errors(pool)), rounds=4)
    assert all(np.isfinite(p).all() for net in found.nets for p in net.parameters)
    assert found.error.mean() < 0.6 * base_errors(pool).mean()


@pytest.mark.parametrize(("steps", "rounds", "count"),
                         [(60, 64, 4), (100, 64, 6), (200, 64, 4), (300, 1000, 3), (30, 8, 6)])
def test_every_net_gets_its_share_of_steps(pool, monkeypatch, steps, rounds, count):
    """Patches that weigh alike and stay: in rounds of any length each net has its share but for a few steps."""
    taken = {}
    step = refinement.Learner.step

    def counted(learner, *arguments):
        taken[id(learner)] = taken.get(id(learner), 0) + 1
        step(learner, *arguments)

    monkeypatch.setattr(refinement.Learner, "step", counted)
    monkeypatch.setattr(refinement, "_move", lambda *_: None)
    chunks = Chunks((constant_net(5),) * count, np.arange(30) % count + 1, np.ones(30))
    refined(pool, chunks, rounds=rounds, steps=steps)
    assert sum(taken.values()) == steps
    assert len(taken) == count
    assert max(abs(found - steps / count) for found in taken.values()) < 4


@pytest.fixture
def fallen(monkeypatch):
    """The learners that fell back, one entry each time."""
    found, fall_back = [], refinement.Learner.fall_back

    def counted(learner):
        found.append(learner)
        fall_back(learner)

    monkeypatch.setattr(refinement.Learner, "fall_back", counted)
    return found


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # what diverged overflows
@pytest.mark.parametrize("rounds", [0, 3])
def test_what_diverges_at_the_end_is_not_returned(pool, rounds, fallen):
    chunks = Chunks((constant_net(1), constant_net(-1)), np.arange(30) % 2 + 1, base_errors(pool))
    found = refined(pool, chunks, rounds=rounds, steps=20, peak=1e6)
    errors = refinement.least_errors(found.nets, pool, np.full(30, np.inf), np.arange(30), 1)
    assert errors.mean() < 2 * base_errors(pool).mean()
    assert fallen, "nothing diverged"


def test_nothing_to_learn_ends_at_once(pool):
    chunks = Chunks((constant_net(1),) * 2, np.zeros(30, int), np.zeros(30))
    found = refined(pool, chunks, steps=10**9)
    assert not found.member.any()


def test_progress_is_said_after_every_step(pool):
    said = []
    chunks = Chunks((constant_net(5),), np.ones(30, int), base_errors(pool))
    refined(pool, chunks, rounds=4, steps=40, progress=lambda *now: said.append(now))
    assert [done for done, _ in said] == [pytest.approx(step / 40) for step in range(1, 41)]
    assert said[-1][1] > said[0][1] == pytest.approx(10 * np.log10(255**2 / np.mean(base_errors(pool))))


@pytest.mark.parametrize("threads", [1, 3])
def test_the_least_errors_are_those_of_the_best_nets(threads):
    rng = np.random.default_rng(1)
    many = Pool(rng.integers(0, 256, (900, 10, 10)).astype(np.uint8),
                rng.integers(-500, 500, (900, 4, 4, 4)).astype(np.int16), np.ones(900))
    index = np.arange(0, 900, 2)
    expected = np.min([np.square(grey - many.residual[index] / 64).mean(axis=(1, 2, 3)) for grey in (0, 2, -3)], axis=0)
    found = refinement.least_errors((constant_net(2), constant_net(-3)), many, base_errors(many), index, threads)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_net_without_numbers_is_never_the_best():
    many = Pool(np.zeros((3, 10, 10), np.uint8), np.full((3, 4, 4, 4), 64, np.int16), np.ones(3))
    broken = constant_net(np.nan)
    found = refinement.least_errors((broken, constant_net(3)), many, np.array([9.0, 3.0, 5.0]), np.arange(3), 1)
    np.testing.assert_allclose(found, [4, 3, 4], rtol=1e-6)


def test_steps_follow_the_error_that_is_left():
    member = np.array([0, 1, 1, 2, 3])
    np.testing.assert_allclose(refinement.shares(np.array([9.0, 1, 2, 3, 0]), member, 3), [0.5, 0.5, 0])
    np.testing.assert_allclose(refinement.shares(np.zeros(5), member, 4), [0.25] * 4)


def test_an_empty_net_takes_the_harder_half_of_the_heaviest():
    member = np.array([0, 1, 1, 3, 3, 3, 3])
    error = np.array([50.0, 1, 1, 2, 9, 8, 3])
    assert refinement.fill(member, error, 3).tolist() == [0, 1, 1, 3, 2, 2, 3]
    np.testing.assert_array_equal(member, [0, 1, 1, 3, 3, 3, 3])
    for idle, least in (np.zeros(4, int), np.ones(4)), (np.ones(4, int), np.zeros(4)):  # nothing left to learn
        np.testing.assert_array_equal(refinement.fill(idle, least, 3), idle)
    full = np.array([1, 2, 1, 2])
    np.testing.assert_array_equal(refinement.fill(full, np.ones(4), 2), full)
