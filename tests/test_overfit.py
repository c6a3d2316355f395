"""One segment at a time: what a mode trains for, and what it keeps in memory."""

import tracemalloc

import numpy as np
import pytest

from stdo_min.algorithm.assign import assign_best
from stdo_min.algorithm.frames import Frames
from stdo_min.algorithm.overfit import overfit
from stdo_min.algorithm.recipe import MODES, Recipe
from stdo_min.algorithm.refine import Chunks
from stdo_min.engine.budget import Budget, Clock
from stdo_min.engine.net import new_net
from stdo_min.engine.pool import Pool
from stdo_min.engine.train import Learner
from stdo_min.format.base import upscale
from stdo_min.format.sidecar import Sidecar
from stdo_min.video.read import Frame


def noise_frames(count, width, height, patch, scale=2):
    """Frames of noise whose detail grows to the right, so that patches differ; eight of them, again and again."""
    rng, pairs = np.random.default_rng(0), []
    chroma = np.full((height // 2, width // 2), 128, np.uint8)
    for _ in range(8):
        y = rng.integers(60, 200, (height, width)).astype(np.uint8)
        detail = rng.normal(0, 1, (height * scale, width * scale)) * np.linspace(0, 12, width * scale)
        hr = np.clip(upscale(y, scale) + detail, 0, 255).astype(np.uint8)
        pairs.append((Frame(y, chroma, chroma), Frame(hr, chroma, chroma)))
    header = Sidecar(scale, 0, patch, 1, width, height, width * scale, height * scale, ())

    def passes():
        while True:
            yield (pairs[number % 8] for number in range(count))
    return Frames(header, count, passes())


@pytest.mark.parametrize("refine", [0, 64])
@pytest.mark.parametrize("mode", MODES)
def test_no_more_steps_than_asked(monkeypatch, mode, refine):
    """However few they are: fewer than stages, fewer than nets."""
    taken, step = [], Learner.step

    def counted(learner, *arguments):
        taken.append(1)
        return step(learner, *arguments)
    monkeypatch.setattr(Learner, "step", counted)
    for steps in (1, 2, 5, 17, 40):
        taken.clear()
        recipe = Recipe(mode=mode, refine=refine, channels=(2,), patch=8, chunks=6, budget=Budget(steps=steps))
        overfit(noise_frames(4, 48, 32, 8), recipe, Clock(recipe.budget), np.random.default_rng(0))
        assert 0 < len(taken) <= steps


@pytest.mark.parametrize("refine", [0, 4])
def test_a_pool_that_overflows_is_not_held_twice(refine):
    """15 MiB of patches are asked for, where the segment has 32: when the second pool is cut the first is gone."""
    recipe = Recipe(mode="stdo", refine=refine, channels=(2,), chunks=2, memory=15 << 20, budget=Budget(steps=8))
    frames, held = noise_frames(210, 160, 100, 20), {"sample": 0, "gather": 0}

    def progress(stage, *_):
        if stage in held:
            held[stage] = max(held[stage], tracemalloc.get_traced_memory()[0] / 2**20)
    overfit(noise_frames(2, 160, 100, 20), recipe, Clock(recipe.budget), np.random.default_rng(0))  # Numba compiles
    tracemalloc.start()
    try:
        overfit(frames, recipe, Clock(recipe.budget, progress), np.random.default_rng(0))
    finally:
        tracemalloc.stop()
    assert 14 < held["sample"] < 17
    assert 14 < held["gather"] < 17


def test_errors_of_many_nets_are_not_kept():
    """Those of 63 nets for 32,000 patches would be 16 MiB."""
    frames, rng = noise_frames(40, 320, 160, 8), np.random.default_rng(0)
    chunks = Chunks((new_net((1,), 2, rng),) * 63, np.ones(8, int), np.ones(8))
    pool = Pool(np.zeros((8, 14, 14), np.uint8), np.zeros((8, 8, 8, 4), np.int16), np.ones(8))
    tracemalloc.start()
    try:
        made = assign_best(frames, chunks, pool, 1, Clock(Budget(steps=1)))
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert made.labels.shape == (40, 20, 40)
    assert peak < 6


class Hours(Clock):
    """A clock on which every frame of a pass takes a second, and a step of training a tenth of one."""

    now = 0.0

    def elapsed(self):
        return self.now

    def say(self, stage, psnr=float("nan")):
        self.now += 1.0 if stage in ("sample", "score", "gather", "assign") else 0.1
        super().say(stage, psnr)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seconds", [60, 200])
def test_training_ends_in_time_for_the_last_pass(monkeypatch, mode, seconds):
    """20 frames: each pass takes 20 s. What is over when the last pass begins leaves room for it."""
    clock = Hours(Budget(seconds=seconds))
    monkeypatch.setattr(Budget, "done", lambda budget, steps, started: min(1.0, (
        steps / budget.steps if budget.steps is not None else steps * 0.1 / budget.seconds)))
    assigned, over = [], Frames.over

    def noted(frames, stage, clock):
        if stage == "assign":
            assigned.append(clock.now)
        return over(frames, stage, clock)
    monkeypatch.setattr(Frames, "over", noted)
    recipe = Recipe(mode=mode, channels=(2,), patch=8, budget=Budget(seconds=seconds))
    overfit(noise_frames(20, 48, 32, 8), recipe, clock, np.random.default_rng(0))
    passes = 1 if mode in ("single", "time") else 2
    least = 20 * passes + 0.1 * seconds  # training gets a tenth, whatever the passes take
    assert assigned[0] <= max(least, seconds - 20) + 2
    assert assigned[0] >= seconds - 20 - 0.25 * seconds  # and uses what there is
