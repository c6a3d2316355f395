"""What `stdo encode` chooses by itself: the scale and the crf that meet a target, or the plain video."""

from __future__ import annotations

import argparse
import json
import math
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
from stdo_min.format.sidecar import Sidecar
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.keyframes import packet_sizes
from stdo_min.video.lr_parts import Part, drop_parts
from stdo_min.video.lr_video import lr_size
from stdo_min.video.probe import VideoInfo
from stdo_min.video.work import Work

if TYPE_CHECKING:
    from stdo_min.algorithm.choose import Choice
    from stdo_min.algorithm.plain_video import Plain

PLAIN_CRF = {"x264": 23, "x265": 28, "av1": 35}  # the codecs' own defaults
# Tasks of the work folder: what is tried, the plain video's bytes and PSNR, and that what was tried is taken.
CHOICE, PLAIN, SETTLED = "choice", "plain", "settled"
SHARE = 0.25  # of a budget in seconds: what trying may take
TRIES = 4  # how often the film is coded
MISSED_CRF, MISSED_VMAF = 0.12, 1.0  # by which a PSNR, 0.06 dB, and a VMAF may be missed
AIMED, SPARED = 0.01, 0.02  # of the logarithm of the bytes: how far below a size is aimed at, and how far it may end


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
    _keep(choice, work)
    return choice


def code_to_target(choice: Choice, wanted: Target, info: VideoInfo, header: Sidecar, recipe: Recipe, codec: str,
                   work: Work, code: Callable[..., list[Part]], threads: int,
                   note: Callable[[str], None]) -> list[Part] | None:
    """The parts of the lr video, coded at the crf chosen, and again where the whole film misses the target.

    None where the plain video is better after all: it is then what the work folder has as the choice.

    A size is missed by what is above it, or by more than SPARED below it; where a codec takes whole crfs only, the
    lowest that stays below it is taken. A PSNR is missed by more than MISSED_CRF, a VMAF by more than MISSED_VMAF. What
    a target of crf=N asks for is the PSNR of the plain video, which is coded too, as far as the budget allows
    (`algorithm/plain_video.py`); there chroma, too, is coded anew where it is not as good or better than need be.
    code(crf, finer): codes the parts that the work folder does not hold. What missed and the crf that is better are
    kept there, so that a run that was stopped goes on as if it had not been.
    """
    from stdo_min.algorithm.choose import AXES
    from stdo_min.algorithm.chroma import SHORT, lacking_of, steps_for
    from stdo_min.algorithm.plain_video import held_against
    from stdo_min.algorithm.rung import base_planes

    axis = AXES[codec]
    while True:
        parts = code(crf=choice.crf, finer=choice.finer)
        as_plain = wanted.kind == "crf" and (choice.plain or not choice.reached)
        if as_plain or work.has(SETTLED) or len(choice.missed) == TRIES - 1:
            return parts
        if wanted.kind == "crf":
            held = held_against(parts, info.width, info.height, recipe.budget.seconds)
            plain = _plain(info, recipe, held, codec, wanted.value, work, threads)
            lacking, chroma = lacking_of(plain.psnr, base_planes(info, header, [one.cut for one in held], threads),
                                         choice.gain, choice.chroma)
            if not choice.given and _worse(choice, plain, held, parts, lacking, header, recipe):
                note(f"the whole film takes more bytes so than plain: the plain video at crf {wanted.value:g} it is, "
                     "with nets only if they pay after all")
                drop_parts(parts, work)
                _keep(replace(choice, scale=Fraction(1), crf=wanted.value, bytes=choice.plain_bytes, finer=0,
                              quality=choice.plain_quality, gain=0.0, missed=(), chroma=(0.0, 0.0)), work)
                return None
        else:
            lacking, chroma = _lacking(choice, wanted, info, header, recipe, parts, threads), 0.0
        missed = (*choice.missed, (choice.crf, lacking, choice.finer, chroma))
        crf = _better_crf([one[:2] for one in missed], wanted, axis,
                          choice.db_per_log and choice.db_per_log * axis.log_bytes)
        finer = steps_for(codec, choice.finer, chroma, _db_of_step(missed)) if choice.even else choice.finer
        seen = {(one[0], one[2]): abs(one[1]) + max(0.0, one[3] - SHORT) for one in missed}
        settled = (crf, finer) in seen
        if settled and not wanted.of_bytes:  # there is nothing between two that were seen: the better one it is
            crf, finer = min(seen, key=seen.get)
        again = (crf, finer) != (choice.crf, choice.finer)
        if again:
            note(f"the whole film misses the target at {_coded_at(choice.crf, choice.finer)}: once more at "
                 f"{_coded_at(crf, finer)}")
            drop_parts(parts, work)
            choice = replace(choice, crf=crf, finer=finer, missed=missed)
            _keep(choice, work)
        if settled:
            work.keep(SETTLED, lambda file: None)
        if not again:
            return parts


