"""A source opened in the middle gives the same frames as from its start, or says that it does not."""

import zlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from clips import ffmpeg, planes, same, write_raw
from films import KINDS

from stdo_min.video import read
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.frame_folder import open_source
from stdo_min.video.keyframes import keyframes
from stdo_min.video.probe import probe
from stdo_min.video.read import ROADS, Misplaced, checksum, grid_start, on_any_road, opening, read_source

EXACT = ("mp4", "mkv", "webm", "late", "cut")  # on every road


@pytest.fixture(scope="module")
def films(film_of):
    """(info, checksums of all frames) of a kind of film."""
    made = {}

    def get(kind):
        if kind not in made:
            info = probe(film_of(kind))
            made[kind] = info, np.array([checksum(frame) for frame in read_source(info)], np.uint32)
        return made[kind]

    return get


def stretches(frames):
    return [(1, 4), (50, 1), (211, 60), (499, 9), (frames - 30, None)]


@pytest.mark.parametrize("kind", KINDS)
def test_some_road_leads_to_every_stretch(films, kind):
    info, sums = films(kind)
    for first, count in stretches(len(sums)):
        wanted = sums[first : None if count is None else first + count]

        def work(road, first=first, count=count, wanted=wanted):
            return road, [checksum(frame) for frame in read_source(info, first, count, road, wanted)]

        road, read = on_any_road(work, info, first)
        assert read == wanted.tolist()
        if kind in EXACT:
            assert road == "seek"
        if kind == "vfr":
            assert road != "start"


@pytest.mark.parametrize("kind", EXACT)
def test_exact_containers_need_no_sums(films, kind):
    info, sums = films(kind)
    for first, count in stretches(len(sums)):
        for road in ROADS:
            assert (road == "start") == (opening(info, first, road) == []) or first < 400
            read = [checksum(frame) for frame in read_source(info, first, count, road)]
            assert read == sums[first : None if count is None else first + count].tolist(), (first, road)


def test_the_checksum_is_that_of_framecrc(films):
    info, sums = films("mkv")
    out = ffmpeg("-i", info.path, "-map", "0:v", "-pix_fmt", "yuv420p", "-c:v", "rawvideo", "-f", "framecrc", "-")
    assert [int(line.split(b",")[5], 16) for line in out.splitlines() if line[:1] != b"#"] == sums.tolist()
    assert sums[0] == zlib.adler32(b"".join(plane.tobytes() for plane in next(read_source(info))), 0)


@pytest.mark.parametrize("first,road", [(0, "start"), (0, "seek"), (100, "seek"), (100, "start")])
def test_other_frames_than_those_known_are_misplaced(films, first, road):
    info, sums = films("mp4")
    good = sums[first : first + 20]
    for wrong in (good[:-1], np.append(good, good[:1]), good[::-1], good + np.uint32(1)):
        count = None if len(wrong) > 20 and first == 0 else 20
        with pytest.raises(Misplaced, match=r"mp4\.mp4: frame \d+ .* remux it"):
            list(read_source(info, first, count, road, wrong))


def test_the_end_of_a_film_is_found_missing(films):
    info, sums = films("mkv")
    with pytest.raises(Misplaced, match=f"frame {len(sums)} "):
        list(read_source(info, 500, 200, "seek", np.append(sums[500:], sums[:9])))
    with pytest.raises(VideoError, match=r"mkv\.mkv: "):
        list(read_source(info, len(sums), 5, "seek"))


def test_roads_are_tried_in_turn_and_the_last_is_announced(films):
    info, _ = films("mkv")
    taken, notes = [], []

    def work(road, good="start"):
        taken.append(road)
        if road != good:
            raise Misplaced(road)
        return 7

    assert on_any_road(work, info, 100, notes.append) == 7
    assert taken == list(ROADS)
    assert notes == [f"{info.path}: cannot be opened in the middle exactly, so it is decoded from its start"]
    assert on_any_road(lambda road: work(road, "early"), info, 100, notes.append) == 7
    assert on_any_road(work, info, 0, notes.append) == 7, "there is one road to the first frame"
    assert taken == [*ROADS, *ROADS[:2], "start"] and len(notes) == 1
    with pytest.raises(Misplaced, match="start"):
        on_any_road(lambda road: work(road, "none"), info, 100)


