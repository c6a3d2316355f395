"""Training one net on one pool of patches, for a given time or number of steps.

`train` is a pure function of its arguments (but for the clock, where seconds are given), so chunks can be trained
side by side on any `concurrent.futures.Executor`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from stdo_min.engine.budget import Budget
from stdo_min.engine.convolution import Workspace
from stdo_min.engine.gradients import loss_and_gradients, squared_errors
from stdo_min.engine.net import Net
from stdo_min.engine.optimiser import Soap, learning_rate
from stdo_min.engine.pool import Pool
from stdo_min.engine.whiten import Whitening
from stdo_min.format.psnr import psnr

BATCH_PIXELS = 25_088  # net pixels, halo included: 32 patches of 20x20 with a halo of 4
SHARDS = 4  # parts of a batch that may run side by side; fixed, so the sum does not depend on the number of threads
PEAK_RATE = 1e-2
LOSS = "l2"  # what PSNR counts; the absolute error's best guess at a sparse residual is 0, so nets would learn nothing
PROBES, PROBE_PATCHES = 24, 96
DIVERGED = 4  # a net whose error is this many times what it was


class Stepper:
    """Trains and tries nets on one pool, with threads and a workspace for each."""

    def __init__(self, pool: Pool, threads: int):
        """threads: up to SHARDS are used, which changes the speed only."""
        self.pool = pool
        self.batch = max(SHARDS, BATCH_PIXELS // math.prod(pool.lr.shape[1:3]) // SHARDS * SHARDS)
        self.helpers = min(threads, SHARDS) - 1  # beside the thread that calls
        self.workspaces = [Workspace() for _ in range(self.helpers + 1)]
        self.shards = [[] for _ in range(SHARDS)]  # gradients, kept from step to step
        self.executor = ThreadPoolExecutor(max(1, self.helpers))

    def __enter__(self) -> Stepper:
        # Threads that BLAS starts for products as small as those of Soap wait busily, on the cores that train.
        self.blas = threadpool_limits(1, "blas")
        return self

    def __exit__(self, *_) -> None:
        self.blas.restore_original_limits()
        self.executor.shutdown()

    def draw(self, drawn: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """`count` patches drawn by weights whose running sum is `drawn`; sorted, so that they are read in order."""
        index = np.searchsorted(drawn, rng.random(count) * drawn[-1], side="right")
        return np.sort(np.minimum(index, len(drawn) - 1))

    def gradients(self, net: Net, index: np.ndarray, loss: str) -> tuple[float, list[np.ndarray]]:
        """The mean loss over the patches of the pool at `index`, int64 (N,), N a multiple of SHARDS, and its gradients.

        The gradients are valid until the next call.
        """
        parts, found = np.split(index, SHARDS), [0.0] * SHARDS
        if [kept.shape for kept in self.shards[0]] != [p.shape for p in net.parameters]:
            self.shards = [[np.empty_like(p) for p in net.parameters] for _ in range(SHARDS)]

        def shard(number, worker):
            found[number], gradients = loss_and_gradients(net, self.pool.lr, self.pool.residual, parts[number],
                                                          self.workspaces[worker], loss)
            for kept, gradient in zip(self.shards[number], gradients, strict=True):
                np.copyto(kept, gradient)

        self._each(SHARDS, shard)
        sums = self.shards[0]
        for others in self.shards[1:]:
            for total, gradient in zip(sums, others, strict=True):
                total += gradient
        for total in sums:
            total /= SHARDS
        return sum(found) / SHARDS, sums

    def errors(self, net: Net, index: np.ndarray) -> np.ndarray:
        """The mean squared error of each of the patches under a net, float64 (N,), in grey levels squared."""
        side = self.batch // SHARDS
        found = np.empty(len(index))

        def part(number, worker):
            at = slice(side * number, side * (number + 1))
            found[at] = squared_errors(net, self.pool.lr, self.pool.residual, index[at], self.workspaces[worker])

        self._each(-(-len(index) // side), part)
        return found

    def _each(self, count, work):
        """work(number, worker) for every number below count: whoever is free takes the next one."""
        waiting = iter(range(count))

        def take(worker):
            for number in waiting:
                work(number, worker)

        helpers = [self.executor.submit(take, worker) for worker in range(1, self.helpers + 1)]
        take(0)
        for helper in helpers:
            helper.result()


class Learner:
    """A net in training, with the optimiser's memory, the peak of its learning rate, and the latest sound weights."""

    def __init__(self, net: Net, whitening: Whitening, peak: float = PEAK_RATE):
        """whitening: of the pool's patches, for the net's first kernel."""
        self.whitening, self.peak, self.alive = whitening, peak, True
        # A last layer of zeros makes a net the base: it is new, and its first weights are mere random numbers.
        self.net = net.copy() if np.any(net.weights[-1]) else whitening.start(net)
        self._begin()
        self.keep()

    def step(self, stepper: Stepper, index: np.ndarray, done: float) -> None:
        """Train on a batch; `done`, 0..1, is how much of the run is over."""
        _, gradients = stepper.gradients(self.net, index, LOSS)
        # Where no gradient reaches the first layer, every channel of a later layer is off.
        self.alive = self.optimiser.steps == 0 or bool(np.any(gradients[0]))
        first = gradients[0].reshape(self.first.shape) @ self.whitening.matrix
        self.optimiser.step([first, *gradients[1:]], learning_rate(done, self.peak))
        self.net.weights[0][:] = self.whitening.pixels(self.first, self.net.weights[0].shape)

    def sound(self, error: float, before: float) -> bool:
        """Whether the net is alive and its error not far above what it was `before`."""
        return self.alive and bool(error < DIVERGED * before or error == 0)  # NaN fails both

    def keep(self) -> None:
        """Keep the weights as the latest that are sound."""
        self.kept = self.net.copy()

    def fall_back(self) -> None:
        """Go on from the latest sound weights, at half the learning rate."""
        self.peak /= 2
        self.restart(self.kept)

    def restart(self, net: Net) -> None:
        """Go on from the weights of another net, with the optimiser's memory empty."""
        self.net, self.alive = net.copy(), True
        self._begin()
        self.keep()

    def _begin(self):
        self.first = self.whitening.whitened(self.net.weights[0])
        self.optimiser = Soap([self.first, *self.net.parameters[1:]])


