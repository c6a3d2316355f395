"""The paper's methods beside ours, with one backbone in the same seconds: RGB, lr by antialiased bicubic, not coded.

    python -m bench baselines CLIP... [--scales 2,3,4] [--seconds 20 | --steps N] [--net espcn] [--seeds 0]

Every method trains `--net` for the same time on patches of 96x96 hr pixels of `--frames` frames at equal distances, and
is measured on the same: that is what overfitting means. The general net trains on the other clips named. PSNR is that
of RGB pictures, rounded and clipped: over whole frames, and without a border of each patch of scale + 2 pixels, since
the authors leave out 4 to 6. Numbers sent are float32, as the paper counts them; fps is that of the float nets here.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench._methods import METHODS, OURS, RATE, Run, Served, is_chain
from bench._rgb import HR, Patches, cut, read
from stdo_min.commands import options
from stdo_min.engine.backbones import BACKBONES
from stdo_min.engine.blocks import MAX_CHANNELS
from stdo_min.engine.budget import Budget
from stdo_min.format.psnr import psnr


def measured(served: Served, run: Run) -> dict:
    """PSNR of whole frames and shaved, of the base too, and frames a second."""
    patches, shave = run.patches, run.patches.scale + 2
    sums, seconds = np.zeros(2), 0.0
    for number in range(served.nets + 1):
        index = np.flatnonzero(served.member == number)
        for part in np.array_split(index, -(-len(index) // 256)) if len(index) else ():
            began = time.perf_counter()
            residual = served.outputs(number, part) if number else np.zeros(
                (len(part), *run.stepper.residual.shape[1:]), np.float32)
            seconds += time.perf_counter() - began
            sums += [errors.sum() for errors in patches.errors(part, residual, run.factor, shave)]
    samples = 3 * len(patches) * np.array([HR**2, (HR - 2 * shave) ** 2])
    return {"psnr": float(psnr(*(sums[:1] / samples[:1]), 1)), "psnr_shaved": float(psnr(sums[1] / samples[1], 1)),
            "fps": patches.frames / seconds if served.nets else None}


def of_base(run: Run) -> dict:
    """The row of the base alone."""
    nothing = Served(lambda number, index: None, np.zeros(len(run.patches), int), 0, 0)
    return {"method": "bicubic", **measured(nothing, run), "nets": 0, "parameters": 0, "bytes": 0, "macs": 0,
            "seconds": 0.0}


def row(name: str, run: Run) -> dict:
    """Train by a method and measure."""
    began = run.now()
    served = METHODS[name](run)
    seconds = run.now() - began
    side = HR if run.backbone.upscaled else HR // run.patches.scale
    pixels = np.count_nonzero(served.member) * side**2 / run.patches.frames
    return {"method": name, **measured(served, run), "nets": served.nets, "parameters": served.sent,
            "bytes": 4 * served.sent + served.more_bytes, "macs": int(run.backbone.graph.products * pixels),
            "seconds": seconds, "curve": run.curve}


def line(found: dict, base: dict) -> str:
    """A row of the table."""
    fps = f"{found['fps']:7.1f}" if found["fps"] else f"{'':7}"
    return (f"{found['method']:14} {found['psnr']:7.3f} {found['psnr'] - base['psnr']:+7.3f} "
            f"{found['psnr_shaved']:8.3f} {found['nets']:5} {found['parameters']:11,} {found['bytes']:11,} "
            f"{found['macs'] / 1e9:8.2f} {found['seconds']:8.1f} {fps}")


def compare(clips: dict[str, np.ndarray], name: str, scale: int, seed: int, a: argparse.Namespace) -> list[dict]:
    """The rows of one clip, scale and seed."""
    backbone = BACKBONES[a.net](scale)
    budget = Budget(seconds=a.seconds) if a.steps is None else Budget(steps=a.steps)
    patches: Patches = cut(clips[name], scale)
    others = [cut(frames, scale) for other, frames in clips.items() if other != name] if "general" in a.methods else []
    print(f"\n{name}, x{scale}, {a.net}, {patches.frames} frames, {len(patches)} patches, {budget}, "
          f"{a.threads} threads, seed {seed}\n"
          f"{'':14}    PSNR    gain   shaved  nets  parameters       bytes  GMAC/fr  seconds     fps")
    rows = []
    for method in a.methods:
        run = Run(backbone, patches, others, a.chunks, budget, np.random.default_rng(seed), a.threads, a.rate)
        if not rows:
            rows.append(of_base(run))
            print(line(rows[0], rows[0]))
        rows.append(row(method, run))
        print(line(rows[-1], rows[0]), flush=True)
    return [{"clip": name, "scale": scale, "net": a.net, "seed": seed, **each} for each in rows]


def summary(rows: list[dict]) -> None:
    """Gains over the base by scale, on average over clips and seeds."""
    print(f"\n{'gain, dB':14}" + "".join(f"{'x' + str(scale):>8}" for scale in sorted({r["scale"] for r in rows})))
    base = {(r["clip"], r["scale"], r["seed"]): r["psnr"] for r in rows if r["method"] == "bicubic"}
    for method in dict.fromkeys(r["method"] for r in rows):
        means = [np.mean([r["psnr"] - base[r["clip"], r["scale"], r["seed"]] for r in rows
                          if r["method"] == method and r["scale"] == scale])
                 for scale in sorted({r["scale"] for r in rows})]
        print(f"{method:14}" + "".join(f"{mean:8.3f}" for mean in means))


def listed(one: Callable) -> Callable[[str], list]:
    """The type of an option that takes several, with commas between, each of the type `one`."""
    return lambda text: [one(word) for word in text.split(",")]


def above_zero(text: str) -> float:
    """The type of an option that takes a number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return value


