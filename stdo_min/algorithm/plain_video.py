"""The plain video of some of a film: what the nets' film has to be as good as, for a target of `crf=N`.

Rungs are tried on a few short stretches, which may be harder or easier for the plain codec than the film is, by up to
half a dB more than they are for a small lr video. Here more of it is coded plain, as it would be in the film.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from stdo_min.algorithm.rung import base_planes
from stdo_min.format import sidecar
from stdo_min.video.keyframes import packet_sizes
from stdo_min.video.lr_parts import Part
from stdo_min.video.lr_video import encode_part
from stdo_min.video.probe import VideoInfo

# Pixels that are coded for each second of the budget, without seconds as for a minute: it takes two cores a tenth of
# the budget with x264 slow, and a sixth where x265 has much detail to code.
PIXELS_A_SECOND = 4_000_000
SPREAD, LEAST = 4, 24  # parts that are looked at, where there are so many; frames of each at the least
AHEAD = 60  # frames that are coded beyond those compared: codecs look so far ahead, and save at the end of a video


class Held(NamedTuple):
    """A part of a film whose first frames, so many, are held against the plain video."""

    part: Part
    count: int

    @property
    def cut(self) -> Part:
        """These frames alone."""
        return self.part._replace(checksums=self.part.checksums[:self.count])


def held_against(parts: Sequence[Part], width: int, height: int, seconds: float | None) -> list[Held]:
    """What of a film is held against the plain video: as many parts as the budget allows, evenly spread.

    width, height: of the source. seconds: of the budget, or None. SPREAD parts at the least, where there are so many;
    of each the first frames where all of them are more than the budget allows.
    """
    frames = int(PIXELS_A_SECOND * (60 if seconds is None else seconds) / (width * height))
    mean = sum(len(part.checksums) for part in parts) / len(parts)
    count = min(len(parts), max(SPREAD, int(frames / mean)))
    chosen = [parts[(2 * index + 1) * len(parts) // (2 * count)] for index in range(count)]
    most = max(LEAST, frames // count)
    if sum(len(part.checksums) for part in chosen) <= frames:
        most = max(len(part.checksums) for part in chosen)
    return [Held(part, min(most, len(part.checksums))) for part in chosen]


class Plain(NamedTuple):
    """The plain video of some frames: its bytes, and PSNR of Y, U and V in dB."""

    bytes: int
    psnr: tuple[float, float, float]


def plain_video(info: VideoInfo, header: sidecar.Sidecar, held: Sequence[Held], codec: str, crf: float, folder: Path,
                threads: int = 1) -> Plain:
    """The plain video of some frames of a film, at a crf.

    header: of scale 1. folder: takes what is coded.
    """
    coded, size = [], 0
    for part, count in held:
        path = folder / f"plain-{part.first}.mp4"
        sums = encode_part(info, part.first, min(count + AHEAD, len(part.checksums)), path, Fraction(1), codec, crf)
        coded.append(Part(part.first, path, sums[:count]))
        size += sum(packet_sizes(path)[:count])
    return Plain(size, tuple(base_planes(info, header, coded, threads).tolist()))
