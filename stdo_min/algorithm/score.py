"""Scores: the PSNR of patches under the general model (section 3.1 of the paper, arXiv 2303.08331)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stdo_min.algorithm.sample import Sampled
from stdo_min.engine.net import Net
from stdo_min.engine.train import Stepper
from stdo_min.format.psnr import psnr


@dataclass(frozen=True)
class Scored:
    """The mean squared error of the patches of a pool under the general model, and their scores in dB.

    errors, scores: float64 (N,). weight: float64 (N,), how many patches of the segment each stands for.
    """

    errors: np.ndarray
    scores: np.ndarray
    weight: np.ndarray


def score(sampled: Sampled, general: Net, threads: int) -> Scored:
    """The patches of a pool under the general model."""
    with Stepper(sampled.pool, threads) as stepper:
        errors = stepper.errors(general, np.arange(len(sampled.pool)))
    return Scored(errors, scores(errors, sampled.pool.residual[0].size), 1 / sampled.probability)


def scores(errors: np.ndarray, pixels: int | np.ndarray) -> np.ndarray:
    """The score of each patch: its PSNR in dB, float64, of the shape of `errors`, always finite.

    errors: mean squared errors; pixels: of a patch. A patch without any error is scored as if one of its pixels were
    off by one grey level, so that k-means keeps a finite scale.
    """
    return psnr(np.maximum(errors, 1 / np.maximum(pixels, 1)), 1)
