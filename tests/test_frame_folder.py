"""A folder of PNG frames is a source like any other."""

import json
import os
import shutil
import struct
import threading
import zlib
from fractions import Fraction

import numpy as np
import pytest
from clips import ffmpeg, planes, same, write_raw

from stdo_min.cli import main
from stdo_min.player import open_video
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.frame_folder import open_source
from stdo_min.video.lr_video import encode_lr
from stdo_min.video.png import png_size, read_png, write_png
from stdo_min.video.probe import probe
from stdo_min.video.read import read_lr, read_source

QUICK = ["--scale", "2", "--steps", "20", "--net", "4", "--patch", "12", "-q"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The drawn clip as 12 PNG frames at a rate of 8, and the same pixels as videos coded without loss."""
    home = tmp_path_factory.mktemp("drawn")
    frames = home / "frames"
    frames.mkdir()
    raw = write_raw(home / "raw.mkv", planes(96, 64, 1.5))
    ffmpeg("-i", raw, "-vf", "scale=in_color_matrix=bt709:in_range=tv,format=rgb24", home / "frames" / "%d.png")
    videos = {}
    for name, pix_fmt in (("png", "rgb24"), ("ffv1", "gbrp")):
        videos[name] = home / f"{name}.mkv"
        ffmpeg("-framerate", "8", "-i", frames / "%d.png", "-c:v", name, "-pix_fmt", pix_fmt, videos[name])
    return frames, videos


@pytest.mark.parametrize("name", ["png", "ffv1"])
def test_frames_are_those_of_the_same_video(drawn, tmp_path, name):
    folder, videos = drawn
    info, video = open_source(folder, Fraction(8)), probe(videos[name])
    assert [path.name for path in info.pictures] == [f"{number}.png" for number in range(1, 13)]
    for name in ("width", "height", "rate", "start", "color_range", "color_space", "sar", "has_audio", "attachments"):
        assert getattr(info, name) == getattr(video, name), name
    assert info.frames_expected == 12
    assert same(read_source(info), read_source(video))
    assert same(read_source(info), read_source(info)), "as often as one likes"
    for source, out in ((info, "pictures.mkv"), (video, "video.mkv")):
        assert encode_lr(source, tmp_path / out, 2, lossless=True) == 12
    assert same(read_lr(probe(tmp_path / "pictures.mkv")), read_lr(probe(tmp_path / "video.mkv")))


def test_the_whole_road_gives_the_numbers_of_the_same_video(drawn, tmp_path, capsys):
    folder, videos = drawn
    said = []
    for source, rate in ((folder, ["--rate", "8"]), (videos["png"], [])):
        out, stdo = tmp_path / f"{source.name}-out.mkv", tmp_path / f"{source.name}.stdo"
        assert main(["encode", str(source), str(out), *QUICK, *rate]) == 0
        capsys.readouterr()
        assert main(["train", "--lr", str(out), "--hr", str(source), str(stdo), *QUICK, *rate]) == 0
        capsys.readouterr()
        assert main(["eval", str(source), str(out), "-q", "--json", *rate]) == 0
        found = json.loads(capsys.readouterr().out)
        found.pop("bytes_lr")  # mkv notes what wrote it
        said.append((found, open_video(out).data, stdo.read_bytes(), probe(out).rate))
    assert said[0] == said[1]
    assert said[0][0]["frames"] == 12 and said[0][3] == 8


def test_the_rate_is_25_or_the_one_given(drawn, tmp_path, capsys):
    folder, videos = drawn
    assert open_source(folder).rate == 25
    assert main(["encode", str(folder), str(tmp_path / "a.mkv"), *QUICK, "--rate", "24000/1001"]) == 0
    assert probe(tmp_path / "a.mkv").rate == Fraction(24000, 1001)
    capsys.readouterr()
    assert main(["encode", str(videos["png"]), str(tmp_path / "b.mkv"), *QUICK, "--rate", "8"]) == 1
    assert "--rate is for a folder" in capsys.readouterr().err
    for wrong in ("0", "-1", "fast", "1/0", "1001"):
        with pytest.raises(SystemExit):
            main(["encode", str(folder), str(tmp_path / "c.mkv"), "--rate", wrong])


def test_natural_order_and_what_is_no_frame(drawn, tmp_path):
    names = ["a2.png", "A10.PNG", "a1.png", "b.png"]
    for name, picture in zip(names, sorted(drawn[0].iterdir()), strict=False):
        shutil.copy(picture, tmp_path / name)
    (tmp_path / "readme.txt").write_text("not a frame")
    (tmp_path / "._a1.png").write_text("a system's note")
    (tmp_path / "sub.png").mkdir()
    assert [path.name for path in open_source(tmp_path).pictures] == ["a1.png", "a2.png", "A10.PNG", "b.png"]


def test_odd_sizes_and_grey(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (45, 67), dtype=np.uint8)
    for pix_fmt in ("gray", "monob"):
        folder = tmp_path / pix_fmt
        folder.mkdir()
        for number in range(2):
            ffmpeg("-f", "rawvideo", "-pix_fmt", "gray", "-video_size", "67x45", "-i", "pipe:0", "-pix_fmt", pix_fmt,
                   folder / f"{number}.png", input=grey.tobytes())
        (first, second) = read_source(open_source(folder))
        assert first.y.shape == (45, 67) and np.array_equal(first.y, second.y)
        assert (first.u == 128).all() and (first.v == 128).all()
        if pix_fmt == "gray":
            assert np.abs(first.y - (16 + grey.astype(float) * 219 / 255)).max() <= 1
        else:
            assert np.unique(first.y).tolist() == [16, 235]


def test_palettes_become_rgb(tmp_path):
    (tmp_path / "a.png").write_bytes(_png(3, 8, 1, _chunk(b"PLTE", bytes([10, 20, 30]))))
    assert png_size(tmp_path / "a.png") == (4, 4)
    assert np.array_equal(read_png(tmp_path / "a.png"), np.full((4, 4, 3), (10, 20, 30)))


def _chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _png(kind, depth, channels, *more):
    rows = b"".join(b"\0" + bytes(4 * channels * depth // 8) for _ in range(4))
    return (b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, depth, kind, 0, 0, 0)) + b"".join(more)
            + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b""))


@pytest.mark.parametrize(("data", "message"), [
    (_png(2, 16, 3), "has 16 bits a channel.*-pix_fmt rgb24"), (_png(0, 16, 1), "has 16 bits a channel"),
    (_png(6, 8, 4), "has transparency.*-pix_fmt rgb24"), (_png(4, 8, 2), "has transparency"),
    (_png(2, 8, 3, _chunk(b"gAMA", b"\0\0\0\1"), _chunk(b"tRNS", bytes(6))), "has transparency"),
    (b"GIF89a" * 20, "not a PNG in spite of its name"), (b"", "not a PNG"), (_png(2, 8, 3)[:30], "not a PNG"),
])
def test_what_would_lose_something_is_refused(tmp_path, data, message):
    (tmp_path / "odd.png").write_bytes(data)
    with pytest.raises(VideoError, match=rf"odd\.png: .*{message}"):
        png_size(tmp_path / "odd.png")


def test_what_is_right_is_taken(tmp_path):
    (tmp_path / "a.png").write_bytes(_png(2, 8, 3, _chunk(b"gAMA", b"\0\0\0\1")))
    assert png_size(tmp_path / "a.png") == (4, 4)
    assert not read_png(tmp_path / "a.png").any()


def test_a_picture_written_is_the_picture_read(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    write_png(tmp_path / "A.PNG", pixels)
    assert np.array_equal(read_png(tmp_path / "A.PNG"), pixels)


def copies(drawn, folder, count=4):
    for path in open_source(drawn[0]).pictures[:count]:
        shutil.copy(path, folder)
    return folder


def test_the_odd_one_is_named(drawn, tmp_path):
    copies(drawn, tmp_path)
    write_png(tmp_path / "3.png", np.zeros((64, 98, 3), np.uint8))
    with pytest.raises(VideoError, match=r"3\.png: 98x64, but 1\.png has 96x64"):
        open_source(tmp_path)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pictures(drawn, tmp_path, capsys, count):
    copies(drawn, tmp_path, count)
    assert main(["encode", str(tmp_path), str(tmp_path / "out.mkv"), *QUICK]) == 1
    error = capsys.readouterr().err
    assert ("without PNG pictures; name one with *.png frames, or a video file" if count == 0 else
            "holds one picture; give two frames or more") in error
    assert len(os.listdir(tmp_path)) == count


def test_a_damaged_picture_is_named_and_ends_everything(drawn, tmp_path, capsys):
    copies(drawn, tmp_path)
    damaged = tmp_path / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:-2000])
    threads = threading.active_count()
    for read in (lambda: list(read_source(open_source(tmp_path))),
                 lambda: encode_lr(open_source(tmp_path), tmp_path / "lr.mkv", 2)):
        with pytest.raises(VideoError, match=r"3\.png: cannot be decoded"):
            read()
    (tmp_path / "lr.mkv").unlink(missing_ok=True)
    assert main(["encode", str(tmp_path), str(tmp_path / "out.mkv"), *QUICK]) == 1
    assert "3.png: cannot be decoded" in capsys.readouterr().err
    assert len(os.listdir(tmp_path)) == 4
    assert threading.active_count() <= threads + 1, "the thread that starts children may be new"


def test_a_picture_that_changes_meanwhile_is_named(drawn, tmp_path):
    info = open_source(copies(drawn, tmp_path))
    write_png(tmp_path / "2.png", np.zeros((64, 98, 3), np.uint8))
    with pytest.raises(VideoError, match=r"2\.png: is no longer 96x64"):
        list(read_source(info))
    (tmp_path / "2.png").unlink()
    with pytest.raises(VideoError, match=r"2\.png: "):
        list(read_source(info))


def test_leaving_early_ends_the_feeding(drawn):
    threads = threading.active_count()
    frames = read_source(open_source(drawn[0]))
    next(frames)
    frames.close()
    assert threading.active_count() <= threads + 1


def test_players_take_no_folder(drawn, capsys):
    assert main(["info", str(drawn[0])]) == 1
    assert "a directory; give a video file" in capsys.readouterr().err
