import shutil
import subprocess
import time
from fractions import Fraction

import numpy as np
import pytest
from clips import ffmpeg, planes, same, write_raw

from stdo_min.video.ffmpeg import (
    Frame,
    VideoError,
    ffmpeg_executable,
    ffmpeg_process,
    file_url,
    probe,
    read_lr,
    read_source,
)


def test_probe_of_a_plain_clip(clip):
    info = probe(clip)
    assert (info.width, info.height, info.rate, info.sar) == (160, 90, Fraction(12), Fraction(1))
    assert info.start == pytest.approx(0, abs=0.05) and info.duration == pytest.approx(2, abs=0.1)
    assert info.frames_expected == pytest.approx(24, abs=1)
    assert (info.pix_fmt, info.color_range, info.color_space) == ("yuv420p", "tv", "bt709")
    assert (info.color_primaries, info.color_trc) == ("bt709", "bt709")
    assert (info.has_audio, info.subtitles, info.attachments) == (True, (), ())


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


def test_colour_tags_are_told(tmp_path, clip):
    path = tmp_path / "bt601.mp4"
    tags = "setparams=range=tv:colorspace=smpte170m:color_primaries=bt470bg:color_trc=gamma28"
    ffmpeg("-i", clip, "-vf", tags.replace("gamma28", "bt470bg"), "-c:v", "libx264", path)
    info = probe(path)
    assert (info.color_space, info.color_primaries, info.color_trc) == ("smpte170m", "bt470bg", "bt470bg")


def test_unknown_tags_are_none(tmp_path):
    info = probe(write_raw(tmp_path / "a.mkv", planes()))
    assert (info.color_space, info.color_primaries, info.color_trc) == (None, None, None)


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


def test_a_clock_is_not_a_rate(tmp_path, clip):
    path = tmp_path / "clock.mp4"
    ffmpeg("-i", clip, "-vf", "settb=1/90000,setpts='PTS+random(1)*900'", "-an", "-fps_mode", "passthrough",
           "-enc_time_base", "1:90000", "-c:v", "libx264", path)
    assert 10 <= probe(path).rate <= 60


def test_late_video_keeps_its_start(tmp_path, clip):
    path = tmp_path / "late.mkv"
    ffmpeg("-itsoffset", "0.5", "-i", clip, "-i", clip, "-map", "0:v", "-map", "1:a", "-c", "copy", path)
    info = probe(path)
    assert info.start == pytest.approx(0.5, abs=0.05)
    assert sum(1 for _ in read_source(info)) == 24


def test_cover_art_is_not_the_video(tmp_path, clip):
    cover, path = tmp_path / "cover.png", tmp_path / "covered.mp4"
    ffmpeg("-i", clip, "-vf", "scale=32:32", "-frames:v", "1", cover)
    ffmpeg("-i", cover, "-i", clip, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic", path)
    assert probe(path).width == 160
    song = tmp_path / "song.m4a"
    ffmpeg("-i", cover, "-i", clip, "-map", "0", "-map", "1:a", "-c", "copy", "-disposition:v:0", "attached_pic",
           "-f", "mp4", song)
    with pytest.raises(VideoError, match="sound only"):
        probe(song)


def test_attachments_and_subtitles_are_listed(tmp_path, clip):
    (tmp_path / "font.ttf").write_bytes(b"not really a font")
    (tmp_path / "words.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    path = tmp_path / "full.mkv"
    ffmpeg("-i", clip, "-i", tmp_path / "words.srt", "-map", "0", "-map", "1", "-c", "copy", "-attach",
           tmp_path / "font.ttf", "-metadata:s:t", "mimetype=font/ttf", path)
    info = probe(path)
    assert info.subtitles == ("subrip",)
    assert info.attachments == ((3, "font.ttf", "font/ttf"),)


@pytest.mark.parametrize("name", ["-i.mp4", "a;rm.mp4", "c:d.mp4", "with space 'quote.mp4", "100%d.mp4", "ünï\n.mp4"])
def test_awkward_names(tmp_path, monkeypatch, clip, name):
    shutil.copy(clip, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    info = probe(name)
    assert sum(1 for _ in read_source(info)) == 24


def _missing(folder, clip):
    return folder / "nothing.mp4", "no such file"


def _directory(folder, clip):
    return folder, "a directory"


def _empty(folder, clip):
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4", "empty"


def _words(folder, clip):
    (folder / "words.mp4").write_text("these are words\n" * 100)
    return folder / "words.mp4", "not a video"


def _sound(folder, clip):
    ffmpeg("-i", clip, "-vn", folder / "sound.m4a")
    return folder / "sound.m4a", "sound only"


def _png(folder, clip):
    ffmpeg("-i", clip, "-frames:v", "1", folder / "still.png")
    return folder / "still.png", "still image"


def _jpeg(folder, clip):
    ffmpeg("-i", clip, "-frames:v", "1", folder / "still.jpg")
    return folder / "still.jpg", "still image"


def _one_frame(folder, clip):
    ffmpeg("-i", clip, "-frames:v", "1", "-an", folder / "one.mp4")
    return folder / "one.mp4", "still image"


def _headless(folder, clip):
    (folder / "cut.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    return folder / "cut.mp4", "the end of the file is missing"


@pytest.mark.parametrize("make", [_missing, _directory, _empty, _words, _sound, _png, _jpeg, _one_frame, _headless])
def test_what_is_not_a_video_is_named(tmp_path, clip, make):
    path, reason = make(tmp_path, clip)
    with pytest.raises(VideoError, match=reason) as caught:
        probe(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


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


def test_missing_and_broken_ffmpeg(tmp_path, monkeypatch, clip):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    with pytest.raises(VideoError, match="IMAGEIO_FFMPEG_EXE"):
        probe(clip)

    def nothing():
        raise RuntimeError

    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", nothing)
    with pytest.raises(VideoError, match="pkg install ffmpeg"):
        probe(clip)


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
