"""`stdo train`: the sidecar alone, for an lr video that exists, such as a rung of a streaming ladder."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from stdo_min.algorithm.crew import Crew
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.segments import SEGMENT_SECONDS
from stdo_min.algorithm.siting import chroma_siting
from stdo_min.commands import options
from stdo_min.commands.progress import Bars
from stdo_min.commands.training import (
    Result,
    add_training_options,
    check_patch,
    crew_of,
    foretold,
    identity,
    lay_segments,
    read_start,
    recipe_of,
    sizes,
)
from stdo_min.engine.budget import Progress
from stdo_min.format.base import SCALES
from stdo_min.format.sidecar import crc_of_planes
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.frame_folder import open_source
from stdo_min.video.keyframes import packet_sizes
from stdo_min.video.output import check_output, output_file
from stdo_min.video.probe import VideoInfo, probe
from stdo_min.video.read import read_lr
from stdo_min.video.work import WRITING, open_work, was_writing

if TYPE_CHECKING:
    from stdo_min.algorithm.tasks import SegmentTask


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("--lr", type=Path, required=True, metavar="LR", help="the lr video")
    parser.add_argument("--hr", type=Path, required=True, metavar="SRC", help="the source it was made from")
    options.rate(parser)
    parser.add_argument("out", type=Path, metavar="OUT.stdo", help="the sidecar")
    add_training_options(parser, help="hr pixels that an lr pixel becomes, each way; by default what the sizes say")


def run(a: argparse.Namespace) -> None:
    """Train, and print what was gained for how many bytes."""
    with Bars(a.quiet) as bars:
        result = train(a.lr, a.hr, a.out, recipe_of(a), scale=a.scale, rate=a.rate, force=a.force, segment=a.segment,
                       crew=crew_of(a), restart=a.restart, note=bars.note, count_progress=bars.frames("count"),
                       siting_progress=bars.frames("siting"), progress=bars.training)
    print(result)


def train(lr: Path, hr: Path, out: Path, recipe: Recipe, *, scale: Fraction | None = None, rate: Fraction | None = None,
          force: bool = False, segment: float = SEGMENT_SECONDS,
          crew: Callable[[int], Crew] = lambda segments: Crew(), restart: bool = False,
          note: Callable[[str], None] = lambda line: None,
          count_progress: Callable[[int, int | None], None] | None = None,
          siting_progress: Callable[[int, int], None] | None = None, progress: Progress | None = None) -> Result:
    """Make the sidecar `out` of an lr video that exists, from the source `hr` it was made from.

    scale: by default what the two sizes say. rate: of a folder of frames, see open_source. The videos must have the
    same frames. segment, crew, restart, note: as in `encode`. count_progress: (frames done, frames expected or None)
    while the frames are counted, siting_progress: the same while the place of chroma is found. progress: over the whole
    film. Raises VideoError for files that do not fit.
    """
    from stdo_min.algorithm.film import overfit_film  # Numba, which other verbs do without

    lr_info, info = probe(lr), open_source(hr, rate)
    scale = _scale(lr_info, info, scale)
    check_patch(lr, lr_info.width, lr_info.height, recipe.patch, scale)
    inputs = [lr, hr, *filter(None, [recipe.general])]
    force = force or was_writing(out)
    check_output(out, force, inputs)
    siting = chroma_siting(lr_info, info, scale, siting_progress)
    header = sizes(scale, siting, recipe.patch, (lr_info.width, lr_info.height), info)
    starts, frames = lay_segments(info, header, segment)
    with crew(len(starts)) as workers, open_work(out, identity(inputs, recipe, scale=scale, rate=str(info.rate),
                                                               segment=segment), restart, note) as work:
        recipe = foretold(recipe, frames, info, header, workers, note)
        counted = _counted(lr_info, starts, work, count_progress)
        recipe = recipe.shaped(sum(packet_sizes(lr)) / len(counted), header.net_scale)
        general, halo = read_start(recipe, scale)
        tasks = _tasks(lr_info, info, header, halo, recipe, starts, counted)
        made = overfit_film(tasks, general, work, workers, progress)
        work.keep(WRITING, lambda file: None)
        with output_file(out, force, inputs) as final:
            final.write_bytes(made.data)
    return Result(out, made.frames, made.nets, made.psnr_y, made.psnr_bicubic_y, lr.stat().st_size, len(made.data))


def _counted(lr_info, starts, work, progress) -> list[list[int]]:
    """The frames of each segment of the lr video and their checksum, from the work folder or by decoding it."""
    if not work.has("frames"):
        found = []
        with closing(read_lr(lr_info)) as coded:
            for number, frame in enumerate(coded):
                if number in starts:
                    found.append([0, 0])
                count, crc = found[-1]
                found[-1] = [count + 1, crc_of_planes(frame, crc)]
                if progress:
                    progress(number + 1, lr_info.frames_expected)
        work.keep("frames", lambda file: file.write(json.dumps(found).encode()))
    with work.open("frames") as file:
        return json.load(file)


def _tasks(lr_info, info, header, halo, recipe, starts, counted) -> list[SegmentTask]:
    """The segments of a film whose lr video is one file."""
    from stdo_min.algorithm.tasks import SegmentTask

    last, sizes = len(counted) - 1, packet_sizes(lr_info.path)
    return [SegmentTask(number, first, frames, header, halo, lr_info, first, info, None, crc, number == last, recipe,
                        sum(sizes[first:first + frames]))
            for number, (first, (frames, crc)) in enumerate(zip(starts, counted, strict=False))]


def _scale(lr_info: VideoInfo, info: VideoInfo, wanted: Fraction | None) -> Fraction:
    """The scale between two videos; VideoError where there is none, or it is not the one wanted."""
    found = [scale for scale in SCALES if all(
        lr % scale.denominator == 0 and 0 <= lr * scale - hr < 2 * scale.numerator
        for lr, hr in ((lr_info.width, info.width), (lr_info.height, info.height)))]
    if not found or (wanted or found[0]) not in found:
        asked = options.plain(wanted) if wanted else ", ".join(map(str, map(options.plain, SCALES)))
        raise VideoError(f"{lr_info.path}: {lr_info.width}x{lr_info.height} is not {info.width}x{info.height} at scale "
                         f"{asked}; give an lr video of that size")
    return wanted or found[0]
