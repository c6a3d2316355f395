"""The plain video of some of a film: what the nets' film has to be as good as, for a target of `crf=N`.

Rungs are tried on a few short stretches, which may be harder or easier for the plain codec than the film is, by up to
half a dB more than they are for a small lr video. Here whole segments are coded plain, as they would be in the film.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from stdo_min.algorithm.rung import base_planes
from stdo_min.format import sidecar
from stdo_min.video.lr_parts import Part
from stdo_min.video.lr_video import encode_part
from stdo_min.video.probe import VideoInfo

# Pixels that are coded for each second of the budget, without seconds as for a minute: it takes two cores a tenth of
# the budget with x264 slow, and a sixth where x265 has much detail to code.
PIXELS_A_SECOND = 4_000_000


def compared(parts: Sequence[Part], width: int, height: int, seconds: float | None) -> list[Part]:
    """The parts of a film that are held against the plain video: as many as the budget allows, evenly spread.

    width, height: of the source. seconds: of the budget, or None. One part at the least; where it is longer than the
    budget allows, its first frames, 24 at the least.
    """
    frames = max(24, int(PIXELS_A_SECOND * (60 if seconds is None else seconds) / (width * height)))
    total = sum(len(part.checksums) for part in parts)
    count = max(1, min(len(parts), frames * len(parts) // max(total, 1)))
    chosen = [parts[(2 * index + 1) * len(parts) // (2 * count)] for index in range(count)]
    if count == 1:
        return [chosen[0]._replace(checksums=chosen[0].checksums[:frames])]
    return chosen


def plain_psnr(info: VideoInfo, header: sidecar.Sidecar, parts: Sequence[Part], codec: str, crf: float, folder: Path,
               threads: int = 1) -> np.ndarray:
    """PSNR of Y, U and V in dB of the plain video of the frames of some parts, at a crf; float64 (3,).

    header: of scale 1. folder: takes what is coded.
    """
    coded = []
    for part in parts:
        path = folder / f"plain-{part.first}.mp4"
        sums = encode_part(info, part.first, len(part.checksums), path, Fraction(1), codec, crf)
        coded.append(Part(part.first, path, sums[:len(part.checksums)]))
    return base_planes(info, header, coded, threads)
