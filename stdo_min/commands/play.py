"""`stdo play`: the upscaled video in a player that is installed."""

from __future__ import annotations

import argparse
import shutil
import subprocess

from stdo_min.commands import options
from stdo_min.commands.pipe import pipe
from stdo_min.player import Video, open_video
from stdo_min.video.ffmpeg import LOCAL, Address, VideoError

PLAYERS = {"mpv": ["mpv", "--really-quiet", "-"], "ffplay": ["ffplay", "-loglevel", "error", "-autoexit", "-"]}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    options.played(parser)
    options.network(parser)
    parser.add_argument("--player", choices=PLAYERS,
                        help="the player; by default the first of these that is installed")


def run(a: argparse.Namespace) -> None:
    """Play until the player is closed."""
    play(open_video(a.video, a.sidecar), a.player, a.threads)


def play(video: Video, player: str | None = None, threads: int = 1) -> None:
    """Show the upscaled video in mpv or ffplay, with sound where mpv plays; returns when the player is closed.

    Raises VideoError if the player is not installed or fails.
    """
    wanted = [player] if player else list(PLAYERS)
    found = next((name for name in wanted if shutil.which(name)), None)
    if found is None:
        raise VideoError(f"{' and '.join(wanted)} not found; install one (apt install mpv, Termux: pkg install mpv) "
                         "or use stdo decode")
    command = list(PLAYERS[found])
    if found == "mpv" and video.info.has_audio:
        path = video.info.path
        if isinstance(path, Address):
            command.insert(-1, f"--audio-file={path}")
        else:  # a file may name others, which must not be fetched: see ffmpeg.input_arguments
            command[-1:-1] = [f"--audio-file={path.absolute()}", f"--demuxer-lavf-o-append=protocol_whitelist={LOCAL}",
                              "--audio-demuxer=lavf", "--ytdl=no", "--load-unsafe-playlists=no"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        pipe(video, process.stdin, threads)
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
