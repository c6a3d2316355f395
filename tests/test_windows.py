import numpy as np
import pytest

from stdo_min.engine.windows import WINDOWS, windows


def test_a_window_lists_its_pixels_plane_by_plane():
    planes = np.arange(2 * 1 * 4 * 5).reshape(2, 1, 4, 5)
    found = windows(planes, 3)
    assert found.shape == (2 * 3, 2 * 9)  # all places of so small a patch
    np.testing.assert_array_equal(found[0], planes[:, 0, :3, :3].ravel())
    np.testing.assert_array_equal(found[-1], planes[:, 0, 1:, 2:].ravel())


@pytest.mark.parametrize("count, side, kernel", [(3000, 28, 5), (128, 24, 3), (1, 400, 3)])
def test_many_windows_are_thinned_out(count, side, kernel):
    found = windows(np.zeros((1, count, side, side), np.uint8), kernel)
    assert WINDOWS / 3 < len(found) <= 1.3 * WINDOWS


def test_a_layer_and_its_outputs_are_seen_at_the_same_places():
    patches = np.random.default_rng(0).integers(0, 256, (1, 60, 30, 30)).astype(float)
    centres = patches[:, :, 2:-2, 2:-2]  # what a 5x5 kernel gives that is 1 in its middle
    np.testing.assert_array_equal(windows(patches, 5)[:, 12], windows(centres, 1)[:, 0])
