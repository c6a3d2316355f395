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
from stdo_min.format.base import SCALES

CLEARLY = 0.03  # of the logarithm of the bytes: what one rung of a scale may err by
PAYS = 0.995  # of the plain codec's bytes: with more, the plain video is taken
CHANCE = 0.05  # of the logarithm of the bytes: what a net costs, and one that happened to learn little loses
TRIES = 3  # rungs of one scale
CHECKED = TRIES + 2  # the same with those that only check a crf
NEAR = 0.12  # of the logarithm of the bytes: a crf so near to a rung that was measured needs no other
NEAR_PLAIN = 0.3  # the same for the plain video, by which others are only judged
SLOPES = ((2.5, 9.0), (5.0, 60.0))  # limits of quality for each e-fold of the bytes: dB, VMAF; noise goes beyond
USUAL_DB, USUAL_VMAF, USUAL_BITS = 40.0, 88.0, 0.03  # what a usual film has at an axis' crf `usual`; bits a pixel


@dataclass(frozen=True)
class Axis:
    """A codec's crf: its limits, the least step, and about what one step of 1 changes: dB, VMAF, and log bytes.

    usual: the crf at which a usual film has 40 dB. offset: by how much the crf of a scale lies above that of the plain
    codec at equal quality. first: from which crf of the plain codec on each scale is expected to be the best.
    """

    least: float
    most: float
    step: float
    db: float
    vmaf: float
    log_bytes: float
    usual: float
    offset: dict[Fraction, float]
    first: dict[Fraction, float]

    def rounded(self, crf: float) -> float:
        """The nearest crf that the codec takes."""
        return min(self.most, max(self.least, round(crf / self.step) * self.step))

    def above(self, crf: float) -> float:
        """The least crf that the codec takes and that is not below."""
        return min(self.most, max(self.least, math.ceil(crf / self.step - 1e-6) * self.step))

    def guess(self, target: Target, seconds: float, pixels: float) -> float:
        """The crf at which the plain codec meets a target on a usual film of so many seconds and pixels of luma."""
        if target.kind == "crf":
            return self.rounded(target.value)
        if target.of_bytes:
            lacking = math.log(8 * target.bytes(seconds) / (USUAL_BITS * pixels)) / self.log_bytes
        elif target.kind == "vmaf":
            lacking = (target.value - USUAL_VMAF) / self.vmaf
        else:
            lacking = (target.value - USUAL_DB) / self.db
        edge = (self.most - self.least) / 10
        return self.rounded(min(self.most - edge, max(self.least + edge, self.usual + lacking)))


def by_scale(*values: float) -> dict[Fraction, float]:
    """One value for each scale, by scale, from the least on."""
    return dict(zip(sorted(SCALES), values, strict=True))


AXES = {
    "x264": Axis(0, 51, 0.05, -0.55, -2.7, -0.12, 28, by_scale(0, -3, -5, -9, -12), by_scale(0, 27, 35, 43, 49)),
    "x265": Axis(0, 51, 0.05, -0.50, -2.7, -0.12, 29, by_scale(0, -3, -5, -9, -12), by_scale(0, 29, 38, 46, 50)),
    "av1": Axis(1, 63, 1, -0.25, -1.35, -0.06, 50, by_scale(0, -7, -11, -17, -22), by_scale(0, 58, 63, 64, 64)),
}


