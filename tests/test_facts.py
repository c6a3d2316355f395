"""ffprobe and ffmpeg's own report tell the same of every kind of file, and which of them was asked is known."""

import json
import re
import shutil
import stat
import subprocess
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest
from clips import ffmpeg, full_clip, planes, write_raw

from stdo_min.video.facts import ffprobe_executable, read_report
from stdo_min.video.ffmpeg import VideoError, ask, ffmpeg_executable, input_arguments
from stdo_min.video.probe import probe

needs_ffprobe = pytest.mark.skipif(not shutil.which("ffprobe"), reason="no ffprobe on PATH")


def plain(folder, clip):
    return clip


def carrying(folder, clip):
    return full_clip(folder, clip)


def mov_text(folder, clip):
    ffmpeg("-i", full_clip(folder, clip), "-map", "0:v", "-map", "0:a", "-map", "0:s", "-c", "copy", "-c:s",
           "mov_text", folder / "text.mp4")
    return folder / "text.mp4"


def variable(folder, clip):
    ffmpeg("-i", clip, "-vf", "select='not(between(n,4,9))'", "-fps_mode", "vfr", "-c:v", "libx264", folder / "v.mkv")
    return folder / "v.mkv"


def clock(folder, clip):
    ffmpeg("-i", clip, "-vf", "settb=1/90000,setpts='PTS+random(1)*900'", "-an", "-fps_mode", "passthrough",
           "-enc_time_base", "1:90000", "-c:v", "libx264", folder / "clock.mp4")
    return folder / "clock.mp4"


def ntsc(folder, clip):
    ffmpeg("-i", clip, "-r", "30000/1001", "-c:v", "libx264", folder / "ntsc.mp4")
    return folder / "ntsc.mp4"


def turned(folder, clip):
    path = folder / "turned.mov"
    for before, after in [("-display_rotation", "90"), ()], [(), ("-metadata:s:v", "rotate=90")]:
        done = subprocess.run([ffmpeg_executable(), "-v", "error", "-nostdin", "-y", *before, "-i", clip, "-c", "copy",
                               *after, path], capture_output=True, check=False)
        if done.returncode == 0 and probe(path).width == 90:
            break
    return path


def jpeg(folder, clip):
    ffmpeg("-i", clip, "-an", "-vf", "scale=out_range=pc,format=yuvj420p", "-c:v", "mjpeg", folder / "j.avi")
    return folder / "j.avi"


def ten_bits(folder, clip):
    return write_raw(folder / "ten.mkv", planes(), "-pix_fmt", "yuv420p10le")


def rgb(folder, clip):
    return write_raw(folder / "rgb.mkv", planes(), "-vf", "format=gbrp")


def png_video(folder, clip):
    return write_raw(folder / "png.mkv", planes(), coder=("-c:v", "png", "-pix_fmt", "rgb24"))


def gif(folder, clip):
    ffmpeg("-i", clip, folder / "a.gif")
    return folder / "a.gif"


def odd(folder, clip):
    return write_raw(folder / "odd.mkv", planes(67, 45))


def full_range(folder, clip):
    return write_raw(folder / "pc.mkv", planes(), "-vf", "setparams=range=pc:colorspace=smpte170m:color_trc=bt709",
                     coder=("-c:v", "libx264"))


def oblong(folder, clip):
    ffmpeg("-i", clip, "-vf", "setsar=4/3", "-c:v", "libx264", folder / "sar.mp4")
    return folder / "sar.mp4"


def late(folder, clip):
    ffmpeg("-itsoffset", "12.345678", "-i", clip, "-i", clip, "-map", "0:v", "-map", "1:a", "-c", "copy",
           folder / "late.mkv")
    return folder / "late.mkv"


def interlaced(folder, clip):
    ffmpeg("-i", clip, "-vf", "fps=50,scale=64:48,interlace", "-an", "-c:v", "libx264", "-flags", "+ildct+ilme",
           "-x264-params", "tff=1", folder / "i.ts")
    return folder / "i.ts"


def mpeg2(folder, clip):
    ffmpeg("-i", clip, "-r", "25", "-c:v", "mpeg2video", "-c:a", "mp2", folder / "a.mpg")
    return folder / "a.mpg"


def raw_stream(folder, clip):
    ffmpeg("-i", clip, "-an", "-c:v", "copy", folder / "a.h264")
    return folder / "a.h264"


def y4m(folder, clip):
    ffmpeg("-i", clip, "-an", folder / "a.y4m")
    return folder / "a.y4m"


def covered(folder, clip):
    ffmpeg("-i", clip, "-vf", "scale=32:32", "-frames:v", "1", folder / "cover.png")
    ffmpeg("-i", folder / "cover.png", "-i", clip, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0",
           "attached_pic", folder / "covered.mp4")
    return folder / "covered.mp4"


