import io
import os
import struct
import zlib

import numpy as np
import pytest
from clips import ffmpeg, sound_length

from stdo_min.algorithm.recipe import Recipe
from stdo_min.commands.decode import decode
from stdo_min.commands.encode import encode
from stdo_min.commands.info import describe
from stdo_min.commands.pipe import pipe
from stdo_min.commands.play import play
from stdo_min.engine.train import Budget
from stdo_min.format import sidecar
from stdo_min.format.library import Upscaler
from stdo_min.player import frames, open_video
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.probe import probe
from stdo_min.video.read import read_lr

LOSSLESS = ("-c:v", "libx264", "-qp", "0", "-bf", "0")


@pytest.fixture(scope="module")
def played(clip, tmp_path_factory):
    """An encoded clip: film.mp4 with film.stdo beside it."""
    out = tmp_path_factory.mktemp("played") / "film.mp4"
    encode(clip, out, 2, Recipe(budget=Budget(steps=40), channels=(4,), patch=16, mode="stdo"))
    return out


def shown(video, threads=1):
    return [tuple(plane.copy() for plane in frame.hr) for frame in frames(video, threads)]


def equal(one, two):
    return len(one) == len(two) and all(np.array_equal(p, q) for a, b in zip(one, two, strict=True)
                                        for p, q in zip(a, b, strict=True))


def test_threads_change_nothing(played):
    video = open_video(played)
    assert equal(shown(video, 1), shown(video, 3))


def test_y4m_file_and_pipe_are_the_same_bytes(played, tmp_path):
    video = open_video(played)
    assert decode(video, tmp_path / "out.y4m") == 24
    stream = io.BytesIO()
    assert pipe(video, stream, threads=2) == 24
    data = (tmp_path / "out.y4m").read_bytes()
    assert stream.getvalue() == data
    header, rest = data.split(b"\n", 1)
    assert header.split()[:4] == [b"YUV4MPEG2", b"W160", b"H90", b"F12:1"]
    expected = b"".join(b"FRAME\n" + b"".join(plane.tobytes() for plane in frame) for frame in shown(video))
    assert rest == expected


@pytest.mark.ffprobe
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_decode_to_a_file_keeps_the_sound(played, tmp_path, suffix):
    out = tmp_path / f"hr{suffix}"
    said = []
    assert decode(open_video(played), out, crf=4, progress=lambda *now: said.append(now)) == 24
    info = probe(out)
    assert (info.width, info.height, info.rate) == (160, 90, 12)
    assert sound_length(out) == pytest.approx(sound_length(played), abs=0.05)
    errors = [np.mean((a.y.astype(float) - b[0]) ** 2) for a, b in
              zip(read_lr(info), shown(open_video(played)), strict=True)]
    assert max(errors) < 10
    assert said[-1] == (24, 24)


@pytest.mark.ffprobe
def test_a_sidecar_elsewhere(played, tmp_path):
    moved = tmp_path / "elsewhere.stdo"
    moved.write_bytes(played.with_suffix(".stdo").read_bytes())
    alone = tmp_path / "alone.mp4"
    alone.write_bytes(played.read_bytes())
    with pytest.raises(VideoError, match="no sidecar in it and no alone.stdo beside it"):
        open_video(alone)
    assert equal(shown(open_video(alone, moved)), shown(open_video(played)))


def changed(data, offset, value):
    """A sidecar with one header field changed and its crc made right."""
    whole = bytearray(data)
    whole[offset:offset + len(value)] = value
    whole[36:40] = struct.pack("<I", zlib.crc32(whole[:36]))
    return bytes(whole)


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda d: d[:-7], "ends early"),
    (lambda d: d[:-8] + bytes([d[-8] ^ 1]) + d[-7:], "crc"),
    (lambda d: changed(d, 8, b"\x04\x00"), "newer.*update stdo"),
    (lambda d: b"", "ends early|not a"),
    (lambda d: b"RIFF" * 40, "not a"),
    (lambda d: changed(d, 16, struct.pack("<HHHH", 82, 46, 164, 92)), "made for an lr video of 82x46"),
])
def test_bad_sidecars_are_refused(played, tmp_path, spoil, message):
    bad = tmp_path / "bad.stdo"
    bad.write_bytes(spoil(played.with_suffix(".stdo").read_bytes()))
    with pytest.raises(VideoError, match=f"(?i){message}") as error:
        open_video(played, bad)
    assert "bad.stdo" in str(error.value)


def test_a_missing_sidecar_is_named(played, tmp_path):
    with pytest.raises(VideoError, match="none.stdo: No such file"):
        open_video(played, tmp_path / "none.stdo")


