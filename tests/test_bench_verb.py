"""stdo bench: what it measures and what it says of it."""

import json

import pytest
from tiers import HERE

from stdo_min.cli import main
from stdo_min.commands import bench as benchmark
from stdo_min.commands.bench import NETS, SCALES, Speed, measure, report
from stdo_min.format.library import Statistics, Upscaler
from stdo_min.format.sidecar import read


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still but that upscaling takes 1 ms a hidden channel, shared by threads."""
    class Clock:
        now = 0.0

    class Timed(Upscaler):
        def upscale(self, segment, labels, lr, out=None, executor=None, threads=1):
            (net,) = read(self.data).segments[0].nets
            Clock.now += 1e-3 * sum(net.channels[:-1]) / threads
            return lr

        def __init__(self, data):
            super().__init__(data)
            self.data = data

    monkeypatch.setattr(benchmark, "Upscaler", Timed)
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: Clock.now)
    return Clock


def test_what_is_measured_is_frames_a_second(clock):
    """Every net with every number of threads at scale 4, then the other scales with the fastest number."""
    seen = []
    found = measure([1, 2], seconds=0.1, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(number, 16) for number in range(1, 17)]
    assert [speed[:3] for speed in found] == [(net, 4, threads) for net in NETS for threads in (1, 2)] + [
        (net, scale, 2) for net in NETS for scale in (2, 3)]
    for speed in found:
        assert speed.fps == pytest.approx(1000 * speed.threads / sum(speed.net))


@pytest.mark.parametrize("scale", SCALES)
def test_every_patch_of_a_full_frame_is_upscaled_by_the_net(monkeypatch, scale):
    made = []

    class Kept(Upscaler):
        def __init__(self, data):
            super().__init__(data)
            made.append(self)

    monkeypatch.setattr(benchmark, "Upscaler", Kept)
    benchmark._fps((4,), scale, 2, 0.0)
    (upscaler,) = made
    patches = upscaler.rows * upscaler.columns
    assert (upscaler.hr_width, upscaler.hr_height, upscaler.scale) == (1920, 1080, scale)
    assert upscaler.tier == HERE[-1]
    # One frame to warm up and two that are timed.
    assert upscaler.statistics == Statistics(net=3 * patches)


def test_command(capsys, monkeypatch):
    found = [Speed(net, scale, 1, 50.0) for net in NETS for scale in SCALES]
    monkeypatch.setattr(benchmark, "measure", lambda threads, progress: found)
    assert main(["bench", "--threads", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == [{"net": list(net), "scale": scale, "threads": 1, "fps": 50.0, "plays": True}
                    for net in NETS for scale in SCALES]
    assert main(["bench"]) == 0
    assert "1080p at --scale 4: " in capsys.readouterr().out


def test_report():
    found = [Speed(net, scale, 2, 60 / (1 + NETS.index(net)) * scale / 4) for net in NETS for scale in SCALES]
    lines = report(found).splitlines()
    assert lines[-3:] == [
        "1080p at --scale 2: none; take a greater scale",
        "1080p at --scale 3: --net 4 or a smaller one",
        "1080p at --scale 4: --net 4 or a smaller one",
    ]
    assert "4              4        2     60.0 *" in lines and "8,8            4        2     30.0" in lines
    assert [speed.plays for speed in found[:3]] == [False, True, True]
