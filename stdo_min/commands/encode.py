"""`stdo encode`: from a source video to an lr video and its sidecar."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stdo_min.algorithm.crew import Crew
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.segments import SEGMENT_SECONDS
from stdo_min.algorithm.siting import LEFT
from stdo_min.algorithm.target import Target
from stdo_min.commands import options
from stdo_min.commands.aiming import ROUNDS, Aim, tell_size
from stdo_min.commands.choosing import CHOICE, PLAIN_CRF, chosen, kept_choice, scale_or_auto, target
from stdo_min.commands.progress import Bars
from stdo_min.commands.report import check, page_of, report
from stdo_min.commands.report_facts import Curve
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
from stdo_min.player import open_video
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.frame_folder import open_source
from stdo_min.video.keyframes import packet_sizes
from stdo_min.video.lr_parts import encode_parts
from stdo_min.video.lr_video import CODECS, check_crf, lr_size
from stdo_min.video.mux import CONTAINERS, MATROSKA, check_container, ending, join
from stdo_min.video.output import check_output, output_file
from stdo_min.video.probe import probe
from stdo_min.video.vmaf import check_vmaf
from stdo_min.video.work import WRITING, open_work, was_writing

if TYPE_CHECKING:
    from stdo_min.algorithm.tasks import SegmentTask

EPILOG = """what to choose:
  --target  crf=26 for the quality that the plain codec has at crf 26, in fewer bytes; or psnr, vmaf, size, bitrate
  --scale   is found where you give none; 4 is the lightest to decode, 1 corrects a video of full size
  --budget  the longer, the better the picture; two minutes give most of it for a short clip
  Ctrl-C    what is finished stays in OUT.work, and the same command goes on from there
  --net     8,8 is 40 % of the arithmetic of 16,16; 32,16 is half as much again; --max-mac says what a phone can take
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
    add_training_options(parser, scale_or_auto, default="auto", help="hr pixels that an lr pixel becomes, each way: "
                         "1, 1.5, 2, 3 or 4; auto, the default, tries them on stretches of the video, and is 2 with "
                         "--lossless")
    parser.add_argument("--codec", choices=CODECS, default="x264", help="codec of the lr video; default %(default)s")
    quality = parser.add_mutually_exclusive_group()
    quality.add_argument("--crf", type=options.whole(0, 63), metavar="N",
                         help="quality of the lr video at a scale given, lower is better; by default x264 20, x265 22, "
                         "av1 30. With --scale auto the same as --target crf=N, by default x264 23, x265 28, av1 35")
    quality.add_argument("--target", type=target, metavar="WHAT",
                         help="crf=26: the quality that the plain codec has at that crf, in fewer bytes; psnr=38: that "
                         "of luma in dB; vmaf=85; size=5M or bitrate=400k: pictures, nets and map, up to 2 %% below "
                         "that, with av1, whose crf is a whole number, up to 8 %%. Chooses the crf, and with "
                         "--scale auto the scale, for a quarter of --budget at the most, and there ships the plain "
                         "video where nets do not pay")
    quality.add_argument("--lossless", action="store_true", help="code the lr video without loss")
    parser.add_argument("--report", action="store_true",
                        help="also make the page that stdo report makes, OUT.html, with the curves of what this "
                        "process trains: with --jobs 1 of every segment, else of the general model alone")


def run(a: argparse.Namespace) -> None:
    """Encode, and print what was gained for how many bytes; then make the page of it, where it is asked for."""
    page = page_of(a.out) if a.report else None
    if page:
        check(page, open_source(a.source, a.rate), a.force, [a.source])
    with Bars(a.quiet) as bars:
        curve = Curve(bars.training)
        result = encode(a.source, a.out, a.scale, recipe_of(a), codec=a.codec, crf=a.crf, lossless=a.lossless,
                        wanted=a.target, threads=a.threads, rate=a.rate, force=a.force, segment=a.segment,
                        crew=curve.watching(crew_of(a)), restart=a.restart,
                        note=bars.note, lr_progress=bars.frames("lr video"), progress=curve.note)
    print(result, flush=True)
    if page:
        with Bars(a.quiet) as bars:
            report(a.source, open_video(result.path), page, a.given, curve, threads=a.threads, rate=a.rate,
                   force=a.force, progress=bars.frames("report"))
        print(f"{page}: {page.stat().st_size:,} bytes")


