"""Chroma as good as the plain codec's: by how much an lr video codes U and V finer than luma.

Luma's nets raise luma alone, and a net for U and V seldom does all. So where luma is as good as plain video's they fall
behind, and the more so the greater the scale. How far differs from film to film, and so does what it costs: on one a
dB of both planes takes 1 % of the bytes, on another 30 %. So it is measured on the stretches, and what it costs counts
when rungs are compared. docs/chroma.md has the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial

import numpy as np

from stdo_min.algorithm.choose import by_scale
from stdo_min.algorithm.rung import Rung, Rungs
from stdo_min.video.lr_video import FINER

# dB of the plane that lacks most: what may be lacking, what is aimed at, and what is too much.
SHORT, AIMED, OVER = 0.1, 0.0, 0.35
# Of the logarithm of the bytes: what a dB that is lacking may cost, and that none is lacking. Where scales are compared
# it counts as what a plane is worth beside luma at the usual weights of 6:1:1 (JVET), 4 dB being an e-fold.
PRICE, EVEN, WORTH = 0.15, 0.05, 0.05
TRIES = 3  # codings of one rung, before it is seen whether they pay
SHARE = 0.65  # dB by which chroma falls where luma falls by 1 dB, of a plain codec


# By codec: steps to begin with at each scale, which clips needed about, and the dB that one gives.
USUAL = {"x264": (by_scale(0, 3, 5, 8, 9), 0.35), "x265": (by_scale(0, 2, 4, 6, 8), 0.35),
         "av1": (by_scale(0, 0, 0, 1, 2), 0.1)}


def steps_for(codec: str, steps: int, lacking: float, db: float | None = None) -> int:
    """The steps by which chroma should be finer where `lacking` dB are lacking with `steps`; the same where it will do.

    db: what a step brings, or None for what it usually does.
    """
    if -OVER <= lacking <= (SHORT + AIMED) / 2:
        return steps
    usual, most = USUAL[codec][1], FINER[codec][0]
    db = usual if db is None else max(db, usual / 4)
    return min(max(steps + math.ceil((lacking - AIMED) / db), 0), most)


def lacking_of(plain: Sequence[float], base: Sequence[float], gain: float,
               chroma: Sequence[float] = (0.0, 0.0)) -> tuple[float, float]:
    """What a film lacks of its plain video: dB of luma, and of U or V, which lacks more, once luma lacks nothing.

    plain, base: PSNR of Y, U and V in dB, the latter without nets. gain, chroma: of luma, and of U and V, by nets.
    """
    luma = plain[0] - base[0] - gain
    return luma, max(plain[1] - base[1] - chroma[0], plain[2] - base[2] - chroma[1]) - SHARE * luma


def _cost(lacking, log_bytes) -> float:
    return log_bytes + (PRICE * lacking + EVEN if lacking > SHORT else 0.0)


@dataclass(frozen=True, eq=False)
class _EvenRung(Rung):
    """A rung whose lr video is counted with even chroma; at scale 1 without nets it is the plain video."""

    even_bytes: Callable[[bool], float] | None = None

    def bytes(self, nets: bool) -> float:
        if self.scale == 1 and not nets:
            return super().bytes(nets)
        return self.even_bytes(nets) + self.net_bytes * nets


class EvenRungs:
    """Rungs whose bytes are those with even chroma: as good as the plain codec's at the same quality.

    What no number of steps brings, or only for more bytes than it may cost, is counted as bytes.
    """

    def __init__(self, rungs: Rungs, codec: str, db: float = 1.0):
        """db: of luma that one of quality is about worth: 1, or less where quality is VMAF."""
        self._rungs, self._codec, self._db = rungs, codec, db
        self._finer = dict(USUAL[codec][0])  # by scale, as last found
        self._step: dict[Fraction, tuple[float, float]] = {}  # by scale, dB and log bytes of a step
        self._gain: dict[Fraction, float] = {}  # by scale, what nets add to quality, as last seen
        self._found: dict[tuple[Fraction, float], _EvenRung] = {}

    def __call__(self, scale: Fraction, crf: float) -> Rung:
        """The rung of a scale and crf; that of scale 1 without nets is the plain video as the codec makes it."""
        if (scale, crf) not in self._found:
            rung = self._rungs(scale, crf, 0 if scale == 1 else self._finer[scale])

            def quality(nets: bool) -> float:
                shown = rung.quality(nets)
                if nets:
                    self._gain[scale] = shown - rung.quality(False)
                return shown

            self._found[scale, crf] = _EvenRung(scale, crf, rung.lr_bytes, rung.net_bytes, quality, rung.base,
                                                rung.chroma, cache(partial(self._even_bytes, rung)))
        return self._found[scale, crf]

    def finer(self, scale: Fraction, crf: float, quality: float, nets: bool = True) -> tuple[int, bool]:
        """The fewest steps by which chroma must be coded finer to be as good as plain video's of this quality.

        Fewer where they cost more than what would be lacking without them, as they do where detail of U and V is lost;
        then the second answer is False: more of them would not pay either. nets: whether there are any.
        """
        tried = self._measured(scale, crf, quality, nets)
        best = self._finer[scale] = min(tried, key=lambda steps: _cost(*tried[steps]))
        return best, tried[best][0] <= SHORT or best == max(tried)

    def chroma(self, scale: Fraction, crf: float) -> tuple[float, float]:
        """What a net adds to U and V there, in dB."""
        u, v = self._rungs(scale, crf, self._finer[scale]).chroma()
        return float(u), float(v)

    def _measured(self, scale: Fraction, crf: float, quality: float, nets: bool) -> dict[int, tuple[float, float]]:
        """By steps, the dB that are lacking with them, and the logarithm of the lr video's bytes."""
        wanted, tried, steps = self._plain_chroma(quality), {}, self._finer[scale]
        while steps not in tried and len(tried) < TRIES:
            self._measure(scale, crf, steps, wanted, nets, tried)
            steps = steps_for(self._codec, steps, tried[steps][0], self._step.get(scale, (None,))[0])
        if 0 not in tried and min(lacking for lacking, _ in tried.values()) > SHORT:
            self._measure(scale, crf, 0, wanted, nets, tried)
        first, last = min(tried), max(tried)
        if first < last:
            self._step[scale] = tuple((np.array(tried[last]) - tried[first]) / (last - first) * (-1, 1))
        return tried

    def _foretold(self, scale: Fraction, crf: float, quality: float, nets: bool) -> dict[int, tuple[float, float]]:
        """The same by one coding, from what a step brought and cost at another rung of this scale."""
        tried, steps, (db, size) = {}, self._finer[scale], self._step[scale]
        self._measure(scale, crf, steps, self._plain_chroma(quality), nets, tried)
        lacking, log_bytes = tried[steps]
        for other in (0, steps_for(self._codec, steps, lacking, db)):
            tried.setdefault(other, (lacking - db * (other - steps), log_bytes + size * (other - steps)))
        return tried

    def _measure(self, scale, crf, steps, wanted, nets, tried) -> None:
        rung = self._rungs(scale, crf, steps)
        shown = rung.base()[1:] + (rung.chroma() if nets else 0)
        tried[steps] = float(np.max(wanted - shown)), math.log(rung.lr_bytes)

    def _even_bytes(self, rung: Rung, nets: bool) -> float:
        """The bytes of its lr video with even chroma, with what is lacking counted."""
        # A rung that only checks a crf has no net of its own.
        shown = rung.quality(False) + self._gain.get(rung.scale, 0.0) * nets
        found = (self._foretold if rung.scale in self._step else self._measured)(rung.scale, rung.crf, shown, nets)
        self._finer[rung.scale] = min(found, key=lambda steps: _cost(*found[steps]))
        lacking, log_bytes = found[self._finer[rung.scale]]
        return math.exp(log_bytes + WORTH * max(lacking - SHORT, 0.0))

    def _plain_chroma(self, quality: float) -> np.ndarray:
        """PSNR of U and V of the plain video of a quality, by the nearest that were measured."""
        plain = sorted(((rung.quality(False), rung.base()[1:])
                        for (scale, _), rung in self._found.items() if scale == 1), key=lambda one: one[0])
        at = [one for one, _ in plain]
        inside = min(max(quality, at[0]), at[-1])
        return np.array([np.interp(inside, at, [chroma[plane] for _, chroma in plain]) for plane in (0, 1)]) \
            + SHARE * self._db * (quality - inside)
