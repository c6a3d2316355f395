"""What gives most in a number of steps: variants of the recipe, one net each, on the patches of a clip.

    python -m bench recipe CLIP... [--scale 4] [--steps 10000] [--seeds 0,1] [--only "base;l2;..."] [--json FILE]

Every variant trains one float net on all patches of the clip, for so many steps of 32 patches (variants of another
batch or net for as many products). Its luma PSNR is that of the residual over all patches. Nets train side by
side in processes of one thread: nothing here depends on the clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench._variants import HALO, compare
from stdo_min.algorithm.sample import EXPONENT
from stdo_min.engine.net import Net, new_net
from stdo_min.engine.optimiser import Adam, learning_rate
from stdo_min.engine.pool import Pool
from stdo_min.engine.train import PEAK_RATE, Stepper


@dataclass(frozen=True)
class Variant:
    """How to train; the defaults are what `stdo encode` does."""

    loss: str = "l2"
    late: str = "l2"  # the loss from `late_from` of the run on
    late_from: float = 0.4
    exponent: float = EXPONENT  # patches are drawn by error^exponent
    peak: float = PEAK_RATE
    floor: float = 0.002
    batch: int = 32
    beta2: float = 0.99
    channels: tuple[int, ...] = (16, 16)
    first_kernel: int = 5
    biases: bool = True
    average: float = 0.0  # share of the run, at its end, over which weights are averaged
    expand: int = 0  # channels inside linear blocks that are collapsed every step


VARIANTS = {
    "base": Variant(),
    "l1": Variant(loss="l1", late="l1"),
    "charbonnier": Variant(loss="charbonnier", late="charbonnier"),
    "l1, l2 for the last 60 %": Variant(loss="l1"),
    "l1, l2 for the last 30 %": Variant(loss="l1", late_from=0.7),
    "l1, l2 for the last 10 %": Variant(loss="l1", late_from=0.9),
    "drawn uniformly": Variant(exponent=0.0),
    "drawn by error^0.25": Variant(exponent=0.25),
    "drawn by error^0.5": Variant(exponent=0.5),
    "drawn by error": Variant(exponent=1.0),
    "peak 2e-3": Variant(peak=2e-3),
    "peak 4e-3": Variant(peak=4e-3),
    "peak 6e-3": Variant(peak=6e-3),
    "peak 1.5e-2": Variant(peak=1.5e-2),
    "peak 2.5e-2": Variant(peak=2.5e-2),
    "batch 16": Variant(batch=16),
    "batch 64": Variant(batch=64),
    "beta2 0.999": Variant(beta2=0.999),
    "first kernel 3": Variant(first_kernel=3),
    "first kernel 3, 17 channels": Variant(first_kernel=3, channels=(17, 16)),
    "12,12,12": Variant(channels=(12, 12, 12), first_kernel=3),
    "32,8": Variant(channels=(32, 8)),
    "8,24": Variant(channels=(8, 24)),
    "no biases": Variant(biases=False),
    "weights averaged over the last 10 %": Variant(average=0.1),
    "weights averaged over the last 30 %": Variant(average=0.3),
    "linear blocks of 64": Variant(expand=64),
}


class Linear:
    """SESR's linear blocks: W = B A + R. A (expand, in, k, k) and B (out, expand) are trained; R stays."""

    def __init__(self, weight, expand, rng):
        self.weight, (out, inputs, k, _) = weight, weight.shape
        self.a = (rng.standard_normal((expand, inputs * k * k)) * np.sqrt(1 / (inputs * k * k))).astype(np.float32)
        self.b = (rng.standard_normal((out, expand)) * np.sqrt(1 / expand)).astype(np.float32)
        self.rest = weight.reshape(out, -1) - self.b @ self.a  # so that it starts as the plain net does
        self.parameters = [self.a, self.b]

    def gradients(self, gradient):
        flat = gradient.reshape(len(gradient), -1)
        return [self.b.T @ flat, flat @ self.a.T]

    def collapse(self):
        self.weight[:] = (self.b @ self.a + self.rest).reshape(self.weight.shape)


def trained_error(variant: Variant, pool: Pool, base_errors: np.ndarray, scale: int, seed: int, steps: int) -> float:
    """The mean squared error of a net over all patches of a pool, after training on it."""
    rng = np.random.default_rng(seed)
    net = new_net(variant.channels, scale, rng, variant.first_kernel)
    cut = HALO - net.halo
    if cut:
        pool = replace(pool, lr=np.ascontiguousarray(pool.lr[:, cut:-cut, cut:-cut]))
    drawn = np.cumsum((base_errors + 0.05) ** variant.exponent)
    products = sum(w.size for w in new_net((16, 16), scale, rng).weights) / sum(w.size for w in net.weights)
    steps = round(steps * 32 / variant.batch * products)
    average, averaged = None, 0
    with Stepper(pool, 1) as stepper:
        blocks = [Linear(w, variant.expand, rng) for w in net.weights] if variant.expand else []
        parameters = [p for block in blocks for p in block.parameters] + (net.biases if blocks else net.parameters)
        adam = Adam(parameters, beta2=variant.beta2)
        for step in range(steps):
            done = step / steps
            index = np.sort(np.minimum(np.searchsorted(drawn, rng.random(variant.batch) * drawn[-1]), len(pool) - 1))
            loss = variant.late if done >= variant.late_from else variant.loss
            _, gradients = stepper.gradients(net, index, loss)
            if not variant.biases:
                for gradient in gradients[1::2]:
                    gradient[:] = 0
            if blocks:
                gradients = [g for block, d in zip(blocks, gradients[::2], strict=True) for g in block.gradients(d)
                             ] + gradients[1::2]
            adam.step(gradients, learning_rate(done, variant.peak, floor=variant.floor))
            for block in blocks:
                block.collapse()
            if variant.average and done >= 1 - variant.average:
                averaged += 1
                average = [p.copy() if average is None else a + (p - a) / averaged
                           for p, a in zip(net.parameters, average or net.parameters, strict=True)]
        if average:
            net = Net(average[::2], average[1::2], scale)
        return float(stepper.errors(net, np.arange(len(pool))).mean())


def main(argv: list[str]) -> int:
    """Train every variant, print a table, and write JSON where asked."""
    return compare("recipe", __doc__, VARIANTS, trained_error, argv)