def encode(source: Path, out: Path, scale: Fraction | None, recipe: Recipe, *, codec: str = "x264",
           crf: float | None = None, lossless: bool = False, wanted: Target | None = None, threads: int = 1,
           rate: Fraction | None = None, force: bool = False, segment: float = SEGMENT_SECONDS,
           crew: Callable[[int], Crew] = lambda segments: Crew(), restart: bool = False,
           note: Callable[[str], None] = lambda line: None,
           lr_progress: Callable[[int, int | None], None] | None = None, progress: Progress | None = None) -> Result:
    """Make the lr video of `source` and its sidecar: `out` .mkv holds both, `out` .mp4 has OUT.stdo beside it.

    scale: None for the one that meets `wanted` best, which is by default the quality of the plain codec at `crf`, or 2
    where it is lossless.
    wanted: chooses crf and scale; threads: for that. rate: of a folder of frames, see open_source. segment: its length
    in seconds. crew: gives those who train, for so many segments. What is finished lies in a work folder beside `out`
    until all is: the same call goes on from there, `restart` begins anew. note: gets lines for the user. lr_progress:
    (frames done, frames expected or None) while the lr video is coded. progress: over the whole film. Raises VideoError
    for files, ValueError for options.
    """
    from stdo_min.algorithm.film import assign_film, overfit_film  # Numba, which other verbs do without

    if ending(out) not in CONTAINERS:
        raise VideoError(f"{out}: the lr video is written as {', '.join(CONTAINERS)}; give one of these endings")
    info = open_source(source, rate)
    if scale is None and lossless:
        scale = Fraction(2)
    elif scale is None and recipe.general:
        raise VideoError(f"{recipe.general}: its net is for one scale; give that with --scale")
    elif scale is None and wanted is None:
        wanted = Target("crf", PLAIN_CRF[codec] if crf is None else crf)
    if wanted and wanted.kind == "vmaf":
        check_vmaf()
    if wanted and wanted.kind == "crf":
        check_crf(codec, wanted.value)
    for one in [scale] if scale else [Fraction(1)]:
        check_patch(source, *lr_size(info.width, info.height, one), recipe.patch, one)
    inputs = [source, *filter(None, [recipe.general])]
    names = [out, *([] if ending(out) in MATROSKA else [out.with_suffix(".stdo")])]
    force = force or was_writing(out)
    for name in names:
        check_output(name, force, inputs)
    check_container(info, out)  # now, and not when hours of work are done
    run = identity(inputs, recipe, scale=scale, codec=codec, crf=crf, lossless=lossless, wanted=wanted,
                   rate=str(info.rate), segment=segment)
    with open_work(out, run, restart, note) as work:
        parts = None
        while parts is None:  # the plain video may turn out to be better than what was chosen
            if wanted:
                if not work.has(CHOICE):
                    _check_budget(info, scale, recipe, segment, crew)
                choice = chosen(info, wanted, scale, recipe, codec, segment, work, threads, note)
                scale, crf = choice.scale, choice.crf
                recipe = replace(recipe, db_per_log=choice.db_per_log, plain=not choice.nets)
            header = sizes(scale, LEFT, recipe.patch, lr_size(info.width, info.height, scale), info)
            starts, frames = lay_segments(info, header, segment)
            with crew(len(starts)) as workers:
                recipe = foretold(recipe, frames, info, header, workers, note)
                code = partial(encode_parts, info, starts, work, scale, codec=codec, lossless=lossless,
                               progress=lr_progress, note=note)
                aim = wanted and Aim(wanted, info, header, recipe, codec, work, code, threads, note)
                parts = aim.parts(choice) if aim else code(crf=crf)
                if parts is None:
                    continue
                coded = [sum(packet_sizes(part.path)) for part in parts]
                if wanted:
                    choice = kept_choice(work)
                    coded = choice.fitted or coded  # an earlier run may have coded them again
                recipe = recipe.shaped(sum(coded) / len(parts), header.net_scale)
                general, halo = read_start(recipe, scale)
                tasks = _tasks(parts, coded, info, header, halo, recipe)
                made = overfit_film(tasks, general, work, workers, progress)
                for number in range(1, ROUNDS + 1) if aim else ():
                    again = aim.parts_again(choice, made, parts, number)
                    if again is None:
                        break
                    choice, parts = again
                    coded = [sum(packet_sizes(part.path)) for part in parts]
                    made = assign_film(_tasks(parts, coded, info, header, halo, recipe), made, number, work, workers,
                                       progress)
        if wanted:
            tell_size(wanted, sum(coded) + len(made.data), float(made.frames / info.rate), note)
        _write(made, parts, info, work, names, force, inputs)
    bytes_lr = out.stat().st_size - (len(made.data) if len(names) == 1 else 0)
    return Result(out, made.frames, made.nets, made.psnr_y, made.psnr_bicubic_y, bytes_lr, len(made.data))


def _check_budget(info, scale, recipe, segment, crew) -> None:
    """Refuse a budget that is too small before anything is coded; without a scale by 1, where passes take longest."""
    scale = scale or Fraction(1)
    header = sizes(scale, LEFT, recipe.patch, lr_size(info.width, info.height, scale), info)
    starts, frames = lay_segments(info, header, segment)
    with crew(len(starts)) as workers:
        foretold(recipe, frames, info, header, workers, lambda line: None)


def _tasks(parts, coded, info, header, halo, recipe) -> list[SegmentTask]:
    """The segments of a film whose lr video was coded in parts."""
    from stdo_min.algorithm.tasks import SegmentTask

    lr = probe(parts[0].path)
    return [SegmentTask(number, part.first, len(part.checksums), header, halo, replace(lr, path=part.path), None, info,
                        part.checksums, None, part is parts[-1], recipe, size)
            for number, (part, size) in enumerate(zip(parts, coded, strict=True))]


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
