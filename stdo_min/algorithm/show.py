"""How well nets serve patches, by the very pixels that the player will show."""

from __future__ import annotations

from concurrent.futures import Executor, wait

import numpy as np

from stdo_min._stdo import ffi, lib
from stdo_min.format.library import StdoError, Upscaler, require_array


def patch_errors(upscaler: Upscaler, segment: int, lr_y: np.ndarray, truth_y: np.ndarray,
                 executor: Executor | None = None, threads: int = 1) -> np.ndarray:
    """The luma squared error of every patch of a frame under the base and under each net of a segment.

    lr_y: uint8 (lr_height, lr_width). truth_y: uint8 (hr_height, hr_width), the source. With a thread executor,
    `threads` threads share the patch rows. Returns int64 (1 + nets, rows, columns), the base first. Raises ValueError
    for arrays that do not fit, IndexError for a segment beyond the last, StdoError for nets that serve RGB.
    """
    if not 0 <= segment < len(upscaler.segments):
        raise IndexError(f"segment is {segment}; it must be 0..{len(upscaler.segments) - 1}")
    require_array("lr_y", lr_y, (upscaler.lr_height, upscaler.lr_width))
    require_array("truth_y", truth_y, (upscaler.hr_height, upscaler.hr_width))
    shown = np.empty_like(truth_y)
    sums = np.empty((1 + upscaler.segments[segment].nets, upscaler.rows, upscaler.columns), np.int64)
    keep = [ffi.from_buffer("uint8_t[]", plane) for plane in (lr_y, truth_y, shown)]
    frame = ffi.new("stdo_judged *", (segment, *keep, *(plane.strides[0] for plane in (lr_y, truth_y, shown))))
    out, rows = ffi.from_buffer("uint64_t[]", sums), upscaler.row_shares(threads if executor else 1)

    def judge(_alive=keep):
        for begin, end in rows:
            status = lib.stdo_judge_rows(upscaler.handle, frame, begin, end, upscaler.thread_scratch(), out)
            if status != lib.STDO_OK:
                raise StdoError(status)

    with upscaler.using(segment):
        running = [executor.submit(judge) for _ in range(min(threads, upscaler.rows) - 1)] if executor else []
        try:
            judge()
        finally:
            wait(running)  # before an error releases the planes, which the others still use
    for others in running:
        others.result()
    return sums
