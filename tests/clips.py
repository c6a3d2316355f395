"""Small clips for the tests, made and measured with ffmpeg itself."""

import subprocess

import numpy as np

from stdo_min.commands.demo import draw
from stdo_min.video.ffmpeg import ffmpeg_executable


def ffmpeg(*arguments, **options):
    """Run ffmpeg in a test, failing the test with its words."""
    command = [ffmpeg_executable(), "-hide_banner", "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, **options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def planes(width=64, height=48, seconds=0.5, rate=8):
    return list(draw(np.random.default_rng(0), width, height, seconds, rate))


def write_raw(path, frames, *options, rate=8, coder=("-c:v", "ffv1")):
    """Code given frames losslessly, so that every value can be compared after reading."""
    height, width = frames[0].y.shape
    ffmpeg("-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{width}x{height}", "-framerate", rate,
           "-i", "pipe:0", *coder, *options, path, input=b"".join(p.tobytes() for f in frames for p in f))
    return path


def same(frames, others):
    frames, others = list(frames), list(others)
    return len(frames) == len(others) and all(
        np.array_equal(a, b) for f, g in zip(frames, others, strict=True) for a, b in zip(f, g, strict=True))


def full_clip(folder, clip):
    """A Matroska file with sound, subtitles, chapters, a font and a title."""
    (folder / "font.ttf").write_bytes(b"not really a font")
    (folder / "words.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    (folder / "meta.txt").write_text(";FFMETADATA1\ntitle=The title\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\n"
                                     "title=First\n")
    path = folder / "full.mkv"
    ffmpeg("-i", clip, "-i", folder / "words.srt", "-i", folder / "meta.txt", "-map", "0", "-map", "1", "-c", "copy",
           "-map_metadata", "2", "-map_chapters", "2", "-attach", folder / "font.ttf", "-metadata:s:t",
           "mimetype=font/ttf", path)
    return path


def metadata(path):
    return ffmpeg("-i", path, "-f", "ffmetadata", "-").decode()


def sound_length(path):
    """Seconds of decoded sound."""
    return len(ffmpeg("-i", path, "-map", "0:a", "-ar", "8000", "-ac", "1", "-f", "s16le", "-")) / 16000
