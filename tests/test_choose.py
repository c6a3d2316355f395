"""stdo_min/algorithm/choose.py: the scale follows the rate, on known curves; the plain video is the last resort."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdo_min.algorithm.choose import AXES, CHECKED, _Met, _next, choose
from stdo_min.algorithm.rung import Rung
from stdo_min.algorithm.target import Target
from stdo_min.commands.choosing import target
from stdo_min.format.base import SCALES

FILM = SECONDS, PIXELS = 10.0, 250 * 640 * 360


class Curves:
    """Rungs of a made-up film: each scale loses detail that no crf brings back, and gains what nets give."""

    def __init__(self, worth, lost, noise=0.0, net_bytes=1000):
        """worth: dB that nets add at every scale; lost: dB-equivalent ceilings by scale."""
        self.worth, self.lost, self.noise, self.net_bytes = worth, lost, noise, net_bytes
        self.asked, self.trained = [], []

    def __call__(self, scale, crf):
        self.asked.append((scale, crf))
        assert AXES["x264"].least <= crf <= AXES["x264"].most
        size = 4e6 * 2 ** (-crf / 6) / float(scale) ** 1.2
        coded = 255**2 * 10 ** (-(56 - 0.55 * crf) / 10) * float(scale) ** 0.3
        error = coded + 255**2 * 10 ** (-self.lost.get(scale, math.inf) / 10)
        size *= 1 + self.noise * math.sin(1e3 * crf)
        gain = self.worth[scale] if isinstance(self.worth, dict) else self.worth
        psnr = 10 * math.log10(255**2 / error)

        def quality(nets):
            self.trained += [(scale, crf)] * nets
            return psnr + gain * nets

        return Rung(scale, crf, size, self.net_bytes, quality)


LOST = {Fraction(3, 2): 44.0, Fraction(2): 38.0, Fraction(3): 33.0, Fraction(4): 30.0}


def best(curves, wanted):
    """The least bytes at a quality over all scales, by a fine search over crf."""
    def size(scale):
        crfs = np.arange(0, 51.01, 0.05)
        rungs = [curves(scale, crf) for crf in crfs]
        psnr = np.array([rung.quality(True) for rung in rungs])
        if psnr.max() < wanted:
            return math.inf
        return math.exp(np.interp(-wanted, -psnr, np.log([rung.bytes(True) for rung in rungs])))
    return {scale: size(scale) for scale in SCALES}


@pytest.mark.parametrize("crf", [20, 26, 32, 38, 44])
def test_the_scale_follows_the_rate(crf):
    curves = Curves(0.8, LOST)
    wanted = curves(Fraction(1), crf).quality(False)
    sizes = best(curves, wanted)
    curves.asked = []
    choice = choose(curves, Target("crf", crf), "x264", SCALES, *FILM)
    assert choice.nets
    assert choice.bytes <= 1.01 * min(sizes.values())
    assert sizes[choice.scale] <= 1.01 * min(sizes.values())
    assert choice.quality == pytest.approx(wanted, abs=0.06)
    assert choice.plain_quality == wanted
    assert len(set(curves.asked)) <= 7


def test_low_rates_take_small_lr_videos_and_high_rates_large_ones():
    scales = [choose(Curves(0.8, LOST), Target("crf", crf), "x264", SCALES, *FILM).scale for crf in (16, 30, 44)]
    assert scales[0] == 1
    assert scales == sorted(scales)
    assert scales[2] >= 2


def test_nets_that_do_not_pay_are_not_shipped():
    """Nets of 0.02 dB for a tenth of the file, and lost detail that is dear everywhere."""
    lost = dict.fromkeys(LOST, 20.0)
    choice = choose(Curves(0.02, lost, net_bytes=10**5), Target("crf", 26), "x264", SCALES, *FILM)
    assert not choice.nets
    assert (choice.scale, choice.crf) == (1, 26)
    assert choice.bytes == choice.plain_bytes


@pytest.mark.parametrize("wanted", [Target("size", 300_000), Target("bitrate", 100_000), Target("size", 2_000_000)])
def test_a_size_is_met_with_the_best_quality(wanted):
    curves = Curves(0.6, LOST)
    choice = choose(curves, wanted, "x264", SCALES, *FILM)
    assert choice.bytes == pytest.approx(wanted.bytes(SECONDS), rel=0.02)
    assert choice.quality > choice.plain_quality


def test_a_quality_is_met():
    choice = choose(Curves(0.6, LOST), Target("psnr", 41.0), "x264", SCALES, *FILM)
    assert choice.quality == pytest.approx(41.0, abs=0.05)
    assert choice.plain_quality == pytest.approx(41.0, abs=0.05)
    assert choice.bytes < choice.plain_bytes


def test_high_quality_does_without_the_smallest_lr_videos():
    curves = Curves(0.8, LOST)
    choose(curves, Target("crf", 18), "x264", SCALES, *FILM)
    assert {scale for scale, _ in curves.asked} == {1, Fraction(3, 2)}


@pytest.mark.parametrize("wanted", [Target("crf", 38), Target("size", 100_000), Target("psnr", 38)])
def test_where_time_is_short_two_rungs_must_do(wanted):
    curves = Curves(0.8, LOST)
    choice = choose(curves, wanted, "x264", SCALES, *FILM, more=lambda: False)
    assert len({scale for scale, _ in curves.asked}) == 2 and len(set(curves.trained)) == 1
    assert choice.scale > 1 and choice.nets and choice.reached


@pytest.mark.parametrize("harder", [-9, -4, 4, 8])
def test_a_crf_is_checked_by_its_lr_video_even_without_time(harder):
    """This film is harder, or easier, at small sizes than a usual one."""
    curves = Curves(0.8, LOST)

    def rungs(scale, crf):
        return curves(scale, crf + harder * (scale > 1))

    wanted = rungs(1, 38).quality(False)
    choice = choose(rungs, Target("crf", 38), "x264", SCALES, *FILM, more=lambda: False)
    assert choice.scale > 1 and abs(rungs(choice.scale, choice.crf).quality(False) + 0.8 - wanted) < 0.15
    assert len(set(curves.trained)) == 1 and len({crf for scale, crf in curves.asked if scale > 1}) <= CHECKED


def test_time_is_asked_for_before_each_other_rung():
    curves, left = Curves(0.8, LOST), iter([True, False])
    choose(curves, Target("crf", 38), "x264", SCALES, *FILM, more=lambda: next(left))
    assert len(set(curves.asked)) == 3


class Known:
    """A curve of which the cost is known, and that another rung would make clearer."""

    def __init__(self, cost):
        self.cost = cost

    def met(self):
        return _Met(30, 10, 40, 4, True, self.cost)

    def open(self):
        return self.cost > 0


def test_a_scale_that_comes_close_gets_another_rung():
    curves = {Fraction(1): Known(0), Fraction(2): Known(0.1)}
    assert _next(curves, [Fraction(1), Fraction(2)], 0.12) == 2
    assert _next(curves, [Fraction(1), Fraction(2)], 0.03) is None


@pytest.mark.parametrize("wanted", [Target("psnr", 37), Target("size", 300_000)])
def test_close_is_the_same_for_bytes_and_for_quality(wanted):
    """Scale 2 is worse than 3/2 by 0.1 dB or by 0.9, that is 2 % or a fifth of the bytes, in any unit."""
    def rungs_of_scale_2(worse):
        def rungs(scale, crf):
            asked.add((scale, crf))
            psnr = 54 - 0.55 * crf
            gain = 3 - worse * (scale == 2)
            return Rung(scale, crf, 2e7 * math.exp(-0.12 * crf), 0, lambda nets: psnr + gain * nets)

        asked = set()
        assert choose(rungs, wanted, "x264", [Fraction(3, 2), Fraction(2)], *FILM).scale == Fraction(3, 2)
        return sum(scale == 2 for scale, _ in asked)

    assert rungs_of_scale_2(0.1) > rungs_of_scale_2(0.9)


def test_only_the_scales_allowed_are_tried():
    curves = Curves(0.8, LOST)
    choice = choose(curves, Target("crf", 30), "x264", [Fraction(2)], *FILM, given=True)
    assert choice.scale == 2
    assert {scale for scale, _ in curves.asked} == {1, 2}  # 1: for what the plain codec gives


@pytest.mark.parametrize(("worth", "trained"), [(0.07, True), (0.02, True), (-0.2, False)])
def test_where_the_plain_video_hardly_wins_nets_get_their_chance(worth, trained):
    """They cost 2 % of the bytes, which are worth 0.1 dB: an unlucky net may show no more."""
    lost = dict.fromkeys(LOST, 20.0)
    choice = choose(Curves(worth, lost, net_bytes=4000), Target("crf", 26), "x264", SCALES, *FILM)
    assert choice.plain and (choice.scale, choice.crf, choice.nets) == (1, 26, trained)


@pytest.mark.parametrize(("wanted", "nets"), [(Target("crf", 36), True), (Target("psnr", 36), True),
                                              (Target("vmaf", 36), False)])
def test_where_no_net_was_tried_at_scale_1_for_lack_of_time_it_gets_its_chance(wanted, nets):
    """A smaller size was expected to be best, and is far from it; then time ended."""
    curves = Curves(0.8, dict.fromkeys(LOST, 20.0))
    choice = choose(curves, wanted, "x264", SCALES, *FILM, more=lambda: False)
    assert curves.trained and 1 not in {scale for scale, _ in curves.trained}
    assert choice.plain and choice.scale == 1
    assert choice.nets is nets


@pytest.mark.parametrize(("worth", "nets"), [(3.0, True), (0.0, False), (-1.5, False)])
@pytest.mark.parametrize("given", [True, False])
def test_nets_that_lower_the_vmaf_are_left_out_of_a_small_lr_video(worth, nets, given):
    curves = Curves(worth, dict.fromkeys(LOST, 90.0))

    def rungs(scale, crf):
        rung = curves(scale, crf)
        return replace(rung, quality=lambda nets: 130 - 2.5 * crf - 2 * float(scale) + worth * nets)

    scales = [Fraction(2)] if given else SCALES
    choice = choose(rungs, Target("vmaf", 60), "x264", scales, *FILM, given=given)
    assert choice.scale >= 2 and choice.nets == nets and choice.gain == worth * nets
    assert choice.quality == pytest.approx(60, abs=1) and choice.bytes < choice.plain_bytes


def test_a_crf_beside_a_rung_is_checked_where_quality_falls_fast():
    """As SVT-AV1's does in its last crfs: one step is 0.9 dB there."""
    def rungs(scale, crf):
        asked.append((scale, crf))
        steep = max(0, crf - 58)
        psnr = 48 - 0.2 * crf - 0.7 * steep - 0.3 * (scale > 1)
        size = 1e6 * math.exp(-0.06 * crf - 0.08 * steep) / float(scale)
        return Rung(scale, crf, size, 300, lambda nets: psnr + 0.1 * nets)

    asked = []
    choice = choose(rungs, Target("psnr", 34.6), "av1", [Fraction(1), Fraction(2)], *FILM, more=lambda: False)
    assert choice.scale == 2 and (choice.scale, choice.crf) in asked
    assert rungs(choice.scale, choice.crf).quality(True) == pytest.approx(34.6, abs=0.45)  # half a step


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 51), st.floats(0, 2), st.floats(0, 0.1), st.sampled_from(sorted(AXES)))
def test_it_ends_and_is_never_said_to_lose(crf, worth, noise, codec):
    curves = Curves(worth, LOST, noise)
    axis = AXES[codec]
    crf = axis.rounded(crf)
    choice = choose(lambda scale, at: curves(scale, min(at, 51)), Target("crf", crf), codec, SCALES, *FILM)
    # At equal quality, by the slope that was found.
    at_equal = choice.bytes * math.exp((choice.plain_quality - choice.quality) / choice.db_per_log)
    assert at_equal <= choice.plain_bytes * 1.001
    assert 0.5 <= choice.db_per_log <= 15
    assert axis.least <= choice.crf <= axis.most


