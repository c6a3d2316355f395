"""Making the lr video, whole or in parts."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stdo_min.video.ffmpeg import VideoError, file_url
from stdo_min.video.mux import check_container, join
from stdo_min.video.output import work_folder
from stdo_min.video.probe import VideoInfo
from stdo_min.video.read import (
    RESIZE,
    grid_start,
    misplaced,
    on_any_road,
    on_road,
    opening,
    sliced,
    source_filters,
    source_process,
    tag_filters,
)
from stdo_min.video.stretch import ROADS

# Default crf and its limits, arguments of the lossy coder, arguments of the lossless one. SVT-AV1 before 3.0 has no
# lossless mode, and takes crf 0 for no crf. Apple plays no HEVC in an MP4 but as hvc1.
CODECS = {
    "x264": ((20, 0, 51), ["libx264", "-preset", "slow"], ["libx264", "-preset", "medium", "-qp", "0"]),
    "x265": ((22, 0, 51), ["libx265", "-preset", "medium", "-tag:v", "hvc1", "-x265-params", "log-level=error"],
             ["libx265", "-preset", "medium", "-tag:v", "hvc1", "-x265-params", "log-level=error:lossless=1"]),
    "av1": ((30, 1, 63), ["libsvtav1", "-preset", "6"],
            ["libaom-av1", "-cpu-used", "6", "-crf", "0", "-aom-params", "lossless=1"]),
}

# How many steps finer than by itself each codec can code chroma, and the arguments for a number of them. A step is 1 of
# QP in x264, which takes 2 of its 12 by itself for psy-rd, and in x265. In SVT-AV1 it is 8 of the quantiser index, on
# top of its own choice; beyond 32 its U and V get worse again.
FINER = {
    "x264": (10, lambda steps: ["-x264-params", f"chroma-qp-offset=-{steps}"]),
    "x265": (12, lambda steps: ["-x265-params", f"log-level=error:cbqpoffs=-{steps}:crqpoffs=-{steps}"]),
    "av1": (4, lambda steps: ["-svtav1-params", "use-fixed-qindex-offsets=2:chroma-qindex-offsets="
                              f"[{','.join(6 * [str(-8 * steps)])}]:key-frame-chroma-qindex-offset={-8 * steps}"]),
}


def check_crf(codec: str, crf: float) -> None:
    """Raise VideoError for a crf that a codec of CODECS does not take."""
    _, least, most = CODECS[codec][0]
    if not least <= crf <= most:
        raise VideoError(f"crf is {crf:g}; {codec} takes {least}..{most}")


def lr_size(width: int, height: int, scale: Fraction | int) -> tuple[int, int]:
    """Size (width, height) in pixels of the lr video of a source: even, and times `scale` at least the source's size.

    At scale 3/2 it is a multiple of 4, so that the scaled chroma planes too are whole. Raises VideoError outside the
    8..8192 pixels that a sidecar can describe."""
    even = 2 * scale.denominator
    size = even * -(-width // (even * scale)), even * -(-height // (even * scale))
    if not 8 <= min(size) <= max(size) <= 8192:
        raise VideoError(f"{width}x{height} at scale {scale} makes an lr video of {size[0]}x{size[1]} pixels; "
                         "each side must have 8 to 8192: choose another scale")
    return size


def encode_lr(info: VideoInfo, out_path: str | os.PathLike, scale: Fraction | int, codec: str = "x264",
              crf: float | None = None, lossless: bool = False,
              progress: Callable[[int, int | None], None] | None = None) -> int:
    """Scale and code the lr video of a source, with its sound, subtitles, chapters and tags; return its frame count.

    `crf` is the codec's own quality number, lower is better; `progress` gets (frames done, frames expected or None).
    Raises VideoError if the source is damaged, or the codec or the container (.mp4, .m4v, .mov, .mkv) cannot do it."""
    out_path = Path(out_path)
    check_container(info, out_path)

    def report(done: int) -> None:
        if progress:
            progress(done, info.frames_expected)

    with ExitStack() as stack:
        try:
            part = stack.enter_context(work_folder(out_path.parent)) / "part.mp4"
        except OSError as error:
            raise VideoError(f"{out_path}: cannot be written ({error.strerror}); choose another directory") from None
        frames = len(encode_part(info, 0, None, part, scale, codec, crf, lossless, progress=report))
        if not frames:
            raise VideoError(f"{info.path}: ffmpeg gave no frame; the file is damaged")
        join([part], info, out_path)
        return frames


def encode_part(info: VideoInfo, first: int, count: int | None, out: Path, scale: Fraction | int, codec: str = "x264",
                crf: float | None = None, lossless: bool = False, expected: int | None = None,
                progress: Callable[[int], None] | None = None,
                note: Callable[[str], None] | None = None, finer: int = 0) -> np.ndarray:
    """Scale and code frames first..first+count-1 of a source, or all from `first` on, as a part of its lr video.

    Returns uint32 checksums, see `read.checksum`, of the source's frames: of the part's, and of the one after it where
    there is one, so count + 1, or fewer where the source ends. None, and no file, where it ends before `first`. out: an
    MP4 without sound, whatever its name, whose first frame is a keyframe at time 0; after a failure it is of no use.
    expected: the checksum of frame `first`, if known. progress: gets the frames done. note: as in `on_any_road`. finer:
    steps by which a lossy codec codes chroma finer than by itself, up to its limit in FINER. Raises VideoError as
    encode_lr does, and Misplaced where no road leads to these frames."""
    if info.pictures and first >= len(info.pictures):
        out.unlink(missing_ok=True)
        return np.empty(0, np.uint32)
    source, start, wanted = sliced(info, first, None if count is None else count + 1)
    arguments = _part_arguments(info, source_filters(source, start, wanted), count, out, scale,
                                _coder(codec, crf, lossless, finer))
    # A whole video begins wherever it begins; all else is counted from there.
    known_start = None if count is None and not start else grid_start(source) + start

    def work(road: str) -> np.ndarray:
        sums = []
        with on_road(info, first, road), source_process(source, arguments, opening(source, start, road),
                                                        stdout=subprocess.PIPE) as process:
            for value in _sums(process.stdout, known_start):
                if value is None or (not sums and expected not in (None, value)):
                    raise misplaced(info, first + len(sums))
                sums.append(value)
                if progress:
                    progress(len(sums) if count is None else min(len(sums), count))
        if not sums:
            if start and road != ROADS[-1]:
                raise misplaced(info, first)
            out.unlink(missing_ok=True)
        return np.array(sums, np.uint32)

    return on_any_road(work, info, first, note)


def _part_arguments(info: VideoInfo, source: str, count: int | None, out: Path, scale: Fraction | int,
                    coder: list[str]) -> list[str]:
    """ffmpeg arguments that code `count` frames of what the filters `source` give, and print checksums of all."""
    cut = "" if count is None else f"trim=end_frame={count},"
    # Numbered from 0 in frame periods: MP4 keeps such times exactly, whatever the rate. So it does with the length of
    # the whole in this timescale; in milliseconds, as ffmpeg has it otherwise, every part would delay the next ones.
    graph = f"[0:V:0]{source},split[coded][summed];[coded]{cut}setpts=N,{_lr_filters(info, scale)}[lr]"
    return ["-filter_complex", graph, "-map", "[lr]", "-fps_mode", "passthrough", "-c:v", *coder,
            "-map_metadata:s:v", "0:s:V:0", "-f", "mp4", "-movie_timescale", str(info.rate.numerator), file_url(out),
            "-map", "[summed]", "-fps_mode", "passthrough", "-flush_packets", "1", "-f", "framecrc", "pipe:1"]


def _sums(framecrc: BinaryIO, at: int | None) -> Iterator[int | None]:
    """The checksums of frames from ffmpeg's framecrc format, None for one that is not numbered on from `at`."""
    for line in framecrc:
        if not line.startswith(b"#"):
            _, _, pts, _, _, value = line.split(b",")[:6]
            at = int(pts) if at is None else at
            yield int(value, 16) if int(pts) == at else None
            at += 1


