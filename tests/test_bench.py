"""What the measurements rest on: wrong pictures are refused, and right ones get a row. Nothing here depends on time."""

import json
import math
import xml.etree.ElementTree as ElementTree
from fractions import Fraction

import numpy as np
import pytest
from clips import ffmpeg
from tiers import cpu_words

from bench import (
    _backbones,
    _bd,
    _jobs,
    _measure,
    _nncodec,
    _ours,
    _plot,
    chroma,
    infer,
    nets,
    peak,
    peers,
    player,
    quality,
    rd,
    recipe,
    refine,
    train,
)
from bench.peers import NET, WHOLE, Ready, Variant
from stdo_min.format.netcode import encode
from stdo_min.format.random_nets import make_sidecar, random_net
from stdo_min.format.sidecar import write
from stdo_min.video.ffmpeg import Answer, VideoError
from stdo_min.video.lr_video import encode_lr
from stdo_min.video.probe import probe


@pytest.fixture(scope="module", params=["D16", "rgb-16-16"])
def job(request):
    """A small job: lr 96x80."""
    return _jobs.create(request.param, 2, 96, 80)


def variant(part=WHOLE, dtype="fp32", who="somebody", planes=None, fails=None):
    def build():
        if fails:
            raise fails
        return Ready(lambda: None, lambda: planes)
    return Variant(who, dtype, part, "as it is", build)


def test_the_peak_is_products_over_seconds(monkeypatch):
    """A loop that makes 7 products a turn, by a clock on which a turn takes a nanosecond: 7 GMAC/s."""
    now = 0.0

    def loop(turns):
        nonlocal now
        now += turns * 1e-9
        return 7 * turns

    monkeypatch.setattr(peak, "perf_counter", lambda: now)
    assert peak._rate(loop, 1, 1.0) == pytest.approx(7)
    assert now == pytest.approx(1.0, rel=0.01)  # as long as was asked for


def test_the_peak_is_measured_for_what_this_cpu_has():
    """In GMAC/s: no core of the last ten years makes one or fewer, nor ten thousand."""
    try:
        peak.compiler()
    except peak.PeakError as error:
        pytest.skip(str(error))
    found, words = peak.measure(1, seconds=0.05), cpu_words()
    if not words:
        pytest.skip("the system does not say what its CPU has")
    assert set(found) == {"int8", "fp32", *(["bf16"] if words & {"avx512_bf16", "bf16"} else [])}
    assert all(1 < rate < 10_000 for rate in found.values()), found


def test_the_reference_is_the_net_of_format_md(job):
    """Integers and floats come from different code and agree to within the rounding of the weights."""
    found = _ours.variants(job, 1)[0].build()  # raises where C and NumPy differ
    found.run()
    assert infer.check(job, variant(dtype="int8"), found.planes()) > 50


def test_check_takes_what_is_right(job):
    assert infer.check(job, variant(), job.wanted) > infer.EXACT[WHOLE]
    assert infer.check(job, variant(NET), list(job.residual)) > infer.EXACT[NET]


def test_check_leaves_the_border_out(job):
    planes = [plane.copy() for plane in job.wanted]
    planes[0][: _jobs.MARGIN * 2] = 0
    assert infer.check(job, variant(), planes) > infer.EXACT[WHOLE]


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
def test_check_refuses_what_is_wrong(job, dtype):
    shifted = [np.roll(plane, 1, axis=1) for plane in job.wanted]
    base = [np.rint(_jobs.upscale(plane, 2)).clip(0, 255).astype(np.uint8) for plane in job.lr]
    base += job.wanted[job.planes:]
    one = [plane.copy() for plane in job.wanted]
    one[-1][40:100, 40:100] ^= 64
    for planes in (shifted, base, one, job.wanted[:-1], [plane.astype(np.int16) for plane in job.wanted]):
        with pytest.raises(infer.WrongOutput):
            infer.check(job, variant(dtype=dtype), planes)
    for residual in (np.zeros_like(job.residual), job.residual * np.float32(np.nan), job.residual[:, ::-1]):
        with pytest.raises(infer.WrongOutput):
            infer.check(job, variant(NET, dtype), list(residual))


