"""What a chroma net would gain: PSNR of U and V over a clip with one, against bicubic chroma.

    python -m bench chroma CLIP... [--scale 4] [--crf N] [--steps 10000] [--json FILE]

The net sees U, V and the four luma samples of each chroma position, all of the lr frame, and gives the residual of both
planes. It is trained as luma nets are, on all patches of the clip, and its float outputs are rounded to pixels.
docs/training.md says what came of it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np

from bench._patches import cut
from stdo_min.algorithm import patches
from stdo_min.algorithm.frames import frame_pairs
from stdo_min.algorithm.sample import sampling
from stdo_min.engine.autograd import Tensor
from stdo_min.engine.convolution import Workspace, batch_input, convolutions
from stdo_min.engine.net import INPUT_CENTRE, INPUT_UNIT, TARGET_UNIT, Net
from stdo_min.engine.pool import Pool
from stdo_min.engine.shuffle import unshuffle
from stdo_min.engine.train import Learner, Stepper
from stdo_min.engine.whiten import Whitening
from stdo_min.format.base import base
from stdo_min.format.psnr import psnr
from stdo_min.video.lr_video import encode_lr
from stdo_min.video.probe import probe

PATCH, HALO, PLANES = 20, 2, 6
LUMA_MACS = 25 * 16 + 9 * 16 * 16 + 9 * 16 * 16  # per lr pixel, of the default net at x4
NETS = {"8 channels": (8,), "4 channels": (4,), "4,4 channels": (4, 4)}


def chroma_pool(clip: Path, scale: int, crf: float | None = None) -> Pool:
    """All chroma patches of a clip: lr uint8 (N, 24, 24, 6), residual int16 (N, 20, 20, 2 * scale^2).

    crf: of its lr video by x264; None is lossless.
    """
    info, lr_patches, residuals = probe(clip), [], []
    with tempfile.TemporaryDirectory() as folder:
        encode_lr(info, Path(folder) / "lr.mkv", scale, crf=crf, lossless=crf is None)
        lr_info = probe(Path(folder) / "lr.mkv")
        with closing(frame_pairs(lr_info, info)) as pairs:
            for lr, hr in pairs:
                height, width = lr.u.shape
                ys, xs = patches.grid(height, width, PATCH)
                ys, xs = np.minimum(ys, height - PATCH), np.minimum(xs, width - PATCH)
                luma = _padded(lr.y, 2 * height, 2 * width)
                luma = [luma[dy::2, dx::2] for dy in (0, 1) for dx in (0, 1)]
                lr_patches.append(np.stack([cut(np.ascontiguousarray(plane), ys, xs, PATCH, HALO)
                                            for plane in (lr.u, lr.v, *luma)], -1))
                planes = []
                for low, high in ((lr.u, hr.u), (lr.v, hr.v)):
                    right = _padded(high, height * scale, width * scale).astype(np.int16) * 64 + 32
                    right -= base(low, scale, chroma_left=True).astype(np.int16)
                    planes.append(unshuffle(cut(right, ys * scale, xs * scale, PATCH * scale), scale))
                residuals.append(np.concatenate(planes, -1))
    return Pool(np.concatenate(lr_patches), np.concatenate(residuals), np.ones(sum(map(len, residuals))))


def _padded(plane, height, width):
    return np.pad(plane, ((0, height - plane.shape[0]), (0, width - plane.shape[1])), "edge")


def chroma_net(hidden: tuple[int, ...], scale: int, rng: np.random.Generator) -> Net:
    """A net of 3x3 and then 1x1 kernels, with 6 inputs and 2 * scale^2 outputs."""
    weights, inputs = [], PLANES
    for number, outputs in enumerate((*hidden, 2 * scale**2)):
        side = 3 if number < 2 else 1
        spread = np.sqrt(2 / (inputs * side * side)) if number < len(hidden) else 0
        weights.append((rng.standard_normal((outputs, inputs, side, side)) * spread).astype(np.float32))
        inputs = outputs
    return Net(weights, [np.zeros(len(weight), np.float32) for weight in weights], scale)


def plane_errors(net: Net | None, pool: Pool) -> np.ndarray:
    """Squared error of U and V over all patches, float64 (2,), with pixels rounded; without a net, of the base."""
    sums = np.zeros(2)
    for start in range(0, len(pool), 64):
        index = np.arange(start, min(start + 64, len(pool)))
        right = pool.residual[index].astype(np.float32)
        shown = np.zeros_like(right)
        if net is not None:
            workspace = Workspace()
            x = Tensor(batch_input(pool.lr, index, INPUT_CENTRE, INPUT_UNIT, workspace))
            y = convolutions(x, *map(Tensor, net.parameters), workspace=workspace).data
            y = y.transpose(0, 2, 3, 1, 4).reshape(*y.shape[:1], *y.shape[2:4], -1)[..., :right.shape[-1]]
            shown = y / TARGET_UNIT
        # Near enough: pixels are rounded, but not clipped.
        found = np.square(np.rint((shown - right) / 64)).sum(axis=(0, 1, 2))
        sums += found.reshape(2, -1).sum(axis=1)
    return sums


def main(argv: list[str]) -> int:
    """Train on each clip, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench chroma", description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), default=4)
    parser.add_argument("--crf", type=float, help="of the lr video, by x264; default lossless")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    a = parser.parse_args(argv)
    rows = []
    for clip in a.clips:
        pool = chroma_pool(clip, a.scale, a.crf)
        samples = pool.residual.size / 2
        before = psnr(plane_errors(None, pool), samples)
        coded = "lossless" if a.crf is None else f"crf {a.crf:g}"
        print(f"{clip.name}, x{a.scale}, {coded}, {a.steps} steps: bicubic U {before[0]:.3f} dB, V {before[1]:.3f} dB",
              flush=True)
        for name, hidden in NETS.items():
            rng = np.random.default_rng(0)
            net = chroma_net(hidden, a.scale, rng)
            cut = HALO - net.halo
            lr = np.ascontiguousarray(pool.lr[:, cut:-cut, cut:-cut]) if cut else pool.lr
            part = Pool(lr, pool.residual, pool.weight)
            errors = np.mean((pool.residual / np.float32(64)) ** 2, axis=(1, 2, 3))
            drawn, learner = np.cumsum(sampling(errors)), Learner(net, Whitening.of(lr, net.weights[0].shape[2]))
            with Stepper(part, a.threads) as stepper:
                for step in range(a.steps):
                    learner.step(stepper, stepper.draw(drawn, 32, rng), step / a.steps)
            gain = psnr(plane_errors(learner.net, part), samples) - before
            parameters = sum(p.size for p in net.parameters)
            macs = sum(weight.size for weight in net.weights) / 4 / LUMA_MACS
            rows.append({"clip": clip.name, "net": name, "parameters": parameters, "macs": macs,
                         "gain_u": gain[0], "gain_v": gain[1]})
            print(f"  {name:14} {parameters:6,} parameters, {macs:5.1%} more MACs: "
                  f"U {gain[0]:+.3f} dB, V {gain[1]:+.3f} dB", flush=True)
    if a.json:
        a.json.write_text(json.dumps({"scale": a.scale, "crf": a.crf, "steps": a.steps, "rows": rows}, indent=1) + "\n")
    return 0
