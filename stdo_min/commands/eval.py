"""`stdo eval`: what a video is worth, in quality and bytes against its source."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stdo_min.commands import options
from stdo_min.commands.picture import Comparison
from stdo_min.commands.progress import Bars
from stdo_min.format import sidecar
from stdo_min.format.library import Upscaler, plane_shapes
from stdo_min.format.psnr import patch_pixels, psnr, squared_errors
from stdo_min.player import Shown, Video, frames, open_video
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.frame_folder import open_source
from stdo_min.video.mux import ending, read_attachment
from stdo_min.video.output import output_file
from stdo_min.video.read import Frame, read_source


class Judged(NamedTuple):
    """One frame beside its source, as the three of them go by; all is written over by the next one, so copy what stays.

    base: the frame under the base alone, all three planes. nets: of each patch, counted over the file, 0 the base; with
    error and base_error, the squared errors of luma, int64 (rows, columns).
    """

    shown: Shown
    truth: Frame
    base: Frame
    nets: np.ndarray
    error: np.ndarray
    base_error: np.ndarray


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("source", metavar="SRC", help="the source it was made from, a video or a folder of PNG frames")
    options.rate(parser)
    options.played(parser)
    options.quiet(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--picture", type=Path, metavar="FILE.png",
                        help="draw bicubic, stdo and source side by side, at the place where most was gained")
    options.written(parser)


def run(a: argparse.Namespace) -> None:
    """Compare, write the picture where one is asked for, and print what was found."""
    if a.picture and ending(a.picture) != ".png":
        raise VideoError(f"{a.picture}: the picture is a PNG; give it the ending .png")
    inputs = [a.source, a.video, *filter(None, [a.sidecar])]
    video = open_video(a.video, a.sidecar)
    comparison = Comparison(video.info) if a.picture else None
    with output_file(a.picture, a.force, inputs) if a.picture else nullcontext() as picture:
        with Bars(a.quiet) as bars:
            watch = comparison and (lambda seen: comparison.consider(seen.base, seen.shown.hr, seen.truth))
            found = evaluate(a.source, video, a.threads, bars.frames("eval"), watch, a.rate)
        if comparison:
            comparison.write(picture)
    if a.json:
        print(json.dumps(found))
        return
    nets = found.pop("nets")
    for name, value in found.items():
        print(f"{name:15} {_shown(value)}")
    print("net   patches    bytes   psnr_y   psnr_bicubic_y   gains, dB of the whole")
    for net in nets:
        print(f"{net['index']:3} {net['patches']:9} {net['bytes']:8} {_shown(net['psnr_y']):>8} "
              f"{_shown(net['psnr_bicubic_y']):>16} {_shown(net['gains']):>8}")


def evaluate(source: Path, video: Video, threads: int = 1, progress: Callable[[int, int], None] | None = None,
             watch: Callable[[Judged], None] | None = None, rate: Fraction | None = None) -> dict:
    """Compare a video as it plays with its source, over every pixel of every frame, borders and seams included.

    Returns frames, width, height, scale; psnr_y, psnr_u, psnr_v and psnr_bicubic_y in dB, 10 log10(255^2 / MSE) with
    the MSE pooled over all frames, None where it is infinite; bytes_lr (without the sidecar), bytes_sidecar and, of it,
    bytes_map; and nets, a list of those for luma with index, patches, bytes, psnr_y, psnr_bicubic_y and gains of
    each: net 0 is the base alone, nets are numbered as segments first refer to them, and gains are dB that the whole
    would lose without it. watch: gets every frame, in order. rate: of a folder of frames, see open_source. Raises
    VideoError if the source has another size or other frames.
    """
    original = open_source(source, rate)
    upscaler, path = video.upscaler, video.info.path
    if (original.width, original.height) != (upscaler.hr_width, upscaler.hr_height):
        raise VideoError(f"{source}: {original.width}x{original.height}, but {path} was made from a video of "
                         f"{upscaler.hr_width}x{upscaler.hr_height}; give its own source")
    parsed = sidecar.read(video.data)
    totals, done = _Totals(upscaler, parsed), 0
    with closing(frames(video, threads)) as shown, closing(read_source(original)) as truths:
        for done, frame in enumerate(shown, 1):
            truth = next(truths, None)
            if truth is None:
                raise VideoError(f"{source}: ends after {done - 1} frames, before {path}; give its own source")
            judged = totals.add(frame, truth)
            if watch:
                watch(judged)
            if progress:
                progress(done, upscaler.frames)
        if next(truths, None) is not None:
            raise VideoError(f"{source}: has more frames than the {done} of {path}; give its own source")
    return {"frames": done, "width": upscaler.hr_width, "height": upscaler.hr_height,
            "scale": options.plain(upscaler.scale), **totals.quality(done), "bytes_lr": _lr_bytes(video),
            "bytes_sidecar": len(video.data), "bytes_map": sum(segment.map_bytes for segment in upscaler.segments),
            "nets": totals.by_net([0, *map(parsed.bytes_of, parsed.luma_nets)])}


def base_of(parsed: sidecar.Sidecar) -> Upscaler:
    """The upscaler of a sidecar without any of its nets, those for chroma neither."""
    bare = (replace(segment, nets=(), map_data=b"", computed=False, chroma=None) for segment in parsed.segments)
    return Upscaler(sidecar.write(replace(parsed, segments=tuple(bare), known=())))


def numbers_of(parsed: sidecar.Sidecar) -> list[np.ndarray]:
    """What the labels of each segment stand for: nets of luma counted over the file from 1 on, 0 for the base."""
    number = {id(net): index for index, net in enumerate(parsed.luma_nets, 1)}
    return [np.array([0, *(number[id(net)] for net in segment.nets)]) for segment in parsed.segments]


class _Totals:
    """Sums over frames, of luma for each net and of both chroma planes."""

    def __init__(self, upscaler: Upscaler, parsed: sidecar.Sidecar):
        self.upscaler, self.base, self.side = upscaler, base_of(parsed), int(upscaler.patch * upscaler.scale)
        self.grid = upscaler.rows, upscaler.columns
        self.pixels = patch_pixels(upscaler.hr_height, upscaler.hr_width, self.side, self.grid)
        self.none = np.zeros(self.grid, np.uint8)
        self.numbers = numbers_of(parsed)
        self.luma = np.zeros((len(parsed.luma_nets) + 1, 4), np.int64)  # patches, pixels, error, the base's
        self.chroma = [0, 0]

    def add(self, frame: Shown, truth: Frame) -> Judged:
        """Add one frame as it is shown."""
        base = Frame(*self.base.upscale(frame.segment, self.none, frame.lr))
        judged = Judged(frame, truth, base, self.numbers[frame.segment][frame.labels],
                        self._errors(truth.y, frame.hr.y), self._errors(truth.y, base.y))
        for column, values in enumerate((np.ones_like(self.pixels), self.pixels, judged.error, judged.base_error)):
            np.add.at(self.luma[:, column], judged.nets.ravel(), values.ravel())
        for plane in (0, 1):
            self.chroma[plane] += int(self._errors(truth[plane + 1], frame.hr[plane + 1]).sum())
        return judged

    def _errors(self, truth, shown):
        return squared_errors(truth, shown, self.side, self.grid)

    def quality(self, frames_done: int) -> dict:
        """PSNR of all planes, in dB."""
        _, (height, width), _ = plane_shapes(self.upscaler.hr_width, self.upscaler.hr_height)
        _, pixels, error, base_error = (int(total) for total in self.luma.sum(axis=0))
        return {"psnr_y": _decibel(error, pixels),
                "psnr_u": _decibel(self.chroma[0], height * width * frames_done),
                "psnr_v": _decibel(self.chroma[1], height * width * frames_done),
                "psnr_bicubic_y": _decibel(base_error, pixels)}

    def by_net(self, sizes: list[int]) -> list[dict]:
        """Patches, bytes and PSNR of each net, the base first; gains: dB that the whole would lose without it."""
        whole = max(int(self.luma[:, 2].sum()), 1)
        return [{"index": index, "patches": int(patches), "bytes": size, "psnr_y": _decibel(int(error), int(pixels)),
                 "psnr_bicubic_y": _decibel(int(base_error), int(pixels)),
                 "gains": round(10 * math.log10(max(whole + base_error - error, 1) / whole), 4)}
                for index, (size, (patches, pixels, error, base_error)) in enumerate(zip(sizes, self.luma.tolist(),
                                                                                           strict=True))]


def _decibel(error: int, pixels: int) -> float | None:
    """PSNR, or None where it is not a number that JSON can hold: no error, or no pixels."""
    return round(float(psnr(error, pixels)), 4) if error else None


def _lr_bytes(video: Video) -> int:
    """Bytes of the lr video without the sidecar that may be attached to it."""
    attached = read_attachment(video.info)
    return video.info.path.stat().st_size - len(attached or b"")


def _shown(value) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
