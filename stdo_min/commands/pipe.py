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
from stdo_min.video.stretch import WHOLE, Stretch
from stdo_min.video.write import Writer, Y4MWriter


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    options.played(parser)
    options.stretch(parser)
    options.network(parser)


def run(a: argparse.Namespace) -> None:
    """Write to stdout, unless that is a terminal."""
    if sys.stdout.isatty():
        raise VideoError(f"stdout is a terminal; pipe the frames into a player: stdo pipe {a.video} | mpv -")
    video = open_video(a.video, a.sidecar)
    pipe(video, sys.stdout.buffer, a.threads, options.stretch_of(video, a))


def pipe(video: Video, file: BinaryIO, threads: int = 1, stretch: Stretch = WHOLE) -> int:
    """Write a stretch of the upscaled video as YUV4MPEG2 to a file object and return its frame count.

    Raises VideoError, and BrokenPipeError when nobody reads any more.
    """
    upscaler = video.upscaler
    writer = Y4MWriter(file, video.info, upscaler.hr_width, upscaler.hr_height, chroma=siting(upscaler))
    return write_all(video, writer, threads, stretch)


def write_all(video: Video, writer: Writer | Y4MWriter, threads: int, stretch: Stretch = WHOLE,
              progress: Callable[[int, int], None] | None = None) -> int:
    """Upscale the frames of a stretch into a writer and return their count; progress gets (frames done, frames)."""
    count = video.upscaler.frames - stretch.first if stretch.count is None else stretch.count
    with closing(frames(video, threads, *stretch)) as shown:
        for done, frame in enumerate(shown, 1):
            writer.write(frame.hr)
            if progress:
                progress(done, count)
    return count


def siting(upscaler: Upscaler) -> str:
    """The place of chroma columns, as Y4MWriter takes it."""
    return "left" if upscaler.chroma else "centre"
