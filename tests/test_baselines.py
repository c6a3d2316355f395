"""The paper's methods: what they are measured on, and that each trains what it says."""

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


def a_run(frames, net="espcn", scale=4, steps=10, chunks=2, seed=0):
    return Run(BACKBONES[net](scale), _rgb.cut(frames, scale), [_rgb.cut(frames[::-1], scale)], chunks,
               Budget(steps=steps), np.random.default_rng(seed), 2)


@pytest.mark.parametrize(("before", "after"), [(96, 48), (96, 32), (96, 24), (24, 96), (31, 62)])
def test_resizing_is_that_of_the_field(before, after):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(1).standard_normal((1, 1, before, 8)).astype(np.float32)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(x), (after, 8), mode="bicubic", antialias=True)
    edge = 4 * max(1, after // before)  # they leave out what lies beyond the edge, imresize mirrors it
    found = _rgb.resizing(before, after) @ x[0, 0]
    np.testing.assert_allclose(found[edge:-edge], theirs[0, 0].numpy()[edge:-edge], atol=1e-5)


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
        assert found["bytes"] == 4 * found["parameters"] + 4 * round(0.05 * parameters)
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
    assert len(found["curve"]) == 10 and found["curve"][-1][1] > found["curve"][0][1] - 0.5


def test_what_a_net_cannot_do_is_left_out_aloud(tmp_path, capsys):
    clip = write_raw(tmp_path / "one.mkv", planes(96, 96, 2 / 8))
    out = tmp_path / "found.json"
    assert baselines.main([str(clip), "--scales", "2", "--net", "srcnn", "--steps", "2", "--methods",
                           "general,awDNN,ours", "--json", str(out)]) == 0
    said = capsys.readouterr().out
    assert "no general net" in said and "ours is left out" in said and "gain, dB" in said
    assert out.exists()
