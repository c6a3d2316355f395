"""Frames come out as they were coded, and a damaged file is an error."""

import shutil
import subprocess

import numpy as np
import pytest
from clips import ffmpeg, planes, same, write_raw

from stdo_min.video.ffmpeg import VideoError, ffmpeg_executable
from stdo_min.video.probe import probe
from stdo_min.video.read import Frame, read_lr, read_source


def test_planes_are_the_coded_ones(tmp_path):
    frames = planes()
    info = probe(write_raw(tmp_path / "a.mkv", frames))
    assert same(read_source(info), frames)
    assert same(read_lr(info), frames)
    y = next(read_lr(info)).y
    y += 1  # the arrays belong to the caller


def test_odd_size_keeps_its_last_column_and_row(tmp_path):
    frames = planes(67, 45)
    info = probe(write_raw(tmp_path / "odd.mkv", frames))
    assert (info.width, info.height) == (67, 45)
    assert same(read_source(info), frames)


@pytest.mark.parametrize("levels", ["tv", "pc"])
def test_values_survive_in_either_range(tmp_path, levels):
    rng = np.random.default_rng(3)
    frames = [Frame(*(rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((48, 64), (24, 32), (24, 32))))] * 3
    info = probe(write_raw(tmp_path / "range.mkv", frames, "-vf", f"setparams=range={levels}",
                           coder=("-c:v", "libx264", "-qp", "0")))
    assert info.color_range == levels
    assert same(read_source(info), frames)
    assert same(read_lr(info), frames)


def test_motion_jpeg_is_full_range_and_stays_so(tmp_path, clip):
    path = tmp_path / "jpeg.avi"
    ffmpeg("-i", clip, "-an", "-vf", "scale=out_range=pc,format=yuvj420p", "-c:v", "mjpeg", "-q:v", "2", path)
    info = probe(path)
    assert (info.pix_fmt, info.color_range) == ("yuvj420p", "pc")
    assert same(read_source(info), read_lr(info))


def test_ten_bits_become_eight(tmp_path):
    frames = planes()
    path = write_raw(tmp_path / "ten.mkv", frames, "-pix_fmt", "yuv420p10le")
    info = probe(path)
    assert info.pix_fmt == "yuv420p10le"
    for read, frame in zip(read_source(info), frames, strict=True):
        assert np.abs(read.y.astype(int) - frame.y).max() <= 1
    with pytest.raises(VideoError, match="yuv420p10le"):
        read_lr(info)


@pytest.mark.parametrize("pix_fmt", ["bgra", "yuv444p", "yuv422p"])
def test_other_pixels_become_yuv420p(tmp_path, pix_fmt):
    frames = planes()
    options = ["-vf", f"scale=in_color_matrix=bt709:in_range=tv:out_range=tv,format={pix_fmt}"]
    info = probe(write_raw(tmp_path / "a.mkv", frames, *options))
    read = list(read_source(info))
    assert len(read) == len(frames)
    error = np.abs(read[0].y.astype(int) - frames[0].y)
    assert np.median(error) <= 1 and error.mean() < 2


def test_rotation_is_applied(tmp_path, clip):
    path = tmp_path / "turned.mov"
    # Old ffmpeg turns by a tag, new by an option; none takes both.
    turn = [("-display_rotation", "90"), ()], [(), ("-metadata:s:v", "rotate=90")]
    for before, after in turn:
        done = subprocess.run([ffmpeg_executable(), "-v", "error", "-nostdin", "-y", *before, "-i", str(clip), "-c",
                               "copy", *after, str(path)], capture_output=True, check=False)
        if done.returncode == 0 and probe(path).width == 90:
            break
    info = probe(path)
    assert (info.width, info.height) == (90, 160)
    turned, straight = next(read_source(info)).y, next(read_source(probe(clip))).y
    assert np.array_equal(turned, np.rot90(straight)) or np.array_equal(turned, np.rot90(straight, -1))


def test_variable_rate_becomes_constant(tmp_path, clip):
    path = tmp_path / "vfr.mkv"
    ffmpeg("-i", clip, "-vf", "select='not(between(n,4,9))'", "-fps_mode", "vfr", "-c:v", "libx264", path)
    info = probe(path)
    assert sum(1 for _ in read_lr(info)) == 18
    assert sum(1 for _ in read_source(info)) == pytest.approx(2 * info.rate, abs=2)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_cut_short_is_an_error_not_a_shorter_video(tmp_path, clip, suffix):
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    ffmpeg("-i", clip, "-c", "copy", "-movflags", "+faststart", whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    info = probe(cut)
    for read in (read_source, read_lr):
        with pytest.raises(VideoError, match=r"cut\.m..: ."):
            list(read(info))


def test_damaged_bytes_are_an_error(tmp_path, clip):
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = np.random.default_rng(0).bytes(4000)
    (tmp_path / "bad.mp4").write_bytes(data)
    info = probe(tmp_path / "bad.mp4")
    with pytest.raises(VideoError, match=r"bad\.mp4: ."):
        list(read_lr(info))


def test_closing_the_generator_ends_ffmpeg(tmp_path, monkeypatch, clip):
    started = []
    popen = subprocess.Popen

    def remember(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    info = probe(clip)
    monkeypatch.setattr(subprocess, "Popen", remember)
    frames = read_source(info)
    next(frames)
    frames.close()
    assert len(started) == 1 and started[0].returncode is not None
    assert started[0].stdout.closed


@pytest.mark.parametrize("name", ["-i.mp4", "a;rm.mp4", "c:d.mp4", "with space 'quote.mp4", "100%d.mp4", "ünï\n.mp4"])
def test_awkward_names(tmp_path, monkeypatch, clip, name):
    shutil.copy(clip, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    info = probe(name)
    assert sum(1 for _ in read_source(info)) == 24