def main(argv: list[str]) -> int:
    """Measure all methods, print tables, and write JSON after every one where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench baselines", description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--scales", type=listed(options.whole(2, 4)), default=[2, 3, 4])
    parser.add_argument("--seconds", type=options.seconds, default=20.0,
                        help="of training, for each method; default %(default)s")
    parser.add_argument("--steps", type=options.whole(1, 10**9),
                        help="in place of seconds; can be repeated exactly, with any number of threads")
    parser.add_argument("--net", choices=BACKBONES, default="espcn")
    parser.add_argument("--chunks", type=options.whole(1, 63), default=4,
                        help="nets of methods that have several; default %(default)s")
    parser.add_argument("--frames", type=options.whole(1, 10**6), default=24)
    parser.add_argument("--rate", type=above_zero, default=RATE, help="of Adam, for published methods; EDSR's is 1e-4")
    parser.add_argument("--seeds", type=listed(options.whole(0, 10**9)), default=[0])
    parser.add_argument("--methods", type=lambda text: text.split(","), default=list(METHODS),
                        help="with commas between")
    parser.add_argument("--threads", type=options.whole(1, 1024), default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    a = parser.parse_args(argv)
    if unknown := [name for name in a.methods if name not in METHODS]:
        parser.error(f"no method {', '.join(unknown)}; there are {', '.join(METHODS)}")
    names = [clip.stem for clip in a.clips]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        parser.error(f"clips are told apart by their names without ending: {', '.join(twice)} is there twice")
    for scale in a.scales:
        most = max(layer.outputs for layer in BACKBONES[a.net](scale).graph.convolutions)
        if most > MAX_CHANNELS:
            parser.error(f"{a.net} at scale {scale} has {most} channels; training takes {MAX_CHANNELS}")
    if "general" in a.methods and len(names) < 2:
        a.methods.remove("general")
        print("no general net: it trains on other clips, so name two or more")
    if set(OURS) & set(a.methods) and not is_chain(BACKBONES[a.net](2)):
        a.methods = [name for name in a.methods if name not in OURS]
        print(f"ours is left out: it trains chains of convolutions on lr patches, which {a.net} is not")
    if not a.methods:
        parser.error("no method is left to measure")
    try:
        clips, rows = {clip.stem: read(clip, a.frames) for clip in a.clips}, []
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for name, frames in clips.items():
        patches = frames[..., 0].size // HR**2
        if a.chunks > patches:
            parser.error(f"{name} has {patches} patches in {len(frames)} frames; --chunks can be no more")
    for seed in a.seeds:
        for scale in a.scales:
            for name in clips:
                rows += compare(clips, name, scale, seed, a)
                if a.json:
                    a.json.write_text(json.dumps({
                        "frames": a.frames, "seconds": a.seconds if a.steps is None else None, "steps": a.steps,
                        "chunks": a.chunks, "rate": a.rate, "threads": a.threads, "rows": rows}, indent=1) + "\n")
    summary(rows)
    return 0
