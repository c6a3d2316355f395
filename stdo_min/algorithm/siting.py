"""Where an lr video that was made elsewhere has its chroma samples."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from itertools import islice

import numpy as np

from stdo_min.algorithm.frames import frame_pairs
from stdo_min.format.base import upscale
from stdo_min.video.probe import VideoInfo

LOOKED_AT = 12  # frames
CENTRE, LEFT = 0, 1  # the header's chroma field


def chroma_siting(lr_info: VideoInfo, info: VideoInfo, scale: Fraction | int,
                  progress: Callable[[int, int], None] | None = None) -> int:
    """CENTRE where it restores the source's chroma clearly better than LEFT; otherwise LEFT.

    A scaler that is not told otherwise centres the samples. MPEG video has them at the left, which is taken in doubt.
    progress: gets the frames done and those looked at.
    """
    errors = {LEFT: 0, CENTRE: 0}
    with closing(frame_pairs(lr_info, info)) as both:
        for number, (lr, hr) in enumerate(islice(both, LOOKED_AT), 1):
            for low, high in ((lr.u, hr.u), (lr.v, hr.v)):
                for place in errors:
                    shown = upscale(low, scale, chroma_left=place == LEFT)[:high.shape[0], :high.shape[1]]
                    errors[place] += int(np.sum(np.square(shown.astype(np.int32) - high)))
            if progress:
                progress(number, LOOKED_AT)
    return CENTRE if errors[CENTRE] < 0.95 * errors[LEFT] else LEFT
