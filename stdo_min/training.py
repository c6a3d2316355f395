"""Training one net on one pool of patches, for a given time or number of steps.

`train` is a pure function of its arguments (but for the clock, where seconds are given), so chunks can be trained
side by side on any `concurrent.futures.Executor`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from stdo_min import nets
from stdo_min.optim import Adam, learning_rate
from stdo_min.pool import Pool
from stdo_min.scoring import psnr

BATCH_PIXELS = 25_000  # lr, halo included: 32 patches of 20x20 with a halo of 4
SHARDS = 2  # parts of a batch that may run side by side; fixed, so the sum does not depend on the number of threads
PEAK_RATE = 6e-3  # 8e-3 gained more than 4e-3 in short runs; this lies between, for fear of dead nets
PROBES, PROBE_BATCHES = 24, 3
DIVERGED = 4  # times the error of the best probe


@dataclass(frozen=True)
class Effort:
    """How long to train: `seconds` of wall-clock time, or `steps`, which can be repeated exactly."""

    seconds: float | None = None
    steps: int | None = None

    def __post_init__(self):
        if (self.seconds is None) == (self.steps is None) or (self.seconds or self.steps or 0) <= 0:
            raise ValueError(f"give seconds or steps, greater than 0, not seconds={self.seconds}, steps={self.steps}")

    def times(self, share: float) -> Effort:
        """A share of this effort."""
        return Effort(steps=max(1, round(self.steps * share))) if self.steps else Effort(seconds=self.seconds * share)


def train(net: nets.Net, pool: Pool, effort: Effort, rng: np.random.Generator, peak: float = PEAK_RATE,
          threads: int = 1, progress: Callable[[float, float, float], None] | None = None) -> nets.Net:
    """A net trained from `net` (left as it is) on the patches of `pool`: L1, Adam, warm-up and cosine.

    Batches of about 25,000 lr pixels (32 patches by default) are drawn with the pool's weights; `threads` of 1 or 2
    change the speed only. Now and then the net is probed on a fixed sample of the pool; the best of the probed nets is
    returned, and a net that diverged goes on from the best at half the learning rate. progress(done, loss, dB) is
    called after every step: done 0..1, loss the mean absolute error of the latest batches in grey levels, dB the PSNR
    of the latest probe; what it raises ends the training. Raises ValueError for an empty pool.
    """
    if len(pool) == 0:
        raise ValueError("the pool holds no patch to train on")
    drawn = np.cumsum(pool.weight)
    size = max(SHARDS, BATCH_PIXELS // pool.lr[0].size // SHARDS * SHARDS)
    sample = rng.choice(len(pool), min(PROBE_BATCHES * size, len(pool)), replace=False)
    best, net = net, net.copy()
    least = probed = _squared_error(best, pool, sample)
    adam, loss, step, next_probe, done = Adam(net.parameters), None, 0, 1 / PROBES, 0.0
    started = time.monotonic()
    with ThreadPoolExecutor(threads) as executor:
        while done < 1:
            # Sorted, because patches that lie together in memory are read faster.
            batch = np.sort(np.searchsorted(drawn, rng.random(size) * drawn[-1], side="right"))
            parts = np.split(np.minimum(batch, len(pool) - 1), SHARDS)
            tasks = [executor.submit(nets.loss_and_gradients, net, pool.lr[part], pool.residual[part])
                     for part in parts]
            losses, gradients = zip(*(task.result() for task in tasks), strict=True)
            adam.step([sum(shards) / SHARDS for shards in zip(*gradients, strict=True)], learning_rate(done, peak))
            step += 1
            latest = sum(losses) / SHARDS
            loss = latest if loss is None else loss + 0.05 * (latest - loss)
            done = min(1.0, step / effort.steps if effort.steps else (time.monotonic() - started) / effort.seconds)
            if done >= next_probe or done == 1:
                next_probe = (int(done * PROBES) + 1) / PROBES
                probed = _squared_error(net, pool, sample)
                if probed < least:
                    best, least = net.copy(), probed
                elif not probed < DIVERGED * least:  # also where it is not a number
                    net, peak = best.copy(), peak / 2
                    adam = Adam(net.parameters)
            if progress:
                progress(done, loss, psnr(probed, 1))
    return best


def _squared_error(net, pool, sample):
    """Mean squared error of the float net on some patches of the pool, in grey levels squared."""
    target = pool.residual[sample].astype(np.float32) * np.float32(1 / 64)
    return float(np.mean(np.square(nets.residual(net, pool.lr[sample]) - target)))
