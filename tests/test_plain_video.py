"""The plain video that a target of crf=N is held against."""

from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from stdo_min.algorithm import choose, rung
from stdo_min.algorithm.choose import Choice
from stdo_min.algorithm.frames import frame_pairs
from stdo_min.algorithm.plain_video import Held, Plain, held_against, plain_video
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.rung import base_planes, base_psnr
from stdo_min.algorithm.target import Target
from stdo_min.commands import aiming, choosing
from stdo_min.commands.aiming import Aim
from stdo_min.commands.encode import encode
from stdo_min.commands.training import sizes
from stdo_min.engine.budget import Budget
from stdo_min.format.psnr import psnr
from stdo_min.player import open_video
from stdo_min.video.keyframes import packet_sizes
from stdo_min.video.lr_parts import Part, encode_parts
from stdo_min.video.lr_video import encode_part, lr_size
from stdo_min.video.probe import probe
from stdo_min.video.work import Work

SMALL = Recipe(budget=Budget(steps=60), channels=(4,), patch=12, memory=16 << 20)


def film(*lengths):
    starts = np.cumsum((0, *lengths))
    return [Part(int(first), Path("part"), np.arange(first, first + count, dtype=np.uint32))
            for first, count in zip(starts, lengths, strict=False)]


@pytest.mark.parametrize("lengths, frames, found", [
    ((100,), 400, [(0, 100)]),  # all of it
    ((1000,), 400, [(0, 400)]),  # its first frames
    ((400, 400, 400), 300, [(0, 100), (400, 100), (800, 100)]),
    ((400,) * 8, 400, [(400, 100), (1200, 100), (2000, 100), (2800, 100)]),  # of some, evenly spread
    ((400,) * 10, 2200, [(400, 400), (1200, 400), (2000, 400), (2800, 400), (3600, 400)]),  # whole segments
    ((10, 10), 400, [(0, 10), (10, 10)]),
    ((100, 100), 3, [(0, 24), (100, 24)]),  # at least a second
])
def test_what_of_a_film_is_held_against_it(lengths, frames, found):
    seconds = frames * 1e6 / 4e6  # frames of a million pixels
    held = held_against(film(*lengths), 1000, 1000, seconds)
    assert [(one.part.first, len(one.cut.checksums)) for one in held] == found
    assert all(one.cut.checksums[0] == one.part.first for one in held)


def test_a_plain_video_goes_on_after_what_is_compared(smooth, tmp_path):
    """Frames that are coded as if the video ended with them would be worse than those of the film."""
    info = probe(smooth)
    header = sizes(Fraction(1), 0, 12, lr_size(info.width, info.height, Fraction(1)), info)
    (part,) = encode_parts(info, [0], Work(tmp_path), Fraction(1), codec="x264", crf=30, lossless=False)
    held = Held(part, 10)
    plain = plain_video(info, header, [held], "x264", 30, tmp_path)
    np.testing.assert_array_equal(plain.psnr, base_planes(info, header, [held.cut]))
    assert plain.bytes == sum(packet_sizes(part.path)[:10])


@pytest.mark.parametrize("away", [-4, 3])
def test_a_film_gets_the_quality_of_its_plain_video(smooth, tmp_path, away):
    """From a crf that is far off, in either direction; its nets are said to gain 0.3 dB."""
    info, lines, crfs, work = probe(smooth), [], [], Work(tmp_path)
    header, full = (sizes(Fraction(scale), 0, 12, lr_size(info.width, info.height, scale), info) for scale in (2, 1))
    choice = Choice(Fraction(2), 26 + away, True, 9e3, 36, 1e4, 36, 4.0, gain=0.3, given=True)

    def code(crf, finer):
        crfs.append(crf)
        return encode_parts(info, [0], work, Fraction(2), codec="x264", crf=crf, lossless=False, finer=finer)

    parts = Aim(Target("crf", 34), info, header, SMALL, "x264", work, code, 1, lines.append).parts(choice)
    asked = plain_video(info, full, [Held(parts[0], 24)], "x264", 34, tmp_path).psnr
    found = base_planes(info, header, parts)
    assert found[0] + 0.3 == pytest.approx(asked[0], abs=0.1)
    assert -0.1 < (found[1:] - asked[1:]).min() < 0.6
    assert 2 <= len(crfs) == 1 + len(lines) <= 4


