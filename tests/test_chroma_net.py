"""stdo_min/algorithm/chroma_net.py: what a net for U and V learns from, and that it stays only where it pays."""

import io
from fractions import Fraction

import numpy as np
import pytest

from stdo_min.algorithm.chroma_net import PATCH, Gatherer, Judge, train_chroma
from stdo_min.algorithm.pace import Pace
from stdo_min.algorithm.price import Price
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.rung import Rungs, Stretch
from stdo_min.algorithm.sample import Sampled
from stdo_min.algorithm.tasks import Surveyed
from stdo_min.commands.encode import encode
from stdo_min.commands.eval import evaluate
from stdo_min.commands.training import sizes
from stdo_min.engine.budget import Budget
from stdo_min.engine.pool import Pool
from stdo_min.format.base import SCALES
from stdo_min.format.random_nets import make_sidecar
from stdo_min.player import open_video
from stdo_min.video.lr_video import lr_size
from stdo_min.video.probe import probe
from stdo_min.video.read import Frame

WIDTH, HEIGHT = 160, 80  # of luma; chroma and its base at 3/2 are whole patches
DEAR, CHEAP = Price(10**6, 1, 1), Price(100, 1, 1)  # what lr video there is says what the bytes of a net are worth


def header_of(scale):
    return make_sidecar(scale, (WIDTH, HEIGHT), 20, [((), np.zeros((1, 4, 8), np.uint8))], chroma=1)


