"""stdo_min/algorithm/chroma.py: chroma as good as the plain codec's, and no finer, on known curves and a real film."""

import math
from fractions import Fraction

import numpy as np
import pytest

from stdo_min.algorithm.chroma import OVER, SHORT, TRIES, WORTH, EvenRungs, lacking_of
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.rung import Rung, Rungs, Stretch, base_planes
from stdo_min.commands.training import sizes
from stdo_min.video.lr_parts import Part
from stdo_min.video.lr_video import encode_part, lr_size
from stdo_min.video.probe import probe

ONE, TWO, GAIN = Fraction(1), Fraction(2), 0.8


class Film:
    """Rungs of a made-up film: a step adds `step` dB of chroma and 3 % of the bytes."""

    def __init__(self, behind, step=0.35, net=(0.0, 0.0)):
        """behind: dB by which U lies behind plain video of the luma that nets give at scale 2; V lies 0.2 less.

        net: what one for chroma adds to U and V.
        """
        self.behind, self.step, self.net, self.asked, self.trained = behind, step, np.array(net), [], 0

    def __call__(self, scale, crf, finer=0):
        self.asked.append((scale, crf, finer))
        luma = 56 - 0.55 * crf + (4.7 if scale == 2 else 0)

        def quality(nets):
            self.trained += nets
            return luma + GAIN * nets

        def base():
            plain = 60 - 0.65 * 0.55 * crf
            if scale == 1:
                return np.array([luma, plain, plain + 1]) + [0, self.step * finer, self.step * finer]
            there = 60 + 0.65 * (luma + GAIN - 56)
            chroma = there - self.behind + self.step * finer
            return np.array([luma, chroma, chroma + 1.2])

        return Rung(scale, crf, 1e5 * 1.03**finer, 1000, quality, base, lambda: self.net)


def evened(film, crf=24):
    """A rung at scale 2 as `choose` asks for it: plain first, then its quality with nets, then its bytes."""
    rungs = EvenRungs(film, "x264")
    rungs(ONE, 30).quality(False)
    rung = rungs(TWO, crf)
    return rungs, rung, rung.quality(True)


@pytest.mark.parametrize("behind", [-1.0, 0.0, 0.4, 1.0, 1.9, 3.0])
def test_the_fewest_steps_that_suffice(behind):
    film = Film(behind)
    rungs, rung, shown = evened(film)
    size = rung.bytes(True)
    steps, enough = rungs.finer(TWO, 24, shown)
    assert size == pytest.approx(1e5 * 1.03**steps + 1000)
    lacking = behind - 0.35 * steps
    assert lacking <= SHORT and enough
    assert steps == 0 or lacking >= -OVER
    assert len({asked for asked in film.asked if asked[0] == 2}) <= TRIES + 1
    assert film.trained == 1


@pytest.mark.parametrize(("net", "steps"), [((0.0, 0.0), 6), ((1.0, 1.0), 3), ((1.0, 0.0), 5), ((3.0, 3.0), 0)])
def test_what_a_net_for_chroma_adds_needs_no_steps(net, steps):
    rungs, rung, shown = evened(Film(2.0, net=net))
    assert rung.bytes(True) == pytest.approx(1e5 * 1.03**steps + 1000)
    assert rungs.finer(TWO, 24, shown) == (steps, True)
    assert rungs.finer(TWO, 24, shown, nets=False)[0] == 6
    assert rungs.chroma(TWO, 24) == net


def test_what_lacks_is_told_with_the_nets():
    assert lacking_of((40, 44, 45), (39, 42, 43.5), 1.0) == (0.0, 2.0)
    assert lacking_of((40, 44, 45), (39, 42, 43.5), 1.0, (1.5, 0.5)) == (0.0, 1.0)


def test_fewer_steps_than_were_tried_first_may_suffice():
    rungs, _, shown = evened(Film(0.3))
    assert rungs.finer(TWO, 24, shown) == (1, True)


def test_steps_that_bring_nothing_are_not_paid_for():
    rungs, rung, shown = evened(Film(3.0, step=0.02))
    assert rungs.finer(TWO, 24, shown) == (0, False)
    assert rung.bytes(True) == pytest.approx(1e5 * math.exp(WORTH * (3.0 - SHORT)) + 1000)  # what is lacking is counted


def test_steps_that_do_not_suffice_may_pay():
    rungs, rung, shown = evened(Film(6.0))
    assert rungs.finer(TWO, 24, shown) == (10, True)  # there are no more
    assert rung.bytes(True) == pytest.approx(1e5 * 1.03**10 * math.exp(WORTH * (2.5 - SHORT)) + 1000)


def test_plain_video_is_as_the_codec_makes_it():
    film = Film(2.0)
    rungs = EvenRungs(film, "x264")
    rung = rungs(ONE, 30)
    assert rung.bytes(False) == 1e5 and film.asked == [(ONE, 30, 0)]
    rung.quality(True)
    # Nets alone make luma better: chroma of the same video is that of a plain one of less luma.
    assert rung.bytes(True) == pytest.approx(1e5 * 1.03**2 + 1000)
    assert rung.bytes(False) == 1e5


def test_another_rung_of_a_scale_is_foretold():
    film = Film(1.9)
    rungs, rung, _ = evened(film)
    rung.bytes(True)
    coded, other = len(set(film.asked)), rungs(TWO, 20)
    other.quality(True)
    film.behind = 2.6  # two steps more
    assert other.bytes(True) == pytest.approx(1e5 * 1.03**8 + 1000)
    assert len(set(film.asked)) == coded + 1
    assert rungs.finer(TWO, 20, other.quality(True)) == (8, True)  # which is measured where it is chosen
    assert film.asked[-1] == (TWO, 20, 8)


def test_a_rung_that_checks_a_crf_takes_the_gain_of_the_last_net():
    film = Film(1.0)
    rungs, rung, _ = evened(film)
    rung.bytes(True)
    before, check = film.trained, rungs(TWO, 26)
    assert check.bytes(True) == pytest.approx(1e5 * 1.03**3 + 1000) and film.trained == before


def test_a_real_film(clip, tmp_path):
    """A rung's chroma is what plays, and finer steps bring it to plain video's."""
    info = probe(clip)

    def header(scale):
        return sizes(scale, 1, 12, lr_size(info.width, info.height, scale), info)

    real = Rungs(info, header, 24, 1, "x264", Recipe(plain=True), [Stretch(0, 24)], 1, tmp_path)
    rungs, crf = EvenRungs(real, "x264"), 33
    plain = rungs(ONE, 40)
    wanted, shown = plain.base()[1:], plain.quality(False)
    steps, enough = rungs.finer(Fraction(3, 2), crf, shown)
    assert steps > 0 and enough
    lacks = [float(np.max(wanted - real(Fraction(3, 2), crf, finer).base()[1:])) for finer in (0, steps)]
    assert lacks[1] <= SHORT < lacks[0]
    part = Part(0, tmp_path / "whole.mp4", encode_part(info, 0, 24, tmp_path / "whole.mp4", Fraction(3, 2), "x264", crf,
                                                       finer=steps)[:24])
    np.testing.assert_array_equal(base_planes(info, header(Fraction(3, 2)), [part]),
                                  real(Fraction(3, 2), crf, steps).base())