@pytest.mark.parametrize("scale", [None, Fraction(2)])
def test_a_film_that_needs_more_bytes_than_plain_is_shipped_plain(clip, tmp_path, monkeypatch, short_trials, scale):
    """The stretches are said to lie: by them half the bytes suffice. Where the user gave the scale, it is kept."""
    real, lines = choose.choose, []

    def hopeful(*given, **options):
        return replace(real(*given, **options), scale=Fraction(2), crf=20, nets=True, bytes=1.0, finer=0, even=False)

    monkeypatch.setattr(choose, "choose", hopeful)
    result = encode(clip, tmp_path / "out.mkv", scale, SMALL, wanted=Target("crf", 34), note=lines.append)
    fell_back = any("takes more bytes so than plain" in line for line in lines)
    assert fell_back == (scale is None)
    video = open_video(tmp_path / "out.mkv")
    assert video.upscaler.scale == (2 if scale else 1)
    if fell_back:
        sums = encode_part(probe(clip), 0, None, tmp_path / "plain.mp4", 1, "x264", 34)
        header = sizes(Fraction(1), 0, 12, lr_size(160, 90, Fraction(1)), probe(clip))
        plain = base_psnr(probe(clip), header, [Part(0, tmp_path / "plain.mp4", sums)])
        assert result.nets and result.psnr_y == pytest.approx(plain, abs=0.2)  # nets pay after all
    assert not (tmp_path / "out.mkv.work").exists()


@pytest.mark.parametrize("luma, chroma", [(-1.0, 1.0), (-0.4, 0.56)])
def test_nothing_is_coded_twice_but_the_best(smooth, tmp_path, monkeypatch, luma, chroma):
    """A codec whose crfs are 1 dB apart, and whose steps of chroma are 0.56 dB: what is wanted lies between two."""
    coded, lines, info = [], [], probe(smooth)
    header = sizes(Fraction(2), 0, 12, lr_size(info.width, info.height, 2), info)

    def code(crf, finer):
        coded.append((crf, finer))
        return [Part(0, tmp_path / "part.mp4", np.zeros(24, np.uint32))]

    def planes(*_):
        crf, finer = coded[-1]
        return np.array([40 + luma * (crf - 48.4), *2 * [45 + 0.65 * luma * (crf - 48.4) + chroma * (finer - 1.4)]])

    monkeypatch.setattr(rung, "base_planes", planes)
    monkeypatch.setattr(Aim, "_plain", lambda *_: Plain(10_000, (40, 45, 45)))
    monkeypatch.setattr(aiming, "packet_sizes", lambda path: [100] * 24)
    monkeypatch.setattr(aiming, "drop_parts", lambda parts, work: None)
    choice = Choice(Fraction(2), 49, True, 9e3, 40, 1e4, 40, 4.0, finer=1)
    Aim(Target("crf", 55), info, header, SMALL, "av1", Work(tmp_path), code, 1, lines.append).parts(choice)
    assert len(coded) <= 4 and coded[-1][0] == 48
    assert len(set(coded)) >= len(coded) - 1 and len(lines) == len(coded) - 1
    assert chosen_again(tmp_path) == coded[-1]


def chosen_again(folder):
    kept = choosing.kept_choice(Work(folder))
    return kept.crf, kept.finer


def test_the_first_frames_of_a_part_are_those_of_the_film(smooth, tmp_path):
    info = probe(smooth)
    header = sizes(Fraction(1), 0, 12, lr_size(info.width, info.height, Fraction(1)), info)
    (part,) = encode_parts(info, [0], Work(tmp_path), Fraction(1), codec="x264", crf=30, lossless=False)
    with closing(frame_pairs(probe(part.path), info)) as both:
        errors = [np.square(lr.y.astype(int) - hr.y).sum() for lr, hr in both]
    for count in (10, 24):
        found = base_psnr(info, header, [part._replace(checksums=part.checksums[:count])])
        assert found == pytest.approx(psnr(sum(errors[:count]), count * info.width * info.height), abs=1e-9)


def test_a_plain_video_is_coded_once_and_alone_if_it_is_what_was_chosen(smooth, tmp_path):
    info, work = probe(smooth), Work(tmp_path)
    header = sizes(Fraction(1), 0, 12, lr_size(info.width, info.height, Fraction(1)), info)
    code = partial(encode_parts, info, [0], work, Fraction(1), codec="x264", lossless=False)
    plain = Choice(Fraction(1), 34, False, 1e4, 36, 1e4, 36, None)
    Aim(Target("crf", 34), info, header, SMALL, "x264", work, code, 1, print).parts(plain)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lr-00000.mp4", "source-00000"]