@dataclass(frozen=True)
class Choice:
    """What a film is coded at, what is expected of it, and of the plain codec at the same quality or in as many bytes.

    nets: whether any are trained; what does not pay for its bytes then is not shipped. bytes, plain_bytes: of the whole
    film. quality, plain_quality: PSNR of luma in dB, or VMAF where that is the target. db_per_log: the codec's slope
    here, dB for each e-fold of the bytes; None where it was not measured. gain: of quality by the nets. reached:
    whether the target is. given: whether the user asked for the scale. finer: steps by which chroma is coded finer, see
    chroma.py; even: whether more of them may be taken, should they not suffice. missed: for each coding of the whole
    film that missed the target its crf, what was lacking, its `finer`, and the dB that chroma lacked. chroma: dB that a
    net adds to U and V. settled: whether nothing better than this crf is known, though the film missed the target.
    rounds: how often the film was coded again once its nets were trained. fitted: the bytes of each part that they were
    trained on, if so.
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
    given: bool = False
    finer: int = 0
    even: bool = True
    missed: tuple[tuple[float, float, int, float], ...] = ()
    chroma: tuple[float, float] = (0.0, 0.0)
    settled: bool = False
    rounds: int = 0
    fitted: tuple[int, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether it is the plain codec's video, since nothing that was tried is better."""
        return (self.bytes, self.quality) == (self.plain_bytes, self.plain_quality)


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
           seconds: float, pixels: float, given: bool = False, more: Callable[[], bool] = lambda: True) -> Choice:
    """The scale and crf that meet the target best, or the plain video where nets do not pay.

    rungs(scale, crf): measures one. scales: those allowed, one or more. seconds, pixels: of the film, of luma. given:
    whether the user asked for the one scale allowed, which is then taken in any case. more: whether there is time for
    another rung; the plain video and the scale that is expected to be the best get one each in any case.

    From the scale expected on, its neighbours are tried as long as they are better, since curves of scales cross once,
    in their order. One rung of each mostly decides; the best gets more, until its crf is known. Where time ends before,
    rungs without training check it, which cost little.
    """
    axis, one = AXES[codec], Fraction(1)
    wanted, start = target.value, axis.guess(target, seconds, pixels)
    if target.kind == "crf":
        wanted = rungs(one, start).quality(False)
    elif target.of_bytes:
        wanted = math.log(target.bytes(seconds))
    plain_curve = _Curve(rungs, axis, target, wanted, one, False)
    plain_curve.measure(start)
    while plain_curve.open() and more():
        plain_curve.measure(plain_curve.met().crf)
    plain, allowed, curves = plain_curve.met(), sorted(scales), {}
    # A cost is log bytes, or quality, of which so much is worth as much as the plain codec makes of so many bytes.
    unit = plain.slope if target.of_bytes else 1.0
    expected = max((scale for scale in allowed if axis.first[scale] <= plain.crf), default=allowed[0])
    close = CLEARLY * unit
    while (scale := _next(curves, allowed, close, target.of_bytes) if curves else expected) and (not curves or more()):
        if scale in curves:
            curves[scale].measure(curves[scale].met().crf)
        else:
            crf = plain_curve.nearest().crf if scale == 1 else _guess(scale, curves, plain, axis, target)
            curves[scale] = _Curve(rungs, axis, target, wanted, scale, True)
            curves[scale].measure(crf)
    while (best := min(curves.values(), key=_Curve.rank)).open(CHECKED):
        best.measure(best.met().crf, check=True)
    met = best.met()
    small = target.of_bytes and not met.reached and met.size < plain.size  # the nearest to a size out of reach
    if given or small or met.reached and met.cost < plain.cost + math.log(PAYS) * unit:
        scale, nets, gain = best.scale, best.nets, best.gain
    else:
        # A net that trained for seconds may be unlucky, and for lack of time none may have been tried at scale 1.
        # Those that do not pay in the end are not shipped, so nets get their chance where they are near, or unknown. By
        # PSNR that is: their price knows of no VMAF.
        near = met.reached and met.cost < plain.cost + CHANCE * unit or one in allowed and one not in curves
        met, scale, nets, gain = plain, one, near and target.kind != "vmaf", 0.0
    return Choice(scale, met.crf, nets, math.exp(met.size), met.quality, math.exp(plain.size), plain.quality,
                  None if target.kind == "vmaf" else met.slope, gain, met.reached, given)


def _next(curves, allowed, close, of_bytes=False) -> Fraction | None:
    """The scale that most needs another rung: a neighbour of the best, the best itself, or one that comes close."""
    met = {scale: curve.met() for scale, curve in curves.items()}
    # Where none reaches the target, the greatest lr video comes nearest to a quality, the smallest to a size.
    far = -1 if of_bytes else 1
    order = sorted(met, key=lambda one: (not met[one].reached, met[one].cost if met[one].reached else far * one))
    best, at = order[0], allowed.index(order[0])
    above, below = allowed[at + 1:at + 2], allowed[max(0, at - 1):at]
    reached = met[best].reached
    for scale in [*(above if reached or of_bytes else []), *(below if reached or not of_bytes else [])]:
        if scale not in curves:
            return scale
    for scale in order:
        if curves[scale].open() and (scale == best or met[best].reached and met[scale].reached
                                     and met[scale].cost < met[best].cost + close):
            return scale
    return None


def _guess(scale, curves, plain, axis, target) -> float:
    """The crf of a scale that was not measured yet, as far from its usual one as that of the nearest scale."""
    near = min((one for one in curves if one > 1), key=lambda one: abs(one - scale), default=None)
    # In as many bytes as the plain codec it is lower than at the same quality.
    far = 2.0 if target.of_bytes else 1.0
    if near:
        far = min(3.0, max(0.3, (curves[near].met().crf - plain.crf) / axis.offset[near]))
    return plain.crf + far * axis.offset[scale]


