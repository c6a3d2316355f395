import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stdo_min.engine.budget import Budget, Clock


@pytest.mark.parametrize("wrong", [{}, {"seconds": 1.0, "steps": 1}, {"seconds": -1.0}, {"steps": -1}])
def test_a_budget_is_time_or_steps(wrong):
    with pytest.raises(ValueError, match="seconds or steps"):
        Budget(**wrong)


def test_steps_are_dealt_out():
    clock = Clock(Budget(steps=1000))
    first = clock.left().part(0.45)
    assert first == Budget(steps=450)
    clock.counting("train", first)(1.0, 40.0)
    assert clock.left() == Budget(steps=550)
    assert clock.left().part(0.05) == Budget(steps=28)


@given(st.integers(0, 300), st.lists(st.integers(1, 40), min_size=1, max_size=70))
def test_parts_never_exceed_the_whole(steps, lengths):
    parts = [part.steps for part in Budget(steps=steps).split([length / sum(lengths) for length in lengths])]
    assert len(parts) == len(lengths) and min(parts) >= 0
    assert min(steps, len(lengths)) <= sum(parts) <= steps  # as long as there are steps, each part has one


def test_seconds_are_split_by_their_shares():
    assert Budget(seconds=8.0).split([0.25, 0.75]) == [Budget(seconds=2.0), Budget(seconds=6.0)]


def test_how_much_is_done():
    assert Budget(steps=8).done(2, 0.0) == 0.25
    assert Budget(steps=8).done(9, 0.0) == 1.0
    assert Budget(steps=0).done(0, time.monotonic()) == 1.0
    assert Budget(seconds=50.0).done(2, time.monotonic() - 5) == pytest.approx(0.1, abs=0.01)


def test_seconds_are_what_is_left():
    clock = Clock(Budget(seconds=100.0))
    assert clock.left(keep=30.0).seconds == pytest.approx(70, abs=0.5)
    assert clock.left(keep=99.0).seconds == pytest.approx(10)  # a tenth is left for training, whatever else takes
    assert Clock(Budget(seconds=0.0), least=4.0).left(keep=9.0).seconds == pytest.approx(4)
    assert Budget(seconds=5.0).at_most(Budget(seconds=3.0)) == Budget(seconds=3.0)


@pytest.mark.parametrize("budget", [Budget(steps=10), Budget(seconds=0.2)])
def test_progress_rises_to_one(budget):
    said = []
    clock = Clock(budget, lambda *now: said.append(now))
    note = clock.counting("train", Budget(steps=10) if budget.steps else budget)
    for done in (0.1, 0.5, 1.0):
        time.sleep(0.1)
        note(done, 33.0)
    clock.say("assign")
    assert [now[1] for now in said] == sorted(now[1] for now in said)
    assert said[-1][:2] == ("assign", 1.0)
    assert said[0][0] == "train" and said[0][2] == 33.0
    assert math.isnan(said[-1][2])