def test_a_damaged_file_is_called_so_in_the_end(films, tmp_path):
    info, sums = films("mp4")
    data = bytearray(info.path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = np.random.default_rng(0).bytes(4000)
    (tmp_path / "bad.mp4").write_bytes(data)
    bad = probe(tmp_path / "bad.mp4")
    with pytest.raises(VideoError, match=r"bad\.mp4: ") as caught:
        on_any_road(lambda road: list(read_source(bad, 200, 300, road)), bad, 200)
    assert not isinstance(caught.value, Misplaced)


def test_the_whole_is_read_by_the_same_command(films, monkeypatch):
    info, _ = films("late")
    commands = []
    monkeypatch.setattr(read, "ffmpeg_process", lambda arguments, *_, **__: commands.append(arguments) or 1 / 0)
    for stretch in ({}, {"road": "seek"}, {"first": 3}):
        with pytest.raises(ZeroDivisionError):
            next(read_source(info, **stretch))
    assert commands[0] == commands[1]
    assert "trim" not in str(commands[0]) and "-ss" not in commands[0]
    assert f"fps={info.rate},trim=start_pts={grid_start(info) + 3},scale" in str(commands[2])


def test_a_start_of_half_a_period_counts_as_ffmpeg_counts(tmp_path):
    raw = write_raw(tmp_path / "raw.mkv", planes(), rate=24)
    ffmpeg("-i", raw, "-f", "lavfi", "-t", "1", "-i", "sine", "-vf", "settb=1/48,setpts=2*N+1", "-fps_mode",
           "passthrough", "-enc_time_base:v", "1:48", "-c:v", "libx264", "-qp", "0", "-bf", "0",
           "-movie_timescale", "48000", tmp_path / "half.mov")
    info = replace(probe(tmp_path / "half.mov"), rate=Fraction(24))
    assert info.start == pytest.approx(1 / 48, abs=1e-6)
    assert grid_start(info) == 1
    frames = list(read_source(info))
    assert same(read_source(info, 1, 2), frames[1:3])


@pytest.mark.parametrize("kind", KINDS)
def test_keyframes_are_those_a_decoder_finds(films, kind):
    info, sums = films(kind)
    numbers, frames = keyframes(info)
    assert numbers.dtype == np.int64 and numbers[0] == 0 and (np.diff(numbers) > 0).all()
    assert frames == len(sums) > numbers[-1]
    out = ffmpeg("-skip_frame", "nokey", "-i", info.path, "-map", "0:v", "-fps_mode", "passthrough", "-pix_fmt",
                 "yuv420p", "-c:v", "rawvideo", "-f", "framecrc", "-")
    found = [int(line.split(b",")[5], 16) for line in out.splitlines() if line[:1] != b"#"]
    if kind == "webm":  # whose decoder skips nothing
        return
    numbers = numbers[kind == "cut" :]
    assert len(found) == len(numbers) > 5
    # In an .mpg two frames may fall on one place of the grid, which the second gets. Where packets have no times they
    # are counted, and B frames are stored after a frame that is shown later.
    shown = [place for place, value in enumerate(found) if kind != "mpg" or value in sums]
    places = np.array([sums.tolist().index(found[place]) for place in shown])
    assert len(shown) >= len(found) - 1
    assert np.abs(places - numbers[shown]).max() <= (2 if kind in ("avi", "mpg") else 0)


def test_a_folder_is_all_keyframes_and_gives_its_slice(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    ffmpeg("-i", write_raw(tmp_path / "raw.mkv", planes(32, 24, 1)), folder / "%d.png")
    info = open_source(folder, Fraction(8))
    numbers, frames = keyframes(info)
    assert numbers.tolist() == list(range(8)) and frames == 8
    whole = list(read_source(info))
    sums = np.array([checksum(frame) for frame in whole], np.uint32)
    assert same(read_source(info, 3, 4, "seek", sums[3:7]), whole[3:7])
    assert same(read_source(info, 6), whole[6:])
    with pytest.raises(Misplaced, match="frame 4 "):
        list(read_source(info, 4, 2, sums=sums[:2]))
    with pytest.raises(VideoError, match="has 8 pictures; begin before picture 9"):
        list(read_source(info, 8))


@pytest.mark.parametrize("kept", range(240, 260, 5))  # thousandths: within packets of the picture and of the sound
def test_a_cut_film_is_found_by_a_demux(films, tmp_path, kept):
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    ffmpeg("-i", films("mp4")[0].path, "-c", "copy", "-movflags", "+faststart", whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * kept // 1000])
    with pytest.raises(VideoError, match=r"cut\.mp4: .*damaged"):
        keyframes(probe(cut))
    with pytest.raises(VideoError, match=r"cut\.mp4: .*damaged"):
        list(read_source(probe(cut)))
