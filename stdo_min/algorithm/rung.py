"""Rungs: what the lr video at a scale and crf, with a net that trained a little, makes of a few stretches of a film.

A rung of a ladder (HLS, DASH) is a size and a rate; here also what nets add to it. `choose.py` picks one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stdo_min.algorithm.fitted import calibrated
from stdo_min.algorithm.frames import pairs
from stdo_min.algorithm.general import merged
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.sample import Sampled, capacity, sample
from stdo_min.algorithm.show import patch_errors
from stdo_min.algorithm.tasks import generator
from stdo_min.engine.budget import Budget
from stdo_min.engine.net import Net, new_net
from stdo_min.engine.train import Stepper, train
from stdo_min.format import sidecar
from stdo_min.format.library import Upscaler
from stdo_min.format.psnr import psnr
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.keyframes import packet_sizes
from stdo_min.video.lr_parts import Part
from stdo_min.video.lr_video import encode_part
from stdo_min.video.probe import VideoInfo, probe
from stdo_min.video.read import on_any_road, read_lr, read_source
from stdo_min.video.stretch import ROADS
from stdo_min.video.vmaf import vmaf

STEPS = 500  # of the net of a rung, on from the net of the rung before
PROBE = 4  # purpose of random numbers, beside those of tasks.py
KEYFRAMES = 250  # frames from one to the next where nothing changes, as the codecs have it
# Pixels of all stretches, for each second of the budget and at most; without seconds as for a minute.
PIXELS_A_SECOND, MOST_PIXELS, STRETCHES = 900_000, 150_000_000, 4


class Stretch(NamedTuple):
    """Frames first..first+count-1 of the source."""

    first: int
    count: int


@dataclass(frozen=True)
class Rung:
    """A scale and crf, and what they give: bytes of the whole film, and mean squared errors of luma.

    lr_bytes: of the lr video, reckoned from the stretches. net_bytes: of one net for each segment. base_error and
    error: of the base alone, and with the net, in grey levels squared. base_vmaf, vmaf: the same, where VMAF is
    asked for.
    """

    scale: Fraction
    crf: float
    lr_bytes: float
    net_bytes: int
    base_error: float
    error: float
    base_vmaf: float = math.nan
    vmaf: float = math.nan

    def bytes(self, nets: bool) -> float:
        """All bytes, with the nets or without."""
        return self.lr_bytes + self.net_bytes * nets

    def quality(self, nets: bool, by_vmaf: bool = False) -> float:
        """PSNR of luma in dB, or VMAF, with the nets or without."""
        if by_vmaf:
            return self.vmaf if nets else self.base_vmaf
        return float(psnr(max(self.error if nets else self.base_error, 1e-9), 1))


def stretches_of(frames: int, width: int, height: int, seconds: float | None) -> list[Stretch]:
    """The stretches of a source of so many frames on which rungs are tried: all of it where it is short.

    seconds: of the budget, or None.
    """
    most = min(MOST_PIXELS, PIXELS_A_SECOND * (60 if seconds is None else seconds))
    count = max(24, int(most / (width * height)))
    if frames <= 1.25 * count:
        return [Stretch(0, frames)]
    parts = min(STRETCHES, max(1, count // 48))
    each = count // parts
    return [Stretch((2 * part + 1) * frames // (2 * parts) - each // 2, each) for part in range(parts)]


class Rungs:
    """The rungs of one film, each measured once."""

    def __init__(self, info: VideoInfo, header: Callable[[Fraction], sidecar.Sidecar], frames: int, segments: int,
                 codec: str, recipe: Recipe, stretches: Sequence[Stretch], threads: int, folder: Path,
                 by_vmaf: bool = False, tell: Callable[[Fraction, float], None] = lambda scale, crf: None):
        """header: gives the sizes at a scale. frames, segments: of the film. folder: takes what is coded, for a while.

        by_vmaf: measure VMAF too. tell: is called before each rung.
        """
        self._info, self._header, self._frames, self._segments = info, header, frames, segments
        self._codec, self._recipe = codec, recipe
        self._stretches, self._threads, self._folder, self._tell = stretches, threads, folder, tell
        self._by_vmaf = by_vmaf
        self._found: dict[tuple[Fraction, float], Rung] = {}
        self._nets: dict[tuple, Net] = {}  # the latest of each scale and shape

    def __call__(self, scale: Fraction, crf: float) -> Rung:
        """The rung of a scale and crf."""
        if (scale, crf) not in self._found:
            self._tell(scale, crf)
            self._found[scale, crf] = self._measure(scale, crf)
        return self._found[scale, crf]

    def _measure(self, scale, crf) -> Rung:
        header, rng = self._header(scale), generator(self._recipe.seed, PROBE, len(self._found))
        keys, others, parts = [], [], []
        for number, stretch in enumerate(self._stretches):
            part = self._folder / f"rung-{number}.mp4"
            sums = encode_part(self._info, *stretch, part, scale, self._codec, crf)[:stretch.count]
            if not len(sums):
                continue  # the source is shorter than it says
            sizes = packet_sizes(part)
            keys.append(sizes[0])
            others.extend(sizes[1:])
            parts.append((part, stretch._replace(count=len(sums)), sums))
        if not parts:
            raise VideoError(f"{self._info.path}: ends before frame {self._stretches[0].first}; the file is damaged")
        lr_bytes = self._whole_bytes(keys, others)
        channels = self._recipe.shaped(lr_bytes / self._segments, header.net_scale).channels
        net = self._nets.get((scale, channels)) or new_net(channels, header.net_scale, rng)
        sampled = [self._sample(header, net.halo, *part, rng) for part in parts]
        whole = merged(sampled) if len(sampled) > 1 else sampled[0]
        net = train(net, whole.pool.weighing(1 / whole.probability), Budget(steps=STEPS), rng, threads=self._threads)
        self._nets[scale, channels] = net
        with Stepper(whole.pool, self._threads) as stepper:
            errors = stepper.errors(net, np.arange(len(whole.pool)))
        base_error = float(np.mean([one.mean_error for one in sampled]))
        left = np.sum(errors / whole.probability) / max(np.sum(whole.base_errors / whole.probability), 1e-12)
        vmafs = [self._vmaf(header, parts, nets) for nets in ([], [calibrated(net, whole.pool, self._threads)])
                 ] if self._by_vmaf else [math.nan] * 2
        for part, _, _ in parts:
            part.unlink()
        return Rung(scale, crf, lr_bytes, self._segments * net.nbytes, base_error,
                    base_error * float(left), *vmafs)

    def _whole_bytes(self, keys, others) -> float:
        """The bytes of the film's lr video, from those of the first and the other packets of the stretches."""
        if len(self._stretches) == 1 and len(others) + 1 >= self._frames:
            return float(keys[0] + sum(others))
        count = max(self._segments, math.ceil(self._frames / KEYFRAMES))
        return count * float(np.mean(keys)) + (self._frames - count) * float(np.mean(others or keys))

    def _vmaf(self, header, parts, nets) -> float:
        """VMAF of the stretches as they play with one net everywhere, or with none."""
        upscaler = Upscaler(sidecar.write(sidecar.of_nets(header, nets)))
        labels = np.full((header.rows, header.columns), len(nets), np.uint8)

        def shown():
            for part, stretch, sums in parts:
                with ThreadPoolExecutor(self._threads) as executor:
                    for lr, truth in self._pairs(part, stretch, sums, ROADS[-1]):
                        yield upscaler.upscale(0, labels, lr, executor=executor, threads=self._threads), truth

        return vmaf(self._info, shown(), self._threads)

    def _pairs(self, part, stretch, sums, road):
        source = read_source(self._info, *stretch, road, sums)
        return pairs(read_lr(probe(part)), source, str(self._info.path), stretch.count, stretch.first)

    def _sample(self, header, halo, part, stretch, sums, rng) -> Sampled:
        size = capacity(self._recipe.memory // len(self._stretches), header.net_side, halo, header.net_scale)

        def on(road):
            return sample(self._pairs(part, stretch, sums, road), header, halo, size, rng, self._threads)

        return on_any_road(on, self._info, stretch.first)


def base_psnr(info: VideoInfo, header: sidecar.Sidecar, parts: Iterable[Part], threads: int = 1) -> float:
    """PSNR of luma in dB of a whole lr video, coded in parts, under the base alone."""
    base, error, frames = Upscaler(sidecar.write(sidecar.of_nets(header, []))), 0, 0
    with ThreadPoolExecutor(threads) as executor:
        for part in parts:
            def errors(road, part=part):
                source = read_source(info, part.first, len(part.checksums), road, part.checksums)
                both = pairs(read_lr(probe(part.path)), source, str(info.path), len(part.checksums), part.first)
                return sum(int(patch_errors(base, 0, lr.y, hr.y, executor, threads)[0].sum()) for lr, hr in both)

            error, frames = error + on_any_road(errors, info, part.first), frames + len(part.checksums)
    return float(psnr(max(error, 1), frames * info.width * info.height))
