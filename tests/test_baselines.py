"""The paper's methods: what they are measured on, and that each trains what it says."""

import json
import time
import tracemalloc

import numpy as np
import pytest
from clips import planes, write_raw

from bench import _methods, _rgb, baselines
from bench._methods import METHODS, Run
from stdo_min.engine.backbones import BACKBONES
from stdo_min.engine.budget import Budget
from stdo_min.format.psnr import psnr


@pytest.fixture(scope="module")
def frames():
    """Four frames of 96x192 with something in them."""
    rng = np.random.default_rng(3)
    smooth = np.cumsum(np.cumsum(rng.normal(0, 1, (1, 200, 300, 3)), axis=1), axis=2)
    whole = np.clip(128 + 40 * smooth / np.abs(smooth).std(), 0, 255).astype(np.uint8)[0]
    return np.stack([whole[4 * n:4 * n + 96, 7 * n:7 * n + 192] for n in range(4)])


def a_run(frames, net="espcn", scale=4, steps=10, chunks=2, seed=0, threads=2):
    return Run(BACKBONES[net](scale), _rgb.cut(frames, scale), [_rgb.cut(frames[::-1], scale)], chunks,
               Budget(steps=steps), np.random.default_rng(seed), threads)


@pytest.mark.parametrize(("before", "after"), [(96, 48), (96, 32), (96, 24), (24, 96), (31, 62)])
def test_resizing_is_that_of_the_field(before, after):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(1).standard_normal((1, 1, before, 8)).astype(np.float32)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(x), (after, 8), mode="bicubic", antialias=True)
    edge = 4 * max(1, after // before)  # they leave out what lies beyond the edge, imresize mirrors it
    found = _rgb.resizing(before, after) @ x[0, 0]
    np.testing.assert_allclose(found[edge:-edge], theirs[0, 0].numpy()[edge:-edge], atol=1e-5)


def test_resizing_is_that_of_keys():
    """a = -0.5, as imresize has it; OpenCV and PyTorch without antialiasing have -0.75."""
    up, down = _rgb.resizing(24, 48), _rgb.resizing(96, 48)
    np.testing.assert_allclose(up[20, 8:12] * 128, [-3, 29, 111, -9], atol=1e-4)  # hr pixel 20 lies at 9.75
    np.testing.assert_allclose(up[21, 9:13] * 128, [-9, 111, 29, -3], atol=1e-4)
    assert np.count_nonzero(up[20]) == 4
    np.testing.assert_allclose(down[20, 37:45] * 256, [-3, -9, 29, 111, 111, 29, -9, -3], atol=1e-4)


def test_resizing_keeps_what_is_flat_and_mirrors():
    matrix = _rgb.resizing(12, 4)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-6)
    np.testing.assert_array_equal(_rgb.resizing(7, 7), np.eye(7, dtype=np.float32))


def test_frames_are_cropped_in_the_middle_at_equal_distances(tmp_path):
    clip = write_raw(tmp_path / "clip.mkv", planes(200, 112, 9 / 8))
    found, whole = _rgb.read(clip, 3), _rgb.read(clip, 100)
    assert found.shape == (3, 96, 192, 3) and whole.shape == (9, 96, 192, 3)
    np.testing.assert_array_equal(found, whole[[0, 4, 8]])


