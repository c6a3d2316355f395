"""A net for U and V: the patches that it learns from, its training, and whether it pays.

It reads U, V and the mean luma of each of their samples, which knows best where the edges of chroma are
(docs/chroma.md), and serves both planes everywhere. A segment has one or none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from stdo_min.algorithm import patches
from stdo_min.algorithm.fitted import calibration
from stdo_min.algorithm.frames import Pairs
from stdo_min.algorithm.price import Price
from stdo_min.algorithm.sample import sampling
from stdo_min.engine.budget import Budget
from stdo_min.engine.net import new_chroma_net
from stdo_min.engine.pool import Pool
from stdo_min.engine.quantise import Worth, quantise_layers, sample_layers
from stdo_min.engine.sensitivity import sensitivity
from stdo_min.engine.shuffle import unshuffle
from stdo_min.engine.train import Stepper, train
from stdo_min.format import netcode, sidecar
from stdo_min.format.base import base, upscale
from stdo_min.format.library import Upscaler
from stdo_min.format.psnr import psnr, squared_errors
from stdo_min.format.reference import mean_luma
from stdo_min.video.read import Frame

CHANNELS, HALO = (4,), 2  # of its hidden layer; net pixels that two kernels of 3x3 read around a patch
PATCH = 20  # net pixels of chroma
FRAMES = 48  # of a segment, that it learns from and is judged on
SHARE, STEPS, SECONDS = 0.1, 1500, 0.5  # of the budget; at most where that is in steps, at least where in seconds
MEMORY = 0.25  # of that for luma's patches
WEIGHTS = 6 + 1 + 1  # of dB of Y, U and V (JVET)


class Gatherer:
    """Cuts patches of chroma out of frames that pass, the harder the more often, for a pool of so many bytes."""

    def __init__(self, header: sidecar.Sidecar, frames: int, memory: int, rng: np.random.Generator, most: int = FRAMES):
        """header: gives the sizes. frames: that will pass, about. most: of them that patches are cut out of."""
        scale = header.net_scale
        size = max(64, memory // (3 * (PATCH + 2 * HALO) ** 2 + 4 * (PATCH * scale) ** 2))
        self._header, self._rng, self._every = header, rng, -(-frames // most)
        self._each = -(-size // min(frames, most))
        self._lr, self._residual = [], []

    def of(self, frames: Pairs) -> Pairs:
        """The same frames."""
        for index, (lr, hr) in enumerate(frames):
            if index % self._every == 0:
                self._cut(lr, hr)
            yield lr, hr

    def pool(self) -> Pool | None:
        """Patches of U, V and mean luma with the residuals of U and V; None where chroma is smaller than a patch."""
        if not self._lr:
            return None
        lr, residual = np.concatenate(self._lr), np.concatenate(self._residual)
        return Pool(lr, residual, np.ones(len(lr)))

    def _cut(self, lr: Frame, hr: Frame) -> None:
        scale, left, net_scale = self._header.scale, bool(self._header.chroma), self._header.net_scale
        seen = [lr.u, lr.v, mean_luma(lr.y)]
        lacking = [_lacking(low, high, scale, left) for low, high in ((lr.u, hr.u), (lr.v, hr.v))]
        if net_scale != scale:
            seen = [upscale(plane, scale, left) for plane in seen]
        height, width = seen[0].shape
        if min(height, width) < PATCH:
            return
        ys, xs = patches.grid(height, width, PATCH)
        ys, xs = np.minimum(ys, height - PATCH), np.minimum(xs, width - PATCH)
        side = PATCH * net_scale
        errors = sum(np.mean(np.square(patches.cut(plane, ys * net_scale, xs * net_scale, side) / np.float32(64)),
                             axis=(1, 2)) for plane in lacking) / 2
        weight = sampling(errors)
        chosen = self._rng.choice(len(ys), min(self._each, len(ys)), replace=False, p=weight / weight.sum())
        ys, xs = ys[chosen], xs[chosen]
        self._lr.append(np.stack([patches.cut(plane, ys, xs, PATCH, HALO) for plane in seen], -1))
        self._residual.append(np.concatenate(
            [unshuffle(patches.cut(plane, ys * net_scale, xs * net_scale, side), net_scale) for plane in lacking], -1))


def joined(pools: Sequence[Pool | None]) -> Pool | None:
    """The pools of several stretches as one; None where one of them is."""
    if any(pool is None for pool in pools):
        return None
    return Pool(*(np.concatenate([getattr(pool, name) for pool in pools]) for name in ("lr", "residual", "weight")))


def train_chroma(pool: Pool | None, net_scale: int, budget: Budget, price: Price, rng: np.random.Generator,
                 threads: int = 1) -> sidecar.Net | None:
    """The integer net for a segment's chroma, trained for a share of its budget.

    None without patches or steps, or where seconds would hardly do for making its numbers whole.
    """
    part = budget.part(SHARE) if budget.steps is None else budget.part(SHARE).at_most(Budget(steps=STEPS))
    if pool is None or part.steps == 0 or (part.seconds is not None and part.seconds < SECONDS):
        return None
    net = train(new_chroma_net(CHANNELS, net_scale, rng), pool, part, rng, threads=threads)
    with threadpool_limits(1, "blas"):  # the sums of calibration depend on the number of threads
        return whole_numbers(net, pool, price, rng, threads)


def whole_numbers(net, pool: Pool, price: Price, rng: np.random.Generator, threads: int) -> sidecar.Net:
    """The integer net, its steps as coarse as pays."""
    with Stepper(pool, 1) as stepper:
        found = sensitivity(net, stepper, pool.weight, rng)
        index = np.sort(rng.permutation(len(pool))[:256])
        error = max(float(stepper.errors(net, index).mean()), 1e-9)
    # A bit is worth the dB of all planes, here of two that share a net.
    bit = error * math.log(10) / 10 * WEIGHTS * price.db_per_log / (8 * max(price.lr_bytes, 1)) / 2
    worth = Worth(found, 2.0 ** (round(4 * math.log2(bit)) / 4))
    seen = np.ascontiguousarray(np.moveaxis(calibration(pool), 3, 0))
    return quantise_layers(sample_layers(net), seen, threads, worth.steps())


@dataclass(eq=False)
class Judge:
    """Squared errors of U and V with a net and without, of `most` of the frames that pass.

    errors: int64 (2, 2), without and with the net, of U and V.
    """

    header: sidecar.Sidecar
    net: sidecar.Net | None
    frames: int
    most: int = FRAMES

    def __post_init__(self):
        self.errors = np.zeros((2, 2), np.int64)
        alone = sidecar.of_nets(self.header, [])
        with_net = sidecar.of_nets(self.header, [], self.net)
        self._upscalers = [Upscaler(sidecar.write(one)) for one in (alone, with_net)] if self.net else []
        self._labels = np.zeros((self.header.rows, self.header.columns), np.uint8)

    def of(self, frames: Pairs) -> Pairs:
        """The same frames."""
        for index, (lr, hr) in enumerate(frames):
            if index % -(-self.frames // self.most) == 0:
                for errors, upscaler in zip(self.errors, self._upscalers, strict=False):
                    _, *shown = upscaler.upscale(0, self._labels, lr)
                    errors += [squared_errors(truth, plane, max(truth.shape), (1, 1))[0, 0]
                               for truth, plane in zip(hr[1:], shown, strict=True)]
            yield lr, hr

    def gain(self) -> np.ndarray:
        """What the net adds, in dB of U and V."""
        before, after = psnr(np.maximum(self.errors, 1), 1)
        return after - before

    def paying(self, price: Price) -> sidecar.Net | None:
        """The net, where it is worth its bytes at weights of 6:1:1; otherwise None."""
        if self.net is None:
            return None
        # Its bytes, and about one that names it.
        cost = WEIGHTS * price.db_per_log * (len(netcode.encode(self.net)) + 2) / max(price.lr_bytes, 1)
        return self.net if self.gain().sum() > cost else None


def _lacking(low, high, scale, left) -> np.ndarray:
    """What the base lacks of a plane, int16, in 64ths of a grey level."""
    under = base(low, scale, left)
    beyond = [(0, more - there) for more, there in zip(under.shape, high.shape, strict=True)]
    return np.pad(high, beyond, "edge").astype(np.int16) * 64 + 32 - under.astype(np.int16)
