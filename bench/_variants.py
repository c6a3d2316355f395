"""Variants of training, side by side on the patches of clips: what `recipe` and `refine` share."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from stdo_min.algorithm.frames import frame_pairs
from stdo_min.algorithm.sample import Sampled, sample
from stdo_min.commands.training import sizes
from stdo_min.format.psnr import psnr
from stdo_min.video.lr_video import encode_lr
from stdo_min.video.probe import probe

HALO = 4  # of the pool; nets that read less use its middle


def whole_pool(clip: Path, scale: int) -> Sampled:
    """All patches of a clip with a lossless lr video."""
    info = probe(clip)
    with tempfile.TemporaryDirectory() as folder:
        frames = encode_lr(info, Path(folder) / "lr.mkv", scale, lossless=True)
        lr_info = probe(Path(folder) / "lr.mkv")
        header = sizes(scale, 1, 20, (lr_info.width, lr_info.height), info)
        size = frames * header.rows * header.columns
        return sample(frame_pairs(lr_info, info), header, HALO, size, np.random.default_rng(0), os.cpu_count())


def compare(name: str, doc: str, variants: dict, trained_error: Callable, argv: list[str]) -> int:
    """Train every variant, print a table, and write JSON where asked.

    trained_error(variant, pool, base_errors, scale, seed, steps): the mean squared error over the pool, in grey levels
    squared, after `steps` steps of 32 patches.
    """
    global POOL, BASE_ERRORS  # global, so that the forked processes have them without being sent a pool
    parser = argparse.ArgumentParser(prog=f"python -m bench {name}", description=doc.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), default=4)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1])
    parser.add_argument("--only", type=lambda text: text.split(";"), default=list(variants),
                        help="variants, with semicolons between")
    parser.add_argument("--json", type=Path)
    a = parser.parse_args(argv)
    if unknown := [one for one in a.only if one not in variants]:
        parser.error(f"no variant {'; '.join(unknown)}; there are {'; '.join(variants)}")
    rows = []
    for clip in a.clips:
        whole = whole_pool(clip, a.scale)
        POOL, BASE_ERRORS = whole.pool, whole.base_errors
        print(f"{clip.name}, x{a.scale}, {len(POOL)} patches, {a.steps} steps of 32: "
              f"base {psnr(BASE_ERRORS.mean(), 1):.3f} dB", flush=True)
        with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork")) as executor:
            waiting = {one: [executor.submit(_error, trained_error, variants[one], a.scale, seed, a.steps)
                             for seed in a.seeds] for one in a.only}
            first = None
            for one, tasks in waiting.items():
                found = [float(psnr(task.result(), 1)) for task in tasks]
                first = first or found
                more = float(np.mean(found) - np.mean(first))
                print(f"{one:36} {' '.join(f'{value:7.3f}' for value in found)}  {more:+.3f}", flush=True)
                rows.append({"clip": clip.name, "variant": one, "psnr_y": found, "over_first": more})
        if a.json:
            a.json.write_text(json.dumps({"scale": a.scale, "steps": a.steps, "rows": rows}, indent=1) + "\n")
    return 0


def _error(trained_error, variant, scale, seed, steps):
    return trained_error(variant, POOL, BASE_ERRORS, scale, seed, steps)
