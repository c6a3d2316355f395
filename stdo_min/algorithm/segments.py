"""Where a film is cut into segments, before its lr video is coded."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from stdo_min.format.sidecar import MAX_SEGMENT_FRAMES

SEGMENT_SECONDS = 20.0
SEGMENT_PATCHES = 1 << 20  # in all its frames; a label of each is kept in memory
LEAST_FRAMES = 8  # so that half of it, moved at both ends, still is a video
MOVED = 4  # a cut moves to a keyframe that is no further than 1/MOVED of a segment


def most_frames(seconds: float, rate: Fraction, patches: int) -> int:
    """The most frames of a segment of `seconds`; rate: frames per second; patches: of one frame."""
    return max(LEAST_FRAMES, min(round(seconds * rate), SEGMENT_PATCHES // patches, MAX_SEGMENT_FRAMES))


def cut(frames: int, most: int, keyframes: np.ndarray | None = None) -> list[int]:
    """The first frame of each segment: nearly equal parts of about `most` frames, the last to the end of the film.

    keyframes: frames of the source that can be decoded without those before, rising. A cut moves to the nearest of
    them where one is near: then nothing is decoded in vain when the segment is opened, and scenes often begin there.
    """
    count = -(-frames // most)
    starts = [frames * index // count for index in range(count)]
    if keyframes is None or len(keyframes) == 0:
        return starts
    nearest = [int(keyframes[np.argmin(np.abs(keyframes - start))]) for start in starts]
    reach = frames // (count * MOVED)
    return [0, *(near if abs(near - start) <= reach else start
                 for near, start in zip(nearest[1:], starts[1:], strict=True))]