def train(net: Net, pool: Pool, budget: Budget, rng: np.random.Generator, peak: float = PEAK_RATE,
          threads: int = 1, progress: Callable[[float, float], None] | None = None) -> Net:
    """A net trained from `net` (left as it is) on the patches of `pool`: L2; Soap on whitened windows; warm-up, cosine.

    Batches of about 25,000 net pixels (32 patches by default) are drawn with the pool's weights; `threads` of 1 to 4
    change the speed only. Now and then the net is probed on a fixed sample of the pool; the best of the probed nets is
    returned. A net that diverged, or that died (no gradient reaches its first layer), goes on from the last that was
    sound at half the learning rate. progress(done, dB) is called after every step: done 0..1, dB the PSNR of the latest
    probe; what it raises ends the training. Raises ValueError for an empty pool.
    """
    drawable = np.flatnonzero(pool.weight)
    if len(drawable) == 0:
        raise ValueError("the pool holds no patch to train on")
    drawn = np.cumsum(pool.weight)
    sample = np.sort(rng.choice(drawable, min(PROBE_PATCHES, len(drawable)), replace=False))
    best = net
    step, next_probe, started = 0, 0, time.monotonic()
    done = budget.done(step, started)
    with Stepper(pool, threads) as stepper:
        learner = Learner(net, Whitening.of(pool.lr, net.weights[0].shape[2]), peak)
        least = probed = stepper.errors(net, sample).mean()
        while done < 1:
            learner.step(stepper, stepper.draw(drawn, stepper.batch, rng), done)
            step += 1
            done = budget.done(step, started)
            if done >= next_probe or done == 1:
                next_probe = (int(done * PROBES) + 1) / PROBES
                probed = stepper.errors(learner.net, sample).mean()
                if probed < least:
                    best, least = learner.net.copy(), probed
                if learner.sound(probed, least):
                    learner.keep()
                else:
                    learner.fall_back()
            if progress:
                progress(done, psnr(probed, 1))
    return best
