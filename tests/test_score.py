import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stdo_min.algorithm import errors
from stdo_min.algorithm import score as scoring
from stdo_min.format.psnr import patch_pixels, psnr


@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 17), st.integers(0, 1))
def test_squared_errors_equal_their_twin_and_the_whole(height, width, side, spare):
    rng = np.random.default_rng(height * 41 + width)
    truth, shown = rng.integers(0, 256, (2, height, width)).astype(np.uint8)
    grid = -(-height // side) + spare, -(-width // side) + spare
    found = errors.squared_errors(truth, shown, side, grid)
    np.testing.assert_array_equal(found, errors._squared_errors_numpy(truth, shown, side, *grid))
    assert found.sum() == np.sum((truth.astype(int) - shown) ** 2)
    counts = patch_pixels(height, width, side, grid)
    assert counts.shape == grid
    assert counts.sum() == height * width


def test_psnr_of_known_errors():
    # 10 * log10(255^2 / 1) = 48.1308 dB, as scikit-image's peak_signal_noise_ratio gives for planes one level apart
    assert psnr(600, 600) == pytest.approx(48.1308036)
    assert psnr(65025 * 6, 6) == pytest.approx(0.0)
    assert psnr(0, 6) == np.inf


def test_scores_are_finite():
    found = scoring.scores(np.array([[0, 100], [100, 0]]), np.array([[100, 100], [50, 0]]))
    assert np.all(np.isfinite(found))
    assert found[0, 0] == pytest.approx(psnr(1, 100))
    assert found[0, 1] == pytest.approx(psnr(100, 100))


def test_planes_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 4\) and \(4, 5\)"):
        errors.squared_errors(np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8), 4, (1, 2))


def test_a_grid_too_small_is_refused():
    with pytest.raises(ValueError, match="do not cover"):
        errors.squared_errors(np.zeros((9, 4), np.uint8), np.zeros((9, 4), np.uint8), 4, (2, 1))
