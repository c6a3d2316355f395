"""The command line: `stdo VERB ...`; each verb is a file in commands/.

Results go to stdout, progress and errors to stderr. Exit status: 0 done, 1 failed (one line says what and the
remedy), 2 usage, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
import warnings
from importlib import import_module
from pathlib import Path

from stdo_min import __version__
from stdo_min.video.ffmpeg import Address, VideoError

VERBS = {
    "encode": "make an lr video and its sidecar from a video",
    "train": "make the sidecar of an lr video that exists",
    "decode": "write a video upscaled to a file",
    "pipe": "write a video upscaled to stdout as y4m: stdo pipe a.mkv | mpv -",
    "play": "show a video upscaled in a player",
    "serve": "offer a video upscaled to this device's own player or browser, over HTTP",
    "eval": "compare a video as it plays with its source: PSNR over all pixels, and bytes",
    "report": "make a page to look at: before and after, nets and map, bytes, PSNR along time",
    "info": "show what a sidecar holds",
    "bench": "how fast this device upscales to 1920x1080: which nets and scales it plays",
    "demo": "draw a short clip with sound, to try things on",
}

EXTRAS = {"numba": "train", "tqdm": "train", "threadpoolctl": "train", "matplotlib": "report"}
"""What an optional package is installed with."""

EPILOG = """examples:
  stdo encode film.mp4 film.mkv --scale 2       one file that every player plays and stdo upscales
  stdo play film.mkv                            watch it upscaled
  stdo decode film.mkv film-hr.mp4              or write it upscaled to a file
  stdo eval film.mp4 film.mkv                   what it gained, in dB and bytes
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        arguments = _parser(argv).parse_args(argv)
        arguments.given = argv
        _name_inputs(arguments)
        _end_as_ctrl_c_does()
        warnings.showwarning = lambda message, *_: print(f"stdo: {message}", file=sys.stderr)
        if os.environ.get("STDO_CPU"):
            from stdo_min.format.library import check_tiers

            check_tiers()
        arguments.run(arguments)
        if sys.stdout:  # None where the shell closed it
            sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        print("stdo: stopped", file=sys.stderr)  # what stays, if anything, was said before
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (VideoError, ValueError, OSError, MemoryError, ImportError) as error:
        if "--debug" in argv:
            raise
        print(f"stdo: {_one_line(error)}", file=sys.stderr)
        return 1


def _parser(argv: list[str]) -> argparse.ArgumentParser:
    """The parser of a command line. Only the verb that is asked for is imported and gets its options."""
    parser = argparse.ArgumentParser(
        prog="stdo", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Video super-resolution by overfitting: a small low-resolution (lr) video that every player plays, "
                    "and a sidecar of a few kilobytes that upscales exactly that video.")
    parser.add_argument("--version", action="version", version=f"stdo {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verbs = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    wanted = next((word for word in argv if not word.startswith("-")), None)
    for verb, text in VERBS.items():
        sub = verbs.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".",
                               formatter_class=argparse.RawDescriptionHelpFormatter)
        sub.add_argument("--debug", action="store_true", default=argparse.SUPPRESS,
                         help="show the traceback of an error")
        if verb == wanted:
            module = import_module(f"stdo_min.commands.{verb}")
            module.add_options(sub)
            sub.set_defaults(run=module.run)
    return parser


def _name_inputs(arguments: argparse.Namespace) -> None:
    """Make names of videos paths; http:// and https:// become addresses only with --allow-network."""
    for name in ("source", "video"):
        text = getattr(arguments, name, None)
        if text is not None:
            address = getattr(arguments, "allow_network", False) and re.match("https?://", text)
            setattr(arguments, name, Address(text) if address else Path(text))


def _end_as_ctrl_c_does() -> None:
    """Clean up after a kill or a closed terminal as after Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) != signal.SIG_IGN:  # what nohup ignores stays ignored
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def _one_line(error: BaseException) -> str:
    extra = EXTRAS.get(error.name) if isinstance(error, ModuleNotFoundError) else None
    if extra:
        return f"{error.name} is not installed, which this command needs: pip install 'stdo-min[{extra}]'"
    if isinstance(error, MemoryError):
        return "out of memory; choose a smaller --memory or --patch"
    if isinstance(error, OSError) and error.filename:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