def _coder(codec: str, crf: float | None, lossless: bool, finer: int = 0) -> list[str]:
    """ffmpeg arguments, the encoder's name first; raises VideoError for what CODECS and FINER do not have."""
    if codec not in CODECS:
        raise VideoError(f"{codec}: no such codec; choose one of {', '.join(CODECS)}")
    (default_crf, _, _), lossy, exact = CODECS[codec]
    if crf is not None:
        check_crf(codec, crf)
    most, chroma = FINER[codec]
    if not 0 <= finer <= most:
        raise VideoError(f"chroma {finer} steps finer; {codec} takes 0..{most}")
    if lossless:
        return exact
    return [*lossy, "-crf", f"{default_crf if crf is None else crf:g}", *(chroma(finer) if finer else [])]


def _lr_filters(info: VideoInfo, scale: Fraction | int) -> str:
    """From what source_filters gives to the lr video."""
    width, height = lr_size(info.width, info.height, scale)
    filters, padded = [], (int(width * scale), int(height * scale))
    if padded != (info.width, info.height):
        filters.append(_pad_filters(info, *padded))
    filters.append(f"scale={width}:{height}:{RESIZE}:in_range={info.color_range}:out_range={info.color_range}")
    return ",".join([*filters, tag_filters(info)])


def _pad_filters(info: VideoInfo, width: int, height: int) -> str:
    # Each plane alone: on whole 4:2:0 frames of odd size ffmpeg's pad overwrites the last column and row.
    chains = []
    for plane, half in (("y", 1), ("u", 2), ("v", 2)):
        right, bottom = width // half - -(-info.width // half), height // half - -(-info.height // half)
        chains.append(f"[{plane}]pad={width // half}:{height // half},"
                      f"fillborders=right={right}:bottom={bottom}:mode=smear[{plane}pad]")
    return ("extractplanes=y+u+v[y][u][v];" + ";".join(chains)
            + ";[ypad][upad][vpad]mergeplanes=format=yuv420p:map0s=0:map1s=1:map2s=2")
