"""The frames of a video as planes; each pass runs an ffmpeg of its own."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from stdo_min.video.ffmpeg import VideoError, ffmpeg_process, input_arguments
from stdo_min.video.frame_folder import feed, picture_arguments
from stdo_min.video.probe import VideoInfo, is_rgb

# Every resize of this project: the same bytes from every ffmpeg release and CPU, chroma columns sited on the left luma
# column of their pair, as MPEG video has it. Rows need no option: swscale's default is where MPEG has them.
RESIZE = "flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact:in_h_chr_pos=0:out_h_chr_pos=0"


class Frame(NamedTuple):
    """One picture in Y'CbCr 4:2:0: y uint8 (H, W); u and v uint8 (ceil(H/2), ceil(W/2))."""

    y: np.ndarray
    u: np.ndarray
    v: np.ndarray


def read_source(info: VideoInfo) -> Iterator[Frame]:
    """Frames of any video at its constant rate, as 8-bit 4:2:0 with the range of its values kept.

    Each frame has new arrays: y uint8 (info.height, info.width). Closing the generator ends ffmpeg. Raises VideoError
    if the file is damaged."""
    return _read_frames(info, ["-vf", source_filters(info)])


def read_lr(info: VideoInfo) -> Iterator[Frame]:
    """Frames of an lr video exactly as they are coded: nothing is converted, dropped or repeated.

    Each frame has new arrays: y uint8 (info.height, info.width). Closing the generator ends ffmpeg. Raises VideoError
    if the file is damaged or is not 8-bit 4:2:0."""
    if info.pix_fmt not in ("yuv420p", "yuvj420p"):
        raise VideoError(f"{info.path}: its pixels are {info.pix_fmt}, an lr video has yuv420p; give the one stdo made")
    return _read_frames(info, [])


def source_filters(info: VideoInfo) -> str:
    """The ffmpeg filters that make any source a constant-rate 8-bit 4:2:0 video with its own range and colour tags."""
    matrix = ":out_color_matrix=bt709" if is_rgb(info.pix_fmt) else f":in_range={info.color_range}"
    return (f"fps={info.rate},scale={RESIZE}:out_range={info.color_range}{matrix}:sws_dither=none,format=yuv420p,"
            + tag_filters(info))


def tag_filters(info: VideoInfo) -> str:
    """The ffmpeg filters that state range, colours and pixel shape without touching a pixel."""
    names = {"range": info.color_range, "colorspace": info.color_space, "color_primaries": info.color_primaries,
             "color_trc": info.color_trc}
    return (f"setsar={info.sar.numerator}/{info.sar.denominator},setparams="
            + ":".join(f"{name}={value}" for name, value in names.items() if value))


@contextmanager
def source_process(info: VideoInfo, arguments: list[str], **pipes) -> Iterator[subprocess.Popen]:
    """An ffmpeg that reads a source, video or folder, as its input 0; `arguments` say what to make of it.

    Otherwise as ffmpeg_process. Raises VideoError also for a damaged picture of a folder."""
    # -xerror: a frame that cannot be decoded must not silently become a copy of its neighbour.
    if not info.pictures:
        with ffmpeg_process(["-xerror", *input_arguments(info.path), *arguments], info.path, **pipes) as process:
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


def _read_frames(info: VideoInfo, filters: list[str]) -> Iterator[Frame]:
    width, height = info.width, info.height
    chroma_width, chroma_height = -(-width // 2), -(-height // 2)
    luma, chroma = width * height, chroma_width * chroma_height
    arguments = ["-map", "0:V:0", *filters, "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"]
    frames = torn = 0
    with source_process(info, arguments, stdout=subprocess.PIPE) as process:
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
