"""`stdo decode`: the upscaled video as a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from stdo_min.commands import options
from stdo_min.commands.pipe import siting, write_all
from stdo_min.commands.progress import Bars
from stdo_min.player import Video, open_video
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.mux import CONTAINERS, ending
from stdo_min.video.output import output_file
from stdo_min.video.stretch import WHOLE, Stretch, clock, time_of
from stdo_min.video.write import Writer, Y4MWriter


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    options.played(parser)
    options.stretch(parser)
    options.quiet(parser)
    options.network(parser)
    parser.add_argument("out", type=Path, metavar="OUT",
                        help=".mp4 or .mkv (H.264, with sound and subtitles), or .y4m")
    parser.add_argument("--crf", type=options.whole(0, 51), default=16, metavar="N",
                        help="quality of the H.264 file, lower is better; default %(default)s")
    options.written(parser)


def run(a: argparse.Namespace) -> None:
    """Decode, and print what was done with the patches."""
    with Bars(a.quiet) as bars:
        video = open_video(a.video, a.sidecar)
        stretch = options.stretch_of(video, a)
        count = decode(video, a.out, crf=a.crf, threads=a.threads, stretch=stretch, force=a.force,
                       progress=bars.frames("decode"))
    done = video.upscaler.statistics
    begin, end = (clock(time_of(video.info, stretch.first + frames)) for frames in (0, count))
    of = "" if stretch == WHOLE else f" from {begin} to {end}"
    print(f"{a.out}: {count} frames{of}; patches: {done.net:,} by nets, {done.base:,} by the base alone, "
          f"{done.reused:,} unchanged")


def decode(video: Video, out: Path, *, crf: int = 16, threads: int = 1, stretch: Stretch = WHOLE,
           force: bool = False, progress: Callable[[int, int], None] | None = None) -> int:
    """Write a stretch of the upscaled video to a file and return its frame count.

    .mp4 and .mkv are H.264 with the sound, subtitles and chapters of the lr video; .y4m is the plain frames. progress
    gets (frames done, frames). Nothing is left behind on failure. Raises VideoError.
    """
    info, upscaler, _ = video
    if ending(out) not in (".y4m", *CONTAINERS):
        raise VideoError(f"{out}: cannot write {out.suffix or 'a file without ending'}; use .mp4, .mkv or .y4m")
    size = upscaler.hr_width, upscaler.hr_height
    with output_file(out, force, [info.path]) as final:
        if ending(out) == ".y4m":
            with final.open("wb") as file:
                writer = Y4MWriter(file, info, *size, chroma=siting(upscaler))
                return write_all(video, writer, threads, stretch, progress)
        with Writer(final, info, *size, crf=crf, stretch=stretch) as writer:
            return write_all(video, writer, threads, stretch, progress)
