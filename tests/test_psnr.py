import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stdo_min.format.psnr import patch_pixels, psnr, squared_errors


def twin(truth, shown, side, rows, columns):
    """What squared_errors means, in NumPy."""
    squares = np.zeros((rows * side, columns * side), np.int64)
    squares[:truth.shape[0], :truth.shape[1]] = np.square(truth.astype(np.int64) - shown)
    return squares.reshape(rows, side, columns, side).sum(axis=(1, 3))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 17), st.integers(0, 1))
def test_squared_errors_equal_their_twin_and_the_whole(height, width, side, spare):
    rng = np.random.default_rng(height * 41 + width)
    truth, shown = rng.integers(0, 256, (2, height, width)).astype(np.uint8)
    grid = -(-height // side) + spare, -(-width // side) + spare
    found = squared_errors(truth, shown, side, grid)
    np.testing.assert_array_equal(found, twin(truth, shown, side, *grid))
    assert found.sum() == np.sum((truth.astype(int) - shown) ** 2)
    counts = patch_pixels(height, width, side, grid)
    assert counts.shape == grid
    assert counts.sum() == height * width


def test_squared_errors_of_views():
    """Rows apart, upside down, and pixels apart."""
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 256, (2, 40, 50)).astype(np.uint8)
    for truth, shown in (whole[:, 3:, 5:-2], whole[:, ::-1], whole[:, ::2, ::3], whole.transpose(0, 2, 1)):
        height, width = truth.shape
        grid = -(-height // 7), -(-width // 7)
        np.testing.assert_array_equal(squared_errors(truth, shown, 7, grid),
                                      twin(truth, shown, 7, *grid))


def test_the_greatest_errors_of_long_rows():
    """A row of more than 65,536 pixels does not fit 32 bits."""
    truth, shown = np.full((2, 200_001), 255, np.uint8), np.zeros((2, 200_001), np.uint8)
    found = squared_errors(truth, shown, 150_000, (1, 2))
    np.testing.assert_array_equal(found, [[2 * 150_000 * 255**2, 2 * 50_001 * 255**2]])


def test_psnr_of_known_errors():
    # 10 * log10(255^2 / 1) = 48.1308 dB, as scikit-image's peak_signal_noise_ratio gives for planes one level apart
    assert psnr(600, 600) == pytest.approx(48.1308036)
    assert psnr(65025 * 6, 6) == pytest.approx(0.0)
    assert psnr(0, 6) == np.inf


def test_planes_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 4\) and \(4, 5\)"):
        squared_errors(np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8), 4, (1, 2))


def test_other_numbers_are_refused():
    with pytest.raises(ValueError, match="must be uint8"):
        squared_errors(np.zeros((4, 4)), np.zeros((4, 4)), 4, (1, 1))


def test_a_grid_too_small_is_refused():
    with pytest.raises(ValueError, match="do not cover"):
        squared_errors(np.zeros((9, 4), np.uint8), np.zeros((9, 4), np.uint8), 4, (2, 1))
