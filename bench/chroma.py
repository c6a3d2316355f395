"""What chroma nets would gain: PSNR of U and V over a clip with them, against bicubic chroma.

    python -m bench chroma CLIP... [--scale 4] [--crf N] [--steps 10000] [--nets 4 4,4 8] [--kinds both ...] [--every 3]

Nets that see one plane alone, as luma's do: one for both planes (`both`), one for each (`each`), and luma's own
(`luma`). And nets that give the residual of both planes, of U, V and the mean of the four luma samples of each chroma
position (`three`), or all four (`six`). All see the lr planes, or at scale 3/2 their base, and are trained as luma nets
are, on all patches of the clip. Float outputs are rounded to pixels; bytes, and what whole numbers cost, are those of
the integer net. docs/chroma.md says what came of it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from math import log
from pathlib import Path

import numpy as np

from stdo_min.algorithm import patches
from stdo_min.algorithm.fitted import CALIBRATION_PIXELS
from stdo_min.algorithm.frames import frame_pairs
from stdo_min.algorithm.patches import cut
from stdo_min.algorithm.price import DB_PER_LOG
from stdo_min.algorithm.sample import sampling
from stdo_min.engine.autograd import Tensor
from stdo_min.engine.convolution import Workspace, batch_input, convolutions
from stdo_min.engine.net import INPUT_CENTRE, INPUT_UNIT, TARGET_UNIT, Net, new_net
from stdo_min.engine.pool import Pool
from stdo_min.engine.quantise import Worth, quantise_layers, sample_layers
from stdo_min.engine.sensitivity import sensitivity
from stdo_min.engine.shuffle import unshuffle
from stdo_min.engine.train import Learner, Stepper
from stdo_min.engine.whiten import Whitening
from stdo_min.format import netcode
from stdo_min.format.base import base, upscale
from stdo_min.format.psnr import psnr
from stdo_min.format.reference import convolve
from stdo_min.video.lr_video import encode_lr
from stdo_min.video.probe import probe

PATCH, HALO, PLANES = 20, 4, 6
LUMA_EVERY = 4  # luma patches of which one is taken: as many as of a chroma plane
WEIGHTS = 6 + 1 + 1  # of Y, U and V where dB are weighed


@dataclass(frozen=True)
class Planes:
    """Patches of a clip.

    lr: of U, V and the four lumas of each site, uint8 (N, 28, 28) each. residual: of U and V, int16 (N, 20, 20,
    net_scale^2) each. luma: patches of luma alone. net_scale: hr pixels of a net pixel. nbytes: of the lr video.
    """

    lr: list[np.ndarray]
    residual: list[np.ndarray]
    luma: Pool
    net_scale: int
    nbytes: int

    def plane(self, number: int) -> Pool:
        """The patches of U (0) or V (1), each drawn as often as luma's would be."""
        return _drawn(self.lr[number], self.residual[number])

    def both(self) -> Pool:
        """Those of U and V, as many of the one drawn as of the other."""
        u, v = self.plane(0), self.plane(1)
        return Pool(*(np.concatenate(pair) for pair in ((u.lr, v.lr), (u.residual, v.residual), (u.weight, v.weight))))

    def sites(self, inputs: int) -> Pool:
        """Sites with three or six inputs, and the residuals of both planes."""
        lr = self.lr if inputs == 6 else [*self.lr[:2], _mean(self.lr[2:])]
        return _drawn(np.stack(lr, -1), np.concatenate(self.residual, -1))


def _mean(planes):
    return ((sum(plane.astype(np.uint16) for plane in planes) + 2) >> 2).astype(np.uint8)


def _drawn(lr, residual):
    weight = sampling(np.mean((residual / np.float32(64)) ** 2, axis=(1, 2, 3)))
    return Pool(lr, residual, weight / weight.sum())


