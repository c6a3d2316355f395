"""What `stdo encode` chooses by itself: the scale and the crf that meet a target, or the plain video."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.siting import LEFT
from stdo_min.algorithm.target import Target
from stdo_min.commands import options
from stdo_min.commands.training import check_patch, lay_segments, sizes
from stdo_min.format.base import SCALES
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.lr_video import lr_size
from stdo_min.video.probe import VideoInfo
from stdo_min.video.work import Work

if TYPE_CHECKING:
    from stdo_min.algorithm.choose import Choice

PLAIN_CRF = {"x264": 23, "x265": 28, "av1": 35}  # the codecs' own defaults
CHOICE = "choice"  # a task of the work folder
SHARE = 0.25  # of a budget in seconds: what trying may take


def scale_or_auto(text: str) -> Fraction | None:
    """A scale, or None for auto."""
    return None if text == "auto" else options.scale(text)


def target(text: str) -> Target:
    """What a video is to be coded for, such as crf=26, psnr=38, vmaf=85, size=5M or bitrate=400k."""
    found = re.fullmatch(r"(crf|psnr|vmaf|size|bitrate)=(\d+(?:\.\d+)?)([kMG]?)", text)
    if not found or (found[3] and found[1] in ("crf", "psnr", "vmaf")):
        raise argparse.ArgumentTypeError(f"{text!r} is not a target such as crf=26, psnr=38, vmaf=85, size=5M or "
                                         "bitrate=400k")
    try:
        return Target(found[1], float(found[2]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[found[3]])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class Trying:
    """The seconds that trying may take, and the lines about it; without seconds as many rungs are tried as it takes.

    rungs: how many were. short: whether there was no time for more when that was last asked.
    """

    def __init__(self, seconds: float | None, note: Callable[[str], None]):
        self._limit, self._note, self.rungs, self.short = seconds, note, 0, False
        self._began = self._latest = time.monotonic()  # when trying began, and when the latest rung did

    def tell(self, scale: Fraction, crf: float) -> None:
        """Say which rung is tried."""
        self.rungs, self._latest = self.rungs + 1, time.monotonic()
        self._note(f"trying scale {options.plain(scale)} at crf {crf:g}")

    def more(self) -> bool:
        """Whether there is time for another rung, if it takes as long as the latest."""
        now = time.monotonic()
        self.short = self._limit is not None and 2 * now - self._began - self._latest > self._limit
        return not self.short


def chosen(info: VideoInfo, wanted: Target, scale: Fraction | None, recipe: Recipe, codec: str, segment: float,
           work: Work, threads: int, note: Callable[[str], None]) -> Choice:
    """The scale and crf of a film, from the work folder or by trying some on stretches of it.

    scale: the only one allowed, or None for all. note: gets a line for each rung that is tried, and the choice. Of a
    budget in seconds it takes a quarter at the most, but for the two rungs without which nothing is known.
    """
    from stdo_min.algorithm.choose import AXES, choose
    from stdo_min.algorithm.chroma import EvenRungs
    from stdo_min.algorithm.rung import Rungs, stretches_of

    if work.has(CHOICE):
        return kept_choice(work)

    def header(scale):
        return sizes(scale, LEFT, recipe.patch, lr_size(info.width, info.height, scale), info)

    starts, frames = lay_segments(info, header(Fraction(3, 2)), segment)
    seconds, by_vmaf = float(frames / info.rate), wanted.kind == "vmaf"
    budget = recipe.resolved(seconds).budget.seconds
    stretches = stretches_of(frames, info.width, info.height, budget, by_vmaf)
    allowed = [one for one in ([scale] if scale else SCALES) if _fits(info, recipe.patch, one)]
    if not allowed:
        _check_fits(info, recipe.patch, scale or Fraction(1))
    trying = Trying(None if budget is None else SHARE * budget, note)
    with TemporaryDirectory(dir=work.folder, suffix=".tmp") as folder:
        rungs = Rungs(info, header, frames, len(starts), codec, recipe, stretches, threads, Path(folder), by_vmaf,
                      trying.tell)
        even = EvenRungs(rungs, codec, AXES[codec].db / AXES[codec].vmaf if by_vmaf else 1.0)
        choice = choose(even, wanted, codec, allowed, seconds, frames * info.width * info.height,
                        given=scale is not None, more=trying.more)
        if not choice.plain:
            finer, enough = even.finer(choice.scale, choice.crf, choice.quality, choice.nets)
            chroma = even.chroma(choice.scale, choice.crf) if choice.nets else choice.chroma
            choice = replace(choice, finer=finer, even=enough, chroma=chroma)
    if trying.short:
        note(f"a quarter of the budget has no time for more than {trying.rungs} tries")
    note(_told(choice, wanted))
    keep_choice(choice, work)
    return choice


def kept_choice(work: Work) -> Choice:
    """The choice that a work folder keeps."""
    from stdo_min.algorithm.choose import Choice

    with work.open(CHOICE) as file:
        kept = json.load(file)
    return Choice(**{**kept, "scale": Fraction(kept["scale"]), "missed": tuple(map(tuple, kept["missed"])),
                     "chroma": tuple(kept["chroma"]), "fitted": tuple(kept["fitted"])})


def keep_choice(choice: Choice, work: Work) -> None:
    """Keep a choice in the work folder."""
    work.keep(CHOICE, lambda file: file.write(json.dumps({**asdict(choice), "scale": str(choice.scale)}).encode()))


def _check_fits(info, patch, scale) -> None:
    check_patch(info.path, *lr_size(info.width, info.height, scale), patch, scale)


def _fits(info, patch, scale) -> bool:
    try:
        _check_fits(info, patch, scale)
    except VideoError:
        return False
    return True


def _told(choice: Choice, wanted: Target) -> str:
    at, unit = f"scale {options.plain(choice.scale)} at crf {choice.crf:g}", "VMAF" if wanted.kind == "vmaf" else "dB"
    if not choice.reached:
        return f"the target is out of the codec's reach: the nearest is taken, {at}"
    if choice.plain:
        beside = "nets only if they pay after all" if choice.nets else "an empty sidecar"
        return f"nets do not pay here: the plain video at crf {choice.crf:g} it is, with {beside}"
    if wanted.of_bytes:
        return f"{at}: about {choice.quality - choice.plain_quality:+.2f} dB against the plain codec in as many bytes"
    saved = 100 * (choice.bytes / choice.plain_bytes - 1)
    at += "" if choice.nets else " without nets"
    return f"{at}: about {saved:+.0f} % of the bytes of the plain codec at {choice.quality:.1f} {unit}"
