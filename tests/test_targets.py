"""`stdo encode` with a target and at every scale: what it chooses is what it makes, and it goes on where it stopped."""

import json
import re
from dataclasses import replace
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from clips import ffmpeg, same

from stdo_min.algorithm import rung
from stdo_min.algorithm.choose import Choice
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.rung import base_psnr, sidecar_bytes
from stdo_min.algorithm.target import Target
from stdo_min.cli import main
from stdo_min.commands import aiming, choosing, training
from stdo_min.commands.aiming import Aim, tell_size
from stdo_min.commands.choosing import Trying, chosen
from stdo_min.commands.demo import write_demo
from stdo_min.commands.encode import encode
from stdo_min.commands.eval import evaluate
from stdo_min.commands.info import describe
from stdo_min.commands.train import train
from stdo_min.commands.training import sizes
from stdo_min.engine.budget import Budget
from stdo_min.format import sidecar
from stdo_min.format.reference import upscale_frame
from stdo_min.player import frames, open_video, read_sidecar
from stdo_min.video.ffmpeg import VideoError, ask, ffmpeg_executable
from stdo_min.video.keyframes import packet_sizes
from stdo_min.video.lr_parts import Part, encode_parts
from stdo_min.video.lr_video import encode_lr, encode_part
from stdo_min.video.mux import read_attachment
from stdo_min.video.probe import probe
from stdo_min.video.read import read_lr, read_source
from stdo_min.video.vmaf import vmaf
from stdo_min.video.work import Work

SMALL = Recipe(budget=Budget(steps=60), channels=(4,), patch=12, memory=16 << 20)


pytestmark = pytest.mark.usefixtures("short_trials")


@pytest.fixture(scope="module")
def brief(once):
    """A clip of 12 frames, for what only asks whether an encode that chooses its scale does the same again."""
    return once("brief", lambda folder: write_demo(folder / "clip.mp4", 160, 90, 1, 12)) / "clip.mp4"


@pytest.fixture
def tried():
    """The lines that say which scale and crf are tried."""
    lines = []
    return lines, lambda line: lines.append(line) if line.startswith("trying") else None


@pytest.mark.parametrize("scale", ["1", "3/2", "2", "3"])
def test_each_scale_plays_as_it_was_measured(clip, tmp_path, scale):
    out, scale = tmp_path / "out.mkv", Fraction(scale)
    result = encode(clip, out, scale, SMALL, crf=34)
    video = open_video(out)
    found = evaluate(clip, video)
    assert found["scale"] == scale == Fraction(video.upscaler.scale)
    assert (video.upscaler.hr_width, video.upscaler.hr_height) == (160, 90)
    assert found["psnr_y"] == pytest.approx(result.psnr_y, abs=1e-3)
    assert result.psnr_y >= result.psnr_bicubic_y
    assert describe(video.data)["version"] == 3
    parsed = sidecar.read(video.data)
    shown = next(frames(video))
    lr = next(read_lr(video.info))
    for plane, wanted in zip(shown.hr, upscale_frame(parsed, 0, shown.labels, lr), strict=True):
        np.testing.assert_array_equal(plane, wanted)


@pytest.mark.parametrize("scale", ["1", "3/2", "3"])
def test_train_finds_the_scale(clip, tmp_path, scale):
    lr = tmp_path / "lr.mp4"
    encode_lr(probe(clip), lr, Fraction(scale), crf=30)
    train(lr, clip, tmp_path / "lr.stdo", SMALL)
    assert sidecar.read(read_sidecar(tmp_path / "lr.stdo")).scale == Fraction(scale)


def test_a_scale_between_two_videos_must_exist(clip, tmp_path):
    encode_lr(probe(clip), tmp_path / "lr.mp4", 2, crf=30)
    with pytest.raises(VideoError, match="is not 160x90 at scale 1.5;"):
        train(tmp_path / "lr.mp4", clip, tmp_path / "lr.stdo", SMALL, scale=Fraction(3, 2))


def test_nets_that_do_not_pay_leave_the_plain_video(clip, tmp_path, tried):
    """On a tiny clip nets of 16,16 cost more than they can save."""
    lines, note = tried
    out, plain = tmp_path / "out.mkv", tmp_path / "plain.mkv"
    dear = Recipe(budget=Budget(steps=10), channels=(16, 16), patch=12)
    result = encode(clip, out, None, dear, wanted=Target("crf", 20), note=note)
    encode_lr(probe(clip), plain, 1, crf=20)
    assert result.nets == 0 and result.psnr_y == result.psnr_bicubic_y
    assert packet_sizes(out) == packet_sizes(plain)
    assert result.bytes_sidecar < 100
    found = evaluate(clip, open_video(out))
    assert (found["scale"], found["nets"][0]["patches"] > 0) == (1, True)
    assert len(lines) >= 2


