"""The whole road on the drawn clip: encode, then play, and the numbers agree."""

import time
import zlib
from dataclasses import replace

import numpy as np
import pytest
from clips import ffmpeg, full_clip, metadata, sound_length

from bench.quantise import measure
from stdo_min.algorithm import overfit, siting
from stdo_min.algorithm.crew import Crew
from stdo_min.algorithm.recipe import MODES, Recipe
from stdo_min.commands.encode import encode
from stdo_min.commands.eval import evaluate
from stdo_min.commands.info import describe
from stdo_min.commands.train import train
from stdo_min.engine.budget import Budget
from stdo_min.format import patchmap, reference, sidecar
from stdo_min.player import frames, open_video
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.probe import probe
from stdo_min.video.read import read_lr, read_source

QUICK = Recipe(budget=Budget(steps=80), channels=(6,), patch=12, chunks=3, memory=16 << 20)


@pytest.fixture(scope="module")
def encoded(clip, tmp_path_factory):
    """The clip encoded at scale 2 into one .mkv, and what encode said."""
    out = tmp_path_factory.mktemp("encoded") / "out.mkv"
    return out, encode(clip, out, 2, QUICK, lossless=True)


@pytest.mark.ffprobe
def test_what_encode_says_is_what_eval_measures(clip, encoded):
    out, result = encoded
    found = evaluate(clip, open_video(out))
    assert (found["frames"], found["width"], found["height"], found["scale"]) == (24, 160, 90, 2)
    assert found["psnr_y"] == pytest.approx(result.psnr_y, abs=1e-3)
    assert found["psnr_bicubic_y"] == pytest.approx(result.psnr_bicubic_y, abs=1e-3)
    assert found["psnr_y"] > found["psnr_bicubic_y"] + 0.5
    assert found["bytes_sidecar"] == result.bytes_sidecar
    assert found["bytes_lr"] == result.bytes_lr
    assert found["bytes_lr"] + found["bytes_sidecar"] == out.stat().st_size


def test_eval_by_hand(clip, encoded):
    """PSNR is 10 log10(255^2 / MSE), the MSE pooled over every pixel of every frame."""
    video = open_video(encoded[0])
    squares, count = np.zeros(3), np.zeros(3)
    for shown, truth in zip(frames(video), read_source(probe(clip)), strict=True):
        for plane in range(3):
            squares[plane] += np.sum((shown.hr[plane].astype(float) - truth[plane]) ** 2)
            count[plane] += truth[plane].size
    found = evaluate(clip, video)
    np.testing.assert_allclose([found[f"psnr_{plane}"] for plane in "yuv"],
                               10 * np.log10(255**2 / (squares / count)), atol=1e-3)
    assert sum(net["patches"] for net in found["nets"]) == 24 * video.upscaler.rows * video.upscaler.columns


@pytest.mark.parametrize("count", [1, 3])
def test_the_integer_nets_lose_next_to_nothing(clip, count):
    """At most 0.10 dB against the float net; `python -m bench quantise` measures it on real clips."""
    found = measure(clip, 2, Budget(steps=150), (8, 8), 12, seed=0, count=count)
    assert found["float"] > found["base"] + 0.5
    assert found["lost"] < 0.10


def test_no_patch_is_worse_than_the_base(clip, encoded):
    used = [net for net in evaluate(clip, open_video(encoded[0]))["nets"] if net["index"] and net["patches"]]
    assert used
    for net in used:
        assert net["psnr_y"] > net["psnr_bicubic_y"]


def test_the_player_shows_what_the_reference_computes(encoded):
    video = open_video(encoded[0])
    read = sidecar.read(video.data)
    (segment,) = read.segments
    labels = patchmap.decode(segment.map_data, 24, read.rows, read.columns, len(segment.nets))
    for index, shown in enumerate(frames(video, threads=2)):
        np.testing.assert_array_equal(shown.labels, labels[index])
        if index % 8 == 0:
            for plane, expected in zip(shown.hr, reference.upscale_frame(read, 0, shown.labels, shown.lr),
                                       strict=True):
                np.testing.assert_array_equal(plane, expected)
    assert index == 23


