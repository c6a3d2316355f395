"""The command line as a user meets it: results, exit codes, one-line errors, and nothing half-written."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from clips import ffmpeg

from stdo_min.cli import main

QUICK = ["--scale", "2", "--steps", "10", "--net", "4", "--patch", "12", "--memory", "16", "-q"]


@pytest.fixture(scope="module")
def film(clip, tmp_path_factory):
    out = tmp_path_factory.mktemp("film") / "film.mkv"
    assert main(["encode", str(clip), str(out), "--lossless", *QUICK]) == 0
    return out


def stdo(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "stdo_min", *map(str, arguments)], capture_output=True, check=False,
                          **options)


def failed(arguments, capsys):
    """The one line on stderr of a command that fails."""
    assert main([str(argument) for argument in arguments]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("stdo: ")
    assert said.err.count("\n") == 1
    return said.err


def test_eval_json(clip, film, capsys):
    assert main(["eval", str(clip), str(film), "--json", "-q"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert said.out.count("\n") == 1
    assert said.err == ""
    assert list(found) == ["frames", "width", "height", "scale", "psnr_y", "psnr_u", "psnr_v", "psnr_bicubic_y",
                           "bytes_lr", "bytes_sidecar", "bytes_map", "nets"]
    assert list(found["nets"][0]) == ["index", "patches", "bytes", "psnr_y", "psnr_bicubic_y", "gains"]


def test_eval_table_and_picture(clip, film, tmp_path, capsys):
    picture = tmp_path / "gain.png"
    assert main(["eval", str(clip), str(film), "-q", "--picture", str(picture)]) == 0
    assert "psnr_bicubic_y" in capsys.readouterr().out
    pixels = ffmpeg("-i", picture, "-pix_fmt", "gray", "-f", "rawvideo", "-")
    assert len(pixels) == (160 * 3 * 2) * (90 * 2)


def test_a_picture_never_overwrites_an_input(clip, film, tmp_path, capsys):
    source = tmp_path / "source.png"
    source.write_bytes(clip.read_bytes())
    assert "is itself an input" in failed(["eval", source, film, "--picture", source, "--force", "-q"], capsys)
    assert source.read_bytes() == clip.read_bytes()
    assert "give it the ending .png" in failed(["eval", clip, film, "--picture", clip, "--force", "-q"], capsys)


def test_a_bad_sidecar_is_named(film, tmp_path, capsys):
    bad = tmp_path / "bad.stdo"
    bad.write_bytes(b"RIFF" * 20)
    error = failed(["info", bad], capsys)
    assert "bad.stdo: " in error
    assert "copy or make it again" in error


def test_crf_beyond_the_codec(clip, tmp_path, capsys):
    error = failed(["encode", clip, tmp_path / "o.mkv", "--codec", "x265", "--crf", "63", "--scale", "2", "-q"], capsys)
    assert "crf is 63; x265 takes 0..51" in error


def test_info(film, capsys):
    assert main(["info", str(film), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["net_shape"] == "5x5x4-3x3x4"
    assert main(["info", str(film)]) == 0
    assert re.search(r"^net_shape +5x5x4-3x3x4$", capsys.readouterr().out, re.M)


def test_pipe_decode_and_closed_pipe(film, tmp_path):
    assert main(["decode", str(film), str(tmp_path / "a.y4m"), "-q"]) == 0
    piped = stdo("pipe", film)
    assert piped.returncode == 0
    assert piped.stdout == (tmp_path / "a.y4m").read_bytes()
    assert piped.stderr == b""
    head = subprocess.run(f"{sys.executable} -m stdo_min pipe {film} | head -c 100", shell=True, capture_output=True,
                          check=True)
    assert head.stdout == piped.stdout[:100]
    assert head.stderr == b""


def test_encode_says_one_line(clip, tmp_path, capsys):
    assert main(["encode", str(clip), str(tmp_path / "o.mp4"), "--mode", "single", *QUICK]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{tmp_path / 'o.mp4'}: 24 frames, luma ")
    assert said.out.count("\n") == 1
    assert said.err == ""


def test_train(clip, tmp_path, capsys):
    low = tmp_path / "low.mp4"
    ffmpeg("-i", clip, "-vf", "scale=54:30", "-an", low)
    assert main(["train", "--lr", str(low), "--hr", str(clip), str(tmp_path / "low.stdo"), *QUICK[2:]]) == 0
    assert "low.stdo: 24 frames" in capsys.readouterr().out
    assert main(["eval", str(clip), str(low), "-q"]) == 0


def make(kind, folder, clip):
    path = folder / f"{kind}.mp4"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("this is no film\n" * 99)
    elif kind == "sound":
        ffmpeg("-i", clip, "-vn", "-c", "copy", path)
    elif kind == "truncated":
        ffmpeg("-i", clip, "-c", "copy", "-movflags", "faststart", path)
        path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    elif kind == "image":
        path = folder / "image.png"
        ffmpeg("-i", clip, "-frames:v", "1", path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "small":
        ffmpeg("-i", clip, "-vf", "scale=36:24", "-an", path)
    elif kind == "tiny":
        ffmpeg("-i", clip, "-vf", "scale=16:16", "-an", path)
    return path


@pytest.mark.parametrize(("kind", "message"), [
    ("missing", "no such file"), ("empty", "empty file"), ("text", "not a video"), ("sound", "sound only"),
    ("truncated", "truncated.mp4: "), ("image", "still image"), ("directory", "a directory"),
    ("small", "smaller than one patch"), ("tiny", "choose another scale"),
])
def test_bad_sources(kind, message, clip, tmp_path, capsys):
    source = make(kind, tmp_path, clip)
    before = sorted(tmp_path.iterdir())
    for out in ("out.mkv", "out.mp4"):
        error = failed(["encode", source, tmp_path / out, *QUICK, "--scale", "3"], capsys)
        assert message in error
        assert source.name in error or "16x16" in error
    assert sorted(tmp_path.iterdir()) == before


def test_bad_outputs(clip, tmp_path, capsys):
    def encode(source, out, *more):
        return failed(["encode", source, out, *QUICK, *more], capsys)

    assert "is itself an input" in encode(clip, clip, "--force")
    assert "there is no directory" in encode(clip, tmp_path / "no" / "out.mkv")
    assert "give one of these endings" in encode(clip, tmp_path / "out.avi")
    for kept, out in (("out.mkv", "out.mkv"), ("two.stdo", "two.mp4")):
        (tmp_path / kept).write_bytes(b"precious")
        assert "exists already; choose another name or add --force" in encode(clip, tmp_path / out)
        assert (tmp_path / kept).read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mkv", "two.stdo"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_output(clip, tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert "cannot be written" in failed(["encode", clip, tmp_path / "out.mkv", *QUICK], capsys)


def test_force_overwrites(clip, tmp_path):
    out = tmp_path / "out.mkv"
    out.write_bytes(b"old")
    assert main(["encode", str(clip), str(out), "--force", *QUICK]) == 0
    assert out.stat().st_size > 1000


def test_a_missing_ffmpeg(film, monkeypatch, capsys):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/nonexistent/ffmpeg")
    assert "IMAGEIO_FFMPEG_EXE" in failed(["info", film], capsys)


def test_a_missing_player(film, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "mpv and ffplay not found; install one" in failed(["play", film], capsys)


def test_a_video_without_sidecar(clip, capsys):
    assert "make one with stdo encode" in failed(["decode", clip, "x.mp4"], capsys)


@pytest.mark.parametrize("arguments", [
    [], ["encode"], ["encode", "a", "b", "--scale", "5"], ["encode", "a", "b", "--patch", "7"],
    ["encode", "a", "b", "--budget", "soon"], ["encode", "a", "b", "--budget", "0"], ["encode", "a", "b", "--net", "0"],
    ["encode", "a", "b", "--chunks", "0"], ["encode", "a", "b", "--crf", "20", "--lossless"], ["fly"],
])
def test_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: stdo" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["encode", "train", "decode", "pipe", "play", "eval", "info", "demo"])
def test_help(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    assert len(capsys.readouterr().out) > 300


def test_debug_shows_the_traceback(tmp_path):
    plain, debug = stdo("info", tmp_path / "no.mkv"), stdo("--debug", "info", tmp_path / "no.mkv")
    assert plain.returncode == 1
    assert b"Traceback" not in plain.stderr
    assert b"Traceback" in debug.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_keeps_what_is_finished_and_says_so(clip, tmp_path, number, code):
    command = [sys.executable, "-m", "stdo_min", "encode", clip, tmp_path / "out.mkv", "--scale", "2", "--budget",
               "10m"]
    work = tmp_path / "out.mkv.work"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 60
            while not (work / "source-00000").exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            assert (work / "source-00000").exists(), "there was nothing to keep"
            time.sleep(1)
            began = time.monotonic()
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code
    assert time.monotonic() - began < 10
    assert "Traceback" not in said
    assert said.startswith(f"stdo: {work}: takes what is finished, until all is\n")
    assert f"{work}: keeps what is finished" in said
    assert list(tmp_path.iterdir()) == [work]


def test_an_unknown_tier_is_said_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STDO_CPU", "sse")
    assert main(["encode", str(tmp_path / "missing.mp4"), str(tmp_path / "out.mkv")]) == 1
    assert "STDO_CPU=sse: unknown tier: use c, avx2" in capsys.readouterr().err
