"""What each mode makes of a clip in the same seconds with the same net: luma PSNR as played, bytes, and arithmetic.

    python -m bench quality CLIP [--scale 4] [--seconds 120 | --steps N] [--nets 4] [--modes single,stdo+refine,...]

The lr video is made once, lossless. Every mode then trains for the same time, passes over the frames included, and is
decoded by the integer nets of its sidecar: PSNR is 10 log10(255^2 / MSE) over every luma sample of every frame, seams
and all. `single`, `time`, `stdo-quantile` and `stdo` are as published: each net draws its patches alike.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from stdo_min.algorithm.crew import local_crew
from stdo_min.algorithm.frames import frame_pairs
from stdo_min.algorithm.recipe import Recipe
from stdo_min.commands.train import train
from stdo_min.engine.budget import Budget
from stdo_min.format import patchmap, sidecar
from stdo_min.format.psnr import psnr
from stdo_min.video.lr_video import encode_lr
from stdo_min.video.probe import probe

MODES = {  # row: (mode, rounds of refinement)
    "single": ("single", 0),
    "time": ("time", 0),
    "stdo-quantile": ("stdo-quantile", 0),
    "stdo": ("stdo", 0),
    "jstdo": ("jstdo", 0),
    "stdo+refine": ("stdo", None),
    "auto": ("auto", None),
}


def lanczos(length: int, scale: int, taps: int = 3) -> np.ndarray:
    """The matrix (length * scale, length) that upscales by Lanczos' kernel with three lobes; edges are replicated."""
    position = (np.arange(length * scale) + 0.5) / scale - 0.5
    nearest = np.floor(position).astype(int)[:, None] + np.arange(1 - taps, 1 + taps)
    distance = position[:, None] - nearest
    weight = np.sinc(distance) * np.sinc(distance / taps)
    matrix = np.zeros((length * scale, length))
    np.add.at(matrix, (np.arange(length * scale)[:, None], np.clip(nearest, 0, length - 1)),
              weight / weight.sum(axis=1, keepdims=True))
    return matrix


def lanczos_psnr(lr_info, info, scale: int) -> float:
    """Luma PSNR in dB over all frames."""
    down, across = lanczos(lr_info.height, scale), lanczos(lr_info.width, scale)
    error = pixels = 0
    with closing(frame_pairs(lr_info, info)) as pairs:
        for lr, hr in pairs:
            shown = np.clip(np.rint(down @ lr.y @ across.T), 0, 255)
            error += np.sum(np.square(shown[:info.height, :info.width] - hr.y))
            pixels += info.height * info.width
    return float(psnr(error, pixels))


def macs_per_frame(data: bytes) -> float:
    """Multiply-accumulates of the nets of a sidecar, on average over its frames: patches without a net cost none."""
    parsed, total, frames = sidecar.read(data), 0, 0
    for segment in parsed.segments:
        labels = patchmap.decode(segment.map_data, segment.frames, parsed.rows, parsed.columns, len(segment.nets))
        rows, columns = (np.minimum(parsed.patch, size - parsed.patch * np.arange(count)) for size, count in
                         ((parsed.lr_height, parsed.rows), (parsed.lr_width, parsed.columns)))
        pixels = rows[:, None] * columns
        for number, net in enumerate(segment.nets, 1):
            total += int(((labels == number) * pixels).sum()) * sum(layer.weight.size for layer in net.layers)
        frames += segment.frames
    return total / frames


def measure(clip: Path, scale: int, rows: list[str], recipe: Recipe, threads: int, say=print) -> list[dict]:
    """One dict for each row of the table, told to `say` as a line as soon as it is known."""
    info, found = probe(clip), []
    with tempfile.TemporaryDirectory() as folder:
        lr, out = Path(folder) / "lr.mkv", Path(folder) / "out.stdo"
        encode_lr(info, lr, scale, lossless=True)
        lr_info = probe(lr)
        for name in rows:
            mode, refine = MODES[name]
            began = time.monotonic()
            made = train(lr, clip, out, replace(recipe, mode=mode, refine=recipe.refine if refine is None else refine),
                         scale=scale, force=True, crew=lambda segments: local_crew(1, threads))
            if not found:
                for plain, value in (("bicubic", made.psnr_bicubic_y), ("lanczos", lanczos_psnr(lr_info, info, scale))):
                    found.append({"mode": plain, "psnr_y": value, "bytes": 0, "nets": 0, "seconds": 0, "gmacs": 0})
                    say(_line(found[-1], made.psnr_bicubic_y))
            found.append({"mode": name, "psnr_y": made.psnr_y, "bytes": made.bytes_sidecar, "nets": made.nets,
                          "seconds": time.monotonic() - began, "gmacs": macs_per_frame(out.read_bytes()) / 1e9})
            say(_line(found[-1], made.psnr_bicubic_y))
    return found


def _line(row, bicubic):
    return (f"{row['mode']:14} {row['psnr_y']:8.3f} {row['psnr_y'] - bicubic:+7.3f} {row['bytes']:8,} {row['nets']:5} "
            f"{row['seconds']:8.1f} {row['gmacs']:9.3f}")


def main(argv: list[str]) -> int:
    """Measure every mode, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench quality", description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path, metavar="CLIP")
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), default=4)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--steps", type=int, help="in place of seconds; can be repeated exactly")
    parser.add_argument("--nets", type=int, default=4, help="nets of the modes with several; default %(default)s")
    parser.add_argument("--net", type=lambda text: tuple(map(int, text.split(","))), default=(16, 16))
    parser.add_argument("--refine", type=int, default=Recipe.refine)
    parser.add_argument("--modes", type=lambda text: text.split(","), default=list(MODES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    a = parser.parse_args(argv)
    if unknown := [name for name in a.modes if name not in MODES]:
        parser.error(f"no mode {', '.join(unknown)}; there are {', '.join(MODES)}")
    budget = Budget(steps=a.steps) if a.steps else Budget(seconds=a.seconds)
    recipe = Recipe(chunks=a.nets, refine=a.refine, channels=a.net, budget=budget, seed=a.seed)
    print(f"{a.clip.name}, x{a.scale}, {budget}, {a.threads} threads, seed {a.seed}")
    print("mode             PSNR-Y    gain    bytes  nets  seconds  GMAC/frame", flush=True)
    rows = measure(a.clip, a.scale, a.modes, recipe, a.threads, lambda line: print(line, flush=True))
    if a.json:
        a.json.write_text(json.dumps({"clip": a.clip.name, "scale": a.scale, **asdict(budget), "seed": a.seed,
                                      "threads": a.threads, "rows": rows}, indent=1) + "\n")
    return 0
