"""What the step from float to integer costs: one net trained on a clip, then both played over every frame of it.

    python -m bench quantise CLIP [--scale 4] [--seconds 60 | --steps N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from stdo_min import nets, patchmap, resample, sidecar
from stdo_min.effort import Effort
from stdo_min.encode import frame_pairs
from stdo_min.kernels import Upscaler
from stdo_min.lrvideo import encode_lr, lr_size
from stdo_min.pool import capacity, choose, gather, sampling
from stdo_min.quantize import quantize
from stdo_min.scoring import psnr
from stdo_min.training import train
from stdo_min.video import probe


def measure(clip: Path, scale: int, effort: Effort, channels: tuple[int, ...], patch: int, seed: int) -> dict:
    """Luma PSNR in dB over all frames of the base, the float net (rounded to 8 bits) and the integer net in C."""
    rng = np.random.default_rng(seed)
    info = probe(clip)
    width, height = lr_size(info.width, info.height, scale)
    net = nets.create(channels, scale, rng)
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1, "blas"):
        frames = encode_lr(info, Path(folder) / "lr.mkv", scale, lossless=True)
        lr_info = probe(Path(folder) / "lr.mkv")
        grid = (frames, -(-height // patch), -(-width // patch))
        kept, _ = choose(np.ones(grid), capacity(512 << 20, patch, net.halo, scale), rng)
        with closing(frame_pairs(lr_info, info, scale)) as pairs:
            pool = gather(((lr.y, hr.y) for lr, hr in pairs), kept, patch, net.halo, scale)
        pool = pool.weighing(sampling(pool.base_errors()))
        net = train(net, pool, effort, rng, threads=2)
        whole = quantize(net, pool.lr[np.linspace(0, len(pool) - 1, min(len(pool), 512)).astype(int)])
        upscaler = _upscaler(whole, lr_info, info, scale, patch)
        errors, pixels = np.zeros(3), 0
        with closing(frame_pairs(lr_info, info, scale)) as pairs:
            for lr, hr in pairs:
                base = resample.base(lr.y, scale)
                residual = nets.residual(net, np.pad(lr.y, net.halo, "edge")[None])[0]
                exact = np.clip(np.rint((base - 32) / 64 + residual), 0, 255)
                shown = upscaler.upscale(0, np.ones(grid[1:], np.uint8), lr)[0]
                truth = hr.y[:info.height, :info.width].astype(np.float64)
                for index, plane in enumerate((resample.to_pixels(base), exact, shown)):
                    errors[index] += np.sum(np.square(plane[:info.height, :info.width] - truth))
                pixels += truth.size
    base, exact, integer = (float(psnr(error, pixels)) for error in errors)
    return {"clip": clip.name, "scale": scale, "base": base, "float": exact, "integer": integer,
            "lost": exact - integer}


def _upscaler(net, lr_info, info, scale, patch) -> Upscaler:
    header = sidecar.Sidecar(scale, 1, patch, 1, lr_info.width, lr_info.height, info.width, info.height, ())
    blank = patchmap.encode(np.zeros((1, header.rows, header.columns), np.uint8), 1)
    return Upscaler(sidecar.write(replace(header, segments=(sidecar.Segment(0, 1, 0, 0, (net,), blank),))))


def main(argv: list[str]) -> int:
    """Measure each clip named, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench quantise", description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--scale", type=int, choices=(1, 2, 3, 4), default=4)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--net", type=lambda text: tuple(map(int, text.split(","))), default=(16, 16))
    parser.add_argument("--patch", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    a = parser.parse_args(argv)
    effort = Effort(steps=a.steps) if a.steps else Effort(seconds=a.seconds)
    rows = []
    print(f"{'clip':24} scale     base    float  integer     lost   (luma PSNR, dB)")
    for clip in a.clips:
        row = measure(clip, a.scale, effort, a.net, a.patch, a.seed)
        rows.append(row)
        print(f"{row['clip']:24} {row['scale']:5} {row['base']:8.3f} {row['float']:8.3f} {row['integer']:8.3f} "
              f"{row['lost']:8.3f}", flush=True)
    if a.json:
        a.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0
