"""The lr video coded in parts, one for each segment, so that a run that was killed goes on after the last of them."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stdo_min.video.lr_video import encode_part
from stdo_min.video.output import make_whole
from stdo_min.video.probe import VideoInfo
from stdo_min.video.work import Work


class Part(NamedTuple):
    """The lr video of a segment: its first frame in the source, the file, and the checksums of the source's frames."""

    first: int
    path: Path
    checksums: np.ndarray


def encode_parts(info: VideoInfo, starts: Sequence[int], work: Work, scale: Fraction | int, *, codec: str,
                 crf: float | None, lossless: bool, progress: Callable[[int, int | None], None] | None = None,
                 note: Callable[[str], None] | None = None, finer: int = 0) -> list[Part]:
    """Code the lr video of a source in parts, those that the work folder does not hold yet.

    starts: the first frame of each; the last goes on to the end of the source. There are fewer where the source ends
    early. progress: gets the frames done and those expected, or None. note: see `on_any_road`. finer: of
    chroma, see `encode_part`. Raises VideoError as that does.
    """
    parts, expected = [], None
    note = note and cache(note)  # it would be the same line for each part
    for number, first in enumerate(starts):
        count = starts[number + 1] - first if number + 1 < len(starts) else None
        part, seen = work.path(f"lr-{number:05}.mp4"), f"source-{number:05}"
        if not work.has(seen):
            half = part.with_name(f"{part.stem}.tmp.mp4")
            counting = partial(_add, progress, first, info.frames_expected) if progress else None
            found = encode_part(info, first, count, half, scale, codec, crf, lossless, expected, counting, note,
                                finer)
            if len(found):
                make_whole(half, part)
            work.keep(seen, partial(np.save, arr=found, allow_pickle=False))
        with work.open(seen) as file:
            checksums = np.load(file, allow_pickle=False)
        if len(checksums) == 0:
            break  # the source ended with the part before
        parts.append(Part(first, part, checksums[:count]))
        if count is None or len(checksums) <= count:
            break
        expected = int(checksums[count])
    return parts


def drop_parts(parts: Sequence[Part], work: Work) -> None:
    """Remove parts from the work folder, so that they are coded again."""
    for number, part in enumerate(parts):
        work.drop(f"source-{number:05}")
        part.path.unlink()


def _add(progress, first, expected, done):
    progress(first + done, expected)
