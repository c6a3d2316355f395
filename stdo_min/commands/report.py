"""`stdo report`: one page that shows what nets are worth on a video, for people to look at.

One pass over the frames is `stdo eval`'s. It keeps sums by frame alone, so a film of any length can be reported on;
the three frames to look at are known at its end, and read once more.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from stdo_min.commands import options
from stdo_min.commands.eval import evaluate
from stdo_min.commands.picture import MATRICES
from stdo_min.commands.progress import Bars
from stdo_min.commands.report_facts import Course, Curve, Facts, look, parts_of
from stdo_min.player import Video, open_video
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.frame_folder import open_source
from stdo_min.video.mux import ending
from stdo_min.video.output import check_output, output_file
from stdo_min.video.png import webp
from stdo_min.video.probe import VideoInfo

EPILOG = """The page is one file that needs no network, to open in a browser and to send to others. It takes 3 MB at the
most, into which its pictures are fitted, unless maps and charts of very many patches or nets need more. It shows
  frames   the one that gained the least, one in the middle, and the one that gained the most: bicubic, stdo and
           source, with a slider between two of them, and which net serves which patch
  time     PSNR of each frame, and the share of each net
  bytes    of each part, and what each net bought for its own
  training its curves: by stdo encode --report alone, since no file holds them, and of what that trains itself; other
           processes (--jobs, --dask) report none
Numbers are those of stdo eval. PSNR is that of luma. It needs Matplotlib: pip install 'stdo-min[report]'.

  stdo report film.mp4 film.mkv                    film.html, beside film.mkv
  stdo report film.mp4 film.mkv -o report.html
  stdo encode film.mp4 film.mkv --report           film.html again, with the curves of training
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.epilog = EPILOG
    parser.add_argument("source", metavar="SRC", help="the source it was made from, a video or a folder of PNG frames")
    options.rate(parser)
    options.played(parser)
    parser.add_argument("-o", "--out", type=Path, metavar="FILE.html",
                        help="the page; by default IN with the ending .html")
    options.quiet(parser)
    options.written(parser)


def run(a: argparse.Namespace) -> None:
    """Write the page and print its name."""
    out = a.out or page_of(a.video)
    video = open_video(a.video, a.sidecar)
    check(out, video.info, a.force, [a.source, a.video, *filter(None, [a.sidecar])])
    with Bars(a.quiet) as bars:
        report(a.source, video, out, a.given, threads=a.threads, rate=a.rate, force=a.force,
               progress=bars.frames("report"))
    print(f"{out}: {out.stat().st_size:,} bytes")


def page_of(video: Path) -> Path:
    """Where the page of a video lies unless its name is given."""
    return video.with_suffix(".html")


def check(out: Path, info: VideoInfo, force: bool, inputs: Sequence[Path]) -> None:
    """Raise what `report` would raise for want of Matplotlib or WebP, or for a name or colours, before any work."""
    from stdo_min.commands import report_charts  # noqa: F401 Matplotlib, which other verbs do without

    try:
        webp(np.zeros((1, 1, 3), np.uint8), 90)
    except OSError as error:
        raise VideoError(f"the pictures of a report are WebP: {error}; install a Pillow that has it: pip install "
                         "--force-reinstall pillow") from None

    if ending(out) != ".html":
        raise VideoError(f"{out}: the report is a page; give it the ending .html")
    if (info.color_space or "bt709") not in MATRICES:
        raise VideoError(f"{info.path}: its colours are {info.color_space}, of which no picture can be drawn; "
                         "stdo eval reports without pictures")
    check_output(out, force, inputs)


def report(source: Path, video: Video, out: Path, given: Sequence[str], curve: Curve | None = None, *, threads: int = 1,
           rate: Fraction | None = None, force: bool = False,
           progress: Callable[[int, int], None] | None = None) -> None:
    """Write the page of a video beside its source.

    given: the words of the command that asks for it. curve: of its training, where that was just done. rate: of a
    folder of frames, see open_source. progress: (frames done, frames). Raises VideoError as `evaluate` does.
    """
    from stdo_min.commands.report_page import page

    course = Course(video)
    found = evaluate(source, video, threads, progress, course.add, rate)
    info = open_source(source, rate)
    looked = [look(video, info, course, name, number, threads) for name, number in course.chosen()]
    facts = Facts(Path(video.info.path).name, spoken(given), found, info.rate, info.sar, course, parts_of(video, found),
                  looked, curve)
    with output_file(out, force, [source, video.info.path]) as final:
        final.write_text(page(facts), encoding="utf-8")


def spoken(given: Sequence[str]) -> str:
    """A command as it is given to a shell, but for what others need not know.

    Of an address its user and its query are left out, of a file its folders.
    """
    return shlex.join(["stdo", *map(_spoken_word, given)])


def _spoken_word(word):
    option, word = re.fullmatch(r"(--[\w-]+=|-\w)?(.*)", word, re.S).groups("")
    if address := re.match(r"([a-z][a-z0-9+.-]*://)(?:[^/?#]*@)?([^?#]*)", word, re.I):
        word = address[1] + (Path(address[2]).name if address[1].lower() == "file://" else address[2])
    elif not re.fullmatch(r"[\d.]+/[\d.]+", word):  # a rate or a scale has no folder
        word = Path(word).name or word
    return option + word
