import math
import time

import pytest

from stdo_min.engine.budget import Clock, Effort


@pytest.mark.parametrize("wrong", [{}, {"seconds": 1.0, "steps": 1}, {"seconds": 0.0}, {"steps": -1}])
def test_an_effort_is_time_or_steps(wrong):
    with pytest.raises(ValueError, match="seconds or steps"):
        Effort(**wrong)


def test_steps_are_dealt_out():
    clock = Clock(Effort(steps=1000), None)
    first = clock.left(0.45)
    assert first == Effort(steps=450)
    clock.counting("train", first)(1.0, 40.0)
    assert clock.left(1.0) == Effort(steps=550)
    assert clock.left(0.5).times(0.1) == Effort(steps=28)


def test_how_much_is_done():
    assert Effort(steps=8).done(2, 0.0) == 0.25
    assert Effort(steps=8).done(9, 0.0) == 1.0
    assert Effort(seconds=50.0).done(2, time.monotonic() - 5) == pytest.approx(0.1, abs=0.01)


def test_seconds_are_what_is_left():
    clock = Clock(Effort(seconds=100.0), None)
    clock.reserve = 30.0
    assert clock.left(0.5).seconds == pytest.approx(35, abs=0.5)
    clock.reserve = 99.0
    assert clock.left(1.0).seconds == pytest.approx(10)  # a tenth is left for training, whatever else takes


@pytest.mark.parametrize("effort", [Effort(steps=10), Effort(seconds=0.2)])
def test_progress_rises_to_one(effort):
    said = []
    clock = Clock(effort, lambda *now: said.append(now))
    note = clock.counting("train", Effort(steps=10) if effort.steps else effort)
    for done in (0.1, 0.5, 1.0):
        time.sleep(0.1)
        note(done, 33.0)
    clock.say("assign")
    assert [now[1] for now in said] == sorted(now[1] for now in said)
    assert said[-1][:2] == ("assign", 1.0)
    assert said[0][0] == "train" and said[0][2] == 33.0
    assert math.isnan(said[-1][2])
