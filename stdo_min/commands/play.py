"""`stdo play`: the upscaled video in a player that is installed."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import NamedTuple

from stdo_min.commands import options
from stdo_min.commands.pipe import pipe
from stdo_min.player import Video, open_video
from stdo_min.video.ffmpeg import LOCAL, Address, VideoError, ffmpeg_process, input_arguments
from stdo_min.video.probe import VideoInfo
from stdo_min.video.stretch import WHOLE, Stretch, beside

PLAYERS = {"mpv": ["mpv", "--really-quiet", "-"], "ffplay": ["ffplay", "-loglevel", "error", "-autoexit", "-"]}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    options.played(parser)
    options.stretch(parser)
    options.network(parser)
    parser.add_argument("--player", choices=PLAYERS,
                        help="the player; by default the first of these that is installed")


def run(a: argparse.Namespace) -> None:
    """Play until the player is closed."""
    video = open_video(a.video, a.sidecar)
    play(video, a.player, a.threads, options.stretch_of(video, a))


def play(video: Video, player: str | None = None, threads: int = 1, stretch: Stretch = WHOLE) -> None:
    """Show a stretch of the upscaled video in mpv or ffplay, with sound where mpv plays, until the player is closed.

    Raises VideoError if the player is not installed or fails.
    """
    wanted = [player] if player else list(PLAYERS)
    found = next((name for name in wanted if shutil.which(name)), None)
    if found is None:
        raise VideoError(f"{' and '.join(wanted)} not found; install one (apt install mpv, Termux: pkg install mpv) "
                         "or use stdo decode")
    with _sound(video.info, stretch) if found == "mpv" and video.info.has_audio else nullcontext(_NONE) as sound:
        command = [*PLAYERS[found][:-1], *sound.arguments, PLAYERS[found][-1]]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=sound.files)
        try:
            pipe(video, process.stdin, threads, stretch)
            process.stdin.close()
        except BrokenPipeError:  # the user closed the player's window
            pass
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
    if code:
        raise VideoError(f"{found}: stopped with exit code {code}; is there a display? If not, use stdo decode")


class _Sound(NamedTuple):
    """What mpv is told of the sound, and the open files that it gets."""

    arguments: list[str]
    files: tuple[int, ...] = ()


_NONE = _Sound([])


@contextmanager
def _sound(info: VideoInfo, stretch: Stretch) -> Iterator[_Sound]:
    # Else the sound would play on to its own end.
    length = [] if stretch.count is None else [f"--length={float(stretch.count / info.rate):.6f}"]
    # A file may name others, which must not be fetched: see ffmpeg.input_arguments.
    careful = [f"--demuxer-lavf-o-append=protocol_whitelist={LOCAL}", "--audio-demuxer=lavf", "--ytdl=no",
               "--load-unsafe-playlists=no"]
    if not stretch.first:
        delay = [f"--audio-delay=-{info.start:.6f}"] if info.start else []  # the frames come as if they began at 0
        named = [info.path] if isinstance(info.path, Address) else [info.path.absolute(), *careful]
        yield _Sound([f"--audio-file={named[0]}", *named[1:], *delay, *length])
        return
    # mpv would read all that comes before, which may be gigabytes. ffmpeg seeks, and hands on what follows.
    step = beside(info, stretch)
    arguments = [*step.others, *input_arguments(info.path), "-map", "0:a", "-c", "copy", *step.out, "-f", "matroska",
                 "pipe:1"]
    with suppress(_Closed), ffmpeg_process(arguments, info.path, stdout=subprocess.PIPE) as process:
        file = process.stdout.fileno()
        yield _Sound([f"--audio-file=fd://{file}", *careful, *length], (file,))
        raise _Closed  # nobody hears the rest


class _Closed(Exception):
    """The player is closed."""