@pytest.mark.parametrize(("text", "kind", "value"), [
    ("crf=26", "crf", 26), ("psnr=38.5", "psnr", 38.5), ("size=5M", "size", 5e6), ("size=300k", "size", 3e5),
    ("bitrate=400k", "bitrate", 4e5), ("crf=0", "crf", 0)])
def test_targets_as_people_write_them(text, kind, value):
    assert target(text) == Target(kind, value)


@pytest.mark.parametrize("text", ["26", "crf", "crf=", "crf=x", "crf=-1", "psnr=0", "size=5m", "crf=3k", "vmaf=",
                                  "size=0"])
def test_other_targets_are_refused(text):
    with pytest.raises(Exception, match="target such as|must be above 0"):
        target(text)


def test_what_cannot_be_reached_is_said():
    choice = choose(Curves(0.6, LOST), Target("psnr", 99), "x264", SCALES, *FILM)
    assert not choice.reached and choice.plain and not choice.nets
    small = choose(Curves(0.6, LOST), Target("size", 100), "x264", SCALES, *FILM)
    assert not small.reached and small.scale == 4 and small.crf == 51  # the nearest to so small a size
    assert choose(Curves(0.6, LOST), Target("psnr", 40), "x264", SCALES, *FILM).reached


def test_a_scale_that_only_happens_to_be_alone_must_pay():
    curves = Curves(0.0, LOST, net_bytes=10**5)
    assert not choose(curves, Target("crf", 30), "x264", [Fraction(1)], *FILM).nets
    assert choose(curves, Target("crf", 30), "x264", [Fraction(1)], *FILM, given=True).nets
