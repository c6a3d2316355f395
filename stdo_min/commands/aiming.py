"""Coding a film until it meets its target: by what its nets are foreseen to gain, then by what they gained."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.siting import LEFT
from stdo_min.algorithm.target import Target
from stdo_min.commands.choosing import keep_choice
from stdo_min.commands.training import sizes
from stdo_min.format.sidecar import Sidecar
from stdo_min.video.keyframes import packet_sizes
from stdo_min.video.lr_parts import Part, drop_parts
from stdo_min.video.lr_video import lr_size
from stdo_min.video.probe import VideoInfo
from stdo_min.video.work import Work

if TYPE_CHECKING:
    from stdo_min.algorithm.choose import Choice
    from stdo_min.algorithm.film import Made
    from stdo_min.algorithm.plain_video import Held, Plain

PLAIN = "plain"  # a task of the work folder: the plain video's bytes and PSNR
TRIES, ROUNDS = 4, 2  # how often the film is coded before its nets are trained, and how often again after that
MISSED_CRF, MISSED_VMAF = 0.12, 1.0  # by which a PSNR, 0.06 dB, and a VMAF may be missed
MISSED_DB = 0.1  # by which a PSNR may be missed once nets are trained
AIMED, SPARED = 0.01, 0.02  # of the logarithm of the bytes: how far below a size is aimed at, and how far it may end


class Aim:
    """A film at one scale, and what it is coded for.

    What missed, the crf that is better, and all that follows from it is one task of the work folder, the choice: so a
    run that was stopped at any moment goes on as if it had not been.
    """

    def __init__(self, wanted: Target, info: VideoInfo, header: Sidecar, recipe: Recipe, codec: str, work: Work,
                 code: Callable[..., list[Part]], threads: int, note: Callable[[str], None]):
        """header: gives the sizes. code(crf, finer): codes the parts that the work folder does not hold.

        note: gets a line for each time that the film is coded again.
        """
        from stdo_min.algorithm.choose import AXES

        self._wanted, self._info, self._header, self._recipe = wanted, info, header, recipe
        self._codec, self._axis, self._work, self._code = codec, AXES[codec], work, code
        self._threads, self._note = threads, note

    def parts(self, choice: Choice) -> list[Part] | None:
        """The parts of the lr video, coded at the crf chosen, and again where the whole film misses the target.

        None where the plain video is better after all: it is then what the work folder has as the choice.

        A size is missed by what is above it, or by more than SPARED below it; where a codec takes whole crfs only, the
        lowest that stays below it is taken. A PSNR is missed by more than MISSED_CRF, a VMAF by more than MISSED_VMAF.
        What a target of crf=N asks for is the PSNR of the plain video, which is coded too, as far as the budget allows
        (`algorithm/plain_video.py`); there chroma, too, is coded anew where it is not as good or better than need be.
        """
        from stdo_min.algorithm.chroma import SHORT

        work, wanted = self._work, self._wanted
        while True:
            parts = self._code(crf=choice.crf, finer=choice.finer)
            as_plain = wanted.kind == "crf" and (choice.plain or not choice.reached)
            if as_plain or choice.settled or choice.rounds or len(choice.missed) >= TRIES - 1:
                return parts
            lacking, chroma = self._lacking(choice, parts)
            if wanted.kind == "crf" and not choice.given and self._worse(choice, parts, lacking):
                self._note(f"the whole film takes more bytes so than plain: the plain video at crf {wanted.value:g} it "
                           "is, with nets only if they pay after all")
                drop_parts(parts, work)
                keep_choice(replace(choice, scale=Fraction(1), crf=wanted.value, bytes=choice.plain_bytes, finer=0,
                                    quality=choice.plain_quality, gain=0.0, missed=(), chroma=(0.0, 0.0)), work)
                return None
            missed = (*choice.missed, (choice.crf, lacking, choice.finer, chroma))
            crf, finer = self._better(choice, missed)
            seen = {(one[0], one[2]): abs(one[1]) + max(0.0, one[3] - SHORT) for one in missed}
            settled = (crf, finer) in seen
            if settled and not wanted.of_bytes:  # there is nothing between two that were seen: the better one it is
                crf, finer = min(seen, key=seen.get)
            again = (crf, finer) != (choice.crf, choice.finer)
            if not again:
                keep_choice(replace(choice, settled=True), work)
                return parts
            choice = self._take(replace(choice, crf=crf, finer=finer, missed=missed, settled=settled), choice, parts)

    def parts_again(self, choice: Choice, made: Made, parts: list[Part],
                    number: int) -> tuple[Choice, list[Part]] | None:
        """A better choice, and the parts coded by it, where the film misses its target with the nets that it has.

        None where it does not. made: the film. number: how often it was coded since its nets are trained, from 1 on.
        Several nets that trained for long gain more than the one of a rung did, and serve an lr video of a crf so near
        as well. By VMAF nothing is done: that of the film is not known.
        """
        if choice.rounds < number:
            better = self._corrected(choice, made, parts)
            if better is None:
                return None
            coded = choice.fitted or tuple(sum(packet_sizes(part.path)) for part in parts)
            choice = self._take(replace(better, rounds=number, fitted=coded), choice, parts)
        return choice, self._code(crf=choice.crf, finer=choice.finer)

    def _corrected(self, choice, made, parts) -> Choice | None:
        from stdo_min.algorithm.chroma import SHARE

        wanted, gain = self._wanted, made.psnr_y - made.psnr_bicubic_y
        if (wanted.kind == "vmaf" or not choice.reached or self._recipe.plain or self._recipe.as_published
                or not math.isfinite(gain) or not math.isfinite(made.psnr_y)):
            return None
        chroma = shift = 0.0
        if wanted.of_bytes:
            foreseen, lacking = self._lacking_bytes(parts, None), self._lacking_bytes(parts, len(made.data))
            met = 0 <= lacking < SPARED
        else:
            if wanted.kind == "psnr":
                foreseen = wanted.value - made.psnr_bicubic_y - choice.gain
            elif choice.plain and not choice.missed:
                foreseen = 0.0
            else:
                foreseen, chroma = self._lacking(choice, parts)
                shift = SHARE * (gain - choice.gain)  # chroma goes with luma, once that lacks nothing
            lacking = foreseen + choice.gain - gain
            met = abs(lacking) <= MISSED_DB
        if met:
            return None
        before = tuple((crf, lacked + lacking - foreseen, finer, lacked_chroma + shift)
                       for crf, lacked, finer, lacked_chroma in choice.missed)
        missed = (*before, (choice.crf, lacking, choice.finer, chroma + shift))
        crf, finer = self._better(choice, missed)
        if crf == choice.crf:
            return None
        return replace(choice, crf=crf, finer=finer, missed=missed, gain=gain)

    def _take(self, better, choice, parts) -> Choice:
        """Say and keep that a better choice is taken, and drop the parts that were coded by the one before."""
        self._note(f"the whole film misses the target at {_coded_at(choice)}: once more at {_coded_at(better)}")
        drop_parts(parts, self._work)
        keep_choice(better, self._work)
        return better

    def _better(self, choice, missed) -> tuple[float, int]:
        """The crf and the steps of finer chroma to code a film with after those that missed; the latest will do too."""
        from stdo_min.algorithm.chroma import steps_for

        db = choice.db_per_log and choice.db_per_log * self._axis.log_bytes
        crf = _better_crf([one[:2] for one in missed], self._wanted, self._axis, db)
        if not choice.even:
            return crf, choice.finer
        return crf, steps_for(self._codec, choice.finer, missed[-1][3], _db_of_step(missed))

    def _lacking(self, choice, parts) -> tuple[float, float]:
        """What a whole film, coded in parts, lacks of a target: log bytes, dB or VMAF; and the dB that chroma lacks."""
        from stdo_min.algorithm.chroma import lacking_of
        from stdo_min.algorithm.rung import base_planes, base_psnr, base_vmaf

        wanted, given = self._wanted, (self._info, self._header)
        if wanted.of_bytes:
            return self._lacking_bytes(parts, None), 0.0
        if wanted.kind == "crf":
            held = self._held(parts)
            found = base_planes(*given, [one.cut for one in held], self._threads)
            return lacking_of(self._plain(held).psnr, found, choice.gain, choice.chroma)
        measured = base_vmaf if wanted.kind == "vmaf" else base_psnr
        return wanted.value - measured(*given, parts, self._threads) - choice.gain, 0.0

    def _lacking_bytes(self, parts, beside) -> float:
        """Log bytes that an lr video lacks of a size; beside: bytes of the sidecar, None where they are foretold."""
        from stdo_min.algorithm.rung import sidecar_bytes

        size, frames = sum(sum(packet_sizes(part.path)) for part in parts), sum(len(part.checksums) for part in parts)
        if beside is None:
            beside = sidecar_bytes(self._recipe, size, len(parts), frames, self._header, maps=True)
        return math.log(max(self._wanted.bytes(float(frames / self._info.rate)) - beside, 1) / size)

    def _held(self, parts) -> list[Held]:
        from stdo_min.algorithm.plain_video import held_against

        return held_against(parts, self._info.width, self._info.height, self._recipe.budget.seconds)

    def _plain(self, held) -> Plain:
        """The plain video of some frames; it is coded once for a work folder."""
        from stdo_min.algorithm.plain_video import Plain, plain_video

        info, work = self._info, self._work
        if not work.has(PLAIN):
            full = lr_size(info.width, info.height, Fraction(1))
            header = sizes(Fraction(1), LEFT, self._recipe.patch, full, info)
            with TemporaryDirectory(dir=work.folder, suffix=".tmp") as folder:
                found = plain_video(info, header, held, self._codec, self._wanted.value, Path(folder), self._threads)
            work.keep(PLAIN, lambda file: file.write(json.dumps(found).encode()))
        with work.open(PLAIN) as file:
            return Plain(*json.load(file))

    def _worse(self, choice, parts, lacking) -> bool:
        """Whether a film takes more bytes than its plain video would at the same quality, by some of its frames."""
        from stdo_min.algorithm.rung import sidecar_bytes

        held = self._held(parts)
        coded = sum(sum(packet_sizes(one.part.path)[:one.count]) for one in held)
        frames, size = sum(len(part.checksums) for part in parts), sum(sum(packet_sizes(part.path)) for part in parts)
        beside = sidecar_bytes(self._recipe, size, len(parts), frames, self._header, maps=False)
        beside *= sum(one.count for one in held) / frames
        return math.log((coded + beside) / self._plain(held).bytes) + lacking / choice.db_per_log > 0


def tell_size(wanted: Target, size: int, seconds: float, note: Callable[[str], None]) -> None:
    """Say so where pictures, nets and maps of a film, `size` bytes, are above a size that was aimed at."""
    if wanted.of_bytes and size > wanted.bytes(seconds):
        above = 100 * (size / wanted.bytes(seconds) - 1)
        note(f"pictures, nets and map take {size:,} bytes, {above:.1f} % above the target")


def _coded_at(choice) -> str:
    return f"crf {choice.crf:g}" + (f" with chroma {choice.finer} steps finer" if choice.finer else "")


def _db_of_step(missed) -> float | None:
    """What a step of finer chroma brought between the last two codings, if one was taken; in dB."""
    (*_, before, lacked), (*_, finer, lacking) = missed[-2:] if len(missed) > 1 else 2 * missed
    return (lacked - lacking) / (finer - before) if finer != before else None


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


def _step(seen, usual) -> float:
    """What a crf of 1 changes, from the last two crfs of (crf, what is lacking there); not far from what is usual."""
    crf, lacking = seen[-1]
    for before, lacked in reversed(seen[:-1]):
        if before != crf:
            return min(usual / 2, max(4 * usual, (lacked - lacking) / (crf - before)))
    return usual