def chroma_planes(clip: Path, scale: Fraction, crf: float | None = None, every: int = 1) -> Planes:
    """All chroma patches of each so-manyth frame of a clip, and as many of luma; crf: of its lr video by x264; None is
    lossless."""
    info, net_scale = probe(clip), int(scale) if scale.denominator == 1 else 1
    lrs, residuals, lumas = [[] for _ in range(PLANES)], [[], []], ([], [])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lr.mkv"
        encode_lr(info, path, scale, crf=crf, lossless=crf is None)
        with closing(frame_pairs(probe(path), info)) as pairs:
            for lr, hr in islice(pairs, 0, None, every):
                u, v, y = (_seen(plane, scale, left) for plane, left in ((lr.u, True), (lr.v, True), (lr.y, False)))
                ys, xs = _corners(u)
                sites = _padded(y, 2 * u.shape[0], 2 * u.shape[1])
                sites = [np.ascontiguousarray(sites[dy::2, dx::2]) for dy in (0, 1) for dx in (0, 1)]
                for found, plane in zip(lrs, (u, v, *sites), strict=True):
                    found.append(cut(plane, ys, xs, PATCH, HALO))
                for found, low, high in zip(residuals, (lr.u, lr.v), (hr.u, hr.v), strict=True):
                    found.append(_residual(low, high, scale, True, net_scale, ys, xs))
                ys, xs = (at[::LUMA_EVERY] for at in _corners(y))
                lumas[0].append(cut(y, ys, xs, PATCH, HALO))
                lumas[1].append(_residual(lr.y, hr.y, scale, False, net_scale, ys, xs))
        nbytes = path.stat().st_size
    luma = _drawn(*map(np.concatenate, lumas))
    return Planes(list(map(np.concatenate, lrs)), list(map(np.concatenate, residuals)), luma, net_scale, nbytes)


def _seen(plane, scale, left):
    """The pixels that nets read."""
    return plane if scale.denominator == 1 else upscale(plane, scale, left)


def _corners(plane):
    ys, xs = patches.grid(*plane.shape, PATCH)
    return np.minimum(ys, plane.shape[0] - PATCH), np.minimum(xs, plane.shape[1] - PATCH)


def _residual(low, high, scale, left, net_scale, ys, xs):
    under = base(low, scale, chroma_left=left)
    right = _padded(high, *under.shape).astype(np.int16) * 64 + 32 - under.astype(np.int16)
    return unshuffle(cut(right, ys * net_scale, xs * net_scale, PATCH * net_scale), net_scale)


def _padded(plane, height, width):
    return np.pad(plane, ((0, height - plane.shape[0]), (0, width - plane.shape[1])), "edge")


def site_net(inputs: int, hidden: tuple[int, ...], scale: int, rng: np.random.Generator) -> Net:
    """A net of 3x3 and then 1x1 kernels, with 2 * scale^2 outputs."""
    weights = []
    for number, outputs in enumerate((*hidden, 2 * scale**2)):
        side = 3 if number < 2 else 1
        spread = np.sqrt(2 / (inputs * side * side)) if number < len(hidden) else 0
        weights.append((rng.standard_normal((outputs, inputs, side, side)) * spread).astype(np.float32))
        inputs = outputs
    return Net(weights, [np.zeros(len(weight), np.float32) for weight in weights], scale)


def fitting(pool: Pool, net: Net) -> Pool:
    """The pool with the halo that a net reads."""
    unread = HALO - net.halo
    lr = np.ascontiguousarray(pool.lr[:, unread:-unread, unread:-unread]) if unread else pool.lr
    return Pool(lr, pool.residual, pool.weight)


def trained(net: Net, pool: Pool, steps: int, threads: int, rng: np.random.Generator) -> Net:
    """A net after so many steps on a pool that fits it."""
    drawn, learner = np.cumsum(pool.weight), Learner(net, Whitening.of(pool.lr[::16], net.weights[0].shape[2]))
    with Stepper(pool, threads) as stepper:
        for step in range(steps):
            learner.step(stepper, stepper.draw(drawn, 32, rng), step / steps)
    return learner.net


def plane_errors(net: Net | None, pool: Pool, planes: int = 1) -> np.ndarray:
    """Mean squared error of each plane of a pool that fits a net, float64 (planes,), with pixels rounded.

    Without a net, of the base.
    """
    sums = np.zeros(planes)
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
        sums += found.reshape(planes, -1).sum(axis=1)
    return sums / (pool.residual.size / planes)


