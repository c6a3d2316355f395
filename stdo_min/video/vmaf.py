"""VMAF, by ffmpeg's libvmaf: how people see a video, 0..100 (github.com/Netflix/vmaf, model vmaf_v0.6.1)."""

import json
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from stdo_min.video.ffmpeg import FFMPEG, VideoError, ask, ffmpeg_executable, ffmpeg_process
from stdo_min.video.probe import VideoInfo
from stdo_min.video.read import Frame


def check_vmaf() -> None:
    """Raise VideoError if the ffmpeg in use has no libvmaf."""
    if b" libvmaf " not in ask(ffmpeg_executable(), ["-filters"]).out:
        raise VideoError(f"{ffmpeg_executable()}: has no filter libvmaf; name an ffmpeg that has it in {FFMPEG}, unset "
                         "it for the one that comes with imageio-ffmpeg, or give --target psnr=N")


def vmaf(info: VideoInfo, pairs: Iterable[tuple[Frame, Frame]], threads: int = 1) -> float:
    """The mean VMAF of frames beside those of their source; both have the size of `info`.

    pairs: (shown, source). Raises VideoError if ffmpeg fails.
    """
    with tempfile.TemporaryDirectory(prefix="stdo-") as name:
        log = Path(name, "vmaf")
        rate = f"settb=1/({info.rate}),setpts=N,fps={info.rate}"
        graph = (rf"[0]split[a][b];[a]select='not(mod(n\,2))',{rate}[shown];[b]select='mod(n\,2)',{rate}[truth];"
                 f"[shown][truth]libvmaf=log_fmt=json:log_path={log.name}:n_threads={threads}[out]")
        # Frames come in turn, ours and the source's: so one pipe brings both, and nothing but their number pairs them.
        arguments = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{info.width}x{info.height}",
                     "-framerate", str(info.rate), "-i", "pipe:0", "-filter_complex", graph, "-map", "[out]", "-f",
                     "null", "-"]
        with ffmpeg_process(arguments, info.path, stdin=subprocess.PIPE, cwd=name) as process:
            for shown, truth in pairs:
                for plane in (*shown, *truth):
                    process.stdin.write(np.ascontiguousarray(plane))
        return float(json.loads(log.read_text())["pooled_metrics"]["vmaf"]["mean"])
