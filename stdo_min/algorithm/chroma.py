"""Chroma as good as the plain codec's: by how much an lr video codes U and V finer than luma.

Nets raise luma alone. U and V are upscaled by the base, so where luma is as good as plain video's they fall behind, and
the more so the greater the scale. How far differs from film to film, and so does what it costs: on one a dB of both
planes takes 1 % of the bytes, on another 30 %. So it is measured on the stretches, and what it costs counts when rungs
are compared, and once more on as much of the film as may be. docs/rates.md has the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np

from stdo_min.algorithm.rung import Rung, Rungs
from stdo_min.format.base import SCALES
from stdo_min.video.lr_video import FINER

SHORT, OVER = 0.1, 0.25  # dB of the plane that lacks most: what may be lacking, and what is too much
PRICE, EVEN = 0.15, 0.05  # of the logarithm of the bytes: what a dB that is lacking counts as, and that none is lacking
TRIES = 3  # codings of one rung, before it is seen whether they pay
SHARE = 0.65  # dB by which chroma falls where luma falls by 1 dB, of a plain codec


def _by_scale(*values):
    return dict(zip(sorted(SCALES), values, strict=True))


# By codec: steps to begin with at each scale, which clips needed about, and the dB that one gives.
USUAL = {"x264": (_by_scale(0, 3, 5, 8, 9), 0.35), "x265": (_by_scale(0, 2, 4, 6, 8), 0.35),
         "av1": (_by_scale(0, 0, 0, 1, 2), 0.1)}


@dataclass(frozen=True, eq=False)
class _EvenRung(Rung):
    """A rung whose lr video is counted with even chroma; at scale 1 without nets it is the plain video."""

    even_bytes: Callable[[], float] | None = None

    def bytes(self, nets: bool) -> float:
        if self.scale == 1 and not nets:
            return super().bytes(nets)
        return self.even_bytes() + self.net_bytes * nets


class EvenRungs:
    """Rungs whose bytes are those with even chroma: as good as the plain codec's at the same quality.

    What no number of steps brings, or only for more bytes than it is worth, is counted as bytes.
    """

    def __init__(self, rungs: Rungs, codec: str, db: float = 1.0):
        """db: of luma that one of quality is about worth: 1, or less where quality is VMAF."""
        self._rungs, self._codec, self._db, self._most = rungs, codec, db, FINER[codec][0]
        first, self._step = USUAL[codec]
        self._finer = dict(first)  # by scale, as last found
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

            self._found[scale, crf] = _EvenRung(scale, crf, rung.lr_bytes, rung.net_bytes, quality, rung.chroma,
                                                partial(self._even_bytes, rung))
        return self._found[scale, crf]

    def finer(self, scale: Fraction, crf: float, quality: float) -> int:
        """The fewest steps by which chroma must be coded finer to be as good as plain video's of this quality.

        Fewer where they cost more than what would be lacking without them, as they do where detail of U and V is lost.
        """
        return self._evened(scale, crf, quality)[0]

    def _evened(self, scale: Fraction, crf: float, quality: float) -> tuple[int, float]:
        """The steps, and the bytes of the lr video with them, with what is lacking counted."""
        wanted, steps, lacking, cost = self._plain_chroma(quality), self._finer[scale], {}, {}

        def measure(steps: int) -> None:
            rung = self._rungs(scale, crf, steps)
            lacking[steps] = float(np.max(wanted - rung.chroma()))
            cost[steps] = rung.lr_bytes * math.exp(PRICE * lacking[steps] + EVEN if lacking[steps] > SHORT else 0)

        while steps not in lacking and len(lacking) < TRIES:
            measure(steps)
            if -OVER <= lacking[steps] <= SHORT:
                break
            needed = steps + math.ceil((lacking[steps] - SHORT) / self._step)
            steps = min(max(needed, 0), self._most)
        best = min(cost, key=cost.get)
        if lacking[best] > SHORT and 0 not in cost:
            measure(0)
            best = min(cost, key=cost.get)
        self._finer[scale] = best
        return best, cost[best]

    def settled(self, scale: Fraction, crf: float, quality: float, gain: float, wide: Rungs) -> int:
        """The steps for a scale and crf that were chosen, by rungs on more of the film, whose quality is PSNR of luma.

        quality: expected there, gain: of it by nets. What chroma lacks on a few frames may be 0.5 dB off.
        """
        plain = min((rung for (one, _), rung in self._found.items() if one == 1),
                    key=lambda rung: abs(rung.quality(False) - quality))
        again = EvenRungs(wide, self._codec)
        again(plain.scale, plain.crf)
        again._finer = dict(self._finer)
        luma = wide(scale, crf, self._finer[scale]).quality(False) + gain * self._db
        return again.finer(scale, crf, luma)

    def _even_bytes(self, rung: Rung) -> float:
        # A rung that only checks a crf has no net of its own.
        shown = rung.quality(False) + self._gain.get(rung.scale, 0.0)
        return self._evened(rung.scale, rung.crf, shown)[1]

    def _plain_chroma(self, quality: float) -> np.ndarray:
        """PSNR of U and V of the plain video of a quality, by the nearest that were measured."""
        plain = sorted(((rung.quality(False), rung.chroma()) for (scale, _), rung in self._found.items() if scale == 1),
                       key=lambda one: one[0])
        at = [one for one, _ in plain]
        inside = min(max(quality, at[0]), at[-1])
        return np.array([np.interp(inside, at, [chroma[plane] for _, chroma in plain]) for plane in (0, 1)]) \
            + SHARE * self._db * (quality - inside)
