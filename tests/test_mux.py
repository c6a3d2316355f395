"""What a file carries beside its picture, and parts that become one."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from clips import ffmpeg, full_clip, metadata, planes, same, sound_length, write_raw

from stdo_min.video.ffmpeg import VideoError, ffmpeg_encoders
from stdo_min.video.frame_folder import open_source
from stdo_min.video.lr_video import encode_lr, encode_part
from stdo_min.video.mux import SIDECAR_TYPE, check_container, ending, join, read_attachment
from stdo_min.video.probe import probe
from stdo_min.video.read import grid_start, read_lr

LENGTH = 40
pytestmark = pytest.mark.ffprobe


@pytest.fixture
def part(tmp_path, clip):
    """The clip's pictures alone, as a part."""
    path = tmp_path / "part.mp4"
    ffmpeg("-i", clip, "-an", "-c", "copy", path)
    return path


def packets(path, stream):
    """(pts in seconds, is a keyframe, checksum) of each packet; times are those of the file."""
    lines = ffmpeg("-copyts", "-i", path, "-map", stream, "-c", "copy", "-f", "framecrc", "-").decode().splitlines()
    base = next(Fraction(line.split()[-1]) for line in lines if line.startswith("#tb"))
    rows = [line.split(",") for line in lines if line[0] != "#"]
    return [(int(row[2]) * base, "F=0x0" not in row[-1], row[5].strip()) for row in rows]


def test_sidecar_round_trip(tmp_path, clip, part):
    data = np.random.default_rng(0).bytes(70_000)
    sidecar, out = tmp_path / "a.stdo", tmp_path / "out.mkv"
    sidecar.write_bytes(b"old")
    join([part], probe(full_clip(tmp_path, clip)), tmp_path / "old.mkv", sidecar)
    sidecar.write_bytes(data)
    join([part], probe(tmp_path / "old.mkv"), out, sidecar)
    info = probe(out)
    assert [(a.filename, a.mimetype) for a in info.attachments] == [
        ("font.ttf", "font/ttf"), ("video.stdo", SIDECAR_TYPE)]
    assert read_attachment(info) == data
    assert read_attachment(probe(clip)) is None
    assert same(read_lr(info), read_lr(probe(clip)))
    assert info.subtitles == ("subrip",) and "title=First" in metadata(out)
    assert sound_length(out) == pytest.approx(sound_length(clip), abs=0.05)


def test_an_old_sidecar_does_not_stay_in_a_new_lr(tmp_path, clip, part):
    (tmp_path / "a.stdo").write_bytes(b"old")
    join([part], probe(clip), tmp_path / "old.mkv", tmp_path / "a.stdo")
    encode_lr(probe(tmp_path / "old.mkv"), tmp_path / "lr.mkv", 2)
    assert probe(tmp_path / "lr.mkv").attachments == ()


def code(info, folder, codec="x264", lossless=False):
    """The parts of a source, and how many frames they have."""
    folder.mkdir(exist_ok=True)
    paths, frames = [], 0
    while True:
        paths.append(folder / f"part {len(paths)}: it's.mp4")
        got = len(encode_part(info, frames, LENGTH, paths[-1], 1, codec, lossless=lossless))
        frames += min(got, LENGTH)
        if got <= LENGTH:
            return paths, frames


@pytest.fixture(scope="module")
def big(film_of, tmp_path_factory):
    """Six seconds whose picture begins within a frame period, for three parts and a shorter one."""
    path = tmp_path_factory.mktemp("big") / "big.mkv"
    # Some coders take no fewer than 64 rows, and x265 3.5 writes past its memory in very small pictures.
    ffmpeg("-i", film_of("late"), "-t", "6", "-vf", "scale=96:80", "-c:v", "libx264", "-c:a", "copy", path)
    return path


@pytest.mark.parametrize("codec,encoder,lossless", [
    ("x264", "libx264", False), ("x264", "libx264", True), ("x265", "libx265", False), ("av1", "libsvtav1", False),
    ("av1", "libaom-av1", True)])
def test_parts_become_one(tmp_path, big, codec, encoder, lossless):
    if encoder not in ffmpeg_encoders():
        pytest.skip(f"this ffmpeg has no {encoder}")
    info = probe(big)
    paths, frames = code(info, tmp_path / "parts", codec, lossless)
    assert len(paths) == 4
    wanted = [frame for path in paths for frame in read_lr(probe(path))]
    for name in ("out.mkv", "out.mp4"):
        join(paths, info, tmp_path / name)
        made = probe(tmp_path / name)
        assert same(read_lr(made), wanted)
        assert made.rate == info.rate and made.start == pytest.approx(info.start, abs=0.021)
        assert made.has_audio and made.duration == pytest.approx(info.duration, abs=0.1)
        shown = sorted(packets(tmp_path / name, "0:v"))
        assert len(shown) == frames
        offset = packets(tmp_path / name, "0:a")[0][0] - packets(big, "0:a")[0][0]
        tick = Fraction(11 if name == "out.mkv" else 1, 10000)  # times in an .mkv are in milliseconds
        for number, (pts, key, _) in enumerate(shown):
            assert abs(pts - offset - (grid_start(info) + number) / info.rate) <= tick
            assert key or number % LENGTH
        assert [row[2] for row in packets(tmp_path / name, "0:a")] == [row[2] for row in packets(big, "0:a")]