def _coded_at(crf, finer) -> str:
    return f"crf {crf:g}" + (f" with chroma {finer} steps finer" if finer else "")


def _db_of_step(missed) -> float | None:
    """What a step of finer chroma brought between the last two codings, if one was taken; in dB."""
    (*_, before, lacked), (*_, finer, lacking) = missed[-2:] if len(missed) > 1 else 2 * missed
    return (lacked - lacking) / (finer - before) if finer != before else None


def tell_size(wanted: Target, size: int, seconds: float, note: Callable[[str], None]) -> None:
    """Say so where pictures, nets and maps of a film, `size` bytes, are above a size that was aimed at."""
    if wanted.of_bytes and size > wanted.bytes(seconds):
        above = 100 * (size / wanted.bytes(seconds) - 1)
        note(f"pictures, nets and map take {size:,} bytes, {above:.1f} % above the target")


def _better_crf(seen, wanted, axis, db) -> float:
    """The crf to code a film at after those seen, of (crf, what is lacking there); the latest where it will do.

    db: what a crf of 1 changes, or None for what is usual.
    """
    crf, lacking = seen[-1]
    if wanted.of_bytes:
        if 0 <= lacking < SPARED:
            return crf
        least = max((one + axis.step for one, lacked in seen if lacked < 0), default=axis.least)
        return axis.above(max(least, crf + (lacking - AIMED) / _step(seen, axis.log_bytes)))
    if wanted.kind == "vmaf":
        return crf if abs(lacking) < MISSED_VMAF else axis.rounded(crf + lacking / _step(seen, axis.vmaf))
    exact = axis.rounded(crf + lacking / _step(seen, db or axis.db))
    return crf if abs(exact - crf) < MISSED_CRF else exact


def _lacking(choice, wanted, info, header, recipe, parts, threads) -> float:
    """What a whole film, coded in parts, lacks of a target: log bytes, dB or VMAF."""
    from stdo_min.algorithm.rung import base_psnr, base_vmaf, sidecar_bytes

    if not wanted.of_bytes:
        measured = base_vmaf if wanted.kind == "vmaf" else base_psnr
        return wanted.value - measured(info, header, parts, threads) - choice.gain
    size = sum(sum(packet_sizes(part.path)) for part in parts)
    frames = sum(len(part.checksums) for part in parts)
    beside = sidecar_bytes(recipe, size, len(parts), frames, header, maps=True)
    return math.log(max(wanted.bytes(float(frames / info.rate)) - beside, 1) / size)


def _plain(info, recipe, held, codec, crf, work, threads) -> Plain:
    """The plain video of some frames; it is coded once for a work folder."""
    from stdo_min.algorithm.plain_video import Plain, plain_video

    if not work.has(PLAIN):
        header = sizes(Fraction(1), LEFT, recipe.patch, lr_size(info.width, info.height, Fraction(1)), info)
        with TemporaryDirectory(dir=work.folder, suffix=".tmp") as folder:
            found = plain_video(info, header, held, codec, crf, Path(folder), threads)
        work.keep(PLAIN, lambda file: file.write(json.dumps(found).encode()))
    with work.open(PLAIN) as file:
        return Plain(*json.load(file))


def _worse(choice, plain, held, parts, lacking, header, recipe) -> bool:
    """Whether a film takes more bytes than its plain video would at the same quality, by some of its frames."""
    from stdo_min.algorithm.rung import sidecar_bytes

    coded = sum(sum(packet_sizes(one.part.path)[:one.count]) for one in held)
    frames, size = (sum(len(part.checksums) for part in parts), sum(sum(packet_sizes(part.path)) for part in parts))
    beside = sidecar_bytes(recipe, size, len(parts), frames, header, maps=False)
    beside *= sum(one.count for one in held) / frames
    return math.log((coded + beside) / plain.bytes) + lacking / choice.db_per_log > 0


def _step(seen, usual) -> float:
    """What a crf of 1 changes, from the last two crfs of (crf, what is lacking there); not far from what is usual."""
    crf, lacking = seen[-1]
    for before, lacked in reversed(seen[:-1]):
        if before != crf:
            return min(usual / 2, max(4 * usual, (lacked - lacking) / (crf - before)))
    return usual


def kept_choice(work: Work) -> Choice:
    """The choice that a work folder keeps."""
    from stdo_min.algorithm.choose import Choice

    with work.open(CHOICE) as file:
        kept = json.load(file)
    return Choice(**{**kept, "scale": Fraction(kept["scale"]), "missed": tuple(map(tuple, kept["missed"])),
                     "chroma": tuple(kept["chroma"])})


def _keep(choice, work):
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