def test_the_sidecar_knows_its_video(encoded):
    info = probe(encoded[0])
    (segment,) = sidecar.read(open_video(encoded[0]).data).segments
    lr = list(read_lr(info))
    assert segment.lr_first_crc == zlib.crc32(b"".join(plane.tobytes() for plane in lr[0]))
    assert segment.lr_crc == zlib.crc32(b"".join(plane.tobytes() for frame in lr for plane in frame))


def test_equal_steps_and_seeds_give_equal_bytes(clip, tmp_path):
    data = []
    for index, (seed, threads) in enumerate(((3, 1), (3, 2), (4, 1))):
        recipe = Recipe(budget=Budget(steps=12), channels=(4,), patch=16, chunks=2, memory=16 << 20, seed=seed)
        encode(clip, tmp_path / f"{index}.mp4", 2, recipe, crew=lambda _, threads=threads: Crew(1, threads))
        data.append((tmp_path / f"{index}.stdo").read_bytes())
    assert data[0] == data[1] != data[2]


@pytest.mark.parametrize("mode", ["auto", "single", "time", "stdo-quantile", "stdo", "jstdo"])
@pytest.mark.parametrize("refine", [0, 2])
def test_every_mode(clip, tmp_path, mode, refine):
    out = tmp_path / "out.mkv"
    result = encode(clip, out, 2, replace(QUICK, mode=mode, refine=refine), lossless=True)
    described = describe(open_video(out).data)
    nets = described["nets"] - described["uv_nets"]
    if mode in ("single", "jstdo"):
        # One net for all patches: no map is sent.
        assert nets == 1
        assert described["map_bytes"] <= 4
    if mode == "time" and not refine:
        labels = [shown.labels for shown in frames(open_video(out))]
        assert all(len(set(np.unique(frame)) - {0}) <= 1 for frame in labels)
    assert described["mode"] == (mode if mode != "auto" else "stdo" if nets > 1 else "single")
    assert result.nets == nets
    assert result.psnr_y > result.psnr_bicubic_y + 0.3
    assert evaluate(clip, open_video(out))["psnr_y"] == pytest.approx(result.psnr_y, abs=1e-3)


@pytest.mark.ffprobe
def test_mp4_has_its_sidecar_beside_it(clip, tmp_path):
    out = tmp_path / "out.mp4"
    recipe = Recipe(mode="single", budget=Budget(steps=60), channels=(4,), db_per_log=1e-6)  # bytes are worth nothing
    result = encode(clip, out, 3, recipe, codec="x265")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "out.stdo"]
    found = evaluate(clip, open_video(out))
    assert found["bytes_lr"] == out.stat().st_size == result.bytes_lr
    described = describe((tmp_path / "out.stdo").read_bytes())
    assert described["mode"] == "single"
    assert described["nets"] == 1 + described["uv_nets"]
    assert described["net_shape"].split(", ")[0] == "5x5x4-3x3x9"


@pytest.mark.ffprobe
def test_mkv_keeps_sound_subtitles_chapters_and_fonts(clip, tmp_path):
    full = full_clip(tmp_path, clip)
    encode(full, tmp_path / "out.mkv", 2, Recipe(budget=Budget(steps=4), channels=(2,)))
    info = probe(tmp_path / "out.mkv")
    assert info.has_audio
    assert len(info.subtitles) == 1
    assert sorted(a.mimetype for a in info.attachments) == ["application/x-stdo", "font/ttf"]
    assert "title=First" in metadata(tmp_path / "out.mkv")
    assert sound_length(tmp_path / "out.mkv") == pytest.approx(sound_length(full), abs=0.05)