def film(scale, frames=3):
    """Frames whose chroma has edges where luma has, with lr frames that keep those of luma alone."""
    rng, found = np.random.default_rng(0), []
    for _ in range(frames):
        small = (rng.random((HEIGHT // 4, WIDTH // 4)) > 0.5).repeat(4, 0).repeat(4, 1)
        height, width = (-(-int(side * scale) // 2) for side in (HEIGHT, WIDTH))
        y, x = (np.arange(side) * (small.shape[axis] - 1) // (side - 1) for axis, side in enumerate((height, width)))
        chroma = small[np.ix_(y, x)]
        lr_chroma = np.full((HEIGHT // 2, WIDTH // 2), 110) + 40 * small[::2, ::2]
        blurred = (lr_chroma + np.roll(lr_chroma, 2, 1) + np.roll(lr_chroma, -2, 1)) // 3
        lr = Frame(*(plane.astype(np.uint8) for plane in (60 + 120 * small, blurred, 250 - blurred)))
        hr = [np.zeros((int(HEIGHT * scale), int(WIDTH * scale))), 110 + 40 * chroma, 140 - 40 * chroma]
        found.append((lr, Frame(*(plane.astype(np.uint8) for plane in hr))))
    return found


def gathered(scale, memory=1 << 26, frames=3):
    gatherer = Gatherer(header_of(scale), frames, memory, np.random.default_rng(0))
    assert len(list(gatherer.of(iter(film(scale, frames))))) == frames
    return gatherer.pool()


def judged(scale, net, frames=3):
    judge = Judge(header_of(scale), net, frames)
    assert len(list(judge.of(iter(film(scale, frames))))) == frames
    return judge


@pytest.fixture(scope="module")
def trained():
    return train_chroma(gathered(Fraction(2)), 2, Budget(steps=4000), DEAR, np.random.default_rng(0))


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_residuals_are_what_the_player_s_base_lacks(scale):
    pool = gathered(scale)
    net_scale = header_of(scale).net_scale
    side = {Fraction(3, 2): (60, 120)}.get(scale, (40, 80))
    assert len(pool) == 3 * side[0] * side[1] // PATCH**2
    net = train_chroma(pool, net_scale, Budget(steps=10), DEAR, np.random.default_rng(0))
    assert net.channels[-1] == 2 * net_scale**2
    # 64 * hr + 32 - base; the player shows base >> 6
    lacking = -((32 - pool.residual.astype(int)) >> 6)
    halves = np.split(lacking, 2, axis=-1)
    assert [int(np.square(half).sum()) for half in halves] == judged(scale, net).errors[0].tolist()


def test_the_net_reads_u_v_and_mean_luma():
    pool = gathered(Fraction(2), frames=1)
    lr = film(Fraction(2), 1)[0][0]
    mean = (lr.y.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).sum(axis=(1, 3), dtype=int) + 2) >> 2
    for number, plane in enumerate((lr.u, lr.v, mean)):
        whole = np.sort(np.concatenate([patch[2:-2, 2:-2, number].ravel() for patch in pool.lr]))
        np.testing.assert_array_equal(whole, np.sort(plane.ravel()))


def test_little_memory_keeps_the_harder_patches():
    few, all_ = gathered(Fraction(2), memory=1), gathered(Fraction(2), frames=40)
    assert len(few) == 3 * 8 and len(all_) == 40 * 8
    assert len(gathered(Fraction(2), memory=1, frames=40)) == 80  # 64, rounded up to as many of each frame


def test_it_learns_where_chroma_s_edges_are_and_stays_where_it_pays(trained):
    judge = judged(Fraction(2), trained)
    assert (judge.gain() > 1).all()
    assert judge.paying(DEAR) is trained
    assert judge.paying(CHEAP) is None
    assert judged(Fraction(2), None).paying(DEAR) is None


def test_no_patches_or_no_budget_give_no_net():
    small = make_sidecar(2, (38, 38), 20, [((), np.zeros((1, 2, 2), np.uint8))])
    gatherer = Gatherer(small, 1, 1 << 20, np.random.default_rng(0))
    lr, hr = (Frame(np.zeros((size, size), np.uint8), *2 * [np.zeros((size // 2, size // 2), np.uint8)])
              for size in (38, 76))
    assert len(list(gatherer.of(iter([(lr, hr)])))) == 1
    assert gatherer.pool() is None
    rng = np.random.default_rng(0)
    assert train_chroma(None, 2, Budget(steps=100), DEAR, rng) is None
    assert train_chroma(gathered(Fraction(2)), 2, Budget(steps=0), DEAR, rng) is None
    assert train_chroma(gathered(Fraction(2)), 2, Budget(seconds=4.0), DEAR, rng) is None
    assert train_chroma(gathered(Fraction(2)), 2, Budget(seconds=6.0), DEAR, rng).channels == (4, 8)


def test_a_survey_keeps_the_pool_for_chroma():
    rng = np.random.default_rng(0)
    luma = Pool(rng.integers(0, 256, (9, 12, 12)).astype(np.uint8), np.zeros((9, 8, 8, 4), np.int16), np.ones(9))
    sampled = Sampled(luma, np.ones(9), np.ones(9), np.zeros(9, np.int32))
    for chroma in (gathered(Fraction(2)), None):
        file = io.BytesIO()
        Surveyed(sampled, Pace(1.0, 2.0), chroma).save(file)
        file.seek(0)
        again = Surveyed.load(file).chroma
        assert (again is None) == (chroma is None)
        if chroma:
            np.testing.assert_array_equal(again.lr, chroma.lr)
            np.testing.assert_array_equal(again.residual, chroma.residual)


def test_a_film_s_chroma_gains_as_it_plays(clip, tmp_path):
    found, based = [], []
    for plain in (True, False):
        out = tmp_path / f"{plain}.mkv"
        recipe = Recipe(mode="single", channels=(2,), patch=16, budget=Budget(steps=800), plain=plain)
        encode(clip, out, Fraction(2), recipe, crf=30)
        video = open_video(out)
        assert [segment.chroma for segment in video.upscaler.segments] == [0 if plain else 1]
        bases = []  # copies: the planes of a frame are written over by the next
        found.append(evaluate(clip, video, watch=lambda seen, kept=bases: kept.append([p.copy() for p in seen.base])))
        based.append(bases)
    before, after = (played["psnr_u"] + played["psnr_v"] for played in found)
    assert after > before + 0.3
    assert all(np.array_equal(*planes) for frames in zip(*based, strict=True) for planes in zip(*frames, strict=True))


def test_a_rung_tells_what_a_net_for_chroma_would_add(clip, tmp_path):
    info = probe(clip)

    def header(scale):
        return sizes(scale, 1, 16, lr_size(info.width, info.height, scale), info)

    for plain in (False, True):
        stretches, folder = [Stretch(0, 8), Stretch(12, 12)], tmp_path / str(plain)
        folder.mkdir()
        rungs = Rungs(info, header, 24, 1, "x264", Recipe(plain=plain), stretches, 1, folder)
        found = rungs(Fraction(2), 30).chroma()
        assert found.tolist() == [0, 0] if plain else found.sum() > 0.2
