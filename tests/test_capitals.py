"""Endings in capitals, as cameras write them, mean what they mean in small letters."""

import pytest

from stdo_min.cli import main

QUICK = ["--scale", "2", "--steps", "4", "--net", "2", "--patch", "16", "-q"]


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_the_whole_road_in_capitals(clip, tmp_path, capsys):
    assert run("encode", clip, tmp_path / "FILM.MKV", *QUICK) == 0
    assert run("encode", clip, tmp_path / "BESIDE.MP4", *QUICK) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["BESIDE.MP4", "BESIDE.stdo", "FILM.MKV"]
    (tmp_path / "BESIDE.stdo").rename(tmp_path / "BESIDE.STDO")
    assert run("info", tmp_path / "BESIDE.STDO") == 0, "a sidecar, not a video"
    for name in ("FILM.MKV", "BESIDE.MP4"):
        assert run("info", tmp_path / name) == 0
        assert run("eval", clip, tmp_path / name, "-q", "--picture", tmp_path / f"{name}.PNG") == 0
        assert (tmp_path / f"{name}.PNG").read_bytes().startswith(b"\x89PNG")
        assert run("decode", "-q", tmp_path / name, tmp_path / "HR.Y4M", "--force") == 0
        assert (tmp_path / "HR.Y4M").read_bytes().startswith(b"YUV4MPEG2 W160 H90 ")
    for out in ("HR.MP4", "HR.Mkv"):
        assert run("decode", "-q", tmp_path / "FILM.MKV", tmp_path / out) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["OUT.AVI", "OUT"])
def test_other_endings_are_still_refused(clip, tmp_path, capsys, name):
    assert run("encode", clip, tmp_path / name, *QUICK) == 1
    assert "give one of these endings" in capsys.readouterr().err
