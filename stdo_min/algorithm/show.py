"""What the player will show: integer nets calibrated on their own video, and the error of each patch under them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from stdo_min.algorithm.frames import Frames
from stdo_min.engine.budget import Clock
from stdo_min.engine.net import Net
from stdo_min.engine.pool import Pool
from stdo_min.engine.quantise import quantise
from stdo_min.format import sidecar
from stdo_min.format.library import Upscaler, plane_shapes
from stdo_min.format.psnr import squared_errors

CALIBRATION_PIXELS = 400_000  # lr, halo included: 512 patches of 20x20 with a halo of 4


def calibrated(net: Net, pool: Pool, threads: int) -> sidecar.Net:
    """The integer net of a float net, calibrated on patches picked evenly from those of its pool with a weight.

    Where no patch has a weight, they are picked from the whole pool.
    """
    drawn = np.flatnonzero(pool.weight) if pool.weight.any() else np.arange(len(pool))
    count = min(len(drawn), max(8, CALIBRATION_PIXELS // pool.lr[0].size))
    return quantise(net, pool.lr[drawn[np.linspace(0, len(drawn) - 1, count).astype(int)]], threads)


def shown_errors(frames: Frames, integer: list[sidecar.Net], candidates: list[np.ndarray], threads: int, clock: Clock,
                 stage: str) -> Iterator[tuple[np.ndarray, float]]:
    """The squared errors of each frame's patches under each candidate, int64 (candidates, rows, columns), and seconds.

    integer: the nets. candidates: each the labels of all frames, uint8 (1 or frames, rows, columns). seconds: what one
    candidate took, on average. The pixels come from the C library itself.
    """
    header, (_, *grid) = frames.header, frames.shape
    upscaler = Upscaler(sidecar.write(sidecar.of_nets(header, integer)))
    out = tuple(np.empty(shape, np.uint8) for shape in plane_shapes(header.hr_width, header.hr_height))
    with ThreadPoolExecutor(threads) as executor:
        for index, (lr, hr) in enumerate(frames.over(stage, clock)):
            truth, began = hr.y[:header.hr_height, :header.hr_width], time.monotonic()
            found = np.empty((len(candidates), *grid), np.int64)
            for sums, labels in zip(found, candidates, strict=True):
                upscaler.upscale(0, labels[index % len(labels)], lr, out, executor, threads)
                sums[:] = squared_errors(truth, out[0], frames.side, tuple(grid))
            yield found, (time.monotonic() - began) / len(candidates)
