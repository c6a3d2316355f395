"""What the measurements rest on: wrong pictures are refused, and right ones get a row. Nothing here depends on time."""

import json

import numpy as np
import pytest
from tiers import cpu_words

from bench import _jobs, _ours, chroma, infer, peak, peers, quality, recipe, refine, train
from bench.peers import NET, WHOLE, Ready, Variant


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
    (chroma, ["--scale", "2", "--steps", "20"], 3),
])  # fmt: skip
def test_variants_of_training(clip, tmp_path, capfd, bench, options, rows):
    assert bench.main([str(clip), *options, "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["rows"]) == rows
    assert "dB" in capfd.readouterr().out


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


def test_steps_of_both_engines_are_the_same():
    pytest.importorskip("torch")
    losses = [step() for step in (train.ours("D16", 1), train.torchs("D16", 1, [])) for _ in range(3)]
    np.testing.assert_allclose(losses[:3], losses[3:], rtol=1e-4)