def attached_jpeg(folder, clip):
    ffmpeg("-i", clip, "-frames:v", "1", folder / "cover.jpg")
    ffmpeg("-i", clip, "-c", "copy", "-attach", folder / "cover.jpg", "-metadata:s:t", "mimetype=image/jpeg",
           folder / "attached.mkv")
    return folder / "attached.mkv"


GOOD = [plain, carrying, mov_text, variable, clock, ntsc, turned, jpeg, ten_bits, rgb, png_video, gif, odd, full_range,
        oblong, late, interlaced, mpeg2, raw_stream, y4m, covered, attached_jpeg]


def sound(folder, clip):
    ffmpeg("-i", clip, "-vn", folder / "sound.m4a")
    return folder / "sound.m4a", "sound only"


def song(folder, clip):
    ffmpeg("-i", covered(folder, clip), "-map", "0:v:1", "-map", "0:a", "-c", "copy", "-f", "mp4", folder / "song.m4a")
    return folder / "song.m4a", "sound only"


def still(folder, clip):
    ffmpeg("-i", clip, "-frames:v", "1", folder / "still.png")
    return folder / "still.png", "still image"


def one_frame(folder, clip):
    ffmpeg("-i", clip, "-frames:v", "1", "-an", folder / "one.mp4")
    return folder / "one.mp4", "still image"


def words(folder, clip):
    (folder / "words.mp4").write_text("these are words\n" * 100)
    return folder / "words.mp4", "not a video"


