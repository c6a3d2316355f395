"""A stretch of a film is those frames of the whole, on whatever road ffmpeg gets there, with its sound in step."""

import argparse
import io
import os
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from clips import ffmpeg
from samples import random_labels

import stdo_min.player
from stdo_min.commands import options
from stdo_min.commands.decode import decode
from stdo_min.commands.pipe import pipe
from stdo_min.commands.play import play
from stdo_min.commands.serve import stream
from stdo_min.format.random_nets import make_sidecar, random_net
from stdo_min.format.sidecar import crc_of_planes, write
from stdo_min.player import frames, open_video
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.probe import probe
from stdo_min.video.read import read_lr
from stdo_min.video.stretch import ROADS, Stretch, clock, stretch_between, time_of

COUNT, SEGMENT = 80, 23  # segments begin where no keyframe is
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "3", "-g", "13")
OPEN = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params",
        "log-level=error:rc-lookahead=20:keyint=17:open-gop=1:bframes=8:b-adapt=0")
VP9 = ("-c:v", "libvpx-vp9", "-g", "15", "-cpu-used", "8", "-c:a", "libopus")


def film(path, *coder, rate="24000/1001", late=0.0, picture="testsrc2"):
    """An lr video of COUNT frames with sound, subtitles and chapters where it can have them, and its sidecar."""
    folder = path.parent
    (folder / "words.srt").write_text("".join(f"{n + 1}\n00:00:0{n},500 --> 00:00:0{n},900\nword {n}\n\n"
                                              for n in range(3)))
    (folder / "meta.txt").write_text(";FFMETADATA1\n" + "".join(
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={n}000\nEND={n + 1}000\ntitle=part {n}\n" for n in range(4)))
    coding = {".mp4": "mov_text", ".mkv": "srt"}.get(path.suffix)
    words = ["-map", "2", "-c:s", coding] if coding else []
    ffmpeg("-itsoffset", late, "-f", "lavfi", "-i", f"{picture}=s=64x48:r={rate}", "-f", "lavfi", "-i",
           "anoisesrc=r=48000:d=9:seed=1", "-i", folder / "words.srt", "-i", folder / "meta.txt", "-map", "0:v",
           *(["-map", "1:a", *words] if path.suffix != ".h264" else []), "-map_chapters", "3", "-frames:v", COUNT,
           "-pix_fmt", "yuv420p", "-fps_mode", "passthrough", "-c:a", "aac", *coder, "-t", "8", path)
    path.with_suffix(".stdo").write_bytes(sidecar_of(path))
    return path


def sidecar_of(path):
    """A sidecar of random nets and maps with the checksums of an lr video."""
    rng = np.random.default_rng(5)
    read = list(read_lr(probe(path)))
    assert len(read) == COUNT
    lengths = [min(SEGMENT, COUNT - first) for first in range(0, COUNT, SEGMENT)]
    nets = tuple(random_net(rng, 2, [(3, 4)], 3) for _ in range(2))
    made = make_sidecar(2, (64, 48), 16, [(nets, random_labels(rng, n, (64, 48), 16, 2)) for n in lengths])
    segments = []
    for segment in made.segments:
        whole = 0
        for lr in read[segment.first_frame:segment.first_frame + segment.frames]:
            whole = crc_of_planes(lr, whole)
        segments.append(replace(segment, lr_first_crc=crc_of_planes(read[segment.first_frame]), lr_crc=whole))
    return write(replace(made, segments=tuple(segments)))


def shown(video, *stretch):
    return [b"".join(plane.tobytes() for plane in frame.hr) for frame in frames(video, 1, *stretch)]


def some_stretches(seed, count=5):
    """The awkward ones, and random ones."""
    rng = np.random.default_rng(seed)
    yield from [(0, 3), (SEGMENT, 1), (SEGMENT - 1, 2), (COUNT - 1, None), (COUNT - 1, 1)]
    for _ in range(count):
        first = int(rng.integers(0, COUNT))
        yield first, [None, int(rng.integers(1, COUNT - first + 1))][int(rng.integers(0, 4)) > 0]


@pytest.fixture(scope="module")
def late(tmp_path_factory):
    """An .mkv whose picture begins half a second after its sound."""
    return film(tmp_path_factory.mktemp("late") / "late.mkv", *X264, rate=24, late=0.5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("name", "coder", "rate"), [
    ("a.mkv", X264, "24000/1001"), ("a.mp4", X264, "24000/1001"), ("a.mkv", OPEN, "24000/1001"),
    ("a.mp4", OPEN, "12"), ("a.mp4", OPEN, "60"), ("a.webm", VP9, "25"),
])
def test_stretches_are_the_frames_of_the_whole(tmp_path, name, coder, rate):
    video = open_video(film(tmp_path / name, *coder, rate=rate))
    whole = shown(video)
    for first, count in some_stretches(len(name + rate)):
        end = None if count is None else first + count
        assert shown(video, first, count) == whole[first:end], (first, count)


@pytest.mark.filterwarnings("error")
def test_a_late_picture(late):
    video = open_video(late)
    assert video.info.start == pytest.approx(0.5, abs=0.03)
    whole = shown(video)
    for first, count in some_stretches(1):
        assert shown(video, first, count) == whole[first:None if count is None else first + count]


@pytest.mark.parametrize("road", ROADS)
def test_read_lr_of_every_road(late, road):
    info = probe(late)
    whole = [crc_of_planes(lr) for lr in read_lr(info)]
    for first, count in [(0, None), (0, 7), (30, 5), (31, None)]:
        end = None if count is None else first + count
        assert [crc_of_planes(lr) for lr in read_lr(info, first, count, road)] == whole[first:end]


@pytest.mark.parametrize(("wrong", "said"), [((), False), (("seek",), False), (("seek", "early"), True)])
@pytest.mark.parametrize("amiss", ["all", "one"])
@pytest.mark.parametrize("first", [SEGMENT, SEGMENT + 7])
def test_a_seek_that_misses_is_noticed(late, monkeypatch, first, wrong, said, amiss):
    """By a frame, everywhere or in the middle of a segment only; the next road is taken."""
    def read(info, at=0, count=None, road="start"):
        off = road in wrong and (amiss == "all" or at % SEGMENT != 0 or first % SEGMENT == 0)
        found = list(read_lr(info, at + off, count, road))
        # A decoder that lacks pictures has nothing to show in the time of one frame.
        yield from [] if off and count == 1 and amiss == "one" else found

    video = open_video(late)
    whole = shown(video, first, 5)
    monkeypatch.setattr(stdo_min.player, "read_lr", read)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert shown(video, first, 5) == whole
    assert [str(one.message) for one in caught] == [
        f"{late}: cannot be entered in the middle, so it is decoded from its start"] * said


@pytest.mark.parametrize("first", [SEGMENT, SEGMENT + 7])
def test_another_video_is_refused_in_the_middle(late, tmp_path, first):
    other = film(tmp_path / "other.mkv", *X264, rate=24, late=0.5, picture="testsrc")
    with pytest.raises(VideoError, match="up to frame 0 are not those.*name the right one"):
        shown(open_video(other, late.with_suffix(".stdo")), first, 3)
    # From the second segment on only: the first frame is right.
    ffmpeg("-i", late, "-vf", f"negate=enable=gte(n\\,{SEGMENT})", "-map", "0:v", *X264[:2], "-qp", "0",
           tmp_path / "half.mkv")
    lossless = tmp_path / "lossless.mkv"
    ffmpeg("-i", late, "-map", "0:v", *X264[:2], "-qp", "0", lossless)
    half = open_video(tmp_path / "half.mkv", late.with_suffix(".stdo"))
    with pytest.raises(VideoError, match=f"up to frame {SEGMENT} are not those"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shown(half, first, 3)


def test_a_stretch_whose_end_is_wrong_is_refused(late, tmp_path):
    """A whole segment that is played is checked in full."""
    ffmpeg("-i", late, "-vf", f"negate=enable=eq(n\\,{SEGMENT + 9})", "-map", "0:v", *X264[:2], "-qp", "0",
           tmp_path / "spot.mkv")
    video = open_video(tmp_path / "spot.mkv", late.with_suffix(".stdo"))
    with pytest.raises(VideoError, match=f"up to frame {2 * SEGMENT - 1} are not those"):
        shown(video, SEGMENT, SEGMENT)


@pytest.mark.parametrize("name", ["a.ts", "a.h264"])
def test_containers_that_cannot_seek(tmp_path, name):
    path = film(tmp_path / name, *X264, rate=25)
    whole = shown(open_video(path))
    done = subprocess.run([sys.executable, "-m", "stdo_min", "pipe", path, "--start", "1.2", "--end", "1.6"],
                          capture_output=True, check=True)
    begin = 30 - round(float(probe(path).start) * 25)
    assert done.stdout.partition(b"\n")[2] == b"".join(b"FRAME\n" + frame for frame in whole[begin:begin + 10])
    said = f"stdo: {path}: cannot be entered in the middle, so it is decoded from its start\n"
    assert done.stderr.decode() in ("", said)
    if name == "a.h264":
        assert done.stderr.decode() == said


# ---- What lies beside the picture ----


def packet_times(path, kind):
    lines = ffmpeg("-i", path, "-map", f"0:{kind}", "-c", "copy", "-f", "framecrc", "-").decode().splitlines()
    (base,) = (Fraction(line.split(": ")[1]) for line in lines if line.startswith("#tb 0"))
    return [(int(line.split(",")[2]) * base, line.split(",")[5]) for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("stretch", [Stretch(31, 36), Stretch(31, None), Stretch(0, 40)])
def test_the_sound_is_in_step(late, tmp_path, suffix, stretch):
    video, whole, part = open_video(late), tmp_path / f"whole{suffix}", tmp_path / f"part{suffix}"
    decode(video, whole)
    said = []
    count = decode(video, part, stretch=stretch, progress=lambda *now: said.append(now))
    assert count == (stretch.count or COUNT - stretch.first)
    assert said == [(done, count) for done in range(1, count + 1)]
    assert sum(1 for _ in read_lr(probe(part))) == count
    at = {crc: time for time, crc in packet_times(whole, "a")}
    shift = time_of(video.info, stretch.first) - Fraction(probe(part).start).limit_denominator(10**6)
    sound = packet_times(part, "a")
    assert all(abs(at[crc] - shift - time) < Fraction(1024, 48000) for time, crc in sound if crc in at)
    assert sum(crc in at for _, crc in sound) >= len(sound) - 1
    begin, end = ((time_of(video.info, frame) if frame else 0) - shift for frame in (
        stretch.first, stretch.first + (stretch.count or 10**6)))
    last = min(end, max(at.values()) - shift)
    assert float(sound[0][0] - begin) == pytest.approx(0, abs=0.022) and abs(sound[-1][0] - last) < 0.045
    words = {crc for _, crc in packet_times(whole, "s")}
    assert any(crc in words for _, crc in packet_times(part, "s"))


def test_chapters_are_cut(late, tmp_path):
    decode(open_video(late), tmp_path / "part.mkv", stretch=Stretch(24, 24))  # 1.5 to 2.5 seconds
    said = ffmpeg("-i", tmp_path / "part.mkv", "-f", "ffmetadata", "-").decode()
    assert "part 1" in said and "part 2" in said and "part 0" not in said and "part 3" not in said


def test_serve_and_pipe_of_a_stretch(late, tmp_path):
    video = open_video(late)
    out = io.BytesIO()
    assert pipe(video, out, stretch=Stretch(30, 12)) == 12
    assert out.getvalue().partition(b"\n")[2] == b"".join(b"FRAME\n" + frame for frame in shown(video)[30:42])
    served = tmp_path / "served.mp4"
    served.write_bytes(b"".join(stream(late, times=(Fraction("1.75"), Fraction("2.25")))))
    info = probe(served)
    assert sum(1 for _ in read_lr(info)) == 12
    sound = packet_times(served, "a")
    assert float(sound[-1][0] + Fraction(1024, 48000)) == pytest.approx(0.5, abs=0.05)


def test_mpv_gets_the_sound_of_a_stretch(late, tmp_path, monkeypatch):
    """Real mpv takes fd:// and --length (0.35), with the sound in step."""
    fake = tmp_path / "mpv"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$GOT"\nfor one; do case $one in --audio-file=fd://*)\n'
                    f'{sys.executable} -c "import os, sys; sys.stdout.buffer.write(os.fdopen(int(sys.argv[1]), \'rb\')'
                    '.read())" "${one##*/}" > "$GOT.mka";; esac; done\nexec /bin/cat > /dev/null\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin:/bin")
    monkeypatch.setenv("GOT", str(tmp_path / "got"))
    play(open_video(late), "mpv", stretch=Stretch(36, 12))
    said = (tmp_path / "got").read_text().splitlines()
    assert said[1].startswith("--audio-file=fd://")
    assert {"--length=0.500000", "--audio-demuxer=lavf"} <= {*said}
    heard = {crc for _, crc in packet_times(tmp_path / "got.mka", "a")}
    whole = packet_times(late, "a")
    assert [time for time, crc in whole if crc in heard][0] == pytest.approx(2.0, abs=0.05)
    play(open_video(late), "mpv", stretch=Stretch(0, 12))
    said = (tmp_path / "got").read_text().splitlines()
    assert f"--audio-file={late.absolute()}" in said and "--length=0.500000" in said
    assert [one for one in said if one.startswith("--audio-delay=-0.5")]


# ---- The options ----


@pytest.mark.parametrize(("text", "seconds"), [
    ("0", 0), ("7.5", 7.5), ("90", 90), ("1:30", 90), ("01:30.25", 90.25), ("00:31:00", 1860), ("1:02:03.5", 3723.5),
    ("90s", 90), ("1.5m", 90), ("2h", 7200), ("0.001", 0.001),
])
def test_times(text, seconds):
    assert options.moment(text) == Fraction(str(seconds))


@pytest.mark.parametrize("text", ["", "x", "-1", "1:", ":30", "1:60", "1:75:00", "1:2:3:4", "5 m", "1d", "1e3", "1:30s",
                                  "nan", "1:2.5:3"])
def test_what_is_no_time(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a time; write .*SS.* or 90s, 5m, 1h"):
        options.moment(text)


def test_the_frames_between_two_times(late):
    info = replace(probe(late), rate=Fraction(24), start=0.5)

    def between(start, end):
        return stretch_between(info, COUNT, *(None if text is None else Fraction(text) for text in (start, end)))

    assert between(None, None) == (0, None) == between("0", "99")
    assert between("0.5", None) == (0, None) and between("0.501", None) == (1, None)
    assert between("0.542", "0.583") == (1, 1)  # frame 1 is at 0.541666, which players show as 0.542
    assert between("1", "2") == (12, 24) and between(None, "1") == (0, 12)
    for start, end, message in [
        ("2", "1", "--end 00:00:01.000 is not after --start 00:00:02.000"), ("2", "2", "is not after"),
        ("4", None, r"--start 00:00:04.000 lies beyond its end; it is 00:00:03.833 long"),
        ("1.01", "1.02", r"no frame lies between 00:00:01.010 and 00:00:01.020"),
        (None, "0.3", "first one is at 00:00:00.500"),
    ]:
        with pytest.raises(VideoError, match=message):
            between(start, end)


def test_a_clock():
    assert clock(Fraction(5467300, 1000)) == "01:31:07.300" and clock(Fraction(59.9996)) == "00:01:00.000"


def test_frames_that_are_not_there(late):
    for first, count in [(-1, 1), (0, 0), (COUNT, None), (COUNT - 1, 2)]:
        with pytest.raises(ValueError, match="must be within 0..79"):
            next(frames(open_video(late), 1, first, count))


def test_the_result_line(late, tmp_path):
    done = subprocess.run([sys.executable, "-m", "stdo_min", "decode", late, tmp_path / "a.mp4", "--start", "1",
                           "--end", "0:02", "-q"], capture_output=True, check=True, text=True)
    assert re.match(r".*a\.mp4: 24 frames from 00:00:01\.0[0-4]\d to 00:00:02\.0[0-4]\d; patches: ", done.stdout)
