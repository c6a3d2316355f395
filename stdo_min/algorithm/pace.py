"""Pace: the seconds that a frame takes beside training, so that budgets can be kept and the end foretold."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import NamedTuple

import numpy as np

from stdo_min.algorithm.show import patch_errors
from stdo_min.format import sidecar
from stdo_min.format.library import Upscaler
from stdo_min.format.random_nets import random_net
from stdo_min.video.probe import VideoInfo
from stdo_min.video.read import read_source

LABEL_SECONDS = 2e-6  # to choose and code one label of the map, of two nets (one core of a Zen 4)
NET_SECONDS = 0.5  # to quantise a net of 16,16 (one core of a Zen 3)
MEASURED = 24  # frames
CAUTION = 1.1  # a pass takes a tenth more than it seems


class Pace(NamedTuple):
    """Seconds a frame takes: `read` to decode it and its lr frame and to sample it, `show` under one net."""

    read: float
    show: float

    def finishing(self, frames: int, patches: int, nets: int) -> float:
        """Seconds to quantise `nets` nets, to try each on frames of so many patches, and to code the map."""
        labels = patches * LABEL_SECONDS * max(1.0, nets**2 / 4)  # each label is weighed against each
        return CAUTION * (frames * (self.read + nets * self.show + labels) + nets * NET_SECONDS)


def show_seconds(header: sidecar.Sidecar, channels: tuple[int, ...], threads: int) -> float:
    """Seconds that one net takes to be tried on a frame, measured on noise."""
    rng = np.random.default_rng(0)
    net = random_net(rng, header.scale, [(5 if index == 0 else 3, out) for index, out in enumerate(channels)], 3)
    upscaler = Upscaler(sidecar.write(sidecar.of_nets(header, [net])))
    lr = rng.integers(0, 256, (header.lr_height, header.lr_width), np.uint8)
    hr = rng.integers(0, 256, (header.hr_height, header.hr_width), np.uint8)
    return min(_seconds(upscaler, lr, hr, threads) for _ in range(3))


def pass_seconds(info: VideoInfo, header: sidecar.Sidecar, channels: tuple[int, ...], threads: int) -> float:
    """Seconds a frame that all passes over a film take with one net, measured on the source's first frames."""
    with closing(read_source(info)) as frames:
        next(frames)
        began = time.monotonic()
        count = sum(1 for _ in islice(frames, MEASURED))
        read = (time.monotonic() - began) / max(count, 1) * (1 + 1 / float(header.scale) ** 2)
    # Sampling tries the base alone, which costs about a quarter of a net.
    pace = Pace(read, show_seconds(header, channels, threads))
    return pace.finishing(1, header.rows * header.columns, 1) - NET_SECONDS + pace.read + pace.show / 4


def _seconds(upscaler, lr, hr, threads):
    began = time.monotonic()
    with ThreadPoolExecutor(threads) as executor:
        patch_errors(upscaler, 0, lr, hr, executor, threads)
    return time.monotonic() - began
