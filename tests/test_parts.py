"""The lr video in parts: each part holds its frames and no other, and tells what the source held."""

import os
import subprocess
from fractions import Fraction

import numpy as np
import pytest
from clips import ffmpeg, planes, same, write_raw
from films import KINDS, NO_INDEX

from stdo_min.video.ffmpeg import VideoError, ffmpeg_encoders, ffmpeg_executable
from stdo_min.video.frame_folder import open_source
from stdo_min.video.lr_video import encode_part
from stdo_min.video.probe import probe
from stdo_min.video.read import Misplaced, checksum, read_lr, read_source

LENGTH = 160  # frames; no film leaves one frame for the last part, which probe would take for a still image


def sums_of(frames):
    return np.array([checksum(frame) for frame in frames], np.uint32)


def code_parts(info, folder, length, *options, notes=None):
    """The paths of all parts of a source, and the checksums of its frames."""
    paths, sums, expected, first = [], [], None, 0
    while True:
        paths.append(folder / f"part {len(paths)}.mp4")
        found = encode_part(info, first, length, paths[-1], 2, *options, expected=expected, note=notes)
        sums += found[:length].tolist()
        if len(found) <= length:
            return paths, np.array(sums, np.uint32)
        first, expected = first + length, int(found[length])


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_the_whole(film_of, tmp_path, kind):
    info, notes = probe(film_of(kind)), []
    paths, sums = code_parts(info, tmp_path, LENGTH, "x264", None, True, notes=notes.append)
    assert sums.tolist() == sums_of(read_source(info)).tolist()
    assert len(paths) == -(-len(sums) // LENGTH) >= 3
    whole = encode_part(info, 0, None, tmp_path / "whole.mp4", 2, lossless=True)
    assert whole.tolist() == sums.tolist()
    parts = [frame for path in paths for frame in read_lr(probe(path))]
    assert same(parts, read_lr(probe(tmp_path / "whole.mp4")))
    assert bool(notes) == (kind in NO_INDEX)


@pytest.mark.parametrize("codec,encoder", [("x264", "libx264"), ("x265", "libx265"), ("av1", "libsvtav1")])
def test_a_part_begins_with_a_keyframe_at_time_0(film_of, tmp_path, codec, encoder):
    if encoder not in ffmpeg_encoders():
        pytest.skip(f"this ffmpeg has no {encoder}")
    raw, seen, out = write_raw(tmp_path / "raw.mkv", planes(160, 128, 2)), [], tmp_path / "a part"
    assert len(encode_part(probe(raw), 5, 7, out, 2, codec, progress=seen.append)) == 8
    assert seen[0] == 1 and seen[-1] == 7
    info = probe(out)
    assert (info.width, info.height, info.rate, info.start, info.has_audio) == (80, 64, 8, 0, False)
    packets = [line.split(b",") for line in ffmpeg("-i", out, "-c", "copy", "-f", "framecrc", "-").splitlines()
               if line[:1] != b"#"]
    assert len(packets) == 7 and len(packets[0]) == 6, "no flags but those of a keyframe"
    assert int(packets[0][2]) == 0


def test_where_the_source_ends(film_of, tmp_path):
    info, out = probe(film_of("mkv")), tmp_path / "part.mp4"
    frames = len(sums_of(read_source(info)))
    for first, count, given in ((frames - 9, 8, 9), (frames - 9, 9, 9), (frames - 9, 20, 9), (frames - 9, None, 9)):
        assert len(encode_part(info, first, count, out, 2)) == given
        assert sum(1 for _ in read_lr(probe(out))) == min(given, count or given)
    assert encode_part(info, frames, 20, out, 2).tolist() == []
    assert not out.exists()


def test_an_unexpected_frame_is_misplaced(film_of, tmp_path):
    info = probe(film_of("mp4"))
    sums = sums_of(read_source(info, 100, 2))
    assert len(encode_part(info, 100, 5, tmp_path / "part.mp4", 2, expected=int(sums[0]))) == 6
    with pytest.raises(Misplaced, match="frame 100 .* remux it"):
        encode_part(info, 100, 5, tmp_path / "part.mp4", 2, expected=int(sums[1]))
    with pytest.raises(Misplaced, match="frame 0 .* remux it"):
        encode_part(info, 0, 5, tmp_path / "part.mp4", 2, expected=int(sums[1]))


def test_parts_of_a_folder(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    ffmpeg("-i", write_raw(tmp_path / "raw.mkv", planes(32, 24, 2)), folder / "%d.png")
    info = open_source(folder, Fraction(8))
    paths, sums = code_parts(info, tmp_path, 6, "x264", None, True)
    assert len(paths) == 3 and sums.tolist() == sums_of(read_source(info)).tolist()
    assert [sum(1 for _ in read_lr(probe(path))) for path in paths] == [6, 6, 4]
    assert encode_part(info, 16, 6, tmp_path / "none.mp4", 2).tolist() == []
    with pytest.raises(Misplaced, match="frame 3 "):
        encode_part(info, 3, 6, tmp_path / "other.mp4", 2, expected=1)


def test_a_cut_source_does_not_become_a_short_part(film_of, tmp_path):
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    ffmpeg("-i", film_of("mp4"), "-c", "copy", "-movflags", "+faststart", whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    info = probe(cut)
    for first in (200, 300):
        with pytest.raises(VideoError, match=r"cut\.mp4: .*damaged"):
            encode_part(info, first, 250, tmp_path / "part.mp4", 2)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_no_reason_to_decode_from_the_start(film_of, tmp_path):
    os.symlink("/dev/full", tmp_path / "part.mp4")
    notes = []
    with pytest.raises(VideoError, match="No space left"):
        encode_part(probe(film_of("mp4")), 100, 5, tmp_path / "part.mp4", 2, note=notes.append)
    assert not notes


def test_an_interrupt_in_progress_ends_ffmpeg(film_of, tmp_path, monkeypatch):
    started, popen, info = [], subprocess.Popen, probe(film_of("mp4"))
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])

    def interrupt(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_part(info, 100, 50, tmp_path / "part.mp4", 2, progress=interrupt)
    assert len(started) == 1
    assert started[0].args[0] == ffmpeg_executable() and started[0].returncode is not None