@pytest.mark.parametrize("name", ["a b", "it's \"so\"", "a\nb", "100%d #1?", "c:d", "-i", "ünï \\ \\'"])
def test_folders_and_files_of_any_name(tmp_path, monkeypatch, clip, name):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    parts = [tmp_path / name / f"{number} 'x'.mp4" for number in range(2)]
    for first, path in zip((0, 10), parts, strict=True):
        encode_part(probe(clip), first, 10, path, 2)
    (tmp_path / name / "a.stdo").write_bytes(b"sidecar")
    join(parts, probe(clip), f"{name}.mkv", tmp_path / name / "a.stdo")
    assert read_attachment(probe(f"{name}.mkv")) == b"sidecar"
    assert sum(1 for _ in read_lr(probe(f"{name}.mkv"))) == 20
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["0 'x'.mp4", "1 'x'.mp4", "a.stdo"]
    relative = [path.relative_to(tmp_path) for path in parts]
    join(relative, probe(clip), "relative.mkv")
    assert same(read_lr(probe("relative.mkv")), read_lr(probe(f"{name}.mkv")))


def test_parts_of_a_folder_of_pictures_have_no_sound(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    ffmpeg("-i", write_raw(tmp_path / "raw.mkv", planes(64, 48, 1)), folder / "%d.png")
    info = open_source(folder, Fraction(8))
    parts = [tmp_path / "0.mp4", tmp_path / "1.mp4"]
    for first, path in zip((0, 5), parts, strict=True):
        encode_part(info, first, 5, path, 2, lossless=True)
    encode_lr(info, tmp_path / "whole.mkv", 2, lossless=True)
    (tmp_path / "a.stdo").write_bytes(b"sidecar")
    join(parts, info, tmp_path / "out.mkv", tmp_path / "a.stdo")
    join(parts, info, tmp_path / "out.mp4")
    assert read_attachment(probe(tmp_path / "out.mkv")) == b"sidecar"
    for name in ("out.mkv", "out.mp4"):
        made = probe(tmp_path / name)
        assert (made.rate, made.start, made.has_audio) == (8, 0, False)
        assert same(read_lr(made), read_lr(probe(tmp_path / "whole.mkv")))


def test_streams_keep_their_words(tmp_path, clip):
    ffmpeg("-i", clip, "-map", "0", "-map", "0:a", "-c", "copy", "-metadata:s:v", "language=deu", "-metadata:s:a:1",
           "language=fra", "-disposition:a:0", "0", "-disposition:a:1", "default", tmp_path / "a.mkv")
    check_container(probe(tmp_path / "a.mkv"), tmp_path / "never.mp4")
    assert not (tmp_path / "never.mp4").exists()
    for name in ("lr.mkv", "lr.mp4"):
        encode_lr(probe(tmp_path / "a.mkv"), tmp_path / name, 2)
        for stream, language in (("v:0", "deu"), ("a:1", "fra")):
            told = ffmpeg("-i", tmp_path / name, "-map", f"0:{stream}", "-c", "copy", "-f", "ffmetadata", "-").decode()
            assert f"language={language}" in told
        ffmpeg("-i", tmp_path / name, "-map", "0:a:m:language:fra", "-c", "copy", tmp_path / "one.mka")


def test_a_container_that_cannot_hold_it_is_known_before(tmp_path, clip, part):
    ffmpeg("-i", clip, "-c:v", "copy", "-c:a", "wmav2", tmp_path / "odd.mkv")
    info = probe(tmp_path / "odd.mkv")
    check_container(info, tmp_path / "a.mkv")
    check_container(probe(full_clip(tmp_path, clip)), tmp_path / "a.mp4")
    for check in (check_container, lambda info, out: join([part], info, out)):
        with pytest.raises(VideoError, match=r"\.mkv, which holds every codec"):
            check(info, tmp_path / "a.mp4")
        with pytest.raises(VideoError, match=r"cannot write \.txt; use one of \.mp4, "):
            check(info, tmp_path / "a.txt")
    with pytest.raises(VideoError, match=r"only Matroska holds a sidecar"):
        join([part], info, tmp_path / "a.mp4", part)


def test_a_source_cut_short_is_no_source_of_sound(tmp_path, clip, part):
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    ffmpeg("-i", clip, "-c", "copy", "-movflags", "+faststart", whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.raises(VideoError, match="damaged"):
        join([part], probe(cut), tmp_path / "out.mkv")


def test_a_missing_part_is_named(tmp_path, clip, part):
    with pytest.raises(VideoError, match="gone"):
        join([part, tmp_path / "gone.mp4"], probe(clip), tmp_path / "out.mkv")


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
        join([tmp_path / f"small-capital{suffix}"], probe(source), tmp_path / "OUT.MKV", tmp_path / "a.stdo")
        assert read_attachment(probe(tmp_path / "OUT.MKV")) == b"sidecar"
