"""What frames are worth against their source, by ffmpeg's filters, and the bytes of coded pictures in a file."""

from __future__ import annotations

import json
import math
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from stdo_min.format.cores import fast_cores
from stdo_min.format.psnr import psnr, squared_errors
from stdo_min.video.ffmpeg import FFMPEG, VideoError, ask, ffmpeg_executable, ffmpeg_process
from stdo_min.video.keyframes import packet_sizes
from stdo_min.video.probe import VideoInfo
from stdo_min.video.read import Frame, read_source

FILTERS = ("psnr", "xpsnr", "libvmaf")
MODELS = r"version=vmaf_v0.6.1\:name=vmaf|version=vmaf_v0.6.1neg\:name=vmaf_neg"
AGREE = 0.01  # dB between ffmpeg's luma PSNR and our own
_SIDE = 64


def check_filters() -> None:
    """Raise VideoError if the ffmpeg in use cannot measure."""
    ffmpeg = ffmpeg_executable()
    words = (line.split() for line in ask(ffmpeg, ["-filters"]).out.decode(errors="replace").splitlines())
    found = {line[1] for line in words if len(line) > 2}
    if lacking := [name for name in FILTERS if name not in found]:
        raise VideoError(f"{ffmpeg}: has no filter {', '.join(lacking)}; name an ffmpeg that has them in {FFMPEG}, or "
                         "unset it for the one that comes with imageio-ffmpeg")


def measure(info: VideoInfo, shown: Iterator[Frame]) -> dict:
    """Compare frames with those of a source, by number; both have the source's size.

    Returns frames; psnr_y, psnr_u, psnr_v with the squared error pooled over all frames, and psnr_y_own, the same of
    luma by our own arithmetic; vmaf and vmaf_neg, means over frames; xpsnr_y, xpsnr_u, xpsnr_v. dB that are infinite
    are None. Raises VideoError where the frames are fewer or more than the source's, or both luma PSNR disagree."""
    with tempfile.TemporaryDirectory(prefix="stdo-") as name:
        folder = Path(name)
        arguments = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{info.width}x{info.height}",
                     "-framerate", str(info.rate), "-i", "pipe:0", "-filter_complex", _graph(info, folder)]
        for output in ("[psnr]", "[xpsnr]", "[vmaf]"):
            arguments += ["-map", output, "-f", "null", "-"]
        frames = error = 0
        with (ffmpeg_process(arguments, info.path, stdin=subprocess.PIPE) as process,
              closing(read_source(info)) as truths):
            for frame in shown:
                truth = next(truths, None)
                if truth is None:
                    raise VideoError(f"{info.path}: ends after {frames} frames, before what was made of it")
                for plane in (*frame, *truth):
                    process.stdin.write(np.ascontiguousarray(plane))
                frames += 1
                error += _squared_error(truth.y, frame.y)
            if next(truths, None) is not None:
                raise VideoError(f"{info.path}: has more frames than the {frames} that were made of it")
        own = float(psnr(error, frames * info.width * info.height))
        found = {"frames": frames, **_pooled(folder / "psnr"), "psnr_y_own": own, **_vmaf(folder / "vmaf", frames),
                 **_xpsnr(folder / "xpsnr", frames)}
    if own != found["psnr_y"] and not abs(own - found["psnr_y"]) <= AGREE:
        raise VideoError(f"{info.path}: luma is {found['psnr_y']:.4f} dB by ffmpeg, {own:.4f} dB by our own arithmetic")
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def picture_bytes(path: Path) -> int:
    """The bytes of all packets of a file's video: no container, no sound."""
    return sum(packet_sizes(path))


def _graph(info: VideoInfo, folder: Path) -> str:
    # Frames come in turn, ours and the source's: so one pipe brings both, and nothing but their number pairs them.
    rate = f"settb=1/({info.rate}),setpts=N,fps={info.rate}"
    logs = {name: _escaped(folder / name) for name in ("psnr", "xpsnr", "vmaf")}
    return (rf"[0]split[a][b];[a]select='not(mod(n\,2))',{rate},split=3[a0][a1][a2];"
            rf"[b]select='mod(n\,2)',{rate},split=3[b0][b1][b2];"
            f"[a0][b0]psnr,metadata=print:file={logs['psnr']}[psnr];"
            f"[a1][b1]xpsnr=stats_file={logs['xpsnr']}[xpsnr];"
            f"[a2][b2]libvmaf=model='{MODELS}':log_fmt=json:log_path={logs['vmaf']}:n_threads={fast_cores()}[vmaf]")


def _escaped(path: Path) -> str:
    """A path as ffmpeg takes it for an option of a filter in a graph."""
    text = str(path)
    for special in ("\\':", "\\'[],;"):
        text = "".join("\\" + letter if letter in special else letter for letter in text)
    return text


def _squared_error(truth: np.ndarray, shown: np.ndarray) -> int:
    grid = -(-truth.shape[0] // _SIDE), -(-truth.shape[1] // _SIDE)
    return int(squared_errors(truth, shown, _SIDE, grid).sum())


def _pooled(log: Path) -> dict:
    text, found = log.read_text(), {}
    for plane in "yuv":
        errors = [float(value) for value in re.findall(rf"^lavfi\.psnr\.mse\.{plane}=(\S+)", text, re.MULTILINE)]
        found[f"psnr_{plane}"] = float(psnr(sum(errors), len(errors)))
    return found


def _vmaf(log: Path, frames: int) -> dict:
    found = json.loads(log.read_text())
    if len(found["frames"]) != frames:
        raise VideoError(f"libvmaf compared {len(found['frames'])} of {frames} frames")
    return {name: float(found["pooled_metrics"][name]["mean"]) for name in ("vmaf", "vmaf_neg")}


def _xpsnr(log: Path, frames: int) -> dict:
    line = re.search(r"^XPSNR average, (\d+) frames.*", log.read_text(), re.MULTILINE)
    if not line or int(line[1]) != frames:
        raise VideoError(f"xpsnr compared {line[1] if line else 0} of {frames} frames")
    return {f"xpsnr_{plane}": float(value) for plane, value in re.findall(r"([yuv]): +(\S+)", line[0])}