@pytest.mark.parametrize("size", ["161x91", "155x97"])
def test_odd_sizes_come_back_exactly(clip, tmp_path, size):
    width, height = map(int, size.split("x"))
    source = tmp_path / "odd.mkv"
    ffmpeg("-i", clip, "-vf", f"scale={width}:{height}", "-pix_fmt", "yuv420p", "-c:v", "ffv1", "-an", source)
    encode(source, tmp_path / "out.mkv", 4, Recipe(budget=Budget(steps=20), channels=(4,), patch=8))
    found = evaluate(source, open_video(tmp_path / "out.mkv"))
    assert (found["width"], found["height"]) == (width, height)


def test_segments(clip, tmp_path):
    said = []
    encode(clip, tmp_path / "out.mkv", 2, QUICK, segment=0.7, progress=lambda stage, done, *_: said.append(done))
    video = open_video(tmp_path / "out.mkv")
    assert [(s.first_frame, s.frames) for s in video.upscaler.segments] == [(0, 8), (8, 8), (16, 8)]
    found = evaluate(clip, video)
    assert found["frames"] == 24
    assert len(found["nets"]) == 1 + describe(video.data)["nets"]
    assert said == sorted(said)
    assert said[-1] == pytest.approx(1.0)


def test_a_budget_of_seconds_is_used_and_kept(clip, tmp_path):
    """Within 10 % and 2 s, from the first pass to the file; what is not passes is training."""
    said = []
    recipe = replace(QUICK, mode="auto", budget=Budget(seconds=4))
    began = time.monotonic()
    result = encode(clip, tmp_path / "out.mkv", 2, recipe, lr_progress=lambda *_: said.clear(),
                    progress=lambda stage, done, _: said.append((time.monotonic(), stage, done)))
    took = time.monotonic() - began
    assert 3 < took < 4 * 1.1 + 2 + 1  # a second to code the lr video
    stages = [stage for _, stage, _ in said]
    assert list(dict.fromkeys(stages)) == ["sample", "warm-up", "score", "train", "quantise", "assign"]
    training = sum(after - before for (before, *_), (after, stage, _) in zip(said, said[1:], strict=False)
                   if stage in ("warm-up", "train"))
    assert training > 2
    assert [done for *_, done in said] == sorted(done for *_, done in said)
    assert result.psnr_y > result.psnr_bicubic_y + 0.5


def test_a_budget_that_is_used_up_leaves_no_segment_untrained(clip, tmp_path):
    """The passes over the first of three segments take longer than all of it."""
    trained, waited = set(), []

    def progress(stage, done, _):
        if stage == "sample" and not waited:
            waited.append(1)
            time.sleep(2)
        if stage == "train":
            trained.add(len(list(tmp_path.glob("out.mkv.work/segment-*"))))
    recipe = replace(QUICK, mode="single", budget=Budget(seconds=1.5))
    encode(clip, tmp_path / "out.mkv", 2, recipe, segment=0.7, lossless=True, progress=progress)
    assert trained == {0, 1, 2}


@pytest.mark.ffprobe
def test_train_for_an_lr_video_made_elsewhere(clip, tmp_path):
    lr = tmp_path / "rung.mp4"
    ffmpeg("-i", clip, "-vf", "scale=80:-2:flags=area", "-c:v", "libx264", "-crf", "24", lr)
    result = train(lr, clip, tmp_path / "rung.stdo", QUICK)
    found = evaluate(clip, open_video(lr))
    assert found["scale"] == 2
    assert found["psnr_y"] == pytest.approx(result.psnr_y, abs=1e-3)
    with pytest.raises(VideoError, match="is not 160x90 at scale 3"):
        train(lr, clip, tmp_path / "no.stdo", QUICK, scale=3)


