"""`stdo bench`: how fast this device upscales, and so which nets and scales it plays in real time."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from stdo_min.commands import options
from stdo_min.commands.progress import Bars
from stdo_min.format.cores import fast_cores
from stdo_min.format.library import Upscaler, plane_shapes
from stdo_min.format.random_nets import random_sidecar
from stdo_min.format.sidecar import write

NETS = ((4,), (8, 8), (16, 16), (32, 16))
SCALES = (2, 3, 4)
HR = 1920, 1080
PATCH = 20
# The lr decoder and the player need the processor too, so a net plays if it is ROOM times as fast as the video.
REAL_TIME, ROOM = 30, 1.5


class Speed(NamedTuple):
    """One measurement: a net's hidden channels, the scale, threads, and hr frames of 1920x1080 a second."""

    net: tuple[int, ...]
    scale: int
    threads: int
    fps: float

    @property
    def plays(self) -> bool:
        """Whether 30 frames a second play, with room for what else must be done."""
        return self.fps >= ROOM * REAL_TIME


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("--threads", type=options.thread_count, metavar="N",
                        help="time this number only; default: some")
    parser.add_argument("--json", action="store_true", help="one JSON list")
    options.quiet(parser)


def run(a: argparse.Namespace) -> None:
    """Measure, and print a table or JSON."""
    counts = [a.threads] if a.threads else thread_counts()
    with Bars(a.quiet) as bars:
        found = measure(counts, progress=bars.frames("bench"))
    print(json.dumps([{**speed._asdict(), "plays": speed.plays} for speed in found]) if a.json else report(found))


def measure(threads: list[int], seconds: float = 20,
            progress: Callable[[int, int], None] | None = None) -> list[Speed]:
    """Time every net of NETS at scale 4 with each number of threads, and at the other scales with the fastest number.

    Each patch of each frame is upscaled by a net, which is the worst case: in videos some are left to the base or did
    not change. seconds: for all measurements together; each takes two frames at least. progress gets (done, total).
    """
    count = len(NETS) * (len(threads) + len(SCALES) - 1)
    found = []

    def timed(net, scale, number):
        found.append(Speed(net, scale, number, _fps(net, scale, number, seconds / count)))
        if progress:
            progress(len(found), count)

    for net in NETS:
        for number in threads:
            timed(net, 4, number)
    for net in NETS:
        best = max((speed for speed in found if speed.net == net), key=lambda speed: speed.fps).threads
        for scale in SCALES[:-1]:
            timed(net, scale, best)
    return found


def thread_counts() -> list[int]:
    """The numbers of threads worth timing here: one, two and four, where there are fast cores for them, and all."""
    fast = fast_cores()
    return sorted({1, fast, *(number for number in (2, 4) if number < fast)})


def report(found: list[Speed]) -> str:
    """A table of what was measured, and what it means for whoever encodes videos for this device."""
    lines = [f"1920x1080 frames a second; * plays {REAL_TIME} a second with room for the decoder and the player", "",
             "--net    --scale  threads      fps"]
    for speed in sorted(found, key=lambda speed: (speed.net, -speed.scale, speed.threads)):
        lines.append(f"{_name(speed.net):8} {speed.scale:7} {speed.threads:8} {speed.fps:8.1f}{' *' * speed.plays}")
    lines.append("")
    for scale in SCALES:
        plays = [speed.net for speed in found if speed.scale == scale and speed.plays]
        told = f"--net {_name(max(plays, key=NETS.index))} or a smaller one" if plays else "none; take a greater scale"
        lines.append(f"1080p at --scale {scale}: {told}")
    return "\n".join(lines)


def _name(net):
    return ",".join(map(str, net))


def _fps(channels, scale, threads, seconds):
    width, height = -(-HR[0] // (2 * scale)) * 2, -(-HR[1] // (2 * scale)) * 2
    rng = np.random.default_rng(0)
    hidden = [(3 if index else 5, out) for index, out in enumerate(channels)]
    crop = width * scale - HR[0], height * scale - HR[1]
    upscaler = Upscaler(write(random_sidecar(rng, scale, hidden, (width, height), PATCH, crop)))
    lr = tuple(rng.integers(0, 256, shape, dtype=np.uint8) for shape in plane_shapes(width, height))
    labels = np.ones((upscaler.rows, upscaler.columns), np.uint8)
    with ThreadPoolExecutor(threads) as executor:
        out = upscaler.upscale(0, labels, lr, None, executor, threads)  # warms up caches, scratch and threads
        times, begun = [], time.perf_counter()
        while len(times) < 2 or time.perf_counter() - begun < seconds:
            start = time.perf_counter()
            upscaler.upscale(0, labels, lr, out, executor, threads)
            times.append(time.perf_counter() - start)
    return 1 / float(np.median(times))
