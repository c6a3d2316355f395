"""stdo_min/format/base.py: the taps of FORMAT.md, and what a bicubic upscale must do to simple planes."""

import re
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
import pytest

from stdo_min.format.base import SCALES, TAPS, base, upscale

FORMAT = Path(__file__).parent.parent / "FORMAT.md"


def test_taps_are_those_of_the_format():
    table = {}
    rows = re.findall(r"^\| (centre|left) \| ([\d/]+) \| (\d) \| (-?\d) \| ([-\d, ]+) \|$", FORMAT.read_text(), re.M)
    for place, scale, r, offset, taps in rows:
        known = table.setdefault((place, Fraction(scale)), [])
        known.append((int(offset), tuple(map(int, taps.split(", ")))))
        assert len(known) == int(r) + 1
    assert {key: tuple(phases) for key, phases in table.items()} == TAPS


def test_taps_keep_flat_areas():
    assert all(sum(taps) == 128 for phases in TAPS.values() for _, taps in phases)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("left", [False, True])
def test_flat_planes_stay_flat(scale, left):
    for level in (0, 1, 127, 128, 254, 255):
        result = upscale(np.full((5, 7), level, np.uint8), scale, left)
        assert result.shape == (ceil(5 * scale), ceil(7 * scale)) and result.dtype == np.uint8
        assert (result == level).all()


def test_scale_1_copies():
    plane = np.random.default_rng(0).integers(0, 256, (9, 11)).astype(np.uint8)
    np.testing.assert_array_equal(upscale(plane, 1), plane)
    np.testing.assert_array_equal(upscale(plane, 1, chroma_left=True), plane)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_centred_upscale_is_symmetric(scale):
    plane = np.random.default_rng(1).integers(0, 256, (9, 11)).astype(np.uint8)
    np.testing.assert_array_equal(base(plane[::-1, ::-1], scale), base(plane, scale)[::-1, ::-1])
    np.testing.assert_array_equal(base(plane.T, scale), base(plane, scale).T)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("left", [False, True])
def test_a_ramp_continues_at_the_right_place(scale, left):
    plane = np.tile(np.arange(20, 220, 10, dtype=np.uint8), (8, 1))
    inner = upscale(plane, scale, left)[8, 4 * scale : -4 * scale].astype(float)
    place = 0.25 if left else 0.5
    exact = 20 + 10 * ((np.arange(20 * scale) + place) / scale - place)[4 * scale : -4 * scale]
    assert np.abs(inner - exact).max() < 1


def test_values_fit_16_bits():
    checks = np.indices((16, 16)).sum(0) % 2 * 255
    for scale in (1, 2, 3, 4):
        values = base(checks.astype(np.uint8), scale)
        assert values.min() >= -(2**15) and values.max() < 2**15
