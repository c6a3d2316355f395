import numpy as np
import pytest

from stdo_min.algorithm.sample import Sampled
from stdo_min.algorithm.score import score, scores
from stdo_min.engine.net import new_net
from stdo_min.engine.pool import Pool
from stdo_min.format.psnr import psnr


def test_scores_are_finite():
    found = scores(np.array([[0.0, 1.0], [2.0, 0.0]]), np.array([[100, 100], [50, 0]]))
    assert np.all(np.isfinite(found))
    assert found[0, 0] == pytest.approx(psnr(1, 100))
    assert found[0, 1] == pytest.approx(psnr(100, 100))
    assert found[1, 0] == pytest.approx(psnr(100, 50))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_new_net_scores_as_the_base(threads):
    rng = np.random.default_rng(0)
    residual = (rng.normal(0, 64, (40, 8, 8, 4)) * np.arange(40)[:, None, None, None]).astype(np.int16)
    pool = Pool(rng.integers(0, 256, (40, 14, 14)).astype(np.uint8), residual, np.ones(40))
    errors = np.mean((residual / 64.0) ** 2, axis=(1, 2, 3))
    probability = np.linspace(0.1, 1, 40)
    found = score(Sampled(pool, probability, errors), new_net((4,), 2, rng), threads)
    np.testing.assert_allclose(found.errors, errors, rtol=1e-4)
    np.testing.assert_allclose(found.scores[1:], psnr(errors[1:], 1), rtol=1e-4)
    np.testing.assert_allclose(found.weight, 1 / probability)
