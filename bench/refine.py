"""What refinement gives in a number of steps on a clip, by the number of nets and rounds and the share of the warm-up.

    python -m bench refine CLIP... [--scale 4] [--steps 10000] [--seeds 0,1] [--json FILE]

A general net warms up on all patches of the clip, k-means cuts their scores, and the chunks' nets are refined, as `stdo
encode --mode stdo` does; with 0 rounds no patch moves before the end. PSNR is that of float nets, each patch under the
best of them and the base. Processes of one thread run side by side: nothing here depends on the clock.
"""

from __future__ import annotations

import numpy as np

from bench._variants import compare
from stdo_min.algorithm.chunk import kmeans
from stdo_min.algorithm.general import WARM_UP_REFINED
from stdo_min.algorithm.refine import Chunks, least_errors, refine
from stdo_min.algorithm.sample import Sampled, sampling
from stdo_min.engine.budget import Budget
from stdo_min.engine.net import new_net
from stdo_min.engine.pool import Pool
from stdo_min.engine.train import train
from stdo_min.format.psnr import psnr

VARIANTS = {  # nets, rounds, share of the steps that the warm-up takes
    "4 nets, 64 rounds": (4, 64, WARM_UP_REFINED),
    "0 rounds": (4, 0, WARM_UP_REFINED),
    "1 round": (4, 1, WARM_UP_REFINED),
    "4 rounds": (4, 4, WARM_UP_REFINED),
    "16 rounds": (4, 16, WARM_UP_REFINED),
    "256 rounds": (4, 256, WARM_UP_REFINED),
    "1 net": (1, 64, WARM_UP_REFINED),
    "2 nets": (2, 64, WARM_UP_REFINED),
    "8 nets": (8, 64, WARM_UP_REFINED),
    "16 nets": (16, 64, WARM_UP_REFINED),
    "warm-up 10 %": (4, 64, 0.1),
    "warm-up 45 %": (4, 64, 0.45),
}


def refined_error(variant: tuple[int, int, float], pool: Pool, base_errors: np.ndarray, scale: int, seed: int,
                  steps: int) -> float:
    """The mean squared error of refined nets over all patches of a pool, each under the best or the base."""
    count, rounds, share = variant
    rng = np.random.default_rng(seed)
    everything = np.arange(len(pool))
    warm_up = Budget(steps=round(steps * share))
    general = train(new_net((16, 16), scale, rng), pool.weighing(sampling(base_errors)), warm_up, rng)
    error = least_errors((general,), pool, np.full(len(pool), np.inf), everything, 1)
    labels, _ = kmeans(psnr(np.maximum(error, 1e-4), 1), count)
    sampled = Sampled(pool, np.ones(len(pool)), base_errors)
    chunks = refine(Chunks.of(general, labels, error), sampled, rounds,
                               Budget(steps=steps - warm_up.steps), rng)
    return float(least_errors(chunks.nets, pool, base_errors, everything, 1).mean())


def main(argv: list[str]) -> int:
    """Train every variant, print a table, and write JSON where asked."""
    return compare("refine", __doc__, VARIANTS, refined_error, argv)
