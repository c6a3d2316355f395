"""Judging nets by what the player shows: the same errors as frames upscaled whole."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from samples import random_frame
from tiers import TIERS, require

from stdo_min.algorithm.show import patch_errors
from stdo_min.format.library import StdoError, Upscaler
from stdo_min.format.psnr import squared_errors
from stdo_min.format.random_nets import make_sidecar, random_net
from stdo_min.format.sidecar import write


def sidecar_of(scale, size, patch, counts, crop=(0, 0), colour=0, seed=0):
    """Segments with so many nets each."""
    rng, segments = np.random.default_rng(seed), []
    grid = -(-size[1] // patch), -(-size[0] // patch)
    for count in counts:
        nets = tuple(random_net(rng, scale, [(5, 5), (3, 3 + index)], 3, 3 if colour else 1) for index in range(count))
        segments.append((nets, np.zeros((1, *grid), np.uint8)))
    return write(make_sidecar(scale, size, patch, segments, crop=crop, colour=colour))


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("scale, size, patch, crop", [
    (1, (33, 21), 8, (0, 0)), (2, (64, 48), 20, (3, 1)), (2, (640, 22), 8, (1, 3)), (3, (41, 50), 9, (2, 5)),
    (4, (30, 26), 13, (7, 7))])
def test_errors_are_those_of_whole_frames(tier, scale, size, patch, crop):
    upscaler, rng = Upscaler(sidecar_of(scale, size, patch, (2, 0, 3), crop), tier), np.random.default_rng(1)
    require(upscaler.tier, tier)
    lr = random_frame(rng, *size)
    truth = rng.integers(0, 256, (upscaler.hr_height, upscaler.hr_width)).astype(np.uint8)
    grid = upscaler.rows, upscaler.columns
    with ThreadPoolExecutor(3) as executor:
        for segment, nets in enumerate((2, 0, 3)):
            expected = [squared_errors(truth, upscaler.upscale(segment, np.full(grid, label, np.uint8), lr)[0],
                                       patch * scale, grid) for label in range(nets + 1)]
            for threads in (1, 2, 3):
                found = patch_errors(upscaler, segment, lr[0], truth, executor if threads > 1 else None, threads)
                np.testing.assert_array_equal(found, expected)


def test_what_does_not_fit_is_refused():
    upscaler = Upscaler(sidecar_of(2, (32, 24), 8, (1,)))
    lr, truth = np.zeros((24, 32), np.uint8), np.zeros((48, 64), np.uint8)
    with pytest.raises(IndexError, match=r"segment is 1; it must be 0\.\.0"):
        patch_errors(upscaler, 1, lr, truth)
    with pytest.raises(ValueError, match=r"truth_y is uint8 \(24, 32\); it must be uint8 \(48, 64\)"):
        patch_errors(upscaler, 0, lr, lr)
    with pytest.raises(StdoError, match="argument"):
        patch_errors(Upscaler(sidecar_of(2, (32, 24), 8, (1,), colour=1)), 0, lr, truth)
