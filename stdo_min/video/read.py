"""The frames of a video as planes, from its start or from the middle; each pass runs an ffmpeg of its own."""

import math
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple, TypeVar

import numpy as np

from stdo_min.video.ffmpeg import VideoError, ffmpeg_process, input_arguments
from stdo_min.video.frame_folder import feed, picture_arguments
from stdo_min.video.probe import VideoInfo, is_rgb
from stdo_min.video.stretch import EARLIER, ROADS, Stretch, lr_arguments

# Every resize of this project: the same bytes from every ffmpeg release and CPU, chroma columns sited on the left luma
# column of their pair, as MPEG video has it. Rows need no option: swscale's default is where MPEG has them.
RESIZE = "flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact:in_h_chr_pos=0:out_h_chr_pos=0"

Made = TypeVar("Made")


class Misplaced(VideoError):
    """Frames read from the middle of a source are not those that stand there."""


class Frame(NamedTuple):
    """One picture in Y'CbCr 4:2:0: y uint8 (H, W); u and v uint8 (ceil(H/2), ceil(W/2))."""

    y: np.ndarray
    u: np.ndarray
    v: np.ndarray


def read_source(info: VideoInfo, first: int = 0, count: int | None = None, road: str = "start",
                sums: np.ndarray | None = None) -> Iterator[Frame]:
    """Frames first..first+count-1 of any video at its constant rate, as 8-bit 4:2:0 with the range of its values kept.

    Each frame has new arrays: y uint8 (info.height, info.width). count: None reads to the end. road: one of ROADS, all
    the same for a folder of pictures or from frame 0. sums: uint32, the checksum of each frame, which are compared.
    Closing the generator ends ffmpeg. Raises VideoError if the file is damaged, Misplaced if a frame or their number is
    not what `sums` says, or if ffmpeg fails on a road other than "start"."""
    source, start, wanted = sliced(info, first, count)
    frames = _read_frames(source, ["-vf", source_filters(source, start, wanted)], opening(source, start, road))
    road = road if start else "start"
    return frames if sums is None and road == "start" else _checked(frames, info, first, road, sums)


def read_lr(info: VideoInfo, first: int = 0, count: int | None = None, road: str = "start") -> Iterator[Frame]:
    """Frames first..first+count-1 of an lr video exactly as they are coded: nothing is converted, dropped or repeated.

    count: None for all that follow. road: one of ROADS; those that seek find a frame by its time, so it must be
    seen whether what comes is what was meant. Each frame has new arrays: y uint8 (info.height, info.width). Closing the
    generator ends ffmpeg. Raises VideoError if the file is damaged, is not 8-bit 4:2:0, or has no frame there."""
    if info.pix_fmt not in ("yuv420p", "yuvj420p"):
        raise VideoError(f"{info.path}: its pixels are {info.pix_fmt}, an lr video has yuv420p; give the one stdo made")
    seek, filters = lr_arguments(info, Stretch(first, count), road)
    return _read_frames(info, filters, seek)


def checksum(frame: Frame) -> int:
    """The checksum of a frame that ffmpeg's framecrc format has for it as raw yuv420p: Adler-32 begun at 0."""
    return zlib.adler32(frame.v, zlib.adler32(frame.u, zlib.adler32(frame.y, 0)))


def on_any_road(work: Callable[[str], Made], info: VideoInfo, first: int,
                note: Callable[[str], None] | None = None) -> Made:
    """What work(road) returns for the first of ROADS on which it raises no Misplaced, reading from frame `first` on.

    note: gets a line for the user before the slow last road is taken. Raises what `work` does on that."""
    for road in ROADS[:-1] if first and not info.pictures else ():
        try:
            return work(road)
        except Misplaced:
            pass
    if note and first and not info.pictures:
        note(f"{info.path}: cannot be opened in the middle exactly, so it is decoded from its start")
    return work(ROADS[-1])


@contextmanager
def on_road(info: VideoInfo, first: int, road: str) -> Iterator[None]:
    """Turns a failure of ffmpeg in the block into Misplaced where it reads from frame `first` on a road but "start".

    What comes before is lacking to a decoder that begins in the middle, which may so fail on a sound file."""
    try:
        yield
    except VideoError as error:
        if isinstance(error, Misplaced) or road == "start" or "No space left" in str(error):
            raise
        raise misplaced(info, first) from error


def misplaced(info: VideoInfo, number: int) -> Misplaced:
    """The error for frame `number` of a source, to be raised."""
    return Misplaced(f"{info.path}: frame {number} is not the one that was there before; the file has changed, or its "
                     "times are broken: remux it with ffmpeg -i IN -c copy OUT.mkv, and begin anew with that")


def sliced(info: VideoInfo, first: int, count: int | None) -> tuple[VideoInfo, int, int | None]:
    """The same stretch of frames, where a folder of pictures becomes one of these pictures alone.

    Raises VideoError for a folder that has not so many."""
    if not info.pictures:
        return info, first, count
    if first >= len(info.pictures):
        raise VideoError(f"{info.path}: has {len(info.pictures)} pictures; begin before picture {first + 1}")
    return replace(info, pictures=info.pictures[first : None if count is None else first + count]), 0, None


