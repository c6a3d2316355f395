"""What a video is worth: its quality and bytes against its source."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np

from stdo_min.algorithm import score as scoring
from stdo_min.commands.picture import Comparison
from stdo_min.format.library import plane_shapes
from stdo_min.format.psnr import patch_pixels, psnr
from stdo_min.player import Video, frames
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.mux import read_attachment
from stdo_min.video.pictures import open_source
from stdo_min.video.read import Frame, read_source


def evaluate(source: Path, video: Video, threads: int = 1, progress: Callable[[int, int], None] | None = None,
             comparison: Comparison | None = None, rate: Fraction | None = None) -> dict:
    """Compare a video as it plays with its source, over every pixel of every frame, borders and seams included.

    Returns frames, width, height, scale; psnr_y, psnr_u, psnr_v and psnr_bicubic_y in dB, 10 log10(255^2 / MSE) with
    the MSE pooled over all frames, None where it is infinite; bytes_lr (without the sidecar) and bytes_sidecar; and
    nets, a list with index, patches, psnr_y and psnr_bicubic_y of each: net 0 is the base alone, and nets are
    numbered through all segments. A comparison is shown every frame. rate: of a folder of frames, see open_source.
    Raises VideoError if the source has another size or other frames.
    """
    info, upscaler, data = video
    original = open_source(source, rate)
    if (original.width, original.height) != (upscaler.hr_width, upscaler.hr_height):
        raise VideoError(f"{source}: {original.width}x{original.height}, but {info.path} was made from a video of "
                         f"{upscaler.hr_width}x{upscaler.hr_height}; give its own source")
    side = upscaler.patch * upscaler.scale
    grid = (upscaler.rows, upscaler.columns)
    counts = patch_pixels(upscaler.hr_height, upscaler.hr_width, side, grid)
    none = np.zeros(grid, np.uint8)
    first_net = np.concatenate(([0], np.cumsum([segment.nets for segment in upscaler.segments])))
    totals = np.zeros((first_net[-1] + 1, 4), np.int64)  # per net: patches, samples, squared error, that of the base
    chroma, done = [0, 0], 0
    with closing(frames(video, threads)) as shown, closing(read_source(original)) as truths:
        for done, frame in enumerate(shown, 1):
            truth = next(truths, None)
            if truth is None:
                raise VideoError(f"{source}: ends after {done - 1} frames, before {info.path}; give its own source")
            base = upscaler.upscale(frame.segment, none, frame.lr)
            nets = np.where(frame.labels > 0, frame.labels + first_net[frame.segment], 0).ravel()
            for column, values in enumerate((np.ones_like(counts), counts,
                                             scoring.squared_errors(truth.y, frame.hr.y, side, grid),
                                             scoring.squared_errors(truth.y, base[0], side, grid))):
                np.add.at(totals[:, column], nets, values.ravel())
            for plane in (0, 1):
                chroma[plane] += int(scoring.squared_errors(truth[plane + 1], frame.hr[plane + 1], side, grid).sum())
            if comparison:
                comparison.consider(Frame(*base), frame.hr, truth)
            if progress:
                progress(done, upscaler.frames)
        if next(truths, None) is not None:
            raise VideoError(f"{source}: has more frames than the {done} of {info.path}; give its own source")
    (_, chroma_shape, _) = plane_shapes(upscaler.hr_width, upscaler.hr_height)
    chroma_samples = chroma_shape[0] * chroma_shape[1] * done
    _, samples, error, base_error = (int(total) for total in totals.sum(axis=0))
    return {
        "frames": done, "width": upscaler.hr_width, "height": upscaler.hr_height, "scale": upscaler.scale,
        "psnr_y": _decibel(error, samples), "psnr_u": _decibel(chroma[0], chroma_samples),
        "psnr_v": _decibel(chroma[1], chroma_samples), "psnr_bicubic_y": _decibel(base_error, samples),
        "bytes_lr": _lr_bytes(video), "bytes_sidecar": len(data),
        "nets": [{"index": index, "patches": int(patches), "psnr_y": _decibel(int(error), int(samples)),
                  "psnr_bicubic_y": _decibel(int(base_error), int(samples))}
                 for index, (patches, samples, error, base_error) in enumerate(totals)],
    }


def _decibel(error: int, samples: int) -> float | None:
    """PSNR, or None where it is not a number that JSON can hold: no error, or no samples."""
    return round(float(psnr(error, samples)), 4) if error else None


def _lr_bytes(video: Video) -> int:
    """Bytes of the lr file without the sidecar that may be attached to it."""
    attached = read_attachment(video.info)
    return video.info.path.stat().st_size - len(attached or b"")

