"""`stdo encode`: from a source video to an lr video and its sidecar."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

from stdo_min.algorithm.recipe import Recipe
from stdo_min.commands import options
from stdo_min.commands.progress import Bars
from stdo_min.commands.training import Result, add_training_options, check_patch, read_general, recipe_of
from stdo_min.engine.budget import Progress
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.frame_folder import open_source
from stdo_min.video.lr_video import CODECS, encode_part, lr_size
from stdo_min.video.mux import CONTAINERS, MATROSKA, check_container, ending, join
from stdo_min.video.output import output_file
from stdo_min.video.probe import probe

EPILOG = """what to choose:
  --scale   2 for quality, 4 for the smallest file and the lightest decoding
  --crf     most of the bytes are the lr video's: raise it for a smaller file
  --budget  the longer, the better the picture; two minutes give most of it for a short clip
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
                        rate=a.rate, force=a.force, lr_progress=bars.frames("lr video"), progress=bars.training)
    print(result)


def encode(source: Path, out: Path, scale: int, recipe: Recipe, *, codec: str = "x264", crf: int | None = None,
           lossless: bool = False, rate: Fraction | None = None, force: bool = False, executor: Executor | None = None,
           lr_progress: Callable[[int, int | None], None] | None = None, progress: Progress | None = None) -> Result:
    """Make the lr video of `source` and its sidecar: `out` .mkv holds both, `out` .mp4 has OUT.stdo beside it.

    rate: of a folder of frames, see open_source. lr_progress: (frames done, frames expected or None) while the lr video
    is coded. progress: over the whole video. executor: as in `algorithm.overfit`. Nothing is left behind on failure.
    Raises VideoError for files, ValueError for options.
    """
    from stdo_min.algorithm.segments import overfit_video  # Numba, which other verbs do without
    from stdo_min.algorithm.siting import LEFT
    from stdo_min.engine.quantise import dequantise

    if ending(out) not in CONTAINERS:
        raise VideoError(f"{out}: the lr video is written as {', '.join(CONTAINERS)}; give one of these endings")
    info = open_source(source, rate)
    check_patch(source, *lr_size(info.width, info.height, scale), recipe.patch)
    general = dequantise(read_general(recipe.general, scale), scale) if recipe.general else None
    inputs = [source, *filter(None, [recipe.general])]
    with ExitStack() as files:
        final = files.enter_context(output_file(out, force, inputs))
        stdo = None if ending(out) in MATROSKA else files.enter_context(
            output_file(out.with_suffix(".stdo"), force, inputs))
        check_container(info, out)
        # What is joined later lies beside the result, in a folder that is removed on any failure.
        part, sidecar = final.with_name("part.mp4"), final.with_name("video.stdo") if stdo is None else stdo
        frames = len(encode_part(info, 0, None, part, scale, codec, crf, lossless, progress=lr_progress and (
            lambda done: lr_progress(done, info.frames_expected))))
        made = overfit_video(probe(part), info, frames, scale, LEFT, recipe, general, executor, progress)
        sidecar.write_bytes(made.data)
        join([part], info, final, sidecar if stdo is None else None)
    bytes_lr = out.stat().st_size - (len(made.data) if stdo is None else 0)
    return Result(out, made.frames, made.nets, made.psnr_y, made.psnr_bicubic_y, bytes_lr, len(made.data))
