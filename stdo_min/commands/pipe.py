"""`stdo pipe`: the upscaled video as y4m on stdout."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import closing
from typing import BinaryIO

from stdo_min.commands import options
from stdo_min.format.library import Upscaler
from stdo_min.player import Video, frames, open_video
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.write import Writer, Y4MWriter


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    options.played(parser)
    options.network(parser)


def run(a: argparse.Namespace) -> None:
    """Write to stdout, unless that is a terminal."""
    if sys.stdout.isatty():
        raise VideoError(f"stdout is a terminal; pipe the frames into a player: stdo pipe {a.video} | mpv -")
    pipe(open_video(a.video, a.sidecar), sys.stdout.buffer, a.threads)


def pipe(video: Video, file: BinaryIO, threads: int = 1) -> int:
    """Write the upscaled video as YUV4MPEG2 to a file object and return its frame count.

    Raises VideoError, and BrokenPipeError when nobody reads any more.
    """
    upscaler = video.upscaler
    writer = Y4MWriter(file, video.info, upscaler.hr_width, upscaler.hr_height, chroma=siting(upscaler))
    return write_all(video, writer, threads)


def write_all(video: Video, writer: Writer | Y4MWriter, threads: int,
              progress: Callable[[int, int], None] | None = None) -> int:
    """Upscale every frame into a writer and return their count; progress gets (frames done, frames)."""
    with closing(frames(video, threads)) as shown:
        for count, frame in enumerate(shown, 1):
            writer.write(frame.hr)
            if progress:
                progress(count, video.upscaler.frames)
    return video.upscaler.frames


def siting(upscaler: Upscaler) -> str:
    """The place of chroma columns, as Y4MWriter takes it."""
    return "left" if upscaler.chroma else "centre"