def test_what_ran_in_fp32_is_not_called_bf16(job):
    with pytest.raises(infer.WrongOutput, match="ran in fp32"):
        infer.check(job, variant(dtype="bf16"), job.wanted)


def test_a_byte_that_is_not_the_reference_s_stops_our_row(job, monkeypatch):
    honest = _ours._ready

    def one_bit_wrong(*arguments):
        ready = honest(*arguments)

        def planes():
            ready.planes()[0][3, 5] ^= 1
            return ready.planes()
        return Ready(ready.run, planes)

    monkeypatch.setattr(_ours, "_ready", one_bit_wrong)
    with pytest.raises(ValueError, match="differs from the reference in 1 of"):
        _ours.variants(job, 1)[0].build()


def test_rows_from_variants_to_the_table(job):
    """Ours and two that nobody has: one is right, one has a variant that raises and one that is wrong."""
    wrong = [np.zeros_like(plane) for plane in job.wanted]
    offered = [*_ours.variants(job, 2), variant(planes=job.wanted), variant(dtype="int8", fails=OSError("no such CPU")),
               variant(dtype="int8", planes=wrong), variant(NET, planes=list(job.residual))]
    rows, ready = infer.choose(job, offered)
    assert [row.who for row in rows] == ["stdo", "stdo", "somebody", "somebody", "somebody"]
    assert set(ready) == {0, 1, 2, 4}
    taken = infer.time_rounds(ready, 0.0, np.random.default_rng(0))
    infer.fill(rows, taken, job, {"fp32": 50.0})
    for index in ready:
        row = rows[index]
        assert 0 < row.min_ms <= row.median_ms and row.runs >= infer.LEAST_ROUNDS and row.peak_of == "fp32"
        assert row.gmacs == pytest.approx(job.macs / row.median_ms * 1e-6)
    assert rows[0].times_best_whole == pytest.approx(rows[2].median_ms / rows[0].median_ms)
    assert rows[0].times_best_net == pytest.approx(rows[4].median_ms / rows[0].median_ms)
    assert rows[3].median_ms is None and "no such CPU" in rows[3].refused and "WrongOutput" in rows[3].refused
    text = infer.table(rows, job.title)
    assert "not timed: as it is: OSError: no such CPU" in text and "stdo int8" in text and "tier" in text


