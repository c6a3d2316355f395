"""stdo bench: what it measures and what it says of it."""

import json

from stdo_min.cli import main
from stdo_min.commands import bench as benchmark
from stdo_min.commands.bench import NETS, SCALES, Speed, measure, report


def test_measure_and_command(capsys, monkeypatch):
    seen = []
    found = measure([1, 2], seconds=0.1, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(number, 16) for number in range(1, 17)]
    assert {(speed.net, speed.scale) for speed in found} == {(net, scale) for net in NETS for scale in SCALES}
    assert all(speed.fps > 0 for speed in found)
    monkeypatch.setattr(benchmark, "measure", lambda threads, progress: found)
    assert main(["bench", "--threads", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told) == 16 and set(told[0]) == {"net", "scale", "threads", "fps", "plays"}
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
