import subprocess

import numpy as np
import pytest
from clips import ffmpeg, full_clip, metadata, planes, same, sound_length, write_raw

from stdo_min.format.psnr import psnr
from stdo_min.video.ffmpeg import VideoError, ffmpeg_executable
from stdo_min.video.keyframes import packet_sizes
from stdo_min.video.lr_video import FINER, encode_lr, encode_part, lr_size
from stdo_min.video.mux import join, read_attachment
from stdo_min.video.probe import probe
from stdo_min.video.read import RESIZE, Frame, read_lr, read_source


def encoders():
    return ffmpeg("-encoders").decode()


def resized(frame, width, height, *options):
    """One frame through ffmpeg's scaler alone."""
    shape = frame.y.shape
    out = ffmpeg("-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{shape[1]}x{shape[0]}", *options, "-i",
                 "pipe:0", "-vf", f"scale={width}:{height}:{RESIZE}", "-f", "rawvideo", "-pix_fmt", "yuv420p", "pipe:1",
                 input=b"".join(plane.tobytes() for plane in frame))
    y, u, v = np.split(np.frombuffer(out, np.uint8), (width * height, width * height * 5 // 4))
    return Frame(y.reshape(height, width), u.reshape(height // 2, -1), v.reshape(height // 2, -1))


def padded(frame, width, height):
    return Frame(*(np.pad(plane, ((0, height // half - plane.shape[0]), (0, width // half - plane.shape[1])), "edge")
                   for plane, half in zip(frame, (1, 2, 2), strict=True)))


@pytest.mark.parametrize("size,scale,expected", [
    ((1920, 1080), 4, (480, 270)), ((1920, 1080), 3, (640, 360)), ((321, 181), 2, (162, 92)), ((65, 49), 1, (66, 50))])
def test_lr_size(size, scale, expected):
    assert lr_size(*size, scale) == expected


@pytest.mark.parametrize("size,scale", [((16, 16), 4), ((8194, 64), 1)])
def test_sizes_that_no_sidecar_describes(size, scale):
    with pytest.raises(VideoError, match="choose another scale"):
        lr_size(*size, scale)


@pytest.mark.parametrize("size", [(64, 48), (67, 45), (66, 50)])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_lossless_lr_is_the_padded_source_scaled(tmp_path, size, scale):
    frames = planes(*size)
    source = probe(write_raw(tmp_path / "source.mkv", frames))
    assert encode_lr(source, tmp_path / "lr.mkv", scale, lossless=True) == len(frames)
    width, height = lr_size(*size, scale)
    lr = list(read_lr(probe(tmp_path / "lr.mkv")))
    assert len(lr) == len(frames)
    assert same(lr[:1], [resized(padded(frames[0], width * scale, height * scale), width, height)])


def test_chroma_of_lr_sits_left():
    x, y = np.arange(80)[None], np.arange(44)[:, None]

    def wave(columns, rows):
        return np.rint(128 + 60 * np.sin(columns / 23 + 1) * np.cos(rows / 17)).astype(np.uint8)

    def error(columns):
        expected = wave(columns, 4 * np.arange(22)[:, None] + 1.5)
        return np.abs(lr.u[4:-4, 4:-4].astype(float) - expected[4:-4, 4:-4]).mean()

    chroma = wave(2 * x, 2 * y + 0.5)
    lr = resized(Frame(np.full((88, 160), 90, np.uint8), chroma, chroma), 80, 44)
    # The middle of an lr luma pixel lies half an hr pixel right of an hr one; centre siting would be at 4x + 1.5.
    assert error(4 * np.arange(40)[None] + 0.5) < 0.35 < error(4 * np.arange(40)[None] + 1.5)


@pytest.mark.ffprobe
@pytest.mark.parametrize("size", [(64, 48), (67, 45)])
def test_full_range_values_survive(tmp_path, size):
    frames = [Frame(*(np.full_like(plane, value) for plane, value in zip(frame, (255, 0, 250), strict=True)))
              for frame in planes(*size)]
    path = tmp_path / "full.mkv"
    write_raw(path, frames, "-vf", "scale=in_range=pc:out_range=pc,format=yuv444p,setparams=range=pc:colorspace=bt709",
              coder=("-c:v", "libx264", "-qp", "0"))
    encode_lr(probe(path), tmp_path / "lr.mp4", 2, lossless=True)
    info = probe(tmp_path / "lr.mp4")
    assert (info.color_range, info.color_space) == ("pc", "bt709")
    for plane, value in zip(next(read_lr(info)), (255, 0, 250), strict=True):
        assert np.unique(plane).tolist() == [value]


@pytest.mark.ffprobe
@pytest.mark.parametrize("codec,encoder,lossless_encoder", [
    ("x264", "libx264", "libx264"), ("x265", "libx265", "libx265"), ("av1", "libsvtav1", "libaom-av1")])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("lossless", [False, True])
def test_codecs_keep_frames_tags_and_sound(tmp_path, clip, codec, encoder, lossless_encoder, suffix, lossless):
    if (lossless_encoder if lossless else encoder) not in encoders():
        pytest.skip(f"this ffmpeg has no {encoder}")
    out, seen, source = tmp_path / f"lr{suffix}", [], probe(clip)
    # SVT-AV1 before 1.5 takes no fewer than 64 rows.
    assert encode_lr(source, out, 1, codec, lossless=lossless, progress=lambda *at: seen.append(at)) == 24
    info = probe(out)
    assert (info.width, info.height, info.rate, info.sar) == (160, 90, 12, 1)
    for name in ("color_range", "color_space", "color_primaries", "color_trc", "has_audio"):
        assert getattr(info, name) == getattr(source, name), name
    assert seen[-1] == (24, source.frames_expected)
    assert sound_length(out) == pytest.approx(2, abs=0.1)
    lr = list(read_lr(info))
    assert len(lr) == 24
    if lossless:
        assert same(lr, read_source(source))


def planes_psnr(source, lr):
    errors = [[np.mean((one.astype(int) - other) ** 2) for one, other in zip(*both, strict=True)]
              for both in zip(lr, source, strict=True)]
    return [psnr(error, 1) for error in np.mean(errors, axis=0)]


@pytest.mark.parametrize("codec,encoder,steps,least", [("x264", "libx264", 4, 0.5), ("x265", "libx265", 4, 0.5),
                                                       ("av1", "libsvtav1", 2, 0.05)])
def test_chroma_is_coded_finer(tmp_path, clip, codec, encoder, steps, least):
    if encoder not in encoders():
        pytest.skip(f"this ffmpeg has no {encoder}")
    info, found = probe(clip), {}
    for finer in (0, steps):
        encode_part(info, 0, None, tmp_path / "lr.mp4", 1, codec, 40, finer=finer)
        found[finer] = planes_psnr(read_source(info), list(read_lr(probe(tmp_path / "lr.mp4"))))
    (y, u, v), (finer_y, finer_u, finer_v) = found[0], found[steps]
    assert min(finer_u - u, finer_v - v) > least and abs(finer_y - y) < 0.3


@pytest.mark.parametrize("codec,encoder,preset", [
    ("x264", "libx264", "slow"), ("x265", "libx265", "medium"), ("av1", "libsvtav1", "6")])
def test_without_that_a_codec_does_as_it_does(tmp_path, clip, codec, encoder, preset):
    if encoder not in encoders():
        pytest.skip(f"this ffmpeg has no {encoder}")
    encode_part(probe(clip), 0, None, tmp_path / "lr.mp4", 1, codec, 35, finer=0)
    ffmpeg("-i", clip, "-an", "-c:v", encoder, "-preset", preset, "-crf", "35", tmp_path / "own.mp4")
    assert packet_sizes(tmp_path / "lr.mp4") == packet_sizes(tmp_path / "own.mp4")


@pytest.mark.parametrize("codec,steps", [("x264", 11), ("x265", 13), ("av1", 5), ("x264", -1)])
def test_how_much_finer_chroma_can_be(tmp_path, clip, codec, steps):
    with pytest.raises(VideoError, match=rf"chroma {steps} steps finer; {codec} takes 0\.\.{FINER[codec][0]}"):
        encode_part(probe(clip), 0, None, tmp_path / "lr.mp4", 2, codec, 30, finer=steps)


@pytest.mark.ffprobe
def test_counts_agree_for_a_variable_rate(tmp_path, clip):
    path = tmp_path / "vfr.mkv"
    ffmpeg("-i", clip, "-vf", "select='not(between(n,4,9))'", "-fps_mode", "vfr", "-c:v", "libx264", path)
    source = probe(path)
    frames = encode_lr(source, tmp_path / "lr.mp4", 2)
    assert frames == sum(1 for _ in read_source(source)) == sum(1 for _ in read_lr(probe(tmp_path / "lr.mp4")))


@pytest.mark.ffprobe
def test_a_late_start_a_pixel_shape_and_a_rotation_are_kept(tmp_path, clip):
    path = tmp_path / "late.mkv"
    ffmpeg("-itsoffset", "0.5", "-i", clip, "-i", clip, "-map", "0:v", "-map", "1:a", "-c:a", "copy", "-vf",
           "setsar=4/3", "-c:v", "libx264", path)
    source = probe(path)
    for name in ("lr.mp4", "lr.mkv"):
        encode_lr(source, tmp_path / name, 2)
        info = probe(tmp_path / name)
        assert info.start == pytest.approx(source.start, abs=0.05)
        assert info.sar == source.sar == pytest.approx(4 / 3)


@pytest.mark.ffprobe
def test_everything_else_is_carried_along(tmp_path, clip):
    path = full_clip(tmp_path, clip)
    encode_lr(probe(path), tmp_path / "lr.mkv", 2)
    info = probe(tmp_path / "lr.mkv")
    assert info.subtitles == ("subrip",)
    assert [attachment.filename for attachment in info.attachments] == ["font.ttf"]
    encode_lr(probe(path), tmp_path / "lr.mp4", 2)
    assert probe(tmp_path / "lr.mp4").subtitles == ("mov_text",)
    for name in ("lr.mkv", "lr.mp4"):
        assert "title=The title" in metadata(tmp_path / name) and "title=First" in metadata(tmp_path / name)
    encode_lr(probe(tmp_path / "lr.mp4"), tmp_path / "again.mkv", 1)
    assert probe(tmp_path / "again.mkv").subtitles == ("subrip",)


@pytest.mark.ffprobe
def test_what_cannot_be_done_is_said(tmp_path, clip):
    info = probe(clip)
    with pytest.raises(VideoError, match="x264, x265, av1"):
        encode_lr(info, tmp_path / "lr.mp4", 2, "h266")
    with pytest.raises(VideoError, match=r"\.mp4, "):
        encode_lr(info, tmp_path / "lr.txt", 2)
    with pytest.raises(VideoError, match=r"\.mkv"):
        join([clip], info, tmp_path / "out.mp4", clip)
    with pytest.raises(VideoError, match=r"no_directory"):
        encode_lr(info, tmp_path / "no_directory" / "lr.mp4", 2)
    ffmpeg("-i", clip, "-c:v", "copy", "-c:a", "wmav2", tmp_path / "odd.mkv")
    with pytest.raises(VideoError, match=r"\.mkv, which holds every codec"):
        encode_lr(probe(tmp_path / "odd.mkv"), tmp_path / "lr.mp4", 2)


def test_a_missing_encoder_is_named(tmp_path, monkeypatch, clip):
    monkeypatch.setitem(encode_lr.__globals__["CODECS"], "x264", ((20, 0, 51), ["libnothing"], ["libnothing"]))
    with pytest.raises(VideoError, match="Unknown encoder 'libnothing'; choose another codec"):
        encode_lr(probe(clip), tmp_path / "lr.mp4", 2)


@pytest.mark.ffprobe
def test_a_cut_source_does_not_become_a_short_lr(tmp_path, clip):
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    ffmpeg("-i", clip, "-c", "copy", "-movflags", "+faststart", whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.raises(VideoError, match=r"cut\.mp4: ."):
        encode_lr(probe(cut), tmp_path / "lr.mp4", 2)


@pytest.mark.ffprobe
def test_a_name_like_an_option(tmp_path, monkeypatch, clip):
    monkeypatch.chdir(tmp_path)
    assert encode_lr(probe(clip), "-lr:1.mp4", 2) == 24
    assert (tmp_path / "-lr:1.mp4").is_file()
    (tmp_path / "-a:b.stdo").write_bytes(b"sidecar")
    join(["-lr:1.mp4"], probe(clip), "-out:1.mkv", "-a:b.stdo")
    assert read_attachment(probe("-out:1.mkv")) == b"sidecar"


def test_an_interrupt_in_progress_ends_ffmpeg(tmp_path, monkeypatch, clip):
    started, popen = [], subprocess.Popen
    info = probe(clip)
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_lr(info, tmp_path / "lr.mp4", 2, progress=interrupt)
    assert len(started) == 2, "one looks whether the container can hold the sound"
    assert started[1].args[0] == ffmpeg_executable() and started[1].returncode is not None
    assert not list(tmp_path.glob(".stdo-*"))