def test_the_general_model_may_come_from_elsewhere(clip, encoded, tmp_path):
    stdo = tmp_path / "general.stdo"
    stdo.write_bytes(open_video(encoded[0]).data)
    recipe = Recipe(budget=Budget(steps=8), patch=12, chunks=2, general=stdo)
    encode(clip, tmp_path / "out.mkv", 2, recipe, lossless=True)
    found = evaluate(clip, open_video(tmp_path / "out.mkv"))
    # Eight steps from nothing gain hardly anything; the general model brings most of its own gain along.
    assert found["psnr_y"] > found["psnr_bicubic_y"] + 0.4
    assert describe(open_video(tmp_path / "out.mkv").data)["net_shape"] == "5x5x6-3x3x4"
    with pytest.raises(VideoError, match="was trained for scale 2, not 3"):
        encode(clip, tmp_path / "no.mkv", 3, recipe)


def test_as_many_chunks_as_the_format_holds(clip, tmp_path):
    # At such a slope bytes are worth nothing, so no net is left out for what it costs.
    recipe = replace(QUICK, mode="stdo", patch=8, chunks=63, budget=Budget(steps=100), db_per_log=1e-6)
    assert encode(clip, tmp_path / "out.mkv", 2, recipe, lossless=True).nets > 8


@pytest.mark.parametrize("mode", ["single", "jstdo"])
def test_modes_of_one_net_do_without_refinement(clip, tmp_path, mode):
    made = []
    for refine in (0, 64):
        encode(clip, tmp_path / "out.mp4", 2, replace(QUICK, mode=mode, refine=refine), lossless=True, force=True)
        made.append((tmp_path / "out.stdo").read_bytes())
    assert made[0] == made[1]


def test_every_mode_of_a_recipe_has_its_stages_and_its_number():
    assert list(MODES) == list(overfit.STAGES)
    assert set(MODES) - {"auto"} == set(sidecar.MODE_NAMES.values()) - {"other"}


@pytest.mark.parametrize(("options", "found"), [("", siting.LEFT), (":in_h_chr_pos=0:out_h_chr_pos=0", siting.LEFT),
                                                (":in_h_chr_pos=128:out_h_chr_pos=128", siting.CENTRE)])
def test_the_place_of_chroma_is_measured(tmp_path, options, found):
    source, lr = tmp_path / "hr.mkv", tmp_path / "lr.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=256x128:duration=0.3:rate=10", "-pix_fmt", "yuv420p",
           "-c:v", "ffv1", source)
    if not options:
        encode(source, tmp_path / "out.mkv", 4, Recipe(budget=Budget(steps=2), channels=(2,), patch=16), lossless=True)
        assert open_video(tmp_path / "out.mkv").upscaler.chroma == found
        return
    ffmpeg("-i", source, "-vf", f"scale=64:32:flags=bicubic{options}", "-c:v", "ffv1", lr)
    assert siting.chroma_siting(probe(lr), probe(source), 4) == found


@pytest.mark.parametrize(("wrong", "message"), [
    ({"mode": "paper"}, "mode is 'paper'"), ({"channels": ()}, "channels are"),
    ({"chunks": 0}, "chunks is 0"), ({"memory": -5}, "memory is -5"), ({"patch": 7}, "patch is 7; it must be 8..128"),
])
def test_recipes_are_checked(wrong, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**wrong)


def test_frame_counts_must_agree(clip, tmp_path):
    lr, shorter = tmp_path / "lr.mp4", tmp_path / "shorter.mkv"
    ffmpeg("-i", clip, "-vf", "scale=80:46", "-an", lr)
    ffmpeg("-i", clip, "-frames:v", "20", "-vf", "pad=160:92", "-c:v", "ffv1", "-an", shorter)
    with pytest.raises(VideoError, match="ends after 20 frames"):
        train(lr, shorter, tmp_path / "out.stdo", QUICK)
    assert not (tmp_path / "out.stdo").exists()


def test_nothing_is_left_behind_where_nothing_was_finished(clip, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt
    for name in ("out.mkv", "out.mp4"):
        with pytest.raises(KeyboardInterrupt):
            encode(clip, tmp_path / name, 2, QUICK, lr_progress=stop)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt):
        encode(clip, tmp_path / "out.mkv", 2, QUICK, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv.work"]
