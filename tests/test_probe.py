"""What a file holds, as probe tells it."""

from fractions import Fraction

import pytest
from clips import ffmpeg, planes, write_raw

from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.probe import probe
from stdo_min.video.read import read_source


def test_probe_of_a_plain_clip(clip):
    info = probe(clip)
    assert (info.width, info.height, info.rate, info.sar) == (160, 90, Fraction(12), Fraction(1))
    assert info.start == pytest.approx(0, abs=0.05) and info.duration == pytest.approx(2, abs=0.1)
    assert info.frames_expected == pytest.approx(24, abs=1)
    assert (info.pix_fmt, info.color_range, info.color_space) == ("yuv420p", "tv", "bt709")
    assert (info.color_primaries, info.color_trc) == ("bt709", "bt709")
    assert (info.has_audio, info.subtitles, info.attachments) == (True, (), ())


def test_colour_tags_are_told(tmp_path, clip):
    path = tmp_path / "bt601.mp4"
    tags = "setparams=range=tv:colorspace=smpte170m:color_primaries=bt470bg:color_trc=gamma28"
    ffmpeg("-i", clip, "-vf", tags.replace("gamma28", "bt470bg"), "-c:v", "libx264", path)
    info = probe(path)
    assert (info.color_space, info.color_primaries, info.color_trc) == ("smpte170m", "bt470bg", "bt470bg")


def test_unknown_tags_are_none(tmp_path):
    info = probe(write_raw(tmp_path / "a.mkv", planes()))
    assert (info.color_space, info.color_primaries, info.color_trc) == (None, None, None)


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
