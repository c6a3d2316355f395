import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stdo_min.algorithm import patches

SIZES = st.tuples(st.integers(8, 60), st.integers(8, 60), st.integers(3, 8))


def plane_of(height, width, dtype=np.uint8):
    return np.random.default_rng(height * 100 + width).integers(0, 256, (height, width)).astype(dtype)


@given(SIZES, st.integers(0, 7))
def test_cut_equals_its_twin(size, halo):
    height, width, side = size
    plane = plane_of(height, width)
    ys, xs = patches.grid(height, width, side)
    found = patches.cut(plane, ys, xs, side, halo)
    np.testing.assert_array_equal(found, patches._cut_numpy(plane, ys, xs, side, halo))
    assert found.shape == (len(ys), side + 2 * halo, side + 2 * halo)


@given(SIZES)
def test_the_grid_covers_every_pixel_once(size):
    height, width, side = size
    covered = np.zeros((height, width), int)
    for y, x in zip(*patches.grid(height, width, side), strict=True):
        covered[y:y + side, x:x + side] += 1
    assert np.all(covered == 1)


def test_halo_holds_the_neighbours_and_the_edge():
    plane = np.arange(64, dtype=np.uint8).reshape(8, 8)
    (patch,) = patches.cut(plane, np.array([0]), np.array([4]), 4, 1)
    assert patch[0, 1] == plane[0, 4]  # above the frame: its first row again
    assert patch[2, 0] == plane[1, 3]  # the neighbour on the left
    assert patch[2, 5] == plane[1, 7]  # right of the frame: its last column again
    assert patch[5, 2] == plane[4, 5]


def test_a_plane_below_one_patch_is_refused():
    with pytest.raises(ValueError, match="7x20 plane is smaller than one 8x8"):
        patches.grid(20, 7, 8)


def test_corners_outside_are_refused():
    with pytest.raises(ValueError, match="outside a plane"):
        patches.cut(plane_of(8, 8), np.array([8]), np.array([0]), 4)
    with pytest.raises(ValueError, match="outside a plane"):
        patches.cut(plane_of(8, 8), np.array([0]), np.array([-1]), 4)
