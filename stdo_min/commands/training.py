"""What `stdo encode` and `stdo train` share: the options of training, the checks before it, and the result."""

from __future__ import annotations

import argparse
import math
import re
from dataclasses import dataclass
from pathlib import Path

from stdo_min.algorithm.recipe import MODES, Recipe
from stdo_min.commands import options
from stdo_min.engine.budget import Budget
from stdo_min.format import sidecar
from stdo_min.player import read_sidecar
from stdo_min.video.ffmpeg import VideoError

SCALES = (2, 3, 4)


@dataclass(frozen=True)
class Result:
    """What training gave: the file written, frames, nets, luma PSNR in dB as played and of the base, sizes in bytes."""

    path: Path
    frames: int
    nets: int
    psnr_y: float
    psnr_bicubic_y: float
    bytes_lr: int
    bytes_sidecar: int

    def __str__(self) -> str:
        quality = f"luma {self.psnr_y:.2f} dB (bicubic {self.psnr_bicubic_y:.2f}"
        if math.isfinite(self.psnr_bicubic_y):
            quality += f", {self.psnr_y - self.psnr_bicubic_y:+.2f}"
        return (f"{self.path}: {self.frames} frames, {quality}), lr {self.bytes_lr:,} bytes, "
                f"sidecar {self.bytes_sidecar:,} bytes ({self.nets} nets)")


def add_training_options(parser: argparse.ArgumentParser, **scale) -> None:
    """The options of a Recipe; scale: the arguments of --scale in which the verbs differ."""
    add = parser.add_argument
    add("--scale", type=int, choices=SCALES, **scale)
    add("--mode", choices=MODES, default=Recipe.mode,
        help="; ".join(f"{name}: {text}" for name, text in MODES.items()) + "; default %(default)s")
    add("--chunks", type=_chunks, default="auto", metavar="auto|N",
        help="number of chunks, each with its net, in mode auto at most; default %(default)s, by the scores")
    add("--refine", type=options.whole(0, 1000), default=Recipe.refine, metavar="N",
        help="how often patches move to the net that serves them best while the nets train, 0 for the mode as "
        "published; single and jstdo have one net and do without; default %(default)s")
    add("--net", type=_channels, default="16,16", metavar="C,C",
        help="channels of the hidden layers; default %(default)s")
    add("--patch", type=options.whole(8, 128), default=Recipe.patch, metavar="N",
        help="side of a patch in lr pixels, 8..128; default %(default)s")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--budget", type=options.seconds, default="5m", metavar="TIME",
                        help="time to train, once the lr video is there: 90s, 5m, 1h; default %(default)s")
    budget.add_argument("--steps", type=options.whole(1, 10**9), metavar="N",
                        help="train for so many steps in place of a time, which can be repeated exactly")
    add("--memory", type=options.whole(16, 1 << 20), default=Recipe.memory >> 20, metavar="MIB",
        help="memory for the patches to train on; default %(default)s")
    add("--seed", type=options.whole(0, 2**63), default=Recipe.seed, metavar="N",
        help="seed of the random numbers; default %(default)s")
    add("--general", type=Path, metavar="NET",
        help="a sidecar whose first net scores the patches and starts the training, in place of the warm-up")
    options.threads(parser)
    options.quiet(parser)
    options.written(parser)


def recipe_of(a: argparse.Namespace) -> Recipe:
    """The recipe that the options ask for."""
    budget = Budget(steps=a.steps) if a.steps else Budget(seconds=a.budget)
    return Recipe(mode=a.mode, chunks=a.chunks, refine=a.refine, channels=a.net, patch=a.patch, budget=budget,
                  memory=a.memory << 20, seed=a.seed, threads=a.threads, general=a.general)


def read_general(path: Path, scale: int) -> sidecar.Net:
    """The general model: the first net of another sidecar. Raises VideoError where it has none for this scale."""
    try:
        other = sidecar.read(read_sidecar(path))
    except sidecar.SidecarError as error:
        raise VideoError(f"{path}: {error}; --general takes a .stdo file") from None
    found = [net for segment in other.segments for net in segment.nets]
    if not found or other.scale != scale:
        lack = f"was trained for scale {other.scale}, not {scale}" if found else "holds no net"
        raise VideoError(f"{path}: {lack}; give --general a sidecar with a net for this scale")
    return found[0]


def check_patch(path: Path, width: int, height: int, patch: int) -> None:
    """Raise VideoError where an lr video of this size cannot be cut into patches of `patch` x `patch`."""
    if max(width, height) > 8192:
        raise VideoError(f"{path}: an lr video of {width}x{height}; each side has at most 8192 pixels")
    if min(width, height) < patch:
        raise VideoError(f"{path}: its lr video of {width}x{height} is smaller than one patch of {patch}x{patch}; "
                         f"choose a smaller --patch (8 or more) or a smaller --scale")


def _chunks(text: str) -> int | None:
    return None if text == "auto" else options.whole(1, sidecar.MAX_NETS)(text)


def _channels(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of channels such as 16,16")
    channels = tuple(map(int, text.split(",")))
    try:
        sidecar.check_channels(channels)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return channels
