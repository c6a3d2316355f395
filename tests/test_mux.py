"""What a file carries beside its picture."""

from dataclasses import replace

import numpy as np
import pytest
from clips import ffmpeg, full_clip, metadata, same, sound_length

from stdo_min.video.lr_video import encode_lr
from stdo_min.video.mux import SIDECAR_TYPE, ending, mux_mkv, read_attachment
from stdo_min.video.probe import probe
from stdo_min.video.read import read_lr


def test_sidecar_round_trip(tmp_path, clip):
    data = np.random.default_rng(0).bytes(70_000)
    sidecar, out = tmp_path / "a.stdo", tmp_path / "out.mkv"
    sidecar.write_bytes(b"old")
    mux_mkv(full_clip(tmp_path, clip), sidecar, tmp_path / "old.mkv")
    sidecar.write_bytes(data)
    mux_mkv(tmp_path / "old.mkv", sidecar, out)
    info = probe(out)
    assert [(a.filename, a.mimetype) for a in info.attachments] == [
        ("font.ttf", "font/ttf"), ("video.stdo", SIDECAR_TYPE)]
    assert read_attachment(info) == data
    assert read_attachment(probe(clip)) is None
    assert same(read_lr(info), read_lr(probe(clip)))
    assert info.subtitles == ("subrip",) and "title=First" in metadata(out)
    assert sound_length(out) == pytest.approx(sound_length(clip), abs=0.05)


def test_an_old_sidecar_does_not_stay_in_a_new_lr(tmp_path, clip):
    (tmp_path / "a.stdo").write_bytes(b"old")
    mux_mkv(clip, tmp_path / "a.stdo", tmp_path / "old.mkv")
    encode_lr(probe(tmp_path / "old.mkv"), tmp_path / "lr.mkv", 2)
    assert probe(tmp_path / "lr.mkv").attachments == ()


@pytest.mark.parametrize(("name", "expected"), [("a.MP4", ".mp4"), ("a.b.Mkv", ".mkv"), ("a", ""), ("x/.mkv", "")])
def test_endings_are_small(name, expected):
    assert ending(name) == expected


@pytest.mark.parametrize("suffix", [".MP4", ".MOV", ".M4V", ".MKV", ".Mkv"])
def test_capitals_name_the_same_containers(tmp_path, clip, suffix):
    source = full_clip(tmp_path, clip)
    for codec, name in (("x264", "small"), ("x265", "hevc")):
        if codec == "x265" and suffix == ".M4V":
            continue  # which ffmpeg's muxer does not take in either spelling
        written = [tmp_path / f"{name}-capital{suffix}", tmp_path / f"{name}{suffix.lower()}"]
        for out in written:
            encode_lr(probe(source), out, 2, codec)
        first, second = (replace(probe(out), path=None) for out in written)
        assert first == second
        assert ffmpeg("-i", written[0], "-c", "copy", "-f", "framecrc", "-") == ffmpeg(
            "-i", written[1], "-c", "copy", "-f", "framecrc", "-")
    if suffix.lower() == ".mkv":
        (tmp_path / "a.stdo").write_bytes(b"sidecar")
        mux_mkv(tmp_path / f"small-capital{suffix}", tmp_path / "a.stdo", tmp_path / "OUT.MKV")
        assert read_attachment(probe(tmp_path / "OUT.MKV")) == b"sidecar"