def test_missing_frameworks_are_named(monkeypatch, capsys):
    monkeypatch.setattr(peers, "_version", lambda package: "")
    monkeypatch.setattr(peak, "measure", lambda threads: {})
    monkeypatch.setattr(infer, "SIZES", {2: (96, 80)})
    monkeypatch.setattr(infer, "keep_pages", lambda: None)
    assert infer.main(["--only", "8-8 x2", "--seconds", "0", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert 'missing: PyTorch (torch); pip install ".[bench]"' in out and "ncnn" in out and "stdo fp32" in out


@pytest.mark.parametrize("name", peers.FILES)
def test_a_peer_computes_the_net(job, name):
    lacking = peers.missing().get(name)
    if lacking:
        pytest.skip(f'{", ".join(lacking)} not installed: pip install ".[bench]"')
    offered = [v for v in peers.variants(name, job, 1) if "compile" not in v.settings]  # a compiler for seconds each
    rows, ready = infer.choose(job, offered)
    assert {row.part for row in rows} == {WHOLE, NET}
    for index, row in enumerate(rows):
        assert index in ready or (row.dtype in ("fp16", "bf16") and "ran in fp32" in row.refused), row


# ---- Training: each bench once, as small as it goes ----


@pytest.mark.parametrize(("bench", "options", "rows"), [
    (recipe, ["--scale", "2", "--steps", "20", "--seeds", "0", "--only", "base;linear blocks of 64"], 2),
    (refine, ["--scale", "2", "--steps", "20", "--seeds", "0", "--only", "2 nets;0 rounds"], 2),
    (chroma, ["--scale", "3/2", "--steps", "20", "--nets", "4", "--kinds", "each", "three"], 2),
])  # fmt: skip
def test_variants_of_training(clip, tmp_path, capfd, bench, options, rows):
    assert bench.main([str(clip), *options, "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["rows"]) == rows
    assert "dB" in capfd.readouterr().out


def test_player(clip, tmp_path, capfd, monkeypatch):
    """The whole program beside its kernels and ffmpeg, and the same build as if it were another one."""
    job = player.Job("small", (64, 36), Fraction(3, 2), ((5, 4),))
    monkeypatch.setattr(player, "JOBS", (job,))
    programs = player.build(tmp_path)
    monkeypatch.setattr(player, "build", lambda folder: programs)  # once is enough
    options = ["--rounds", "1", "--frames", "3", "--threads", "2", "--against", str(programs[0])]
    assert player.main([str(clip), *options, "--json", str(tmp_path / "found.json")]) == 0
    rows = json.loads((tmp_path / "found.json").read_text())["jobs"][0]["rows"]
    assert len(rows) == 1 + 2 * len(player.SINKS) + 2 and all(row["clock"][0] > 0 for row in rows[:-2])
    assert "kernels alone" in capfd.readouterr().out
    ready = player.make_ready(clip, job, 3, tmp_path)
    with pytest.raises(player.WrongOutput):
        player.check(programs[0], ready._replace(sum="0" * 32), 2)


def test_quality(clip, tmp_path, capsys):
    options = ["--scale", "2", "--steps", "40", "--nets", "2", "--net", "6", "--json", str(tmp_path / "found.json")]
    assert quality.main([str(clip), *options, "--modes", "single,stdo+refine"]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["mode"] for row in found["rows"]] == ["bicubic", "lanczos", "single", "stdo+refine"]
    bicubic, lanczos, single, refined = (row["psnr_y"] for row in found["rows"])
    assert min(single, refined) > bicubic
    assert abs(lanczos - bicubic) < 1
    assert found["rows"][2]["gmacs"] == pytest.approx(80 * 46 * (25 * 6 + 9 * 6 * 4) / 1e9)  # every pixel of 80x46
    assert len(capsys.readouterr().out.splitlines()) == 6


def two_nets(path):
    """Two random nets, in a sidecar at `path`."""
    rng = np.random.default_rng(0)
    found = tuple(random_net(rng, 2, [(3, 8)], 3) for _ in range(2))
    path.write_bytes(write(make_sidecar(2, (16, 16), 8, [(found, np.zeros((1, 2, 2), np.uint8))], version=1)))
    return found


def test_nets(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_nncodec, "installed", lambda: False)
    found = two_nets(tmp_path / "two.stdo")
    assert nets.main([str(tmp_path / "two.stdo"), "--json", str(tmp_path / "nets.json")]) == 0
    said, rows = capsys.readouterr().out, json.loads((tmp_path / "nets.json").read_text())
    assert len(rows) == 2 and len(said.splitlines()) == 6 and "in version 3, opened in" in said
    assert said.splitlines()[-1] == "without NNCodec's bytes: pip install --no-deps nncodec"
    assert "nnc" not in said.splitlines()[0] and "nnc" not in rows[0]
    for row, net in zip(rows, found, strict=True):
        assert (row["weights"], row["code"]) == (9 * 8 + 9 * 8 * 4, len(encode(net)))
        assert row["plain"] == 1 + 2 * 4 + 12 * 6 + row["weights"]
        assert 7 < row["bits_per_weight"] < 9, "random bytes are not made smaller"
        assert row["entropy"] < row["code"] and row["xz"] > row["entropy"]


def test_nets_beside_nncodec(tmp_path, capsys):
    """NNCodec gives back every integer of a net, and its bytes stand beside ours."""
    pytest.importorskip("nncodec.nnc_core")
    found = two_nets(tmp_path / "two.stdo")
    assert nets.main([str(tmp_path / "two.stdo"), "--json", str(tmp_path / "nets.json")]) == 0
    said, rows = capsys.readouterr().out, json.loads((tmp_path / "nets.json").read_text())
    for row, net in zip(rows, found, strict=True):
        arrays = _nncodec.tensors(net)
        files = [_nncodec.file(arrays, flags) for flags in _nncodec.FLAGS]
        assert row["nnc"] == min(map(len, files)) and row["weights"] < row["nnc_coder"] < row["nnc"]
        for data in files:
            back = _nncodec.decoded(data)
            assert sorted(back) == sorted(arrays)
            for name, array in arrays.items():
                np.testing.assert_array_equal(back[name], array)
    ratio = sum(row["code"] for row in rows) / sum(row["nnc"] for row in rows)
    assert f"code / nnc: {ratio:.3f}" in said.splitlines()


def test_steps_of_both_engines_are_the_same():
    pytest.importorskip("torch")
    losses = [step() for step in (train.ours("D16", 1), train.torchs("D16", 1, [])) for _ in range(3)]
    np.testing.assert_allclose(losses[:3], losses[3:], rtol=1e-4)
    losses = [step() for step in (_backbones.ours("espcn", 2), _backbones.torchs("espcn", 1, [])) for _ in range(3)]
    np.testing.assert_allclose(losses[:3], losses[3:], rtol=1e-4)


def test_threads_share_a_batch():
    backbone, parameters, pixels, residual, batches = _backbones.problem("espcn")
    index, found = next(batches), []
    for threads in (1, 2):
        stepper = _backbones.GraphStepper(backbone, pixels, residual, threads)
        found.append((*stepper.gradients(parameters, index), stepper.errors(parameters, index)))
    (loss, gradients, errors), (other_loss, other_gradients, other_errors) = found
    assert loss == pytest.approx(other_loss, rel=1e-6)
    for one, other in zip(gradients, other_gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5 * np.abs(one).max())
    np.testing.assert_array_equal(errors, other_errors)
    target = residual[index[0]].astype(np.float64) / 64
    assert errors[0] == pytest.approx(np.mean(target**2), rel=0.1)  # a new net hardly changes the base


# ---- Bytes at equal quality ----

# An example that calculators of the BD-rate have in common: kbit/s and dB of two encoders.
ANCHOR = list(zip([686.76, 309.58, 157.11, 85.95], [40.28, 37.18, 34.24, 31.42], strict=True))
TESTED = list(zip([893.34, 407.8, 204.93, 112.75], [40.39, 37.21, 34.17, 31.24], strict=True))


@pytest.mark.parametrize("method", _bd.METHODS)
def test_bd_rate(method):
    assert _bd.bd_rate(ANCHOR, ANCHOR, method) == 0
    assert _bd.bd_rate(ANCHOR, [(0.9 * size, quality) for size, quality in ANCHOR], method) == pytest.approx(-10)
    assert _bd.bd_rate(ANCHOR, [(size, quality + 20) for size, quality in ANCHOR], method) is None  # nothing in common
    assert _bd.bd_rate(ANCHOR, ANCHOR[:1], method) is None


@pytest.mark.parametrize("method", _bd.METHODS)
def test_bd_rate_is_bjontegaards(method):
    """As published, with one cubic polynomial through the four points of each curve (VCEG-M33)."""
    low, high = max(ANCHOR[-1][1], TESTED[-1][1]), min(ANCHOR[0][1], TESTED[0][1])
    areas = []
    for curve in (ANCHOR, TESTED):
        sizes, qualities = np.array(curve).T
        area = np.poly1d(np.polyfit(qualities, np.log(sizes), 3)).integ()
        areas.append(area(high) - area(low))
    cubic = 100 * math.expm1((areas[1] - areas[0]) / (high - low))
    assert _bd.bd_rate(ANCHOR, TESTED, method) == pytest.approx(cubic, abs=0.2)


def test_points_that_others_beat_are_left_out():
    points = [(10, 30.0), (30, 35.0), (20, 34.0), (25, 33.0), (30, 34.5), (40, 35.0), (50, math.inf), (10, 29.0)]
    assert _bd.pareto(points) == [(10, 30.0), (20, 34.0), (30, 35.0)]
    assert _bd.bd_rate(points, _bd.pareto(points)) == 0


def test_bytes_at_equal_quality():
    curve = [(100, 30.0), (200, 33.0), (400, 36.0), (800, 39.0)]
    assert _bd.bytes_at(curve, 36.0) == 400  # and no rounding
    assert _bd.bytes_at(curve, 34.5) == pytest.approx(200 * math.sqrt(2))  # twice the bytes for 3 dB
    assert _bd.bytes_at(curve, 29.9) is None and _bd.bytes_at(curve, 39.1) is None


def test_values_of_a_curve():
    curve = [(36.0, 41.0), (30.0, 38.0), (33.0, 39.5), (33.0, 39.5)]
    assert _bd.value_at(curve, 33.0) == 39.5 and _bd.value_at(curve, 34.0) == pytest.approx(40.0)
    assert _bd.value_at(curve, 29.9) is None and _bd.value_at(curve[:1], 36.0) is None and _bd.value_at([], 1) is None


def test_the_hull_takes_the_best_scale_at_each_quality():
    def curve(*pairs):
        return [{"bytes": size, **dict.fromkeys(rd.METRICS, quality)} for size, quality in pairs]

    plain = curve((100, 30.0), (200, 33.0), (400, 36.0), (800, 39.0))
    low, high = curve((50, 30.0), (150, 33.0), (500, 36.0)), curve((380, 36.0), (700, 39.0), (900, 38.0))
    found = rd.bd_rates({"plain": plain, "1": high, "2": low, "auto": low})
    assert set(found) == {"1", "2", "auto", "hull"} and found["2"] == found["auto"]
    assert found["1"]["vmaf"]["dropped"] == 1 and found["2"]["vmaf"]["dropped"] == 0
    best = [(50, 30.0), (150, 33.0), (380, 36.0), (700, 39.0)]
    assert found["hull"]["psnr_y"]["pchip"] == pytest.approx(_bd.bd_rate(rd.of_metric(plain, "psnr_y"), best))


@pytest.mark.parametrize(("wanted", "crf"), [(93, 7), (35, 65), (99.6, 1), (0, 63)])
def test_the_search_for_a_crf(wanted, crf):
    asked = []
    found = rd.nearest_crf(lambda crf: asked.append(crf) or 100 - crf, 1, 63, wanted)
    assert found == min(crf, 63) and len(asked) <= 9


def test_crfs_are_spaced_evenly():
    assert rd.spaced(20, 41, 5) == [20, 25, 30, 36, 41]
    assert rd.spaced(20, 22, 5) == [20, 21, 22] and rd.spaced(20, 40, 2) == [20, 40]


@pytest.mark.parametrize(("low", "high"), [(90, 4100), (1100, 1900), (0.3, 0.8)])
def test_ticks(low, high):
    for found in (_plot.log_ticks(low, high), _plot.ticks(low, high)):
        assert 3 <= len(found) <= 9 and found == sorted(set(found)) and low <= found[0] < found[-1] <= high


def test_an_ffmpeg_without_vmaf_is_named(monkeypatch, capsys, tmp_path):
    listed = " TS psnr              VV->V      Measure.\n T. xpsnr             VV->V      Measure.\n"
    monkeypatch.setattr(_measure, "ask", lambda *arguments: Answer(0, listed.encode(), ""))
    assert rd.main([str(tmp_path / "clip.mp4")]) == 1
    assert "has no filter libvmaf; name an ffmpeg that has" in capsys.readouterr().err


def test_rate_and_distortion(clip, tmp_path, capsys, monkeypatch):
    """A whole run, a second that measures nothing, and a third whose encode fails."""
    try:
        _measure.check_filters()
    except VideoError as error:
        pytest.skip(str(error))
    told, drawn = tmp_path / "found.json", tmp_path / "found.svg"
    options = [str(clip), "--scales", "2", "--points", "2", "--work", str(tmp_path / "work")]
    written = ["--json", str(told), "--plot", str(drawn)]
    assert rd.main([*options, *written, "--budget", "2s"]) == 0
    out, first = capsys.readouterr().out, told.read_text()
    found = json.loads(first)["clips"][0]
    assert [point["curve"] for point in found["points"]] == ["plain", "plain", "2", "2"]
    best, worst, *ours = found["points"]
    assert abs(best["vmaf"] - rd.BEST) < 5 and abs(worst["vmaf"] - rd.WORST) < 5
    for point in found["points"]:
        assert point["frames"] == 24 and point["bytes"] == sum(point[f"bytes_{part}"] for part in ("lr", "nets", "map"))
        assert point["psnr_y"] == pytest.approx(point["psnr_y_own"], abs=_measure.AGREE)
        assert point["vmaf_neg"] < point["vmaf"] < 100 and 0 < point["xpsnr_y"] < point["psnr_y"] + 3
    assert all(point["bytes_nets"] > 0 and point["scale"] == 2 for point in ours)
    plain = [(point["psnr_y"], point["psnr_u"]) for point in found["plain_measured"]]
    for point in ours:
        there = _bd.value_at(plain, point["psnr_y"])
        assert point["over_u"] == (None if there is None else point["psnr_u"] - there)
    assert found["worst_chroma"] is None  # of auto, which was not asked for
    assert "BD-rate over plain" in out and "published, other clips" in out
    assert len(ElementTree.fromstring(drawn.read_text()).findall("{http://www.w3.org/2000/svg}g")) == 2
    with monkeypatch.context() as patched:
        patched.setattr(rd, "measure", None)
        assert rd.main([*options, *written, "--budget", "2s"]) == 0
    assert told.read_text() == first
    capsys.readouterr()
    assert rd.main([*options, "--budget", "0s"]) == 1
    err = capsys.readouterr().err
    assert "-m stdo_min encode" in err and "--scale 2" in err and "ended with" in err


def test_what_auto_leaves_plain_takes_as_many_bytes(tmp_path, monkeypatch):
    """An odd size, frames at uneven times and sound: plain video in place of ours is worth what plain is."""
    try:
        _measure.check_filters()
    except VideoError as error:
        pytest.skip(str(error))
    clip = tmp_path / "odd.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=131x75:r=12:d=1", "-f", "lavfi", "-i", "sine=d=1", "-vf",
           "setpts=PTS+0.3*mod(N\\,3)/12/TB", "-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-c:v", "ffv1", clip)

    def encode(arguments):
        crf = int(arguments[arguments.index("--target") + 1].removeprefix("crf="))
        encode_lr(probe(clip), arguments[2], 1, "x264", crf)

    monkeypatch.setattr(rd, "run_stdo", encode)
    bench = rd.Bench(clip, "x264", "1s", tmp_path, lambda line: None)
    found = rd.measure_clip(bench, ["auto"], 2)
    assert found["worst"] == 1.0 and [row["ratio"] for row in found["never_worse"]] == [1.0, 1.0]
    assert all(row["pchip"] == 0 for row in found["bd_rate"]["auto"].values())
    assert all(row["plain"] and row["plain_bytes"] == row["bytes"] for row in found["never_worse"])
    assert "the worst: 1.0000" in rd.tables(found)


def test_bytes_are_those_of_the_pictures(clip, tmp_path):
    """As many in the .mp4 with sound as in the bare stream, but for what lies in the container's header."""
    bare = tmp_path / "bare.h264"
    ffmpeg("-i", clip, "-map", "0:v", "-c", "copy", bare)
    assert 0 <= bare.stat().st_size - _measure.picture_bytes(clip) < 100
