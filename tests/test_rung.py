"""stdo_min/algorithm/rung.py: a rung foretells what the player will show."""

from fractions import Fraction

import pytest

from stdo_min.algorithm import rung
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.rung import Rungs, Stretch, base_psnr
from stdo_min.commands.training import sizes
from stdo_min.video.lr_parts import Part
from stdo_min.video.lr_video import encode_part, lr_size
from stdo_min.video.probe import probe


def header_of(info):
    return lambda scale: sizes(scale, 0, 12, lr_size(info.width, info.height, scale), info)


def test_a_rung_is_as_good_as_it_plays(clip, tmp_path, monkeypatch):
    """Not as its float net would be: at high quality that seems to gain what its rounded pixels lose."""
    info, played, crf = probe(clip), [], 6
    calibrated = rung.calibrated
    monkeypatch.setattr(rung, "STEPS", 200)
    monkeypatch.setattr(rung, "calibrated", lambda *given: played.append(calibrated(*given)) or played[-1])
    rungs = Rungs(info, header_of(info), 24, 1, "x264", Recipe(channels=(4,), patch=12), [Stretch(0, 24)], 1, tmp_path)
    found = rungs(Fraction(1), crf)
    shown = found.quality(True)
    sums = encode_part(info, 0, 24, tmp_path / "whole.mp4", Fraction(1), "x264", crf)[:24]
    part, header = Part(0, tmp_path / "whole.mp4", sums), header_of(info)(Fraction(1))
    assert found.quality(False) == pytest.approx(base_psnr(info, header, [part]), abs=1e-3)
    assert shown == base_psnr(info, header, [part], 1, played)
