"""What `stdo encode` and `stdo train` share: the options of training, the checks before it, and the result."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from stdo_min import __version__
from stdo_min.algorithm.crew import Crew, choose_jobs, dask_crew, local_crew
from stdo_min.algorithm.pace import pass_seconds
from stdo_min.algorithm.recipe import DEFAULT_START, DEFAULT_TIMES, MODES, Recipe, Times
from stdo_min.algorithm.segments import SEGMENT_SECONDS, cut, most_frames
from stdo_min.algorithm.shape import MAX_MAC
from stdo_min.commands import options
from stdo_min.engine.budget import Budget
from stdo_min.engine.net import Net, new_net
from stdo_min.engine.quantise import dequantise
from stdo_min.format import sidecar
from stdo_min.format.sidecar import net_scale
from stdo_min.player import read_sidecar
from stdo_min.video.ffmpeg import Address, VideoError, ask, ffmpeg_executable
from stdo_min.video.keyframes import keyframes
from stdo_min.video.probe import VideoInfo

WORK_VERSION = 3  # of what work folders hold: a run goes on only with what it would have written itself
SPARE = 2.0  # seconds by which a budget may be exceeded


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


def add_training_options(parser: argparse.ArgumentParser, scale_type: Callable = options.scale, **scale) -> None:
    """The options of a Recipe; scale_type, scale: of --scale, in which the verbs differ."""
    add = parser.add_argument
    add("--scale", type=scale_type, metavar="S", **scale)
    add("--mode", choices=MODES, default=Recipe.mode,
        help="; ".join(f"{name}: {text}" for name, text in MODES.items()) + "; default %(default)s")
    add("--chunks", type=_chunks, default="auto", metavar="auto|N",
        help="number of chunks, each with its net, in mode auto at most, beside a net that segments share; default "
        "%(default)s, by the scores")
    add("--refine", type=options.whole(0, 1000), default=Recipe.refine, metavar="N",
        help="how often patches move to the net that serves them best while the nets train, 0 for the mode as "
        "published; single and jstdo have one net and do without; default %(default)s")
    add("--net", type=_channels, default="auto", metavar="auto|C,C",
        help="channels of the hidden layers; auto, the default, takes 8 to 16,16 by the bytes of the lr video")
    add("--max-mac", type=options.whole(1, 10**6), default=MAX_MAC, metavar="N",
        help="products per hr pixel that --net auto may take, with what patches of several nets take at their borders; "
             "default %(default)s, which a phone plays")
    add("--patch", type=options.whole(8, 128), default=Recipe.patch, metavar="N",
        help="side of a patch in lr pixels, 8..128; default %(default)s")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--budget", type=_budget, metavar="TIME",
                        help="time to train, once the lr video is there: 90s, 5m, 1h, or 4x for four times the video's "
                        f"length; default {DEFAULT_START:.0f}s and {DEFAULT_TIMES:.0f}x")
    budget.add_argument("--steps", type=options.whole(1, 10**9), metavar="N",
                        help="train for so many steps in place of a time, which can be repeated exactly")
    add("--memory", type=options.whole(16, 1 << 20), default=Recipe.memory >> 20, metavar="MIB",
        help="memory for the patches to train on, of each job; a job takes up to 400 MiB more; default %(default)s")
    add("--seed", type=options.whole(0, 2**63), default=Recipe.seed, metavar="N",
        help="seed of the random numbers; default %(default)s")
    add("--general", type=Path, metavar="NET",
        help="a sidecar whose first net scores the patches and starts the training, in place of the warm-up")
    add("--segment", type=options.seconds, default=f"{SEGMENT_SECONDS:.0f}s", metavar="TIME",
        help="length of a segment, which has its own nets; default %(default)s")
    add("--jobs", type=_jobs, default="auto", metavar="N|auto",
        help="segments that train side by side, each with its part of the threads; auto takes what ends soonest and "
        "fits into memory")
    add("--dask", metavar="ADDRESS", help="train on a Dask cluster: the address of its scheduler, such as "
        "tcp://10.0.0.1:8786 (pip install 'stdo-min[cluster]')")
    add("--shared-storage", action="store_true", help="the workers of --dask open the videos and the work folder by "
        "the same names; without this, patches are sent to them")
    add("--restart", action="store_true", help="begin anew where an earlier run was stopped")
    options.threads(parser)
    options.quiet(parser)
    options.written(parser)


def recipe_of(a: argparse.Namespace) -> Recipe:
    """The recipe that the options ask for."""
    return Recipe(mode=a.mode, chunks=a.chunks, refine=a.refine, channels=a.net, max_mac=a.max_mac, patch=a.patch,
                  budget=Budget(steps=a.steps) if a.steps else a.budget, memory=a.memory << 20, seed=a.seed,
                  general=a.general)


def crew_of(a: argparse.Namespace) -> Callable[[int], Crew]:
    """What gives the crew that the options ask for, for a film of so many segments."""
    if a.dask:
        return lambda segments: dask_crew(a.dask, a.jobs, a.shared_storage)

    def local(segments):
        jobs = a.jobs or choose_jobs(segments, a.threads, a.memory << 20)
        return local_crew(min(jobs, segments), max(1, a.threads // min(jobs, segments)))

    return local


def read_general(path: Path, scale: Fraction) -> sidecar.Net:
    """The general model: the first net of another sidecar. Raises VideoError where it has none for this scale."""
    try:
        other = sidecar.read(read_sidecar(path))
    except sidecar.SidecarError as error:
        raise VideoError(f"{path}: {error}; --general takes a .stdo file") from None
    if not other.luma_nets or other.scale != scale:
        lack = f"was trained for scale {other.scale}, not {scale}" if other.luma_nets else "holds no net"
        raise VideoError(f"{path}: {lack}; give --general a sidecar with a net for this scale")
    return other.luma_nets[0]


def read_start(recipe: Recipe, scale: Fraction) -> tuple[Net | None, int]:
    """The general model that the recipe names, or None, and the halo of the nets that start from it."""
    if recipe.general is None:
        return None, new_net(recipe.channels, net_scale(scale), np.random.default_rng(0)).halo
    net = dequantise(read_general(recipe.general, scale), net_scale(scale))
    return net, net.halo


def sizes(scale: Fraction, siting: int, patch: int, lr: tuple[int, int], info: VideoInfo) -> sidecar.Sidecar:
    """A sidecar without segments, for its sizes; lr: width and height."""
    return sidecar.Sidecar(scale=scale, mode=0, patch=patch, chroma=siting, lr_width=lr[0], lr_height=lr[1],
                           hr_width=info.width, hr_height=info.height, segments=())


def lay_segments(info: VideoInfo, header: sidecar.Sidecar, seconds: float) -> tuple[list[int], int]:
    """The first frame of each segment of a source, and about how many frames it has; `seconds`: of a segment."""
    most, expected = most_frames(seconds, info.rate, header.rows * header.columns), info.frames_expected
    if expected is not None and expected <= most:
        return [0], expected
    found, frames = keyframes(info)
    return cut(frames, most, found), frames


def identity(inputs: Sequence[Path], recipe: Recipe, **choices) -> dict:
    """All that a result depends on, as JSON takes it: the options, and the name, size and time of each input."""
    files = [path for given in inputs for path in (sorted(Path(given).iterdir()) if Path(given).is_dir() else [given])]
    ffmpeg = ask(ffmpeg_executable(), ["-version"]).out.decode(errors="replace").partition(" Copyright")[0]
    options = {name: str(value) for name, value in {**asdict(recipe), **choices}.items()}
    return {"version": __version__, "work": WORK_VERSION, "ffmpeg": ffmpeg, **options,
            "inputs": [_file_identity(path) for path in files]}


def _file_identity(path) -> list:
    if isinstance(path, Address):
        return [path]
    found = os.stat(path)
    return [os.path.realpath(path), found.st_size, found.st_mtime_ns]


def foretold(recipe: Recipe, frames: int, info: VideoInfo, header: sidecar.Sidecar, crew: Crew,
             note: Callable[[str], None]) -> Recipe:
    """The recipe with its budget in seconds or steps for a source of so many frames, which is told to `note`.

    Raises VideoError for seconds that do not suffice to read the frames and to judge one net.
    """
    seconds = float(frames / info.rate)
    recipe = recipe.resolved(seconds)
    if recipe.budget.seconds is None or recipe.plain:
        return recipe
    budget = recipe.budget.seconds
    channels = recipe.shaped(math.inf, header.net_scale).channels
    passes = pass_seconds(info, header, channels, crew.threads) * frames / crew.jobs
    if passes > budget + SPARE:
        enough = max(2.0, math.ceil(4 * passes / seconds) / 2)
        raise VideoError(f"a budget of {told(budget)} is too small: reading and judging alone take about "
                         f"{told(passes)}; give --budget {enough:g}x, or --steps N whatever time that takes")
    note(f"budget {told(budget)} after the lr video; reading and judging take about {told(passes)} of it"
         + (f"; {crew.jobs} segments at a time" if crew.jobs > 1 else ""))
    return recipe


def told(seconds: float) -> str:
    """A time as people say it: 45 s, 5 min, 1 h 50 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def check_patch(path: Path, width: int, height: int, patch: int, scale: Fraction) -> None:
    """Raise VideoError where an lr video of this size cannot be cut into patches of `patch` x `patch`."""
    if scale.denominator > 1 and (patch % 4 or patch > 84):
        raise VideoError(f"--patch is {patch}; at scale {options.plain(scale)} it must be a multiple of 4 up to 84")
    if max(width, height) > 8192:
        raise VideoError(f"{path}: an lr video of {width}x{height}; each side has at most 8192 pixels")
    if min(width, height) < patch:
        raise VideoError(f"{path}: its lr video of {width}x{height} is smaller than one patch of {patch}x{patch}; "
                         f"choose a smaller --patch (8 or more) or a smaller --scale")


def _budget(text: str) -> Budget | Times:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x", text)
    if found and float(found[1]) > 0:
        return Times(float(found[1]))
    try:
        return Budget(seconds=options.seconds(text))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time above zero such as 90s, 5m, 1h or 4x") from None


def _jobs(text: str) -> int | None:
    return None if text == "auto" else options.whole(1, options.MOST_THREADS)(text)


def _chunks(text: str) -> int | None:
    return None if text == "auto" else options.whole(1, sidecar.MAX_NETS)(text)


def _channels(text: str) -> tuple[int, ...] | None:
    if text == "auto":
        return None
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of channels such as 16,16")
    channels = tuple(map(int, text.split(",")))
    try:
        sidecar.check_channels(channels)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return channels