def whole_numbers(net: Net, pool: Pool, planes: int, worth: Worth) -> tuple[int, float]:
    """Bytes of the integer net of so many inputs, and the dB that it gives away on some patches."""
    layers, count = sample_layers(net), min(len(pool), CALIBRATION_PIXELS // pool.lr[0, ..., 0].size)
    some = np.linspace(0, len(pool) - 1, count).astype(int)
    seen = pool.lr[some].reshape(*pool.lr[some].shape[:3], planes)
    whole = quantise_layers(layers, np.ascontiguousarray(np.moveaxis(seen, 3, 0)), 1, worth.steps())
    few, error = Pool(np.ascontiguousarray(pool.lr[some]), pool.residual[some], pool.weight[some]), 0.0
    for q, right in zip(seen.astype(np.int32), few.residual, strict=True):
        for layer in whole.layers[:-1]:
            q = np.clip(convolve(layer, q), 0, 255)
        error += np.square(np.rint((convolve(whole.layers[-1], q) - right) / 64)).mean()
    lost = psnr(plane_errors(net, few)[0], 1) - psnr(error / len(few), 1)
    return len(netcode.encode(whole)), float(lost)


def worth_of(net: Net, pool: Pool, serves: int, nbytes: int, rng: np.random.Generator) -> Worth:
    """What a bit of a net is worth that serves one or both of U and V, where Y, U and V are weighed 6:1:1."""
    with Stepper(pool, 1) as stepper:
        found = sensitivity(net, stepper, np.ones(len(pool)), rng)
    db = WEIGHTS * DB_PER_LOG / (8 * nbytes) / serves
    return Worth(found, plane_errors(net, pool)[0] * log(10) / 10 * db)


KINDS = ("both", "each", "luma", "three", "six")


def measure(kind: str, planes: Planes, hidden: tuple[int, ...], steps: int, threads: int) -> dict:
    """Nets of a kind with these hidden channels: what they gain on U and V, and their bytes."""
    def one(pool, serves, inputs=1):
        rng = np.random.default_rng(0)
        scale = planes.net_scale
        net = new_net(hidden, scale, rng) if inputs == 1 else site_net(inputs, hidden, scale, rng)
        pool = fitting(pool, net)
        net = trained(net, pool, steps, threads, rng)
        return net, *whole_numbers(net, pool, inputs, worth_of(net, pool, serves, planes.nbytes, rng)), pool

    pair = planes.plane(0), planes.plane(1)
    before = [psnr(plane_errors(None, pool)[0], 1) for pool in pair]
    if kind in ("three", "six"):
        inputs = 3 if kind == "three" else 6
        found = [one(planes.sites(inputs), 2, inputs)]
        errors = plane_errors(found[0][0], found[0][3], 2)
    else:
        found = ([one(pool, 1) for pool in pair] if kind == "each" else
                 [one(planes.both() if kind == "both" else planes.luma, 2)])
        errors = [plane_errors(net, fitting(pool, net))[0]
                  for net, pool in zip(([found[0][0]] * 2 if len(found) == 1 else [one[0] for one in found]), pair,
                                       strict=True)]
    gains = [float(psnr(error, 1) - base) for error, base in zip(errors, before, strict=True)]
    nbytes = 0 if kind == "luma" else sum(one[1] for one in found)
    return {"net": kind, "hidden": hidden, "gain_u": gains[0], "gain_v": gains[1], "bytes": nbytes,
            "lost": max(one[2] for one in found), "share": nbytes / planes.nbytes,
            "parameters": sum(p.size for one in found for p in one[0].parameters)}


def main(argv: list[str]) -> int:
    """Train on each clip, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench chroma", description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--scale", type=Fraction, choices=tuple(map(Fraction, ("1", "3/2", "2", "3", "4"))), default=4)
    parser.add_argument("--crf", type=float, help="of the lr video, by x264; default lossless")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--nets", nargs="+", default=["4", "4,4", "8"], help="hidden channels of each")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--every", type=int, default=1, help="one frame of so many is trained and tried on")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    a = parser.parse_args(argv)
    rows = []
    for clip in a.clips:
        planes = chroma_planes(clip, Fraction(a.scale), a.crf, a.every)
        before = [psnr(plane_errors(None, planes.plane(number))[0], 1) for number in (0, 1)]
        coded = "lossless" if a.crf is None else f"crf {a.crf:g}"
        print(f"{clip.name}, x{a.scale}, {coded}, {planes.nbytes:,} bytes, {a.steps} steps: "
              f"bicubic U {before[0]:.3f} dB, V {before[1]:.3f} dB", flush=True)
        for hidden in a.nets:
            for kind in a.kinds:
                row = measure(kind, planes, tuple(map(int, hidden.split(","))), a.steps, a.threads)
                rows.append({"clip": clip.name, **row})
                print(f"  {row['net']:5} {hidden:6} {row['parameters']:5,} parameters, {row['bytes']:5,} bytes "
                      f"({row['share']:.2%}): U {row['gain_u']:+.3f} dB, V {row['gain_v']:+.3f} dB, "
                      f"as whole numbers {-row['lost']:+.3f}", flush=True)
    if a.json:
        found = {"scale": str(a.scale), "crf": a.crf, "steps": a.steps, "rows": rows}
        a.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0
