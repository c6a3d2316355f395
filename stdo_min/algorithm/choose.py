"""Choosing the scale and crf of a film: the rung that costs the fewest bytes at a quality, or shows most in some bytes.

On its way it measures the codec's slope, by which `price.py` weighs all that is chosen later.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from stdo_min.algorithm.rung import Rung
from stdo_min.algorithm.target import Target

# From the greatest lr video down, but for 1, which pays where little is to be saved.
ORDER = (Fraction(3, 2), Fraction(1), Fraction(2), Fraction(3), Fraction(4))
CLEARLY = 0.03  # of a unit of cost: so much worse, 3/2 leaves nothing to 2
PAYS = 0.995  # of the plain codec's bytes: with more, the plain video is shipped
TRIES = 3  # rungs of one scale
NEAR = 1.0  # a crf so near to a rung that was measured needs no other
SLOPES = ((2.5, 9.0), (5.0, 60.0))  # limits of quality for each e-fold of the bytes: dB, VMAF; noise goes beyond


@dataclass(frozen=True)
class Axis:
    """A codec's crf: its limits, the least step, and about what one step of 1 changes: dB, VMAF, and log bytes.

    offset: by how much the crf of a scale lies above that of the plain codec at equal quality.
    """

    least: float
    most: float
    step: float
    db: float
    vmaf: float
    log_bytes: float
    offset: dict[Fraction, float]

    def rounded(self, crf: float) -> float:
        """The nearest crf that the codec takes."""
        return min(self.most, max(self.least, round(crf / self.step) * self.step))


_LIKE_X264 = {Fraction(1): 1.0, Fraction(3, 2): -3.0, Fraction(2): -7.0, Fraction(3): -12.0, Fraction(4): -16.0}
AXES = {
    "x264": Axis(0, 51, 0.05, -0.55, -2.0, -0.12, _LIKE_X264),
    "x265": Axis(0, 51, 0.05, -0.50, -2.0, -0.12, _LIKE_X264),
    "av1": Axis(1, 63, 1, -0.25, -1.0, -0.06, {scale: 1.6 * offset for scale, offset in _LIKE_X264.items()}),
}


@dataclass(frozen=True)
class Choice:
    """What a film is coded at, what is expected of it, and of the plain codec at the same quality or in as many bytes.

    nets: False for the plain video. bytes, plain_bytes: of the whole film. quality, plain_quality: PSNR of luma in dB,
    or VMAF where that is the target. db_per_log: the codec's slope here, dB for each e-fold of the bytes; None where it
    was not measured. gain: dB of luma by the nets. reached: whether the
    target is.
    """

    scale: Fraction
    crf: float
    nets: bool
    bytes: float
    quality: float
    plain_bytes: float
    plain_quality: float
    db_per_log: float | None
    gain: float = 0.0
    reached: bool = True


class _Point(NamedTuple):
    """A point of the curve of a scale; size is the logarithm of the bytes."""

    crf: float
    size: float
    quality: float


class _Met(NamedTuple):
    """Where a curve meets what is wanted, or comes nearest; cost is what is to be small there."""

    crf: float
    size: float
    quality: float
    slope: float  # quality for each e-fold of the bytes
    reached: bool
    cost: float


def choose(rungs: Callable[[Fraction, float], Rung], target: Target, codec: str, scales: Sequence[Fraction],
           seconds: float, given: bool = False) -> Choice:
    """The scale and crf that meet the target best, or the plain video where nets do not pay.

    rungs(scale, crf): measures one. scales: those allowed. seconds: the length of the film. given: whether the user
    asked for the one scale allowed, which is then taken with its nets in any case. Scales are tried in ORDER, as long
    as the next may be better.
    """
    axis, one = AXES[codec], Fraction(1)
    wanted, start = target.value, (axis.least + axis.most) / 2
    if target.kind == "crf":
        start = axis.rounded(target.value)
        wanted = rungs(one, start).quality(False)
    elif target.of_bytes:
        wanted = math.log(target.bytes(seconds))
    curves = _Curves(rungs, axis, target, wanted)
    plain = curves.meet(one, False, start)
    found: dict[Fraction, _Met] = {}
    for scale in (scale for scale in ORDER if scale in scales):
        met = curves.meet(scale, True, plain.crf + axis.offset[scale])
        if met.reached or given:
            found[scale] = met
        if _ends(scale, found):
            break
    scale = min(found, key=lambda one: found[one].cost, default=one)
    # A cost is log bytes, or quality, of which PAYS is worth as much as the plain codec makes of so many bytes.
    margin = math.log(PAYS) * (plain.slope if target.of_bytes else 1)
    pays = given or bool(found) and found[scale].cost < plain.cost + margin
    if not pays:
        scale = one
    kept = found[scale] if pays else plain
    return Choice(scale, kept.crf, pays, math.exp(kept.size), kept.quality, math.exp(plain.size), plain.quality,
                  None if target.kind == "vmaf" else kept.slope, curves.gain[scale] if pays else 0.0, kept.reached)


def _ends(scale, found) -> bool:
    """Whether still smaller lr videos would be worse still: curves of scales cross once, in their order."""
    if scale == ORDER[0] or not found:
        return False
    best = min(found, key=lambda one: found[one].cost)
    clearly = len(found) == 2 and found[ORDER[0]].cost > found[1].cost + CLEARLY if scale == 1 else False
    return best < scale or clearly


class _Curves:
    """Quality over bytes, a curve for each scale, and where they meet what is wanted: a quality, or log bytes."""

    def __init__(self, rungs, axis: Axis, target: Target, wanted: float):
        self._rungs, self._axis, self._wanted, self._of_bytes = rungs, axis, wanted, target.of_bytes
        self._by_vmaf = target.kind == "vmaf"
        self._step = axis.vmaf if self._by_vmaf else axis.db  # about what a crf of 1 changes of quality
        self._slopes = SLOPES[self._by_vmaf]
        self.gain: dict[Fraction, float] = {}  # dB of the nets at each scale

    def meet(self, scale: Fraction, nets: bool, guess: float) -> _Met:
        """Where the curve of a scale meets what is wanted, by a secant over crf, from a guess on."""
        points, crf = [], self._axis.rounded(guess)
        while True:
            rung = self._rungs(scale, crf)
            self.gain[scale] = rung.quality(True) - rung.quality(False)
            points.append(_Point(crf, math.log(rung.bytes(nets)), rung.quality(nets, self._by_vmaf)))
            nearest, slope, steps = self._line(points)
            lacking = self._wanted - (nearest.size if self._of_bytes else nearest.quality)
            exact = nearest.crf + lacking / (steps.size if self._of_bytes else steps.quality)
            crf = self._axis.rounded(exact)
            if len(points) == TRIES or min(abs(point.crf - crf) for point in points) < NEAR:
                break
        size = nearest.size + steps.size * (crf - nearest.crf)
        quality = nearest.quality + steps.quality * (crf - nearest.crf)
        if self._of_bytes:
            return _Met(crf, size, quality, slope, size < self._wanted + 0.05,
                        -(nearest.quality + slope * (self._wanted - nearest.size)))
        return _Met(crf, size, quality, slope, quality > self._wanted + 0.3 * self._step,
                    nearest.size + (self._wanted - nearest.quality) / slope)

    def _line(self, points) -> tuple[_Point, float, _Point]:
        """The point nearest to what is wanted, quality for each e-fold of bytes, and what a crf of 1 changes."""
        def distance(point):
            return abs((point.size if self._of_bytes else point.quality) - self._wanted)

        near = sorted(points, key=distance)[:2]
        steps = _Point(1, self._axis.log_bytes, self._step)
        if len(near) == 2:
            apart = near[0].crf - near[1].crf
            # Curves fall; noise must not turn them.
            steps = _Point(1, min((near[0].size - near[1].size) / apart, steps.size / 4),
                           min((near[0].quality - near[1].quality) / apart, steps.quality / 8))
        least, most = self._slopes
        slope = min(max(steps.quality / steps.size, least), most)
        return near[0], slope, steps._replace(quality=slope * steps.size)
