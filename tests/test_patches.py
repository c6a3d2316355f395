import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdo_min.algorithm import patches
from stdo_min.engine.shuffle import unshuffle
from stdo_min.format.base import base


def plane_of(rng, height, width):
    return rng.integers(0, 256, (height, width)).astype(np.uint8)


def cut_numpy(lr, hr, y, x, patch, halo, scale):
    """The twin: one patch, by the NumPy of FORMAT.md's arithmetic on the whole frame."""
    hr = np.pad(hr, ((0, lr.shape[0] * scale - hr.shape[0]), (0, lr.shape[1] * scale - hr.shape[1])), "edge")
    residual = hr.astype(np.int32) * 64 + 32 - base(lr, scale)
    around = np.pad(lr, halo, "edge")[y:y + patch + 2 * halo, x:x + patch + 2 * halo]
    mine = residual[y * scale:(y + patch) * scale, x * scale:(x + patch) * scale]
    return around, unshuffle(mine[None], scale)[0]


def cut(lr, hr, ys, xs, places, patch, halo, scale, slots):
    out_lr = np.full((slots, patch + 2 * halo, patch + 2 * halo), 7, np.uint8)
    out_residual = np.full((slots, patch, patch, scale * scale), 7, np.int16)
    errors = patches.cut_residuals(lr, hr, np.array(ys), np.array(xs), np.array(places), patch, halo, scale, out_lr,
                                   out_residual)
    return out_lr, out_residual, errors


@given(st.integers(1, 4), st.integers(1, 24), st.integers(0, 9), st.integers(0, 2**32), st.data())
@settings(max_examples=60)
def test_patches_are_those_of_the_twin(scale, patch, halo, seed, data):
    height, width = (patch + data.draw(st.integers(0, 20)) for _ in range(2))
    less = [data.draw(st.integers(0, min(2 * scale, side * scale) - 1)) for side in (height, width)]
    rng = np.random.default_rng(seed)
    lr = plane_of(rng, height, width)
    hr = plane_of(rng, height * scale - less[0], width * scale - less[1])
    ys, xs = rng.integers(0, height - patch + 1, 4), rng.integers(0, width - patch + 1, 4)
    places = rng.permutation(6)[:4]
    out_lr, out_residual, errors = cut(lr, hr, ys, xs, places, patch, halo, scale, 6)
    for y, x, place, error in zip(ys, xs, places, errors, strict=True):
        around, residual = cut_numpy(lr, hr, y, x, patch, halo, scale)
        np.testing.assert_array_equal(out_lr[place], around)
        np.testing.assert_array_equal(out_residual[place], residual)
        assert error == pytest.approx(np.mean((residual / 64.0) ** 2))
    for free in set(range(6)) - set(places.tolist()):
        assert np.all(out_lr[free] == 7) and np.all(out_residual[free] == 7)


def test_rows_may_lie_apart_and_none_may_be_cut():
    rng = np.random.default_rng(0)
    lr, hr = plane_of(rng, 20, 60)[:, 7:37], plane_of(rng, 40, 99)[:, 3:63]
    found = cut(lr, hr, [3], [5], [0], 8, 2, 2, 1)
    expected = cut(lr.copy(), hr.copy(), [3], [5], [0], 8, 2, 2, 1)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert len(cut(lr, hr, [], [], [], 8, 2, 2, 1)[2]) == 0


@pytest.mark.parametrize("wrong, named", [
    ({"ys": [13]}, r"corners up to \(13, 5\)"), ({"xs": [-1]}, "must lie inside"),
    ({"places": [2]}, r"places are 2\.\.2; they must be 0\.\.1"),
    ({"scale": 5}, "scale of 1..4"), ({"patch": 21}, "must lie inside"), ({"ys": [1, 2]}, "2 ys, 1 xs"),
    ({"hr": np.zeros((41, 60), np.uint8)}, "more than lr's"), ({"lr": np.zeros((20, 30))}, "must be uint8")])
def test_what_does_not_fit_is_refused(wrong, named):
    rng = np.random.default_rng(0)
    right = {"lr": plane_of(rng, 20, 30), "hr": plane_of(rng, 40, 60), "ys": [3], "xs": [5], "places": [0], "patch": 8,
             "halo": 2, "scale": 2, "slots": 2}
    with pytest.raises(ValueError, match=named):
        cut(**{**right, **wrong})


def test_an_output_of_another_shape_is_refused():
    lr, hr, one = np.zeros((20, 30), np.uint8), np.zeros((40, 60), np.uint8), np.array([0])
    with pytest.raises(ValueError, match=r"must be contiguous int16 \(slots, 8, 8, 4\)"):
        patches.cut_residuals(lr, hr, one, one, one, 8, 2, 2, np.zeros((1, 12, 12), np.uint8),
                              np.zeros((1, 8, 8, 9), np.int16))


@pytest.mark.parametrize("height, width, side", [(20, 40, 20), (21, 41, 20), (8, 8, 8)])
def test_the_grid_covers_the_plane(height, width, side):
    covered = np.zeros((height, width), int)
    for y, x in zip(*patches.grid(height, width, side), strict=True):
        covered[y:y + side, x:x + side] += 1
    assert np.all(covered == 1)


def test_a_plane_smaller_than_a_patch_is_refused():
    with pytest.raises(ValueError, match="a 7x20 plane is smaller than one 8x8 patch"):
        patches.grid(20, 7, 8)