def test_only_the_frames_chosen_are_kept(monkeypatch):
    def decoded(name, **options):
        yield {"size": (100, 100)}
        for number in range(400):
            yield bytes([number % 256]) * 30_000  # 12 MB of them all

    monkeypatch.setattr(_rgb.imageio_ffmpeg, "read_frames", decoded)
    tracemalloc.start()
    found = _rgb.read("clip.mp4", 5)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found[:, 0, 0, 0].tolist() == [number % 256 for number in (0, 99, 199, 299, 399)]
    assert most < 2_000_000


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_patches_lie_where_they_say(frames, scale):
    patches = _rgb.cut(frames, scale)
    assert len(patches) == 8 and patches.frames == 4
    side, halo = 96 // scale, _rgb.HALO
    np.testing.assert_array_equal(patches.hr[1], frames[0, :, 96:])
    np.testing.assert_array_equal(patches.lr[0, :, -2 * halo:-halo], patches.lr[1, :, :halo])  # one is beside the other
    assert patches.unpadded().shape == (8, side, side, 3)
    for factor in (1, scale):  # whatever is shuffled last, an exact residual gives the picture
        residual = patches.residual(factor).astype(np.float32) / 64
        whole, inner = patches.errors(np.arange(8), residual, factor, 4)
        assert not whole.any() and not inner.any()
    nothing = np.zeros((8, 96, 96, 3), np.float32)
    whole, inner = patches.errors(np.arange(8), nothing, 1, 6)
    apart = np.square(np.clip(np.rint(patches.base / 64), 0, 255) - patches.hr)
    np.testing.assert_allclose(whole, apart.sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(inner, apart[:, 6:-6, 6:-6].sum(axis=(1, 2, 3)))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_and_is_measured(frames, name):
    run = a_run(frames)
    base, found = baselines.of_base(run), baselines.row(name, run)
    nets, sent = {"general": (1, 1), "awDNN": (1, 1), "JSTDO": (1, 1), "our net": (1, 1)}.get(name, (2, 2))
    parameters = run.backbone.graph.parameters
    assert found["nets"] == nets
    if name == "CaFM":
        assert found["parameters"] == parameters + 2 * 2 * (64 + 64 + 32 + 48)
    elif name == "EMT":
        assert found["parameters"] == parameters + 2 * round(0.05 * parameters)
        assert 2**16 < parameters < 2**17  # so the place of a weight takes 17 bits
        assert found["bytes"] == 4 * found["parameters"] + 2 * -(-17 * round(0.05 * parameters) // 8)
    else:
        assert found["parameters"] == sent * parameters and found["bytes"] == 4 * sent * parameters
    assert found["macs"] <= 2 * 24**2 * run.backbone.graph.products
    assert found["psnr"] != base["psnr"] and abs(found["psnr"] - base["psnr"]) < 6
    assert name in baselines.line(found, base)


def test_the_base_is_measured_by_its_pixels(frames):
    run = a_run(frames)
    apart = np.square(np.clip(np.rint(run.patches.base / 64), 0, 255) - run.patches.hr)
    found = baselines.of_base(run)
    assert found["psnr"] == pytest.approx(float(psnr(apart.mean(), 1)))
    assert found["psnr_shaved"] == pytest.approx(float(psnr(apart[:, 6:-6, 6:-6].mean(), 1)))


@pytest.mark.parametrize("name", ["awDNN", "STDO", "CaFM"])
def test_steps_are_repeated_exactly_with_any_number_of_threads(frames, kept, name):
    for threads in (1, 3):
        METHODS[name](a_run(frames, steps=5, threads=threads))
    (one, _), (three, _) = kept
    for a, b in zip(one, three, strict=True):
        for p, q in zip(a, b, strict=True):
            np.testing.assert_array_equal(p, q)


def test_the_general_net_learns_from_all_other_clips(frames, monkeypatch):
    patches, drawn = _rgb.cut(frames, 4), []
    others = [patches, _rgb.cut(frames[:1], 4)]
    run = Run(BACKBONES["espcn"](4), patches, others, 2, Budget(steps=12), np.random.default_rng(0), 2)
    gradients = _methods.GraphStepper.gradients

    def spy(stepper, parameters, index):
        assert len(stepper.pixels) == 10
        drawn.extend(index.tolist())
        return gradients(stepper, parameters, index)

    monkeypatch.setattr(_methods.GraphStepper, "gradients", spy)
    METHODS["general"](run)
    assert set(drawn) == set(range(10))
    assert np.mean(np.array(drawn) >= 8) == pytest.approx(0.5, abs=0.1)  # two clips, each as often


STAGES = {"general": ["train"], "awDNN": ["train"], "NAS": ["warm-up", "net 1", "net 2"], "CaFM": ["train"],
          "EMT": ["one net", "stretch 1", "stretch 2"], "JSTDO": ["warm-up", "train"], "our net": ["train"],
          "ours": ["warm-up", "refine"]}


@pytest.mark.parametrize("name", STAGES)
def test_curves_go_over_the_whole_budget(frames, name, monkeypatch):
    monkeypatch.setattr(_methods, "PROBES", 8)
    run = a_run(frames, steps=12)
    METHODS[name](run)
    stages, shares, decibels = zip(*run.curve, strict=True)
    assert list(dict.fromkeys(stages)) == STAGES[name]
    np.testing.assert_allclose(shares, np.arange(1, 13) / 12)
    assert np.isfinite(decibels).all()
    warm = [share for stage, share, _ in run.curve if stage in ("warm-up", "one net")]
    assert not warm or warm[-1] == {"EMT": 6 / 12}.get(name, 2 / 12)


def test_the_clock_stands_still_while_a_curve_is_measured(frames):
    run = Run(BACKBONES["espcn"](4), _rgb.cut(frames[:1], 4), [], 1, Budget(seconds=1000), np.random.default_rng(0), 1)
    before = run.now()
    run.stepped("train", lambda: time.sleep(0.2) or 30.0)
    assert run.now() - before < 0.1
    assert run.curve == [("train", pytest.approx(0, abs=1e-3), 30.0)]


@pytest.fixture
def kept(monkeypatch):
    """What each method serves: its nets and members."""
    kept, serve = [], Run.serve

    def spy(run, nets, member, *others):
        kept.append((nets, member))
        return serve(run, nets, member, *others)

    monkeypatch.setattr(Run, "serve", spy)
    return kept


def test_labels_are_those_of_time_or_of_scores(frames, kept):
    for name in ("NAS", "STDO quantile"):
        METHODS[name](a_run(frames))
    (_, of_time), (_, of_scores) = kept
    np.testing.assert_array_equal(of_time, [1, 1, 1, 1, 2, 2, 2, 2])
    assert np.bincount(of_scores).tolist() == [0, 4, 4]


def test_stretches_of_cafm_differ_by_factors_and_offsets_of_channels(frames, kept):
    METHODS["CaFM"](a_run(frames, steps=6))
    (one, other), _ = kept[0]
    for weight, theirs in zip(one[::2], other[::2], strict=True):
        ratio = theirs / weight
        np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1, :1], ratio.shape), rtol=1e-3)
        assert np.ptp(ratio[:, 0, 0, 0]) > 1e-4


