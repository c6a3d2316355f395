import numpy as np
import pytest

from stdo_min.algorithm.score import scores
from stdo_min.format.psnr import psnr


def test_scores_are_finite():
    found = scores(np.array([[0, 100], [100, 0]]), np.array([[100, 100], [50, 0]]))
    assert np.all(np.isfinite(found))
    assert found[0, 0] == pytest.approx(psnr(1, 100))
    assert found[0, 1] == pytest.approx(psnr(100, 100))
