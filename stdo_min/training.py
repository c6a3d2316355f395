"""Training one net on one pool of patches, for a given time or number of steps.

`train` is a pure function of its arguments (but for the clock, where seconds are given), so chunks can be trained
side by side on any `concurrent.futures.Executor`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from stdo_min import nets
from stdo_min.effort import Effort
from stdo_min.optim import Adam, learning_rate
from stdo_min.pool import Pool
from stdo_min.scoring import psnr

BATCH_PIXELS = 25_000  # lr, halo included: 32 patches of 20x20 with a halo of 4
SHARDS = 4  # parts of a batch that may run side by side; fixed, so the sum does not depend on the number of threads
PEAK_RATE = 6e-3
PROBES, PROBE_PATCHES = 24, 96
DIVERGED = 4  # times the error of the best probe


class Stepper:
    """Steps of training of one net: the gradients of a batch, its shards side by side, then Adam."""

    def __init__(self, net: nets.Net, pool: Pool, threads: int):
        """`net` is changed in place. `threads` of 1 to SHARDS change the speed only."""
        self.net, self.pool, self.adam = net, pool, Adam(net.parameters)
        self.workspaces = [nets.Workspace() for _ in range(SHARDS)]
        self.helpers = min(threads, SHARDS) - 1  # beside the thread that calls
        self.executor = ThreadPoolExecutor(max(1, self.helpers))

    def __enter__(self) -> Stepper:
        return self

    def __exit__(self, *_) -> None:
        self.executor.shutdown()

    def gradients(self, index: np.ndarray, loss: str = "l1") -> tuple[float, list[np.ndarray]]:
        """The mean loss over the patches of the pool at `index`, int64 (N,), N a multiple of SHARDS, and its gradients.

        The gradients are valid until the next call.
        """
        parts, found, waiting = np.split(index, SHARDS), [None] * SHARDS, iter(range(SHARDS))

        def work():
            for shard in waiting:  # whoever is free takes the next one
                found[shard] = nets.loss_and_gradients(self.net, self.pool.lr, self.pool.residual, parts[shard],
                                                       self.workspaces[shard], loss)

        helpers = [self.executor.submit(work) for _ in range(self.helpers)]
        work()
        for helper in helpers:
            helper.result()
        self.latest = found[0][1]
        for _, more in found[1:]:
            for total, gradient in zip(self.latest, more, strict=True):
                total += gradient
        for total in self.latest:
            total /= SHARDS
        return sum(one for one, _ in found) / SHARDS, self.latest

    def step(self, index: np.ndarray, rate: float, loss: str = "l1") -> float:
        """Train on a batch; the mean loss before it."""
        found, gradients = self.gradients(index, loss)
        self.adam.step(gradients, rate)
        return found

    def lives(self) -> bool:
        """Whether the latest gradient reached the first layer; where it did not, all of a later layer is off."""
        return bool(np.any(self.latest[0]))

    def restart(self, net: nets.Net) -> None:
        """Go on from the weights of another net, with Adam's memory empty."""
        for p, other in zip(self.net.parameters, net.parameters, strict=True):
            p[:] = other
        self.adam = Adam(self.net.parameters)

    def squared_error(self, index: np.ndarray) -> float:
        """The mean squared error of the net on patches of the pool, in grey levels squared."""
        return float(np.mean(nets.squared_errors(self.net, self.pool.lr, self.pool.residual, index,
                                                 self.workspaces[0])))


def train(net: nets.Net, pool: Pool, effort: Effort, rng: np.random.Generator, peak: float = PEAK_RATE,
          threads: int = 1, progress: Callable[[float, float, float], None] | None = None) -> nets.Net:
    """A net trained from `net` (left as it is) on the patches of `pool`: L1, Adam, warm-up and cosine.

    Batches of about 25,000 lr pixels (32 patches by default) are drawn with the pool's weights; `threads` of 1 to 4
    change the speed only. Now and then the net is probed on a fixed sample of the pool; the best of the probed nets is
    returned. A net that diverged, or that died (no gradient reaches its first layer), goes on from the best that was
    alive at half the learning rate. progress(done, loss, dB) is called after every step: done 0..1, loss the mean
    absolute error of the latest batches in grey levels, dB the PSNR of the latest probe; what it raises ends the
    training. Raises ValueError for an empty pool.
    """
    drawable = np.flatnonzero(pool.weight)
    if len(drawable) == 0:
        raise ValueError("the pool holds no patch to train on")
    drawn = np.cumsum(pool.weight)
    size = max(SHARDS, BATCH_PIXELS // pool.lr[0].size // SHARDS * SHARDS)
    sample = np.sort(rng.choice(drawable, min(PROBE_PATCHES, len(drawable)), replace=False))
    best = lively = net
    loss, step, next_probe, done = None, 0, 1 / PROBES, 0.0
    started = time.monotonic()
    with Stepper(net.copy(), pool, threads) as stepper:
        least = probed = stepper.squared_error(sample)
        while done < 1:
            latest = stepper.step(_draw(drawn, size, rng), learning_rate(done, peak))
            step += 1
            loss = latest if loss is None else loss + 0.05 * (latest - loss)
            done = min(1.0, step / effort.steps if effort.steps else (time.monotonic() - started) / effort.seconds)
            if done >= next_probe or done == 1:
                next_probe = (int(done * PROBES) + 1) / PROBES
                probed, lives = stepper.squared_error(sample), step == 1 or stepper.lives()
                if probed < least:
                    best, least = stepper.net.copy(), probed
                    lively = best if lives else lively
                if not lives or not probed < DIVERGED * least:  # the latter also where it is not a number
                    peak /= 2
                    stepper.restart(lively)
            if progress:
                progress(done, loss, psnr(probed, 1))
    return best


def _draw(drawn, count, rng):
    """Patches drawn by their weights, of which `drawn` is the running sum; sorted, as neighbours are read faster."""
    index = np.searchsorted(drawn, rng.random(count) * drawn[-1], side="right")
    return np.sort(np.minimum(index, len(drawn) - 1))
