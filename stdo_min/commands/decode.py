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
from stdo_min.video.lr import CONTAINERS
from stdo_min.video.write import Writer, Y4MWriter, output_file


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    options.played(parser)
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
        count = decode(video, a.out, crf=a.crf, threads=a.threads, force=a.force, progress=bars.frames("decode"))
    done = video.upscaler.statistics
    print(f"{a.out}: {count} frames; patches: {done.net:,} by nets, {done.base:,} by the base alone, "
          f"{done.reused:,} unchanged")


def decode(video: Video, out: Path, *, crf: int = 16, threads: int = 1, force: bool = False,
           progress: Callable[[int, int], None] | None = None) -> int:
    """Write the upscaled video to a file and return its frame count.

    .mp4 and .mkv are H.264 with the sound, subtitles and chapters of the lr video; .y4m is the plain frames. progress
    gets (frames done, frames). Nothing is left behind on failure. Raises VideoError.
    """
    info, upscaler, _ = video
    if out.suffix not in (".y4m", *CONTAINERS):
        raise VideoError(f"{out}: cannot write {out.suffix or 'a file without ending'}; use .mp4, .mkv or .y4m")
    size = upscaler.hr_width, upscaler.hr_height
    with output_file(out, force, [info.path]) as final:
        if out.suffix == ".y4m":
            with final.open("wb") as file:
                return write_all(video, Y4MWriter(file, info, *size, chroma=siting(upscaler)), threads, progress)
        with Writer(final, info, *size, crf=crf) as writer:
            return write_all(video, writer, threads, progress)
