"""`stdo encode`: from a source video to an lr video and its sidecar."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from stdo_min.algorithm.crew import Crew
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.segments import SEGMENT_SECONDS
from stdo_min.algorithm.siting import LEFT
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
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.frame_folder import open_source
from stdo_min.video.lr_parts import encode_parts
from stdo_min.video.lr_video import CODECS, lr_size
from stdo_min.video.mux import CONTAINERS, MATROSKA, check_container, ending, join
from stdo_min.video.output import check_output, output_file
from stdo_min.video.probe import probe
from stdo_min.video.work import WRITING, open_work, was_writing

if TYPE_CHECKING:
    from stdo_min.algorithm.tasks import SegmentTask

EPILOG = """what to choose:
  --scale   2 for quality, 4 for the smallest file and the lightest decoding
  --crf     most of the bytes are the lr video's: raise it for a smaller file
  --budget  the longer, the better the picture; two minutes give most of it for a short clip
  Ctrl-C    what is finished stays in OUT.work, and the same command goes on from there
  --net     8,8 is 40 % of the arithmetic of 16,16; 32,16 is half as much again
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.epilog = EPILOG
    parser.add_argument("source", metavar="SRC", help="any video that ffmpeg reads, or a folder of PNG frames (8-bit "
                        "RGB or grey), in natural order of their names")
    options.rate(parser)
    parser.add_argument("out", type=Path, metavar="OUT",
                        help=".mkv: one file with the sidecar attached; .mp4: OUT.stdo lies beside it")
    options.network(parser)
    add_training_options(parser, default=2, help="hr pixels that an lr pixel becomes, each way; default %(default)s")
    parser.add_argument("--codec", choices=CODECS, default="x264", help="codec of the lr video; default %(default)s")
    quality = parser.add_mutually_exclusive_group()
    quality.add_argument("--crf", type=options.whole(0, 63), metavar="N",
                         help="quality of the lr video, lower is better; by default x264 20, x265 22, av1 30")
    quality.add_argument("--lossless", action="store_true", help="code the lr video without loss")


def run(a: argparse.Namespace) -> None:
    """Encode, and print what was gained for how many bytes."""
    with Bars(a.quiet) as bars:
        result = encode(a.source, a.out, a.scale, recipe_of(a), codec=a.codec, crf=a.crf, lossless=a.lossless,
                        rate=a.rate, force=a.force, segment=a.segment, crew=crew_of(a), restart=a.restart,
                        note=bars.note, lr_progress=bars.frames("lr video"), progress=bars.training)
    print(result)


def encode(source: Path, out: Path, scale: int, recipe: Recipe, *, codec: str = "x264", crf: int | None = None,
           lossless: bool = False, rate: Fraction | None = None, force: bool = False,
           segment: float = SEGMENT_SECONDS, crew: Callable[[int], Crew] = lambda segments: Crew(),
           restart: bool = False, note: Callable[[str], None] = lambda line: None,
           lr_progress: Callable[[int, int | None], None] | None = None, progress: Progress | None = None) -> Result:
    """Make the lr video of `source` and its sidecar: `out` .mkv holds both, `out` .mp4 has OUT.stdo beside it.

    rate: of a folder of frames, see open_source. segment: its length in seconds. crew: gives those who train, for so
    many segments. What is finished lies in a work folder beside `out` until all is: the same call goes on from there,
    `restart` begins anew. note: gets lines for the user. lr_progress: (frames done, frames expected or None) while the
    lr video is coded. progress: over the whole film. Raises VideoError for files, ValueError for options.
    """
    from stdo_min.algorithm.film import overfit_film  # Numba, which other verbs do without

    if ending(out) not in CONTAINERS:
        raise VideoError(f"{out}: the lr video is written as {', '.join(CONTAINERS)}; give one of these endings")
    info = open_source(source, rate)
    size = lr_size(info.width, info.height, scale)
    check_patch(source, *size, recipe.patch)
    general, halo = read_start(recipe, scale)
    header = sizes(scale, LEFT, recipe.patch, size, info)
    inputs = [source, *filter(None, [recipe.general])]
    names = [out, *([] if ending(out) in MATROSKA else [out.with_suffix(".stdo")])]
    force = force or was_writing(out)
    for name in names:
        check_output(name, force, inputs)
    check_container(info, out)  # now, and not when hours of work are done
    starts, frames = lay_segments(info, header, segment)
    with crew(len(starts)) as workers, open_work(out, identity(inputs, recipe, scale=scale, codec=codec, crf=crf,
                                                               lossless=lossless, rate=str(info.rate),
                                                               segment=segment), restart, note) as work:
        recipe = foretold(recipe, frames, info, header, workers, note)
        parts = encode_parts(info, starts, work, scale, codec=codec, crf=crf, lossless=lossless, progress=lr_progress,
                             note=note)
        tasks = _tasks(parts, info, header, halo, recipe)
        made = overfit_film(tasks, general, work, workers, progress)
        _write(made, parts, info, work, names, force, inputs)
    bytes_lr = out.stat().st_size - (len(made.data) if len(names) == 1 else 0)
    return Result(out, made.frames, made.nets, made.psnr_y, made.psnr_bicubic_y, bytes_lr, len(made.data))


def _tasks(parts, info, header, halo, recipe) -> list[SegmentTask]:
    """The segments of a film whose lr video was coded in parts."""
    from stdo_min.algorithm.tasks import SegmentTask

    lr = probe(parts[0].path)
    return [SegmentTask(number, part.first, len(part.checksums), header, halo, replace(lr, path=part.path), None, info,
                        part.checksums, None, part is parts[-1], recipe) for number, part in enumerate(parts)]


def _write(made, parts, info, work, names, force, inputs) -> None:
    """Join the parts to the lr video, with what the source has beside pictures, and its sidecar in it or beside it."""
    attached = work.path("video.stdo")
    work.keep(attached.name, lambda file: file.write(made.data))
    work.keep(WRITING, lambda file: None)
    with ExitStack() as files:
        finals = [files.enter_context(output_file(name, force, inputs)) for name in names]
        join([part.path for part in parts], info, finals[0], attached if len(names) == 1 else None)
        if len(names) == 2:
            finals[1].write_bytes(made.data)