def grid_start(info: VideoInfo) -> int:
    """The number that ffmpeg's fps filter gives to the first frame of a source: frame periods since time 0."""
    # Half a microsecond, in which the start is told, may be lacking to the half that the filter rounds up.
    return math.floor((Fraction(info.start) + Fraction(1, 10**6)) * info.rate + Fraction(1, 2))


def opening(info: VideoInfo, first: int, road: str) -> list[str]:
    """ffmpeg arguments, for before the input, that open a source so that frame `first` will come, by one of ROADS."""
    # Half a period early, because the first frame that counts is the one that is nearest to the grid's time.
    seconds = (grid_start(info) + first - Fraction(1, 2)) / info.rate - (EARLIER if road == "early" else 0)
    if road == "start" or not first or seconds <= 0:
        return []
    # The times stay those of the file, so that the fps filter counts as it does from the start.
    return ["-copyts", "-start_at_zero", "-ss", f"{float(seconds):.6f}"]


def source_filters(info: VideoInfo, first: int = 0, count: int | None = None) -> str:
    """The ffmpeg filters that make any source a constant-rate 8-bit 4:2:0 video with its own range and colour tags.

    They leave frames first..first+count-1, with their numbers on the grid as times; None is to the end."""
    start = grid_start(info) + first
    limits = [f"start_pts={start}"] * bool(first) + ([] if count is None else [f"end_pts={start + count}"])
    matrix = ":out_color_matrix=bt709" if is_rgb(info.pix_fmt) else f":in_range={info.color_range}"
    return (f"fps={info.rate},{'trim=' + ':'.join(limits) + ',' if limits else ''}"
            f"scale={RESIZE}:out_range={info.color_range}{matrix}:sws_dither=none,format=yuv420p,{tag_filters(info)}")


def tag_filters(info: VideoInfo) -> str:
    """The ffmpeg filters that state range, colours and pixel shape without touching a pixel."""
    names = {"range": info.color_range, "colorspace": info.color_space, "color_primaries": info.color_primaries,
             "color_trc": info.color_trc}
    return (f"setsar={info.sar.numerator}/{info.sar.denominator},setparams="
            + ":".join(f"{name}={value}" for name, value in names.items() if value))


@contextmanager
def source_process(info: VideoInfo, arguments: list[str], before: Sequence[str] = (),
                   **pipes) -> Iterator[subprocess.Popen]:
    """An ffmpeg that reads a source, video or folder, as its input 0; `arguments` say what to make of it.

    before: what `opening` gives. Otherwise as ffmpeg_process. Raises VideoError also for a damaged picture of a
    folder."""
    # -xerror: a frame that cannot be decoded must not silently become a copy of its neighbour.
    if not info.pictures:
        with ffmpeg_process(["-xerror", *before, *input_arguments(info.path), *arguments], info.path,
                            **pipes) as process:
            yield process
        return
    failures = []
    with ffmpeg_process(["-xerror", *picture_arguments(info), *arguments], info.path, stdin=subprocess.PIPE,
                        **pipes) as process:
        feeder = threading.Thread(target=_feed, args=(info, process, failures), daemon=True)
        feeder.start()
        try:
            yield process
        except BaseException:
            process.kill()
            raise
        finally:
            feeder.join()
        if failures:
            raise failures[0]


def _feed(info: VideoInfo, process: subprocess.Popen, failures: list[BaseException]) -> None:
    try:
        feed(info, process.stdin)
        process.stdin.close()
    except OSError:  # ffmpeg has ended, and says why itself
        pass
    except BaseException as error:  # of any kind: ffmpeg would wait for ever
        failures.append(error)
        process.kill()


def _checked(frames: Iterator[Frame], info: VideoInfo, first: int, road: str,
             sums: np.ndarray | None) -> Iterator[Frame]:
    number = first
    with on_road(info, first, road), closing(frames):
        for number, frame in enumerate(frames, first):
            if sums is not None and (number - first == len(sums) or checksum(frame) != sums[number - first]):
                raise misplaced(info, number)
            yield frame
    if sums is not None and number + 1 - first < len(sums):
        raise misplaced(info, number + 1)


def _read_frames(info: VideoInfo, filters: list[str], before: Sequence[str] = ()) -> Iterator[Frame]:
    width, height = info.width, info.height
    chroma_width, chroma_height = -(-width // 2), -(-height // 2)
    luma, chroma = width * height, chroma_width * chroma_height
    arguments = ["-map", "0:V:0", *filters, "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"]
    frames = torn = 0
    with source_process(info, arguments, before, stdout=subprocess.PIPE) as process:
        while True:
            pixels = np.empty(luma + 2 * chroma, np.uint8)
            got = process.stdout.readinto(pixels)
            if got < pixels.size:
                torn = got
                break
            y, u, v = np.split(pixels, (luma, luma + chroma))
            frames += 1
            yield Frame(y.reshape(height, width), u.reshape(chroma_height, chroma_width),
                        v.reshape(chroma_height, chroma_width))
    if torn or not frames:
        lack = "its last frame is torn" if torn else "it has no frame"
        raise VideoError(f"{info.path}: {lack}; the file is damaged, copy or download it again")
