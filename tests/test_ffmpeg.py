"""Running ffmpeg: how it ends, and what is said when it does not."""

import subprocess
import time

import pytest

from stdo_min.video.ffmpeg import VideoError, ffmpeg_process, file_url
from stdo_min.video.probe import probe


def test_missing_and_broken_ffmpeg(tmp_path, monkeypatch, clip):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    with pytest.raises(VideoError, match="IMAGEIO_FFMPEG_EXE"):
        probe(clip)

    def nothing():
        raise RuntimeError

    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", nothing)
    with pytest.raises(VideoError, match="pkg install ffmpeg"):
        probe(clip)


def test_an_interrupt_ends_ffmpeg(tmp_path):
    begin = time.monotonic()
    with (pytest.raises(KeyboardInterrupt),
          ffmpeg_process(["-re", "-f", "lavfi", "-i", "testsrc=duration=60", "-f", "null", "-"], tmp_path) as process):
        raise KeyboardInterrupt
    assert process.returncode and time.monotonic() - begin < 10


def test_another_broken_pipe_is_not_blamed_on_ffmpeg(tmp_path, clip):
    with (pytest.raises(BrokenPipeError),
          ffmpeg_process(["-i", file_url(clip), "-f", "null", "-"], clip, stdout=subprocess.PIPE)):
        raise BrokenPipeError
