"""What a file carries beside its picture."""

import numpy as np
import pytest
from clips import full_clip, metadata, same, sound_length

from stdo_min.video.lr import encode_lr
from stdo_min.video.mux import SIDECAR_TYPE, mux_mkv, read_attachment
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
