"""What the step from float to integer costs: nets trained on a clip, then both kinds shown over every frame of it.

    python -m bench quantise CLIP [--scale 4] [--seconds 60 | --steps N] [--nets K] [--json FILE]

Each patch has the net that serves it best, or the base; several nets are refined as `stdo encode --mode stdo` does.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from stdo_min.algorithm.chunk import kmeans
from stdo_min.algorithm.frames import frame_pairs
from stdo_min.algorithm.general import WARM_UP_REFINED
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.refine import Chunks, least_errors, refine
from stdo_min.algorithm.sample import capacity, sample, sampling
from stdo_min.commands.training import sizes
from stdo_min.engine.budget import Budget
from stdo_min.engine.gradients import residual
from stdo_min.engine.net import new_net
from stdo_min.engine.quantise import quantise
from stdo_min.engine.train import train
from stdo_min.format import sidecar
from stdo_min.format.base import base, to_pixels
from stdo_min.format.library import Upscaler
from stdo_min.format.psnr import psnr, squared_errors
from stdo_min.video.lr_video import encode_lr, lr_size
from stdo_min.video.probe import probe


def measure(clip: Path, scale: int, budget: Budget, channels: tuple[int, ...], patch: int, seed: int,
            count: int = 1) -> dict:
    """Luma PSNR in dB over all frames of the base, of `count` float nets (rounded to 8 bits) and of the same in C."""
    rng = np.random.default_rng(seed)
    info = probe(clip)
    net = new_net(channels, scale, rng)
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1, "blas"):
        encode_lr(info, Path(folder) / "lr.mkv", scale, lossless=True)
        lr_info = probe(Path(folder) / "lr.mkv")
        header = sizes(scale, 1, patch, lr_size(info.width, info.height, scale), info)
        grid = header.rows, header.columns
        size = capacity(512 << 20, patch, net.halo, scale)
        sampled = sample(frame_pairs(lr_info, info), header, net.halo, size, rng, 2)
        pool = sampled.pool
        trained, members = _trained(net, sampled, budget, rng, count)
        whole = [quantise(one, pool.lr[mine[np.linspace(0, len(mine) - 1, min(len(mine), 512)).astype(int)]])
                 for one, mine in zip(trained, members, strict=True)]
        upscaler = _upscaler(whole, lr_info, info, scale, patch)
        errors, pixels = np.zeros(3), 0
        with closing(frame_pairs(lr_info, info)) as pairs:
            for lr, hr in pairs:
                plain_base, padded = base(lr.y, scale), np.pad(lr.y, net.halo, "edge")[None]
                floats = [np.clip(np.rint((plain_base - 32) / 64 + residual(one, padded)[0]), 0, 255).astype(np.uint8)
                          for one in trained]
                shown = [upscaler.upscale(0, np.full(grid, number, np.uint8), lr)[0].copy()
                         for number in range(1, count + 1)]
                truth = hr.y[:info.height, :info.width]
                plain, *found = [squared_errors(truth, plane[:info.height, :info.width].copy(), patch * scale, grid)
                                 for plane in (to_pixels(plain_base), *floats, *shown)]
                errors += [plain.sum(), np.min([plain, *found[:count]], axis=0).sum(),
                           np.min([plain, *found[count:]], axis=0).sum()]
                pixels += truth.size
    plain, exact, integer = (float(psnr(error, pixels)) for error in errors)
    return {"clip": clip.name, "scale": scale, "nets": count, "base": plain, "float": exact, "integer": integer,
            "lost": exact - integer}


def _trained(net, sampled, budget, rng, count):
    """Nets, and the patches of the pool that each is for."""
    pool, everything = sampled.pool, np.arange(len(sampled.pool))
    warm_up = budget.part(1 if count == 1 else WARM_UP_REFINED)
    general = train(net, pool.weighing(sampling(sampled.base_errors) / sampled.probability), warm_up, rng, threads=2)
    if count == 1:
        return [general], [everything]
    error = least_errors((general,), pool, np.full(len(pool), np.inf), everything, 2)
    labels, _ = kmeans(psnr(np.maximum(error, 1e-4), 1), count)
    chunks = Chunks.of(general, labels, error)
    chunks = refine(chunks, sampled, Recipe.refine, budget.part(1 - WARM_UP_REFINED), rng, threads=2)
    members = [np.flatnonzero(chunks.member == number) for number in range(1, count + 1)]
    return chunks.nets, [mine if len(mine) else everything for mine in members]


def _upscaler(whole, lr_info, info, scale, patch) -> Upscaler:
    header = sidecar.Sidecar(scale, 1, patch, 1, lr_info.width, lr_info.height, info.width, info.height, ())
    return Upscaler(sidecar.write(sidecar.of_nets(header, whole)))


def main(argv: list[str]) -> int:
    """Measure each clip named, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench quantise", description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--scale", type=int, choices=(1, 2, 3, 4), default=4)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--net", type=lambda text: tuple(map(int, text.split(","))), default=(16, 16))
    parser.add_argument("--nets", type=int, default=1)
    parser.add_argument("--patch", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    a = parser.parse_args(argv)
    budget = Budget(steps=a.steps) if a.steps else Budget(seconds=a.seconds)
    rows = []
    print(f"{'clip':24} scale     base    float  integer     lost   (luma PSNR, dB)")
    for clip in a.clips:
        row = measure(clip, a.scale, budget, a.net, a.patch, a.seed, a.nets)
        rows.append(row)
        print(f"{row['clip']:24} {row['scale']:5} {row['base']:8.3f} {row['float']:8.3f} {row['integer']:8.3f} "
              f"{row['lost']:8.3f}", flush=True)
    if a.json:
        a.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0
