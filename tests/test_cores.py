"""Which cores count as fast."""

import os

import pytest

from stdo_min.format.cores import fast_cores

PHONES = {  # highest clocks in kHz: how many are fast
    "snapdragon 845": ([1766400] * 4 + [2803200] * 4, 4),
    "snapdragon 888": ([1804800] * 4 + [2419200] * 3 + [2841600], 4),
    "snapdragon 8 gen 3": ([2265600] * 2 + [3148800] * 3 + [2956800] * 2 + [3302400], 6),
    "tensor": ([1803000] * 4 + [2253000] * 2 + [2802000] * 2, 4),
    "all alike": ([2000000] * 4, 4),
}


@pytest.fixture
def eight(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize("phone", PHONES)
def test_fast_cores_of_phones(tmp_path, monkeypatch, phone):
    clocks, fast = PHONES[phone]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(len(clocks))), raising=False)
    for core, clock in enumerate(clocks):
        path = tmp_path / f"cpu{core}" / "cpufreq" / "cpuinfo_max_freq"
        path.parent.mkdir(parents=True)
        path.write_text(f"{clock}\n")
    assert fast_cores(tmp_path) == fast


def test_all_count_where_nothing_is_told(tmp_path, eight):
    assert fast_cores(tmp_path) == 8
    path = tmp_path / "cpu0" / "cpufreq" / "cpuinfo_max_freq"
    path.parent.mkdir(parents=True)
    path.write_text("1000000\n")
    assert fast_cores(tmp_path) == 8, "told of one core only"
    assert 1 <= fast_cores() <= 8
