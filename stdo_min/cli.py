"""The command line: `stdo encode | train | decode | pipe | play | serve | eval | info | bench | demo`.

Results go to stdout, progress and errors to stderr. Exit status: 0 done, 1 failed (one line says what and the
remedy), 2 usage, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import re
import signal
import sys
import threading
from contextlib import nullcontext, suppress
from fractions import Fraction
from pathlib import Path

from stdo_min import __version__
from stdo_min.format.cores import fast_cores
from stdo_min.video.ffmpeg import Address, VideoError

EPILOG = """examples:
  stdo encode film.mp4 film.mkv --scale 2       one file that every player plays and stdo upscales
  stdo play film.mkv                            watch it upscaled
  stdo decode film.mkv film-hr.mp4              or write it upscaled to a file
  stdo eval film.mp4 film.mkv                   what it gained, in dB and bytes
"""

MODES = {  # of overfit.py, which the player's commands do not import
    "auto": "as many nets as short probes on the video find best",
    "single": "one net",
    "time": "one net for each part of the time",
    "stdo": "one net for each chunk of patches, by their score",
    "stdo-quantile": "the same, cut at equal counts",
    "jstdo": "one net, trained more on the chunks that hold the error",
}

ENCODING = """what to choose:
  --scale   2 for quality, 4 for the smallest file and the lightest decoding
  --crf     most of the bytes are the lr video's: raise it for a smaller file
  --budget  the longer, the better the picture; two minutes give most of it for a short clip
  --net     8,8 is 40 % of the arithmetic of 16,16; 32,16 is half as much again
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = _parser().parse_args(argv)
    _name_inputs(arguments)
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):  # so that a kill or a closed terminal cleans up as Ctrl-C does
            number = getattr(signal, name, None)
            if number and signal.getsignal(number) != signal.SIG_IGN:  # what nohup ignores stays ignored
                signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        if os.environ.get("STDO_CPU"):
            from stdo_min.format.library import check_tiers

            check_tiers()
        arguments.run(arguments)
        if sys.stdout:  # there is none where the shell closed it
            sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        print("stdo: stopped; nothing was left behind", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (VideoError, ValueError, OSError, MemoryError, ImportError) as error:
        if arguments.debug:
            raise
        print(f"stdo: {_one_line(error)}", file=sys.stderr)
        return 1


def _name_inputs(arguments: argparse.Namespace) -> None:
    """Make names of videos paths; http:// and https:// become addresses only with --allow-network."""
    for name in ("source", "video"):
        text = getattr(arguments, name, None)
        if text is not None:
            address = getattr(arguments, "allow_network", False) and re.match("https?://", text)
            setattr(arguments, name, Address(text) if address else Path(text))


def _one_line(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name in ("numba", "tqdm", "threadpoolctl"):
        return f"{error.name} is not installed, which this command needs: pip install 'stdo-min[train]'"
    if isinstance(error, MemoryError):
        return "out of memory; choose a smaller --memory or --patch"
    if isinstance(error, OSError) and error.filename:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


# ---- Commands ----


def _encode(a: argparse.Namespace) -> None:
    from stdo_min.commands.encode import encode

    with _Bars(a.quiet) as bars:
        result = encode(a.source, a.out, a.scale, _recipe(a), codec=a.codec, crf=a.crf, lossless=a.lossless,
                        rate=a.rate, force=a.force, lr_progress=bars.frames("lr video"), progress=bars.training)
    print(_told(result))


def _train(a: argparse.Namespace) -> None:
    from stdo_min.commands.encode import train

    with _Bars(a.quiet) as bars:
        result = train(a.lr, a.hr, a.out, _recipe(a), scale=a.scale, rate=a.rate, force=a.force,
                       progress=bars.training)
    print(_told(result))


def _decode(a: argparse.Namespace) -> None:
    from stdo_min.player import decode, open_video

    with _Bars(a.quiet) as bars:
        video = open_video(a.video, a.sidecar)
        count = decode(video, a.out, crf=a.crf, threads=a.threads, force=a.force, progress=bars.frames("decode"))
    done = video.upscaler.statistics
    print(f"{a.out}: {count} frames; patches: {done.net:,} by nets, {done.base:,} by the base alone, "
          f"{done.reused:,} unchanged")


def _pipe(a: argparse.Namespace) -> None:
    from stdo_min.player import open_video, pipe

    if sys.stdout.isatty():
        raise VideoError(f"stdout is a terminal; pipe the frames into a player: stdo pipe {a.video} | mpv -")
    pipe(open_video(a.video, a.sidecar), sys.stdout.buffer, a.threads)


def _play(a: argparse.Namespace) -> None:
    from stdo_min.player import open_video, play

    play(open_video(a.video, a.sidecar), a.player, a.threads)


def _serve(a: argparse.Namespace) -> None:
    from stdo_min.commands.serve import Server

    def report(line):
        print(f"stdo: {line}", file=sys.stderr, flush=True)

    server = Server(a.video, a.sidecar, a.port, a.threads, a.coder, report)
    try:
        print(f"{server.url}\nopen this on this device (in Termux: termux-open-url {server.url}); Ctrl-C ends it",
              flush=True)
        with suppress(KeyboardInterrupt):  # how one ends it
            server.serve_forever()
    finally:
        server.server_close()


def _bench(a: argparse.Namespace) -> None:
    from stdo_min.commands import bench as benchmark

    counts = [a.threads] if a.threads else benchmark.thread_counts()
    with _Bars(a.quiet) as bars:
        found = benchmark.measure(counts, progress=bars.frames("bench"))
    if a.json:
        print(json.dumps([{**speed._asdict(), "plays": speed.plays} for speed in found]))
        return
    print(benchmark.report(found))


def _eval(a: argparse.Namespace) -> None:
    from stdo_min.commands.eval import evaluate
    from stdo_min.commands.picture import Comparison
    from stdo_min.player import open_video
    from stdo_min.video.mux import ending
    from stdo_min.video.output import output_file

    if a.picture and ending(a.picture) != ".png":
        raise VideoError(f"{a.picture}: the picture is a PNG; give it the ending .png")
    inputs = [a.source, a.video, *filter(None, [a.sidecar])]
    video = open_video(a.video, a.sidecar)
    comparison = Comparison(video.info) if a.picture else None
    with output_file(a.picture, a.force, inputs) if a.picture else nullcontext() as picture:
        with _Bars(a.quiet) as bars:
            found = evaluate(a.source, video, a.threads, bars.frames("eval"), comparison, a.rate)
        if comparison:
            comparison.write(picture)
    if a.json:
        print(json.dumps(found))
        return
    nets = found.pop("nets")
    for name, value in found.items():
        print(f"{name:15} {_number(value)}")
    print("net   patches   psnr_y   psnr_bicubic_y")
    for net in nets:
        print(f"{net['index']:3} {net['patches']:9} {_number(net['psnr_y']):>8} {_number(net['psnr_bicubic_y']):>16}")


def _info(a: argparse.Namespace) -> None:
    from stdo_min.commands.info import describe
    from stdo_min.player import open_video, read_sidecar
    from stdo_min.video.mux import ending

    data = read_sidecar(a.video) if ending(a.video) == ".stdo" else open_video(a.video, a.sidecar).data
    found = describe(data, a.video)
    print(json.dumps(found) if a.json else "\n".join(f"{name:10} {value}" for name, value in found.items()))


def _demo(a: argparse.Namespace) -> None:
    from stdo_min.commands.demo import write_demo
    from stdo_min.video.output import output_file

    with output_file(a.out, a.force) as final:
        write_demo(final)
    print(a.out)


def _recipe(a: argparse.Namespace):
    from stdo_min.commands.encode import Recipe
    from stdo_min.engine.budget import Effort

    effort = Effort(steps=a.steps) if a.steps else Effort(seconds=a.budget)
    return Recipe(mode=a.mode, chunks=a.chunks, refine=a.refine, channels=a.net, patch=a.patch, effort=effort,
                  memory=a.memory << 20, seed=a.seed, threads=a.threads, general=a.general)


def _told(result) -> str:
    quality = f"luma {result.psnr_y:.2f} dB (bicubic {result.psnr_bicubic_y:.2f}"
    if math.isfinite(result.psnr_bicubic_y):
        quality += f", {result.psnr_y - result.psnr_bicubic_y:+.2f}"
    return (f"{result.path}: {result.frames} frames, {quality}), lr {result.bytes_lr:,} bytes, "
            f"sidecar {result.bytes_sidecar:,} bytes ({result.nets} nets)")


def _number(value) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


# ---- Progress, on stderr, where it is a terminal ----


class _Bars:
    """One bar after the other, made when its first progress comes."""

    def __init__(self, quiet: bool):
        self._quiet, self._bar = quiet, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.close()

    def _show(self, name, **options):
        if self._bar is None or self._name != name:
            from tqdm import tqdm

            self.__exit__()
            self._bar, self._name = tqdm(desc=name, disable=self._quiet or None, **options), name
        return self._bar

    def frames(self, name: str):
        """The progress(done, total) of a task that counts frames; None where tqdm is not installed."""
        if importlib.util.find_spec("tqdm") is None:  # the player does without what only training requires
            return None

        def progress(done, total):
            bar = self._show(name, unit=" frames")
            bar.total = total
            bar.update(done - bar.n)
        return progress

    def training(self, stage: str, done: float, psnr: float) -> None:
        """The progress of `encode` and `train`; see stdo_min.engine.budget.Progress."""
        layout = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
        bar = self._show("training", total=1.0, bar_format=layout)
        bar.set_description_str(f"{stage:9}", refresh=False)
        if not math.isnan(psnr):
            bar.set_postfix_str(f"{psnr:.2f} dB so far", refresh=False)
        bar.update(max(0.0, done - bar.n))


# ---- Options ----


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stdo", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Video super-resolution by overfitting: a small low-resolution (lr) video that every player plays, "
                    "and a sidecar of a few kilobytes that upscales exactly that video.")
    parser.add_argument("--version", action="version", version=f"stdo {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, run, text, epilog=None):
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=epilog,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
        sub.set_defaults(run=run)
        sub.add_argument("--debug", action="store_true", default=argparse.SUPPRESS,
                         help="show the traceback of an error")
        return sub

    def threads(sub):
        sub.add_argument("--threads", type=_threads, default="auto", metavar="N|auto",
                         help=f"threads to use; default %(default)s, one for each fast core: here {fast_cores()}")

    def network(sub):
        sub.add_argument("--allow-network", action="store_true",
                         help="the video may be at http://... or https://...; without this nothing is ever fetched")

    def played(sub, quiet=True):
        sub.add_argument("video", metavar="IN",
                         help="an .mkv with its sidecar inside, or an lr video with it beside")
        sub.add_argument("--sidecar", type=Path, metavar="FILE", help="the sidecar, where it lies elsewhere")
        threads(sub)
        if quiet:
            sub.add_argument("-q", "--quiet", action="store_true", help="no progress bar")

    def rated(sub):
        sub.add_argument("--rate", type=_rate, metavar="N",
                         help="frames per second of a folder of PNG frames, such as 24 or 30000/1001; default 25. A "
                         "video has its own")

    def written(sub):
        sub.add_argument("--force", action="store_true", help="overwrite an output that exists")

    def trained(sub, **scale):
        add = sub.add_argument
        add("--scale", type=int, choices=(2, 3, 4), **scale)
        add("--mode", choices=MODES, default="auto", help="; ".join(f"{n}: {text}" for n, text in MODES.items()) +
            "; default %(default)s")
        add("--chunks", type=_chunks, default="auto", metavar="auto|N",
            help="number of chunks, each with its net, in mode auto at most; default %(default)s, by the scores")
        add("--refine", type=_whole(0, 1000), default=64, metavar="N",
            help="how often patches move to the net that serves them best while the nets train, 0 for the mode as "
            "published; single and jstdo have one net and do without; default %(default)s")
        add("--net", type=_channels, default="16,16", metavar="C,C",
            help="channels of the hidden layers; default %(default)s")
        add("--patch", type=_whole(8, 128), default=20, metavar="N",
            help="side of a patch in lr pixels, 8..128; default %(default)s")
        effort = sub.add_mutually_exclusive_group()
        effort.add_argument("--budget", type=_seconds, default="5m", metavar="TIME",
                            help="time to train: 90s, 5m, 1h; default %(default)s")
        effort.add_argument("--steps", type=_whole(1, 10**9), metavar="N",
                            help="train for so many steps in place of a time, which can be repeated exactly")
        add("--memory", type=_whole(16, 1 << 20), default=512, metavar="MIB",
            help="memory for the patches to train on; default %(default)s")
        add("--seed", type=_whole(0, 2**63), default=0, metavar="N",
            help="seed of the random numbers; default %(default)s")
        add("--general", type=Path, metavar="NET",
            help="a sidecar whose first net scores the patches and starts the training, in place of the warm-up")
        threads(sub)
        add("-q", "--quiet", action="store_true", help="no progress bar")
        written(sub)

    sub = command("encode", _encode, "make an lr video and its sidecar from a video", ENCODING)
    sub.add_argument("source", metavar="SRC", help="any video that ffmpeg reads, or a folder of PNG frames (8-bit RGB "
                     "or grey), in natural order of their names")
    rated(sub)
    sub.add_argument("out", type=Path, metavar="OUT",
                     help=".mkv: one file with the sidecar attached; .mp4: OUT.stdo lies beside it")
    network(sub)
    trained(sub, default=2, help="hr pixels that an lr pixel becomes, each way; default %(default)s")
    sub.add_argument("--codec", choices=("x264", "x265", "av1"), default="x264",
                     help="codec of the lr video; default %(default)s")
    quality = sub.add_mutually_exclusive_group()
    quality.add_argument("--crf", type=_whole(0, 63), metavar="N",
                         help="quality of the lr video, lower is better; by default x264 20, x265 22, av1 30")
    quality.add_argument("--lossless", action="store_true", help="code the lr video without loss")

    sub = command("train", _train, "make the sidecar of an lr video that exists")
    sub.add_argument("--lr", type=Path, required=True, metavar="LR", help="the lr video")
    sub.add_argument("--hr", type=Path, required=True, metavar="SRC", help="the source it was made from")
    rated(sub)
    sub.add_argument("out", type=Path, metavar="OUT.stdo", help="the sidecar")
    trained(sub, help="hr pixels that an lr pixel becomes, each way; by default what the sizes say")

    sub = command("decode", _decode, "write a video upscaled to a file")
    played(sub)
    network(sub)
    sub.add_argument("out", type=Path, metavar="OUT", help=".mp4 or .mkv (H.264, with sound and subtitles), or .y4m")
    sub.add_argument("--crf", type=_whole(0, 51), default=16, metavar="N",
                     help="quality of the H.264 file, lower is better; default %(default)s")
    written(sub)

    sub = command("pipe", _pipe, "write a video upscaled to stdout as y4m: stdo pipe a.mkv | mpv -")
    played(sub, quiet=False)
    network(sub)

    sub = command("play", _play, "show a video upscaled in a player")
    played(sub, quiet=False)
    network(sub)
    sub.add_argument("--player", choices=("mpv", "ffplay"),
                     help="the player; by default the first of these that is installed")

    sub = command("serve", _serve, "offer a video upscaled to this device's own player or browser, over HTTP")
    played(sub, quiet=False)
    network(sub)
    sub.add_argument("--port", type=_whole(0, 65535), default=8080, metavar="N",
                     help="port of 127.0.0.1, 0 for any that is free; default %(default)s")
    sub.add_argument("--coder", choices=("h264_mediacodec", "libx264"),
                     help="what codes the H.264; by default the first of these that ffmpeg has")

    sub = command("eval", _eval, "compare a video as it plays with its source: PSNR over all pixels, and bytes")
    sub.add_argument("source", metavar="SRC", help="the source it was made from, a video or a folder of PNG frames")
    rated(sub)
    played(sub)
    sub.add_argument("--json", action="store_true", help="one JSON object")
    sub.add_argument("--picture", type=Path, metavar="FILE.png",
                     help="draw bicubic, stdo and source side by side, at the place where most was gained")
    written(sub)

    sub = command("info", _info, "show what a sidecar holds")
    played(sub, quiet=False)
    sub.add_argument("--json", action="store_true", help="one JSON object")

    sub = command("bench", _bench, "how fast this device upscales to 1920x1080: which nets and scales it plays")
    sub.add_argument("--threads", type=_threads, metavar="N", help="time this number only; default: some")
    sub.add_argument("--json", action="store_true", help="one JSON list")
    sub.add_argument("-q", "--quiet", action="store_true", help="no progress bar")

    sub = command("demo", _demo, "draw a short clip with sound, to try things on")
    sub.add_argument("out", type=Path, metavar="OUT.mp4", help="where to write it")
    written(sub)
    return parser


def _threads(text: str) -> int:
    return min(fast_cores(), 256) if text == "auto" else _whole(1, 256)(text)


def _whole(least: int, most: int):
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d+", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least}..{most}")
        return int(text)
    return parse


def _chunks(text: str) -> int | None:
    return None if text == "auto" else _whole(1, 63)(text)


def _channels(text: str) -> tuple[int, ...]:
    widths = tuple(_whole(1, 64)(part) for part in text.split(","))
    if len(widths) > 7:
        raise argparse.ArgumentTypeError(f"{text!r} has {len(widths)} hidden layers; a net has at most 7")
    return widths


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000 or max(rate.numerator, rate.denominator) >= 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate above zero such as 24, 23.976 or 30000/1001")
    return rate


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h|)", text)
    if not found or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time above zero such as 90s, 5m or 1h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


