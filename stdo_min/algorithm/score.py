"""Scores: the PSNR of every patch under the general model (section 3.1 of the paper, arXiv 2303.08331)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stdo_min.algorithm.frames import Frames
from stdo_min.algorithm.show import calibrated, shown_errors
from stdo_min.engine.budget import Clock
from stdo_min.engine.net import Net
from stdo_min.engine.pool import Pool
from stdo_min.format.psnr import patch_pixels, psnr


@dataclass(frozen=True)
class Scored:
    """The mean squared error of every patch under the general model and its score in dB.

    errors, scores: float64 (frames, rows, columns). seconds: what the pass took. net_seconds: the part of it
    that every net costs, to be quantised and shown on every frame.
    """

    errors: np.ndarray
    scores: np.ndarray
    seconds: float
    net_seconds: float


def score(frames: Frames, general: Net, pool: Pool, threads: int, clock: Clock) -> Scored:
    """Every patch of the segment under the general model, as the player would show it. pool: to calibrate on."""
    began = clock.elapsed()
    integer = calibrated(general, pool, threads)
    net_seconds = clock.elapsed() - began
    ones = np.ones((1, *frames.shape[1:]), np.uint8)
    errors = np.empty(frames.shape, np.int64)
    shown = shown_errors(frames, [integer], [ones], threads, clock, "score")
    for index, (sums, seconds) in enumerate(shown):
        errors[index] = sums[0]
        net_seconds += seconds
    header = frames.header
    pixels = patch_pixels(header.hr_height, header.hr_width, frames.side, frames.shape[1:])
    return Scored(errors / np.maximum(pixels, 1), scores(errors, pixels), clock.elapsed() - began, net_seconds)


def scores(errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The score of each patch: its PSNR in dB, float64, of the shape of `errors`, always finite.

    errors: sums of squared differences (..., rows, columns); counts: `patch_pixels` (rows, columns). A patch without
    any error is scored as if one of its pixels were off by one grey level, so that k-means keeps a finite scale.
    """
    return psnr(np.maximum(errors, 1), np.maximum(counts, 1))