class _Curve:
    """Quality over bytes of a scale, and where it meets what is wanted: a quality, or log bytes."""

    def __init__(self, rungs, axis: Axis, target: Target, wanted: float, scale: Fraction, nets: bool):
        self._rungs, self._axis, self._wanted, self._of_bytes = rungs, axis, wanted, target.of_bytes
        self.scale, self.nets, self.gain = scale, nets, 0.0  # gain: quality that nets add
        self._by_vmaf = target.kind == "vmaf"
        self._usual = _Point(1, axis.log_bytes, axis.vmaf if self._by_vmaf else axis.db)  # what a crf of 1 changes
        self._slopes, self._points = SLOPES[self._by_vmaf], []

    def measure(self, crf: float, check: bool = False) -> None:
        """Measure a rung at the crf that the codec takes and that is nearest.

        check: by its lr video alone; nets are taken to gain what they did before.
        """
        crf = self._axis.rounded(crf)
        rung = self._rungs(self.scale, crf)
        if self.nets and not check:
            shown = rung.quality(True)
            self.gain = shown - rung.quality(False)
            # Nets learn squared error, and may lower the VMAF: the first rung of a scale says whether it has any.
            price = self._usual.quality / self._usual.size * math.log(rung.bytes(True) / rung.bytes(False))
            if self._by_vmaf and not self._points and self.gain < price:
                self.nets, self.gain = False, 0.0
        self._points.append(_Point(crf, math.log(rung.bytes(self.nets)), rung.quality(False) + self.gain))

    def nearest(self) -> _Point:
        """The point measured that is nearest to what is wanted."""
        return min(self._points, key=self._distance)

    def rank(self) -> tuple[bool, float]:
        """Sorts scales, the best first: by cost, and where a size is out of reach by bytes."""
        met = self.met()
        return not met.reached, met.size if self._of_bytes and not met.reached else met.cost

    def open(self, most: int = TRIES) -> bool:
        """Whether another rung, where it seems to meet what is wanted, would tell more; of `most` rungs."""
        met, near = self.met(), (NEAR if self.scale > 1 or self.nets else NEAR_PLAIN) / -self._axis.log_bytes
        if len(self._points) >= most or any(point.crf == met.crf for point in self._points):
            return False
        # How far the crf is, or how far it seems by a quality that falls faster than usual.
        return min(max(abs(point.crf - met.crf), abs((point.quality - met.quality) / self._usual.quality))
                   for point in self._points) >= near

    def met(self) -> _Met:
        """Where the curve meets what is wanted, by a secant over crf."""
        nearest, slope, steps = self._line()
        lacking = self._wanted - (nearest.size if self._of_bytes else nearest.quality)
        exact = nearest.crf + lacking / (steps.size if self._of_bytes else steps.quality)
        crf = self._axis.above(exact) if self._of_bytes else self._axis.rounded(exact)
        size = nearest.size + steps.size * (crf - nearest.crf)
        quality = nearest.quality + steps.quality * (crf - nearest.crf)
        if self._of_bytes:
            return _Met(crf, size, quality, slope, size < self._wanted + 0.05,
                        -(nearest.quality + slope * (self._wanted - nearest.size)))
        # Half of a step is lost by rounding the crf, which is much where the codec takes whole numbers only.
        slack = -(0.3 + self._axis.step / 2) * self._usual.quality
        return _Met(crf, size, quality, slope, quality > self._wanted - slack,
                    nearest.size + (self._wanted - nearest.quality) / slope)

    def _excess(self, point) -> float:
        return (point.size if self._of_bytes else point.quality) - self._wanted

    def _distance(self, point) -> float:
        return abs(self._excess(point))

    def _line(self) -> tuple[_Point, float, _Point]:
        """The point nearest to what is wanted, quality for each e-fold of bytes, and what a crf of 1 changes."""
        (near, *others), steps = sorted(self._points, key=self._distance), self._usual
        if others:
            # The next nearest, but one on the other side of what is wanted tells more.
            other = next((one for one in others if self._excess(one) * self._excess(near) < 0), others[0])
            apart = near.crf - other.crf
            # Curves fall; noise must not turn them.
            steps = _Point(1, min((near.size - other.size) / apart, steps.size / 4),
                           min((near.quality - other.quality) / apart, steps.quality / 8))
        least, most = self._slopes
        slope = min(max(steps.quality / steps.size, least), most)
        return near, slope, steps._replace(quality=slope * steps.size)
