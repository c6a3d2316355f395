"""Rungs: what the lr video at a scale and crf, with a net that trained a little, makes of a few stretches of a film.

A rung of a ladder (HLS, DASH) is a size and a rate; here also what nets add to it. `choose.py` picks one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from stdo_min.algorithm.chroma_net import CHANNELS, FRAMES, MEMORY, Gatherer, Judge, joined, whole_numbers
from stdo_min.algorithm.fitted import calibrated
from stdo_min.algorithm.frames import Pairs, pairs
from stdo_min.algorithm.general import merged
from stdo_min.algorithm.price import DB_PER_LOG, MAP_BITS, Price
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.sample import Sampled, capacity, sample
from stdo_min.algorithm.show import patch_errors
from stdo_min.algorithm.tasks import generator
from stdo_min.engine.budget import Budget
from stdo_min.engine.net import Net, new_chroma_net, new_net
from stdo_min.engine.train import PEAK_RATE, train
from stdo_min.format import sidecar
from stdo_min.format.library import Upscaler
from stdo_min.format.psnr import psnr, squared_errors
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.keyframes import packet_sizes
from stdo_min.video.lr_parts import Part
from stdo_min.video.lr_video import encode_part
from stdo_min.video.probe import VideoInfo, probe
from stdo_min.video.read import on_any_road, read_lr, read_source
from stdo_min.video.vmaf import vmaf

# Of the net of a rung, and where it goes on from the net of another rung of its scale.
STEPS, MORE_STEPS = 600, 250
PROBE, PROBE_CHROMA = 4, 5  # purposes of random numbers, beside those of tasks.py
KEYFRAMES = 250  # frames from one to the next where nothing changes, as the codecs have it
# Pixels of all stretches, for each second of the budget and at most; without seconds as for a minute. VMAF takes as
# long as all else together.
PIXELS_A_SECOND, MOST_PIXELS, STRETCHES, BY_VMAF = 500_000, 150_000_000, 4, 0.5


class Stretch(NamedTuple):
    """Frames first..first+count-1 of the source."""

    first: int
    count: int


@dataclass(frozen=True, eq=False)
class Rung:
    """A scale and crf, and what they give on the stretches.

    lr_bytes: of the whole film's lr video, reckoned from the stretches. net_bytes: of its nets and maps, foretold.
    quality(nets): PSNR of luma in dB, or VMAF, with the nets or without. base(): PSNR of Y, U and V in dB without
    nets, float64 (3,). chroma(): dB that a net of theirs adds to U and V, float64 (2,). All are measured when they are
    first asked for, since training takes most of a rung's time.
    """

    scale: Fraction
    crf: float
    lr_bytes: float
    net_bytes: float
    quality: Callable[[bool], float]
    base: Callable[[], np.ndarray] = lambda: np.full(3, np.inf)
    chroma: Callable[[], np.ndarray] = lambda: np.zeros(2)

    def bytes(self, nets: bool) -> float:
        """All bytes, with the nets or without."""
        return self.lr_bytes + self.net_bytes * nets


def stretches_of(frames: int, width: int, height: int, seconds: float | None, by_vmaf: bool = False) -> list[Stretch]:
    """The stretches of a source of so many frames on which rungs are tried: all of it where it is short.

    seconds: of the budget, or None. by_vmaf: whether their VMAF will be measured.
    """
    most = min(MOST_PIXELS, PIXELS_A_SECOND * (60 if seconds is None else seconds)) * (BY_VMAF if by_vmaf else 1)
    count = max(24, int(most / (width * height)))
    if frames <= 1.25 * count:
        return [Stretch(0, frames)]
    parts = min(STRETCHES, max(1, count // 30))
    each = count // parts
    return [Stretch((2 * part + 1) * frames // (2 * parts) - each // 2, each) for part in range(parts)]


def sidecar_bytes(recipe: Recipe, lr_bytes: float, segments: int, frames: int, header: sidecar.Sidecar,
                  maps: bool) -> float:
    """Bytes of the sidecar of a film, foretold: nets of the shape that so many bytes of lr video get, and their maps.

    More nets than one pay seldom (docs/rates.md), unless the recipe says how many. A recipe without nets has none.
    maps: False leaves out maps: mode auto takes them only where they pay for themselves.
    """
    empty = len(sidecar.write(sidecar.of_nets(header, [])))
    if recipe.plain:
        return empty
    channels = recipe.shaped(lr_bytes / segments, header.net_scale).channels
    net = new_net(channels, header.net_scale, np.random.default_rng(0))
    nets = 1 if recipe.one_net or recipe.mode == "auto" else recipe.chunks or 1
    bits = 0.0 if recipe.one_net or not maps else MAP_BITS * frames * header.rows * header.columns
    return empty + segments * nets * net.nbytes + bits / 8


class Rungs:
    """The rungs of one film, each measured once."""

    def __init__(self, info: VideoInfo, header: Callable[[Fraction], sidecar.Sidecar], frames: int, segments: int,
                 codec: str, recipe: Recipe, stretches: Sequence[Stretch], threads: int, folder: Path,
                 by_vmaf: bool = False, tell: Callable[[Fraction, float], None] = lambda scale, crf: None):
        """header: gives the sizes at a scale. frames, segments: of the film. folder: takes what is coded, and keeps it.

        by_vmaf: whether quality is VMAF. tell: is called before each rung.
        """
        self._info, self._header, self._frames, self._segments = info, header, frames, segments
        self._codec, self._recipe = codec, recipe
        self._stretches, self._threads, self._folder, self._tell = stretches, threads, folder, tell
        self._by_vmaf = by_vmaf
        self._found: dict[tuple[Fraction, float, int], Rung] = {}
        self._known: dict[tuple[int, bool], float] = {}  # quality of a rung by its number, with nets and without
        self._nets: dict[tuple, Net] = {}  # the latest of each scale and shape
        self._chroma_nets: dict[Fraction, Net] = {}  # the same for chroma

    def __call__(self, scale: Fraction, crf: float, finer: int = 0) -> Rung:
        """The rung of a scale and crf. Raises VideoError where the source ends before all stretches.

        finer: steps by which chroma is coded finer, see `encode_part`; of these `tell` hears the first only.
        """
        if (scale, crf, finer) not in self._found:
            if not any(known[:2] == (scale, crf) for known in self._found):
                self._tell(scale, crf)
            self._found[scale, crf, finer] = self._coded(scale, crf, finer)
        return self._found[scale, crf, finer]

    def _coded(self, scale, crf, finer) -> Rung:
        number, keys, others, parts = len(self._found), [], [], []
        for index, stretch in enumerate(self._stretches):
            path = self._folder / f"rung-{number}-{index}.mp4"
            sums = encode_part(self._info, *stretch, path, scale, self._codec, crf, finer=finer)[:stretch.count]
            if not len(sums):
                continue  # the source is shorter than it says
            sizes = packet_sizes(path)
            keys.append(sizes[0])
            others.extend(sizes[1:])
            parts.append(Part(stretch.first, path, sums))
        if not parts:
            raise VideoError(f"{self._info.path}: ends before frame {self._stretches[0].first}; the file is damaged")
        lr_bytes, header = self._whole_bytes(keys, others), self._header(scale)
        beside = sidecar_bytes(self._recipe, lr_bytes, self._segments, self._frames, header,
                               maps=self._recipe.mode != "auto")
        base = cache(partial(base_planes, self._info, header, parts, self._threads))
        return Rung(scale, crf, lr_bytes, beside, partial(self._quality, number, header, scale, parts, lr_bytes, base),
                    base, cache(partial(self._chroma, number, header, scale, parts, lr_bytes)))

    def _whole_bytes(self, keys, others) -> float:
        """The bytes of the film's lr video, from those of the first and the other packets of the stretches."""
        if len(self._stretches) == 1 and len(others) + 1 >= self._frames:
            return float(keys[0] + sum(others))
        count = max(self._segments, math.ceil(self._frames / KEYFRAMES))
        return count * float(np.mean(keys)) + (self._frames - count) * float(np.mean(others or keys))

    def _quality(self, number, header, scale, parts, lr_bytes, base, nets) -> float:
        if (number, nets) in self._known:
            return self._known[number, nets]
        if nets:
            found = self._trained(number, header, scale, parts, lr_bytes)
        else:
            found = {False: base_vmaf(self._info, header, parts, self._threads) if self._by_vmaf else float(base()[0])}
        self._known.update({(number, nets): quality for nets, quality in found.items()})
        return self._known[number, nets]

    def _trained(self, number, header, scale, parts, lr_bytes) -> dict[bool, float]:
        """Quality with a net, and without where that is known by the way."""
        rng = generator(self._recipe.seed, PROBE, number)
        channels = self._recipe.shaped(lr_bytes / self._segments, header.net_scale).channels
        before = self._nets.get((scale, channels))
        net = before or new_net(channels, header.net_scale, rng)
        sampled = [self._sample(header, net.halo, part, rng) for part in parts]
        whole = merged(sampled) if len(sampled) > 1 else sampled[0]
        # So short a run learns small residuals more surely at half the rate: with it no seed ends near the base.
        net = train(net, whole.pool.weighing(1 / whole.probability), Budget(steps=MORE_STEPS if before else STEPS), rng,
                    PEAK_RATE / 2, self._threads)
        self._nets[scale, channels] = net
        # As it plays: at 44 dB the rounding of its pixels, of 1/12, takes two thirds of what the float net gains.
        with threadpool_limits(1, "blas"):  # the sums of calibration depend on the number of threads
            shown = [calibrated(net, whole.pool, self._threads)]
        if self._by_vmaf:
            return {True: base_vmaf(self._info, header, parts, self._threads, shown)}
        frames = [len(part.checksums) for part in parts]
        base_error = float(np.average([one.mean_error for one in sampled], weights=frames))
        return {False: float(psnr(max(base_error, 1e-9), 1)),
                True: base_psnr(self._info, header, parts, self._threads, shown)}

    def _chroma(self, number, header, scale, parts, lr_bytes) -> np.ndarray:
        """What a net for chroma that trained a little adds, in dB of U and V; nothing where it would not pay."""
        if self._recipe.plain:
            return np.zeros(2)
        rng, most = generator(self._recipe.seed, PROBE_CHROMA, number), -(-FRAMES // len(parts))
        memory = int(MEMORY * self._recipe.memory) // len(parts)

        def passed(part, through):
            def on(road):
                made = through(len(part.checksums))
                for _ in made.of(_pairs(self._info, part, road)):
                    pass
                return made

            return on_any_road(on, self._info, part.first)

        pool = joined([passed(part, lambda frames: Gatherer(header, frames, memory, rng, most)).pool()
                       for part in parts])
        if pool is None:
            return np.zeros(2)
        before = self._chroma_nets.get(scale)
        net = train(before or new_chroma_net(CHANNELS, header.net_scale, rng), pool,
                    Budget(steps=MORE_STEPS if before else STEPS), rng, threads=self._threads)
        self._chroma_nets[scale] = net
        price = Price(int(lr_bytes / self._segments), 1, 1, self._recipe.db_per_log or DB_PER_LOG)
        with threadpool_limits(1, "blas"):
            whole = whole_numbers(net, pool, price, rng, self._threads)
        judges = [passed(part, lambda frames: Judge(header, whole, frames, most)) for part in parts]
        judges[0].errors = sum(judge.errors for judge in judges)
        return judges[0].gain() if judges[0].paying(price) else np.zeros(2)

    def _sample(self, header, halo, part, rng) -> Sampled:
        size = capacity(self._recipe.memory // len(self._stretches), header.net_side, halo, header.net_scale)

        def on(road):
            return sample(_pairs(self._info, part, road), header, halo, size, rng, self._threads)

        return on_any_road(on, self._info, part.first)


def base_psnr(info: VideoInfo, header: sidecar.Sidecar, parts: Iterable[Part], threads: int = 1,
              nets: Sequence[sidecar.Net] = ()) -> float:
    """PSNR of luma in dB of an lr video, coded in parts, under the base alone, or the one net of `nets` everywhere."""
    upscaler, error, frames = Upscaler(sidecar.write(sidecar.of_nets(header, list(nets)))), 0, 0
    with ThreadPoolExecutor(threads) as executor:
        for part in parts:
            def errors(road, part=part):
                return sum(int(patch_errors(upscaler, 0, lr.y, hr.y, executor, threads)[len(nets)].sum())
                           for lr, hr in _pairs(info, part, road))

            error, frames = error + on_any_road(errors, info, part.first), frames + len(part.checksums)
    return float(psnr(max(error, 1), frames * info.width * info.height))


def base_vmaf(info: VideoInfo, header: sidecar.Sidecar, parts: Iterable[Part], threads: int = 1,
              nets: Sequence[sidecar.Net] = ()) -> float:
    """VMAF of an lr video, coded in parts, under the base alone, or under the one net of `nets` everywhere."""
    upscaler = Upscaler(sidecar.write(sidecar.of_nets(header, list(nets))))
    labels, total, frames = np.full((header.rows, header.columns), len(nets), np.uint8), 0.0, 0
    with ThreadPoolExecutor(threads) as executor:
        for part in parts:
            def of_part(road, part=part):
                shown = ((upscaler.upscale(0, labels, lr, executor=executor, threads=threads), hr)
                         for lr, hr in _pairs(info, part, road))
                return vmaf(info, shown, threads)

            count = len(part.checksums)
            total, frames = total + count * on_any_road(of_part, info, part.first), frames + count
    return total / frames


def base_planes(info: VideoInfo, header: sidecar.Sidecar, parts: Iterable[Part], threads: int = 1) -> np.ndarray:
    """PSNR of Y, U and V in dB of an lr video, coded in parts, under the base alone; float64 (3,)."""
    upscaler = Upscaler(sidecar.write(sidecar.of_nets(header, [])))
    labels, error, frames = np.zeros((header.rows, header.columns), np.uint8), np.zeros(3), 0
    with ThreadPoolExecutor(threads) as executor:
        for part in parts:
            def errors(road, part=part):
                found = np.zeros(3)
                for lr, hr in _pairs(info, part, road):
                    shown = upscaler.upscale(0, labels, lr, executor=executor, threads=threads)
                    found += [squared_errors(truth, plane, max(truth.shape), (1, 1))[0, 0]
                              for truth, plane in zip(hr, shown, strict=True)]
                return found

            error, frames = error + on_any_road(errors, info, part.first), frames + len(part.checksums)
    luma, chroma = info.width * info.height, (info.width + 1) // 2 * ((info.height + 1) // 2)
    return psnr(np.maximum(error, 1), frames * np.array([luma, chroma, chroma]))


def _pairs(info, part, road) -> Pairs:
    """The frames of a part, the first where it is cut short, and those of the source that it was made of."""
    count = len(part.checksums)
    source = read_source(info, part.first, count, road, part.checksums)
    return pairs(read_lr(probe(part.path), 0, count), source, str(info.path), count, part.first)
