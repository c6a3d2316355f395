"""One segment: what a mode trains for, what it gives, and that seconds are left for what comes after."""

import numpy as np
import pytest

from stdo_min.algorithm.fitted import General
from stdo_min.algorithm.overfit import overfit
from stdo_min.algorithm.price import Price
from stdo_min.algorithm.recipe import MODES, Recipe
from stdo_min.algorithm.sample import Sampled
from stdo_min.engine.budget import Budget, Clock
from stdo_min.engine.net import new_net
from stdo_min.engine.pool import Pool
from stdo_min.engine.train import Learner

PRICE = Price(10**9, 20 * 96 * 64, 240)  # bytes are worth next to nothing
GENERAL = General(new_net((2,), 2, np.random.default_rng(0)))


@pytest.fixture(scope="module")
def sampled():
    """Patches of 20 frames whose detail differs."""
    rng = np.random.default_rng(0)
    residual = rng.normal(0, 64, (240, 8, 8, 4)) * np.tile(np.linspace(0, 12, 12), 20)[:, None, None, None]
    pool = Pool(rng.integers(60, 200, (240, 14, 14)).astype(np.uint8), residual.astype(np.int16), np.ones(240))
    errors = np.mean((pool.residual / 64.0) ** 2, axis=(1, 2, 3))
    return Sampled(pool, np.linspace(0.2, 1, 240), errors, np.repeat(np.arange(20), 12).astype(np.int32))


@pytest.mark.parametrize("refine", [0, 64])
@pytest.mark.parametrize("mode", MODES)
def test_no_more_steps_than_asked(monkeypatch, sampled, mode, refine):
    """However few they are: fewer than stages, fewer than nets."""
    taken, step = [], Learner.step

    def counted(learner, *arguments):
        taken.append(1)
        return step(learner, *arguments)
    monkeypatch.setattr(Learner, "step", counted)
    for steps in (1, 2, 5, 17, 40):
        taken.clear()
        recipe = Recipe(mode=mode, refine=refine, channels=(2,), patch=8, chunks=6)
        overfit(sampled, 20, GENERAL, recipe, PRICE, Clock(Budget(steps=steps)), np.random.default_rng(0))
        assert 0 < len(taken) <= steps


@pytest.mark.parametrize("mode, refine, choice, nets, scored", [
    ("single", 64, "all", 1, False), ("jstdo", 64, "all", 1, False), ("auto", 64, "best", None, False),
    ("stdo", 64, "best", 3, False), ("time", 64, "best", 3, False),
    ("stdo", 0, "own", 3, True), ("stdo-quantile", 0, "own", 3, True), ("time", 0, "own", 3, False)])
def test_what_a_mode_gives(sampled, mode, refine, choice, nets, scored):
    recipe = Recipe(mode=mode, refine=refine, channels=(2,), patch=8, chunks=3)
    fitted = overfit(sampled, 20, GENERAL, recipe, PRICE, Clock(Budget(steps=12)), np.random.default_rng(0))
    assert fitted.choice == choice
    assert len(fitted.nets) == nets if nets else 1 <= len(fitted.nets) <= 2
    assert (fitted.scorer is not None) == scored
    assert (fitted.cut is not None) == (choice == "own")


def test_chunks_by_time_are_parts_of_the_whole_segment(sampled):
    recipe = Recipe(mode="time", refine=0, channels=(2,), patch=8, chunks=2)
    fitted = overfit(sampled, 30, GENERAL, recipe, PRICE, Clock(Budget(steps=4)), np.random.default_rng(0))
    assert fitted.cut.starts.tolist() == [15]


class Told(Clock):
    """A clock on which a step of training takes half a second."""

    now = 0.0

    def elapsed(self):
        return self.now

    def say(self, stage, psnr=float("nan")):
        self.now += 0.5 if stage == "train" else 0
        super().say(stage, psnr)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seconds", [60, 200])
def test_training_leaves_what_is_kept_back(monkeypatch, sampled, mode, seconds):
    """To give each patch its net takes 20 s and 2 s a net."""
    clock, kept = Told(Budget(seconds=seconds)), []
    monkeypatch.setattr(Budget, "done", lambda budget, steps, started: min(1.0, (
        steps / budget.steps if budget.steps is not None else steps * 0.5 / budget.seconds)))

    def keep(nets):
        kept.append(20.0 + 2.0 * nets)
        return kept[-1]
    recipe = Recipe(mode=mode, channels=(2,), patch=8)
    fitted = overfit(sampled, 20, GENERAL, recipe, PRICE, clock, np.random.default_rng(0), keep=keep)
    left = seconds - clock.now
    assert left >= 20 + 2 * len(fitted.nets) - 2
    assert left <= 20 + 2 * 8 + 0.25 * seconds  # and uses what there is