def test_stretches_of_emt_differ_in_few_weights(frames, kept):
    METHODS["EMT"](a_run(frames, steps=12))
    (one, other), _ = kept[0]
    total = sum(p.size for p in one)
    different = sum(np.count_nonzero(a != b) for a, b in zip(one, other, strict=True))
    assert 0.02 * total < different <= 2 * (0.05 * total + 1)


def test_our_training_gains_on_what_it_trains_on(frames):
    run = a_run(frames, steps=60, chunks=1)
    assert baselines.row("ours", run)["psnr"] > baselines.of_base(run)["psnr"] + 0.3


@pytest.mark.parametrize("net", ["vdsr", "edsr"])
def test_backbones_at_full_size_and_with_skips(frames, net, monkeypatch):
    small = {"vdsr": BACKBONES["vdsr"](4, layers=2), "edsr": BACKBONES["edsr"](4, blocks=1, channels=16)}[net]
    monkeypatch.setitem(BACKBONES, net, lambda scale: small)
    run = a_run(frames[:2], net, steps=10)
    found = baselines.row("awDNN", run)
    assert not _methods.is_chain(small)
    assert len(found["curve"]) == 10


def test_a_curve_rises_where_a_net_learns(frames, monkeypatch):
    monkeypatch.setattr(_methods, "PROBES", 8)
    run = a_run(frames[:1], steps=40)
    METHODS["awDNN"](run)
    decibels = [decibel for _, _, decibel in run.curve]
    assert len(decibels) == 21 and decibels[-1] > decibels[0] + 1


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("baselines") / "one.mkv", planes(96, 96, 2 / 8))


def test_what_a_net_cannot_do_is_left_out_aloud(clip, tmp_path, capsys):
    out = tmp_path / "found.json"
    assert baselines.main([str(clip), "--scales", "2", "--net", "srcnn", "--steps", "2", "--chunks", "2", "--methods",
                           "general,awDNN,ours", "--threads", "1", "--json", str(out)]) == 0
    said = capsys.readouterr().out
    assert "no general net" in said and "ours is left out" in said and "gain, dB" in said
    found = json.loads(out.read_text())
    assert {row["method"] for row in found.pop("rows")} == {"bicubic", "awDNN"}
    assert found == {"frames": 24, "seconds": None, "steps": 2, "chunks": 2, "rate": 1e-3, "threads": 1}


@pytest.mark.parametrize(("words", "said"), [
    (["--steps", "0"], "argument --steps: '0' is not a whole number"),
    (["--scales", "1"], "'1' is not a whole number of 2..4"),
    (["--scales", "4,5"], "'5' is not a whole number of 2..4"), (["--seconds", "0"], "'0' is not a time above zero"),
    (["--chunks", "50"], "one has 2 patches in 2 frames; --chunks can be no more"),
    (["--rate", "-1"], "'-1' is not a number above zero"),
    (["--chunks", "0"], "'0' is not a whole number of 1..63"), (["--frames", "0"], "argument --frames"),
    (["--threads", "0"], "argument --threads"), (["--seeds", "x"], "argument --seeds"),
    (["--methods", "general"], "no method is left to measure"), (["--methods", "best"], "no method best"),
    (["--net", "edsr", "--scales", "3"], "edsr at scale 3 has 576 channels; training takes 256"),
])
def test_options_are_checked_before_any_work(clip, capsys, monkeypatch, words, said):
    monkeypatch.setattr(baselines, "compare", None)
    with pytest.raises(SystemExit) as left:
        baselines.main([str(clip), *words])
    assert left.value.code == 2 and said in capsys.readouterr().err


def test_clips_that_cannot_be_measured(clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(baselines, "compare", None)
    small = write_raw(tmp_path / "small.mkv", planes(200, 80, 2 / 8))
    for clips, said in (([clip, tmp_path / "one.mp4"], "by their names without ending: one is there twice"),
                        ([small], "200x80, smaller than a patch of 96x96"), ([tmp_path / "none.mkv"], "none.mkv")):
        with pytest.raises(SystemExit) as left:
            baselines.main([str(each) for each in clips])
        assert left.value.code == 2 and said in capsys.readouterr().err