def subtitles(folder, clip):
    (folder / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    return folder / "a.srt", "no video stream"


def headless(folder, clip):
    (folder / "cut.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    return folder / "cut.mp4", "the end of the file is missing"


def scrambled(folder, clip):
    """The index is whole, and no frame can be decoded."""
    ffmpeg("-i", clip, "-an", "-c", "copy", folder / "bad.mp4")
    data = bytearray((folder / "bad.mp4").read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[start:end] = b"\xff" * (end - start)
    (folder / "bad.mp4").write_bytes(data)
    return folder / "bad.mp4", "cannot be decoded"


def empty(folder, clip):
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4", "an empty file"


BAD = [sound, song, still, one_frame, words, subtitles, headless, scrambled, empty]


@pytest.fixture(params=["", "/usr/bin/ffmpeg"], ids=["own", "system"])
def either_ffmpeg(request, monkeypatch):
    """The ffmpeg that the tests run with, and the system's."""
    if request.param:
        if not Path(request.param).exists():
            pytest.skip("no ffmpeg of the system")
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", request.param)


@pytest.fixture
def started(monkeypatch):
    """The programs that are started, by name."""
    names, popen = [], subprocess.Popen

    def remember(command, *arguments, **options):
        names.append("ffprobe" if Path(command[0]).name.startswith("ffprobe") else "ffmpeg")
        return popen(command, *arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", remember)
    return names


def probed(path, monkeypatch, started, without):
    """What probe gives or says, with ffprobe or without, and that it was the one and not the other."""
    if without:
        monkeypatch.setenv("STDO_FFPROBE", "none")
    else:
        monkeypatch.delenv("STDO_FFPROBE", raising=False)
    started.clear()
    try:
        found = probe(path)
    except VideoError as error:
        found = str(error)
    return found, list(started)


@needs_ffprobe
@pytest.mark.parametrize("make", GOOD, ids=lambda make: make.__name__)
def test_both_ways_tell_the_same(tmp_path, clip, monkeypatch, either_ffmpeg, started, make):
    path = make(tmp_path, clip)
    asked, programs = probed(path, monkeypatch, started, without=False)
    assert sorted(programs) == ["ffmpeg", "ffprobe"]  # both at once
    reported, programs = probed(path, monkeypatch, started, without=True)
    assert programs == ["ffmpeg"]
    if _release(ffmpeg_executable()) != _release(ffprobe_executable_of(monkeypatch)) and asked.duration:
        # Releases of ffmpeg differ in how long the last frame of an .mp4 lasts.
        assert asked.duration == pytest.approx(reported.duration, abs=0.05)
        asked = replace(asked, duration=reported.duration)
    assert asked == reported


@needs_ffprobe
@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_both_ways_refuse_the_same(tmp_path, clip, monkeypatch, either_ffmpeg, started, make):
    path, message = make(tmp_path, clip)
    expected = [] if make is empty else ["ffmpeg"]
    asked, programs = probed(path, monkeypatch, started, without=False)
    assert sorted(programs) == expected + ["ffprobe"] * len(expected)  # both at once
    reported, programs = probed(path, monkeypatch, started, without=True)
    assert programs == expected
    assert asked == reported
    assert message in asked and asked.startswith(f"{path}: ") and "\n" not in asked


def ffprobe_executable_of(monkeypatch):
    monkeypatch.delenv("STDO_FFPROBE", raising=False)
    return ffprobe_executable()


@cache
def _release(program):
    return subprocess.run([program, "-version"], capture_output=True, text=True, check=True).stdout.split()[2]


def test_some_of_what_is_told(tmp_path, clip):
    """Equal answers could be equally wrong: these are what the files were made to be."""
    info = probe(late(tmp_path, clip))
    assert info.start == pytest.approx(12.345678, abs=0.05)  # some count the sound's lead-in
    assert (probe(ntsc(tmp_path, clip)).rate, probe(oblong(tmp_path, clip)).sar) == (
        Fraction(30000, 1001), Fraction(4, 3))
    assert probe(interlaced(tmp_path, clip)).rate == 25
    assert probe(jpeg(tmp_path, clip)).color_range == probe(full_range(tmp_path, clip)).color_range == "pc"
    assert probe(rgb(tmp_path, clip)).color_space == probe(gif(tmp_path, clip)).color_space == "bt709"
    info = probe(attached_jpeg(tmp_path, clip))
    assert (info.width, info.duration) == (160, pytest.approx(2, abs=0.1))


def program(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_which_ffprobe(tmp_path, monkeypatch):
    """The named one, else the one beside ffmpeg, else the one on PATH, else none."""
    monkeypatch.delenv("STDO_FFPROBE", raising=False)
    ours, beside = program(tmp_path / "a" / "ffmpeg-7", ""), program(tmp_path / "a" / "ffprobe", "")
    there = program(tmp_path / "path" / "ffprobe", "")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(ours))
    monkeypatch.setenv("PATH", str(there.parent))
    assert ffprobe_executable() == str(beside)
    same = program(tmp_path / "a" / "ffprobe-7", "")
    assert ffprobe_executable() == str(same), "of the same name as that ffmpeg"
    same.unlink()
    beside.unlink()
    assert ffprobe_executable() == str(there)
    there.unlink()
    assert ffprobe_executable() is None
    monkeypatch.setenv("STDO_FFPROBE", "my-ffprobe")
    assert ffprobe_executable() == "my-ffprobe"
    monkeypatch.setenv("STDO_FFPROBE", "none")
    assert ffprobe_executable() is None


def answering(streams, **form):
    """A program that answers as ffprobe does."""
    return f"echo '{json.dumps({'streams': streams, 'format': form})}'"


VIDEO = {"index": 0, "codec_type": "video", "disposition": {"attached_pic": 0}}


@pytest.mark.parametrize("text", ["echo 'Invalid data found' >&2; exit 1", answering([VIDEO])])
def test_what_an_old_ffprobe_does_not_know_is_read_from_ffmpeg_s_report(tmp_path, clip, monkeypatch, text):
    """It cannot read the file at all, or does not know its pixels."""
    monkeypatch.setenv("STDO_FFPROBE", "none")
    reported = probe(clip)
    monkeypatch.setenv("STDO_FFPROBE", str(program(tmp_path / "ffprobe", text)))
    assert probe(clip) == reported


@pytest.mark.parametrize("text", [
    "echo words", "echo 7", answering([{"codec_type": "video"}]), answering([{"codec_type": "attachment"}]),
    answering([{**VIDEO, "pix_fmt": "yuv420p"}], duration="N/A"),
])
def test_an_ffprobe_that_will_not_do_is_named(tmp_path, clip, monkeypatch, text):
    fake = program(tmp_path / "ffprobe", text)
    monkeypatch.setenv("STDO_FFPROBE", str(fake))
    with pytest.raises(VideoError) as refused:
        probe(clip)
    said = str(refused.value)
    assert "does not answer as ffprobe does; check STDO_FFPROBE" in said and str(fake) in said
    monkeypatch.setenv("STDO_FFPROBE", str(tmp_path / "missing"))
    with pytest.raises(VideoError, match="cannot be run .*STDO_FFPROBE"):
        probe(clip)


def test_lines_that_threads_write_into_each_other(clip):
    words = ask(ffmpeg_executable(), ["-nostdin", "-nostats", *input_arguments(clip), "-map", "0:V:0", "-vf",
                                      "showinfo", "-frames:v", "2", "-f", "framecrc", "-"]).words
    for torn_by in (r"\1Output #0, framecrc, to 'pipe:1':\n", r"\g<1>12\n"):
        torn = re.sub(r"(color_\w+:[a-z0-9]+)", torn_by, words)
        assert torn != words and read_report(torn) == read_report(words)
    assert "bt709" in read_report(words).colors.values()