def test_a_low_rate_takes_a_small_lr_video(smooth, tmp_path):
    result = encode(smooth, tmp_path / "out.mkv", None, SMALL, wanted=Target("crf", 30))
    video = open_video(tmp_path / "out.mkv")
    assert video.upscaler.scale > 1
    encode_lr(probe(smooth), tmp_path / "plain.mkv", 1, crf=30)
    assert sum(packet_sizes(tmp_path / "out.mkv")) + result.bytes_sidecar < sum(packet_sizes(tmp_path / "plain.mkv"))


def test_chroma_is_coded_as_finely_as_chosen(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(rung.Rungs, "_chroma", lambda *_: np.zeros(2))  # or a net would do
    info, wanted, scale = probe(clip), Target("crf", 34), Fraction(1)
    (tmp_path / "work").mkdir()
    work = Work(tmp_path / "work")
    choice = chosen(info, wanted, scale, SMALL, "x264", 20, work, 1, lambda line: None)
    assert choice.finer > 0 and choosing.kept_choice(work) == choice
    crf, finer, lines = choice.crf, choice.finer, []
    encode(clip, tmp_path / "out.mkv", scale, SMALL, wanted=wanted, note=lines.append)
    for line in lines:  # it may be coded again
        if again := re.search(r"once more at crf ([\d.]+)(?: with chroma (\d+) steps finer)?", line):
            crf, finer = float(again[1]), int(again[2] or 0)
    encode_part(info, 0, None, tmp_path / "part.mp4", scale, "x264", crf, finer=finer)
    assert same(read_lr(probe(tmp_path / "out.mkv")), read_lr(probe(tmp_path / "part.mp4")))


@pytest.mark.parametrize("scale", [None, Fraction(2)])
def test_a_size_is_met(clip, tmp_path, scale):
    result = encode(clip, tmp_path / "out.mkv", scale, SMALL, wanted=Target("size", 40_000))
    size = sum(packet_sizes(tmp_path / "out.mkv")) + result.bytes_sidecar
    assert size == pytest.approx(40_000, rel=0.02)
    assert scale is None or open_video(tmp_path / "out.mkv").upscaler.scale == scale


LONGER, LONGEST = (replace(SMALL, budget=Budget(steps=steps)) for steps in (250, 600))


@pytest.fixture
def unforeseen(monkeypatch):
    """Nets of rungs train so shortly that those of the film gain more than is foreseen."""
    monkeypatch.setattr(rung, "STEPS", 6)
    monkeypatch.setattr(rung, "MORE_STEPS", 1)


@pytest.mark.parametrize("wanted", [Target("psnr", 36.0), Target("crf", 34)])
def test_a_quality_is_met_with_the_nets_that_there_are(smooth, tmp_path, unforeseen, wanted):
    lines = []
    result = encode(smooth, tmp_path / "out.mkv", Fraction(3, 2), LONGEST, wanted=wanted, note=lines.append)
    asked = wanted.value
    if wanted.kind == "crf":
        sums = encode_part(probe(smooth), 0, None, tmp_path / "plain.mp4", 1, "x264", 34)
        full = sizes(Fraction(1), 0, 12, (240, 136), probe(smooth))
        asked = base_psnr(probe(smooth), full, [Part(0, tmp_path / "plain.mp4", sums)])
    assert result.nets and result.psnr_y == pytest.approx(asked, abs=0.1)
    assert any("once more" in line for line in lines)
    assert evaluate(smooth, open_video(tmp_path / "out.mkv"))["psnr_y"] == pytest.approx(result.psnr_y, abs=1e-3)


def test_a_film_without_error_is_not_coded_again(tmp_path):
    flat, lines = tmp_path / "flat.mkv", []
    ffmpeg("-f", "lavfi", "-i", "color=black:size=96x96:rate=12:duration=2", "-c:v", "libx264", "-qp", "0", flat)
    result = encode(flat, tmp_path / "out.mkv", None, SMALL, wanted=Target("crf", 26), note=lines.append)
    assert result.psnr_y == np.inf and not any("once more" in line for line in lines)


@pytest.mark.parametrize("mode", ["single", "auto"])
def test_a_segment_without_nets_is_coded_again_beside_one_with(smooth, tmp_path, unforeseen, mode):
    film, lines = tmp_path / "film.mkv", []
    ffmpeg("-f", "lavfi", "-i", "color=black:size=240x136:rate=12:duration=1,format=yuv420p", "-i", smooth,
           "-filter_complex", "[0:v][1:v]concat=n=2:v=1", "-c:v", "libx264", "-qp", "0", "-g", "12", film)
    result = encode(film, tmp_path / "out.mkv", Fraction(3, 2), replace(LONGER, mode=mode), wanted=Target("psnr", 38.0),
                    segment=1.0, note=lines.append)
    dull, *others = sidecar.read(read_attachment(probe(tmp_path / "out.mkv"))).segments
    assert not dull.nets and all(segment.nets for segment in others)
    assert any("once more" in line for line in lines)
    assert evaluate(film, open_video(tmp_path / "out.mkv"))["psnr_y"] == pytest.approx(result.psnr_y, abs=1e-3)


def test_a_size_is_met_with_the_nets_that_there_are(smooth, tmp_path, unforeseen):
    lines = []
    result = encode(smooth, tmp_path / "out.mkv", Fraction(3, 2), LONGER, wanted=Target("size", 12_000),
                    note=lines.append)
    lr = sum(packet_sizes(tmp_path / "out.mkv"))
    assert 0.97 * 12_000 < lr + result.bytes_sidecar <= 12_000
    assert not any("above the target" in line for line in lines)


def test_a_film_stopped_while_it_is_coded_once_more_goes_on(smooth, tmp_path, unforeseen):
    """It is coded again once its nets are trained; a run that is killed then ends with the same bytes."""
    def encoded(name, stop=None):
        codings, lines = [], []

        def progress(done, expected):
            codings.extend([done] * (done == 1))
            if len(codings) == stop:
                raise KeyboardInterrupt

        encode(smooth, tmp_path / name, Fraction(3, 2), LONGER, wanted=Target("psnr", 36.0), note=lines.append,
               lr_progress=progress)
        return len(codings), (tmp_path / name).read_bytes(), lines

    codings, whole, _ = encoded("whole.mkv")
    with pytest.raises(KeyboardInterrupt):
        encoded("stopped.mkv", codings)
    assert choosing.kept_choice(Work(tmp_path / "stopped.mkv.work")).rounds >= 1
    codings, data, lines = encoded("stopped.mkv")
    assert (codings, data) == (1, whole) and not any("misses the target" in line for line in lines)


by_vmaf = pytest.mark.skipif(b" libvmaf " not in ask(ffmpeg_executable(), ["-filters"]).out,
                             reason="this ffmpeg has no libvmaf")


@by_vmaf
def test_a_vmaf_is_met(smooth, tmp_path):
    out = tmp_path / "out.mkv"
    encode(smooth, out, Fraction(3, 2), SMALL, wanted=Target("vmaf", 85))
    info = probe(smooth)

    pairs = ((shown.hr, truth) for shown, truth in zip(frames(open_video(out)), read_source(info), strict=True))
    assert vmaf(info, pairs) == pytest.approx(85, abs=2)
    same = ((truth, truth) for truth in read_source(info))
    assert vmaf(info, same) > 95


@by_vmaf
def test_nets_that_do_not_pay_in_vmaf_leave_the_small_lr_video(smooth, tmp_path):
    out, lines = tmp_path / "out.mkv", []
    dear = Recipe(budget=Budget(steps=10), channels=(16, 16), patch=12)
    result = encode(smooth, out, Fraction(2), dear, wanted=Target("vmaf", 70), note=lines.append)
    assert any("scale 2 at crf" in line and "without nets" in line for line in lines)
    assert (result.nets, result.bytes_sidecar) == (0, 55) and open_video(out).upscaler.scale == 2
    assert evaluate(smooth, open_video(out))["psnr_y"] == pytest.approx(result.psnr_bicubic_y, abs=1e-3)


class Film:
    """A film whose size and VMAF follow from the crf by known curves, which are not the axes'; one part."""

    def __init__(self, clip, tmp_path, monkeypatch, log_bytes, vmaf):
        (tmp_path / "part.mp4").touch()
        self.info, self.work, self.coded, self.path = probe(clip), Work(tmp_path), [], tmp_path / "part.mp4"
        self.size = lambda: 1e6 * np.exp(log_bytes * self.coded[-1])
        monkeypatch.setattr(aiming, "packet_sizes", lambda path: [self.size()])
        monkeypatch.setattr(aiming, "drop_parts", lambda parts, work: None)
        monkeypatch.setattr(rung, "base_vmaf", lambda *_: 130 + vmaf * self.coded[-1])

    def __call__(self, crf, finer):
        self.coded.append(crf)
        return [Part(0, self.path, np.zeros(24, np.uint32))]

    def coded_to(self, wanted, codec, crf, gain=0.0):
        """The crfs that it is coded at, from one on."""
        choice = Choice(Fraction(2), crf, True, 1e6, 40, 1e6, 40, None, gain)
        Aim(wanted, self.info, header_of(self.info), SMALL, codec, self.work, self, 1, lambda line: None).parts(choice)
        return self.coded


def header_of(info):
    return sizes(Fraction(2), 0, 12, (80, 46), info)


@pytest.mark.parametrize("gain", [0.0, 5.0])
def test_a_vmaf_is_checked_on_the_whole_film(clip, tmp_path, monkeypatch, gain):
    crfs = Film(clip, tmp_path, monkeypatch, -0.12, -2.8).coded_to(Target("vmaf", 70), "x264", 30, gain)
    assert 2 <= len(crfs) <= 4
    assert 130 - 2.8 * crfs[-1] + gain == pytest.approx(70, abs=1)


def test_a_vmaf_that_is_near_is_taken(clip, tmp_path, monkeypatch):
    assert len(Film(clip, tmp_path, monkeypatch, -0.12, -2.8).coded_to(Target("vmaf", 70.9), "x264", 21.4)) == 1


@pytest.mark.parametrize("start", [26, 30, 33, 40])
@pytest.mark.parametrize("log_bytes", [-0.05, -0.08])
def test_av1_takes_the_crf_next_below_a_size(clip, tmp_path, monkeypatch, log_bytes, start):
    """Whole crfs of 5 to 8 % of the bytes each: the file stays below, by less than one of them."""
    film = Film(clip, tmp_path, monkeypatch, log_bytes, -2)
    wanted = Target("size", 1e6 * np.exp(log_bytes * 32.5) + 700)
    crfs = film.coded_to(wanted, "av1", start)
    assert crfs[-1] in (33, 34)
    assert film.size() <= wanted.value


@pytest.mark.parametrize("start", [26, 31.9, 40])
def test_a_size_is_met_within_two_percent(clip, tmp_path, monkeypatch, start):
    film = Film(clip, tmp_path, monkeypatch, -0.1, -2)
    film.coded_to(Target("size", 40_000), "x264", start)
    beside = sidecar_bytes(SMALL, film.size(), 1, 24, header_of(film.info), maps=True)
    assert 0.98 * 40_000 < film.size() + beside <= 40_000


@pytest.mark.parametrize("above", [0.001, 0.005, 0.012])
def test_a_size_is_a_limit(clip, tmp_path, monkeypatch, above):
    """A film that is above it by less than a tenth of a crf is coded again all the same."""
    film = Film(clip, tmp_path, monkeypatch, -0.1, -2)
    beside = sidecar_bytes(SMALL, 1e5, 1, 24, header_of(film.info), maps=True)
    wanted = Target("size", 1e6 * np.exp(-0.1 * 30 - above) + beside)
    assert len(film.coded_to(wanted, "x264", 30)) == 2
    assert 0.98 * wanted.value < film.size() + beside <= wanted.value


@pytest.mark.parametrize("stop", [2, 3])
def test_a_film_stopped_between_codings_is_coded_as_if_it_had_not_been(clip, tmp_path, stop):
    """From a crf so far off it takes three codings, and the last crf follows from the two before."""
    info, wanted, far = probe(clip), Target("size", 20_000), Choice(Fraction(2), 44, True, 1e4, 40, 1e4, 40, None)
    begun = []

    def coded(folder, stop):
        def progress(done, expected):
            begun.extend([done] * (done == 1))
            if len(begun) == stop:
                raise KeyboardInterrupt

        work = Work(folder)
        folder.mkdir(exist_ok=True)
        choice = choosing.kept_choice(work) if work.has(choosing.CHOICE) else far
        code = partial(encode_parts, info, [0], work, Fraction(2), codec="x264", lossless=False, progress=progress)
        (part,) = Aim(wanted, info, header_of(info), SMALL, "x264", work, code, 1, lambda line: None).parts(choice)
        return part.path.read_bytes()

    whole = coded(tmp_path / "whole", None)
    assert len(begun) >= 3
    begun.clear()
    with pytest.raises(KeyboardInterrupt):
        coded(tmp_path / "stopped", stop)
    assert coded(tmp_path / "stopped", None) == whole


def test_a_budget_that_is_too_small_is_refused_before_a_rung_is_tried(clip, tmp_path, monkeypatch, tried):
    lines, note = tried
    monkeypatch.setattr(training, "pass_seconds", lambda *_: 1.0)
    with pytest.raises(VideoError, match="a budget of 10 s is too small"):
        encode(clip, tmp_path / "out.mkv", None, Recipe(budget=Budget(seconds=10)), wanted=Target("crf", 30), note=note)
    assert not lines and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scale", [None, Fraction(2)])
def test_a_clip_without_room_for_a_patch_at_any_scale_is_named(clip, tmp_path, scale):
    recipe, size = replace(SMALL, patch=100), "80x46" if scale else "160x90"
    with pytest.raises(VideoError, match=rf"clip\.mp4: its lr video of {size} is smaller than one patch of 100x100"):
        chosen(probe(clip), Target("crf", 30), scale, recipe, "x264", 20.0, Work(tmp_path), 1, lambda line: None)


def test_trying_ends_before_its_seconds_are_over(monkeypatch):
    now, lines = [100.0], []
    monkeypatch.setattr(choosing.time, "monotonic", lambda: now[0])
    trying = Trying(11.0, lines.append)
    for seconds in (3.0, 2.0, 3.0):
        trying.tell(Fraction(2), 30)
        assert trying.more()
        now[0] += seconds
    assert trying.more() is True  # 8 of 11 seconds are over, and the latest took 3
    trying.tell(Fraction(3), 25)
    now[0] += 2.0
    assert not trying.more()
    assert trying.short and trying.rungs == len(lines) == 4
    now[0] += 1000
    assert Trying(None, lines.append).more()


def test_a_kill_while_a_scale_is_tried_leaves_a_folder_that_is_swept(brief, tmp_path):
    out = tmp_path / "out.mkv"

    def stop(line):
        if line.startswith("trying"):
            raise KeyboardInterrupt

    work = tmp_path / "out.mkv.work"
    with pytest.raises(KeyboardInterrupt):
        encode(brief, out, None, SMALL, wanted=Target("crf", 40), note=stop)
    assert not work.exists()  # nothing was finished
    work.mkdir()
    (work / "run.json").write_text("{}")
    (work / "killed.tmp").mkdir()
    (work / "killed.tmp" / "rung-0.mp4").touch()
    encode(brief, out, None, SMALL, wanted=Target("crf", 40), restart=True)
    assert out.exists() and not work.exists()


def test_what_was_chosen_is_kept(brief, tmp_path, tried):
    lines, note = tried

    def stop(done, expected):
        raise KeyboardInterrupt

    out, options = tmp_path / "out.mkv", {"wanted": Target("crf", 40), "note": note}
    with pytest.raises(KeyboardInterrupt):
        encode(brief, out, None, SMALL, **options, lr_progress=stop)
    kept = json.loads((tmp_path / "out.mkv.work" / "choice").read_text())
    assert lines
    lines.clear()
    encode(brief, out, None, SMALL, **options)
    assert not lines
    assert open_video(out).upscaler.scale == Fraction(kept["scale"])


def test_steps_repeat_what_is_chosen(brief, tmp_path):
    for name in ("a.mkv", "b.mkv"):
        encode(brief, tmp_path / name, None, SMALL, wanted=Target("crf", 38), threads=1 if name == "a.mkv" else 2)
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


@pytest.mark.parametrize(("options", "message"), [
    (["--scale", "2.5"], "'2.5' is not a scale: 1, 1.5, 2, 3, 4"),
    (["--target", "good"], "'good' is not a target such as crf=26"),
    (["--scale", "1.5", "--patch", "10"], "--patch is 10; at scale 1.5 it must be a multiple of 4"),
    (["--target", "crf=20", "--lossless"], "not allowed with"), (["--crf", "60"], "crf is 60; x264 takes 0..51"),
    (["--general", "some.stdo"], "its net is for one scale; give that with --scale"),
])
def test_what_is_not_possible_is_said(clip, tmp_path, capsys, options, message):
    try:
        assert main(["encode", str(clip), str(tmp_path / "o.mkv"), *options]) == 1
    except SystemExit as error:
        assert error.code == 2
    assert message in capsys.readouterr().err


def test_a_size_that_is_exceeded_in_the_end_is_told():
    lines = []
    tell_size(Target("size", 1000), 1000, 1.0, lines.append)
    tell_size(Target("psnr", 40), 10**9, 1.0, lines.append)
    assert not lines
    tell_size(Target("bitrate", 8000), 1234, 1.0, lines.append)
    assert lines == ["pictures, nets and map take 1,234 bytes, 23.4 % above the target"]
