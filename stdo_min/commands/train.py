"""`stdo train`: the sidecar alone, for an lr video that exists, such as a rung of a streaming ladder."""

from __future__ import annotations

import argparse
from concurrent.futures import Executor
from contextlib import closing
from fractions import Fraction
from pathlib import Path

from stdo_min.algorithm.recipe import Recipe
from stdo_min.commands import options
from stdo_min.commands.progress import Bars
from stdo_min.commands.training import Result, add_training_options, check_patch, read_general, recipe_of
from stdo_min.engine.budget import Progress
from stdo_min.format.sidecar import MAX_SCALE
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.frame_folder import open_source
from stdo_min.video.lr_video import lr_size
from stdo_min.video.output import output_file
from stdo_min.video.probe import VideoInfo, probe
from stdo_min.video.read import read_lr


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
        result = train(a.lr, a.hr, a.out, recipe_of(a), scale=a.scale, rate=a.rate, force=a.force,
                       progress=bars.training)
    print(result)


def train(lr: Path, hr: Path, out: Path, recipe: Recipe, *, scale: int | None = None, rate: Fraction | None = None,
          force: bool = False, executor: Executor | None = None, progress: Progress | None = None) -> Result:
    """Make the sidecar `out` of an lr video that exists, from the source `hr` it was made from.

    scale: by default what the two sizes say. rate: of a folder of frames, see open_source. The videos must have the
    same frames. executor: as in `algorithm.overfit`. Raises VideoError for files that do not fit.
    """
    from stdo_min.algorithm.segments import overfit_video  # Numba, which other verbs do without
    from stdo_min.algorithm.siting import chroma_siting
    from stdo_min.engine.quantise import dequantise

    lr_info, info = probe(lr), open_source(hr, rate)
    scale = _scale(lr_info, info, scale)
    check_patch(lr, lr_info.width, lr_info.height, recipe.patch)
    general = dequantise(read_general(recipe.general, scale), scale) if recipe.general else None
    with output_file(out, force, [lr, hr, *filter(None, [recipe.general])]) as final:
        with closing(read_lr(lr_info)) as coded:
            frames = sum(1 for _ in coded)
        siting = chroma_siting(lr_info, info, scale)
        made = overfit_video(lr_info, info, frames, scale, siting, recipe, general, executor, progress)
        final.write_bytes(made.data)
    return Result(out, made.frames, made.nets, made.psnr_y, made.psnr_bicubic_y, lr.stat().st_size, len(made.data))


def _scale(lr_info: VideoInfo, info: VideoInfo, wanted: int | None) -> int:
    """The scale between two videos; VideoError where there is none, or it is not the one wanted."""
    found = [scale for scale in range(1, MAX_SCALE + 1)
             if lr_size(info.width, info.height, scale) == (lr_info.width, lr_info.height)
             or (lr_info.width * scale, lr_info.height * scale) == (info.width, info.height)]
    if not found or (wanted or found[0]) not in found:
        raise VideoError(f"{lr_info.path}: {lr_info.width}x{lr_info.height} is not {info.width}x{info.height} at scale "
                         f"{wanted or '1, 2, 3 or 4'}; give an lr video of that size")
    return wanted or found[0]
