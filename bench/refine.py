"""What refinement gives: nets, rounds, and shares of the warm-up, in a number of steps, on the patches of a clip.

    python -m bench refine CLIP... [--scale 4] [--steps 10000] [--seeds 0,1] [--json FILE]

A general net warms up on all patches of the clip, k-means cuts their scores, and the chunks' nets are refined, as `stdo
encode --mode stdo` does; rounds 0 is training without moves, but for nets and base to choose from at the end. PSNR is that
of float nets, each patch under the best. Processes of one thread run side by side: nothing here depends on the clock.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from bench.recipe import whole_pool
from stdo_min import chunking, nets, refinement, scoring
from stdo_min.effort import Effort
from stdo_min.overfit import WARM_UP_REFINED
from stdo_min.pool import sampling
from stdo_min.training import train

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


def refined_psnr(name: str, seed: int, steps: int) -> float:
    """Train nets on POOL; luma PSNR in dB over all its patches."""
    count, rounds, share = VARIANTS[name]
    rng = np.random.default_rng(seed)
    everything, ones = np.arange(len(POOL)), np.ones(len(POOL))
    warm_up = Effort(steps=round(steps * share))
    general = train(nets.create((16, 16), SCALE, rng), POOL.weighing(sampling(BASE_ERRORS)), warm_up, rng)
    error = refinement.least_errors((general,), POOL, np.full(len(POOL), np.inf), everything, 1)
    labels, _ = chunking.kmeans(scoring.psnr(np.maximum(error, 1e-4), 1), count)
    chunks = refinement.Chunks((general,) * count, labels.astype(int) + 1, error)
    chunks = refinement.refine(chunks, POOL, BASE_ERRORS, ones, rounds, Effort(steps=steps - warm_up.steps), rng)
    return float(scoring.psnr(refinement.least_errors(chunks.nets, POOL, BASE_ERRORS, everything, 1).mean(), 1))


def main(argv: list[str]) -> int:
    """Train every variant, print a table, and write JSON where asked."""
    global POOL, BASE_ERRORS, SCALE  # processes are forked from this one: they need not be sent a pool
    parser = argparse.ArgumentParser(prog="python -m bench refine", description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), default=4)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1])
    parser.add_argument("--only", type=lambda text: text.split(";"), default=list(VARIANTS),
                        help="variants, with semicolons between")
    parser.add_argument("--json", type=Path)
    a = parser.parse_args(argv)
    SCALE, rows = a.scale, []
    for clip in a.clips:
        POOL = whole_pool(clip, a.scale)
        BASE_ERRORS = POOL.base_errors()
        print(f"{clip.name}, x{a.scale}, {len(POOL)} patches, {a.steps} steps of 32: "
              f"base {scoring.psnr(BASE_ERRORS.mean(), 1):.3f} dB", flush=True)
        with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork")) as executor:
            waiting = {name: [executor.submit(refined_psnr, name, seed, a.steps) for seed in a.seeds] for name in a.only}
            first = None
            for name, tasks in waiting.items():
                found = [task.result() for task in tasks]
                first = first or found
                more = np.mean(found) - np.mean(first)
                print(f"{name:20} {' '.join(f'{value:7.3f}' for value in found)}  {more:+.3f}", flush=True)
                rows.append({"clip": clip.name, "variant": name, "psnr_y": found, "over_first": more})
        if a.json:
            a.json.write_text(json.dumps({"scale": a.scale, "steps": a.steps, "rows": rows}, indent=1) + "\n")
    return 0