@pytest.mark.ffprobe
@pytest.mark.parametrize(("change", "message"), [
    (["-vf", "eq=brightness=0.1"], "pictures up to frame 0"),
    (["-vf", "eq=brightness=0.1:enable=gte(n\\,20)"], "pictures up to frame 23"),
    (["-frames:v", "20"], "ends after 20 of the 24 frames"),
    (["-vf", "tpad=stop=3:stop_mode=clone"], "more frames than the 24"),
])
def test_the_sidecar_of_another_video_is_noticed(played, tmp_path, change, message):
    other = tmp_path / "other.mkv"
    ffmpeg("-i", played, *change, *LOSSLESS, "-an", other)
    video = open_video(other, played.with_suffix(".stdo"))
    out = tmp_path / "out.mp4"
    with pytest.raises(VideoError, match=message):
        decode(video, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.mkv"]


def test_outputs_are_not_overwritten(played, tmp_path):
    out = tmp_path / "out.y4m"
    out.write_bytes(b"precious")
    with pytest.raises(VideoError, match="exists already"):
        decode(open_video(played), out)
    assert out.read_bytes() == b"precious"
    decode(open_video(played), out, force=True)
    assert out.stat().st_size > 100
    with pytest.raises(VideoError, match="is itself an input"):
        decode(open_video(played), played, force=True)


def test_a_player_that_is_not_there(played, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(VideoError, match="mpv not found; install one"):
        play(open_video(played), "mpv")


@pytest.mark.parametrize(("script", "outcome"), [
    ("#!/bin/sh\nexec /bin/cat > \"$GOT\"\n", "all"),
    ("#!/bin/sh\nexit 0\n", "closed"),
    ("#!/bin/sh\n/bin/cat > /dev/null; exit 3\n", "failed"),
])
def test_a_player_gets_the_frames(played, tmp_path, monkeypatch, script, outcome):
    """The player is another program in any case; what matters here is how we talk to one."""
    fake = tmp_path / "ffplay"
    fake.write_text(script)
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin:/bin")
    monkeypatch.setenv("GOT", str(tmp_path / "got"))
    video = open_video(played)
    if outcome == "failed":
        with pytest.raises(VideoError, match="exit code 3"):
            play(video, "ffplay")
        return
    play(video, "ffplay")
    if outcome == "all":
        stream = io.BytesIO()
        pipe(video, stream)
        assert (tmp_path / "got").read_bytes() == stream.getvalue()


def test_mpv_is_told_to_fetch_nothing(played, tmp_path, monkeypatch):
    """What the sound's file names is not followed: real mpv takes these options (0.35)."""
    fake = tmp_path / "mpv"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$GOT"\nexec /bin/cat > /dev/null\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin:/bin")
    monkeypatch.setenv("GOT", str(tmp_path / "got"))
    play(open_video(played), "mpv")
    assert (tmp_path / "got").read_text().splitlines() == [
        "--really-quiet", f"--audio-file={played.absolute()}",
        "--demuxer-lavf-o-append=protocol_whitelist=file,crypto,data", "--audio-demuxer=lavf", "--ytdl=no",
        "--load-unsafe-playlists=no", "-"]


@pytest.mark.ffprobe
def test_info_says_what_is_inside(played):
    data = played.with_suffix(".stdo").read_bytes()
    found = describe(data)
    assert list(found) == ["width", "height", "scale", "patch", "frames", "segments", "nets", "uv_nets", "net_shape",
                           "map_bytes", "net_bytes", "arithmetic", "arithmetic_at_borders", "mode", "version", "tier"]
    read = sidecar.read(data)
    assert found["net_bytes"] == sum(map(read.bytes_of, read.nets))
    assert found["map_bytes"] == len(read.segments[0].map_data)
    upscaler = Upscaler(data)
    assert found["arithmetic"] == round(np.mean([upscaler.products(0, upscaler.labels(at)) for at in range(24)]))
    assert 0 <= found["arithmetic_at_borders"] < 0.6
    # 40 bytes of header; the nets, each after its size in one byte or two, and their crc; the segment's fields
    sizes = sum(1 if read.bytes_of(net) < 128 else 2 for net in read.nets)
    fields = len(data) - 40 - found["net_bytes"] - sizes - 4 - found["map_bytes"]
    assert fields - found["nets"] in (15, 16), "its size, of one byte or two, frames, nets, two crcs, and its own crc"
    assert (found["width"], found["height"], found["scale"], found["patch"], found["frames"]) == (160, 90, 2, 16, 24)
    assert (found["segments"], found["mode"], found["version"]) == (1, "stdo", 3)
