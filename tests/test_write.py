import io
import os

import numpy as np
import pytest
from clips import ffmpeg, full_clip, metadata, planes, same, sound_length

from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.probe import probe
from stdo_min.video.read import Frame, read_lr, read_source
from stdo_min.video.write import Writer, Y4MWriter


def psnr(a, b):
    return 10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.ffprobe
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("size", [(64, 48), (67, 45)])
def test_file_has_the_frames_and_all_that_the_lr_file_has(tmp_path, clip, suffix, size):
    lr, frames = probe(full_clip(tmp_path, clip)), planes(*size, seconds=3)
    with Writer(tmp_path / f"hr{suffix}", lr, *size) as out:
        for frame in frames:
            out.write(frame)
    info = probe(tmp_path / f"hr{suffix}")
    assert (info.width, info.height, info.rate) == (*size, lr.rate)
    for name in ("color_range", "color_space", "color_primaries", "color_trc", "sar"):
        assert getattr(info, name) == getattr(lr, name), name
    read = list(read_source(info))
    assert len(read) == 24
    assert min(psnr(a.y, b.y) for a, b in zip(read, frames, strict=True)) > 35
    assert sound_length(info.path) == pytest.approx(sound_length(clip), abs=0.1)
    assert "title=First" in metadata(info.path)
    assert len(info.subtitles) == 1 and len(info.attachments) == (suffix == ".mkv")


@pytest.mark.ffprobe
@pytest.mark.parametrize("size", [(64, 48), (67, 45)])
@pytest.mark.parametrize("levels", ["tv", "pc"])
def test_range_is_kept(tmp_path, clip, size, levels):
    frames = [Frame(*(np.full_like(plane, value) for plane, value in zip(frame, (250, 5, 250), strict=True)))
              for frame in planes(*size)]
    path = tmp_path / "lr.mp4"
    ffmpeg("-i", clip, "-an", "-vf", f"scale=out_range={levels},setparams=range={levels}", "-c:v", "libx264", path)
    with Writer(tmp_path / "hr.mp4", probe(path), *size) as out:
        for frame in frames:
            out.write(frame)
    info = probe(tmp_path / "hr.mp4")
    assert info.color_range == levels
    for plane, value in zip(next(read_source(info)), (250, 5, 250), strict=True):
        assert np.abs(plane.astype(int) - value).max() <= 2


@pytest.mark.ffprobe
def test_a_late_start_is_kept(tmp_path, clip):
    path = tmp_path / "late.mkv"
    ffmpeg("-itsoffset", "0.5", "-i", clip, "-i", clip, "-map", "0:v", "-map", "1:a", "-c", "copy", path)
    for name in ("hr.mp4", "hr.mkv"):
        with Writer(tmp_path / name, probe(path), 64, 48) as out:
            for frame in planes():
                out.write(frame)
        assert probe(tmp_path / name).start == pytest.approx(0.5, abs=0.05)


def test_a_broken_ffmpeg_is_an_error_with_its_words(tmp_path, clip):
    big = Frame(*(np.zeros(shape, np.uint8) for shape in ((480, 640), (240, 320), (240, 320))))
    with pytest.raises(VideoError, match=r"no_directory.*No such file"), Writer(
            tmp_path / "no_directory" / "hr.mp4", probe(clip), 640, 480) as out:
        for _ in range(100):
            out.write(big)


def test_an_exception_ends_ffmpeg(tmp_path, clip):
    with pytest.raises(KeyboardInterrupt), Writer(tmp_path / "hr.mp4", probe(clip), 64, 48) as out:
        out.write(planes()[0])
        raise KeyboardInterrupt
    assert out._process.returncode is not None


def test_a_frame_of_another_size_is_refused(tmp_path, clip):
    with pytest.raises(ValueError, match=r"48, 64"), Writer(tmp_path / "hr.mp4", probe(clip), 64, 48) as out:
        out.write(planes(66, 48)[0])


@pytest.mark.parametrize("size", [(64, 48), (67, 45)])
def test_y4m_round_trip(tmp_path, clip, size):
    frames = planes(*size)
    with open(tmp_path / "a.y4m", "wb") as file:
        out = Y4MWriter(file, probe(clip), *size)
        for frame in frames:
            out.write(frame)
    info = probe(tmp_path / "a.y4m")
    assert (info.width, info.height, info.rate) == (*size, 12)
    assert same(read_lr(info), frames)


@pytest.mark.parametrize("chroma,siting", [("left", b"C420mpeg2"), ("centre", b"C420jpeg")])
def test_y4m_header(clip, chroma, siting):
    file = io.BytesIO()
    Y4MWriter(file, probe(clip), 64, 48, chroma)
    assert file.getvalue() == b"YUV4MPEG2 W64 H48 F12:1 Ip A1:1 " + siting + b" XCOLORRANGE=LIMITED\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_named(tmp_path, clip):
    (tmp_path / "hr.mkv").symlink_to("/dev/full")
    with pytest.raises(VideoError, match="free some space"), Writer(tmp_path / "hr.mkv", probe(clip), 64, 48) as out:
        for frame in planes():
            out.write(frame)
