"""A film of several segments: the same bytes whoever does the work, in what order, and however often it was killed."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stdo_min.algorithm import crew as film_crew
from stdo_min.algorithm import film, rung
from stdo_min.algorithm.crew import Crew, dask_crew, local_crew
from stdo_min.algorithm.film import assign_film
from stdo_min.algorithm.general import shares
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.target import Target
from stdo_min.commands.demo import write_demo
from stdo_min.commands.encode import encode
from stdo_min.commands.eval import evaluate
from stdo_min.commands.train import train
from stdo_min.engine.budget import Budget
from stdo_min.format import netcode, sidecar
from stdo_min.format.library import Upscaler
from stdo_min.player import open_video
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.work import work_path

QUICK = Recipe(mode="stdo", chunks=2, channels=(4,), patch=16, budget=Budget(steps=60), memory=16 << 20)
SEGMENT = 0.5  # seconds: the clip of three seconds is six segments
OPTIONS = ["--scale", "2", "--mode", "stdo", "--chunks", "2", "--net", "4", "--patch", "16", "--steps", "60",
           "--memory", "16", "--segment", "0.5s", "--crf", "24"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "clip.mp4"
    write_demo(path, 320, 180)
    return path


@pytest.fixture(scope="module")
def small(once):
    """A film of four segments, for what only asks whether the bytes are the same."""
    return once("small-film", lambda folder: write_demo(folder / "small.mp4", 192, 108, seconds=2)) / "small.mp4"


def digests(out):
    """Of the lr video and of the sidecar."""
    return [hashlib.md5(path.read_bytes()).hexdigest() for path in (out, out.with_suffix(".stdo"))]


def made(clip, out, **options):
    return encode(clip, out, 2, QUICK, crf=24, segment=SEGMENT, force=True, **options)


@pytest.fixture(scope="module")
def whole(clip, tmp_path_factory):
    """What one job makes without a break."""
    out = tmp_path_factory.mktemp("whole") / "out.mp4"
    return made(clip, out), out


@pytest.fixture(scope="module")
def small_whole(small, once):
    """The same of the small film."""
    out = once("small-film-whole", lambda folder: made(small, folder / "out.mp4")) / "out.mp4"
    segments = sidecar.read(out.with_suffix(".stdo").read_bytes()).segments
    assert [segment.first_frame for segment in segments] == [0, 12, 24, 36] and all(one.nets for one in segments)
    return out


def test_a_film_is_cut_into_segments_that_play(clip, whole):
    result, out = whole
    parsed = sidecar.read(out.with_suffix(".stdo").read_bytes())
    assert [segment.first_frame for segment in parsed.segments] == [0, 12, 24, 36, 48, 60]
    assert not work_path(out).exists()
    found = evaluate(clip, open_video(out))
    assert found["frames"] == 72
    assert found["psnr_y"] == pytest.approx(result.psnr_y, abs=1e-4)
    assert found["psnr_bicubic_y"] == pytest.approx(result.psnr_bicubic_y, abs=1e-4)
    assert result.psnr_y > result.psnr_bicubic_y + 0.2


def test_nets_differ_from_the_general_models_and_are_read_alike(whole):
    """What C plays is measured above; here NumPy's reader gives the same nets, so the same bytes."""
    data = whole[1].with_suffix(".stdo").read_bytes()
    parsed = sidecar.read(data)
    general = parsed.known[0]
    near = [net for net in parsed.known if net is not general and netcode.fits(net, general)]
    assert len(near) >= 4
    bytes_near, bytes_alone = zip(*((parsed.bytes_of(net), len(netcode.encode(net))) for net in near), strict=True)
    assert sum(bytes_near) <= 0.5 * sum(bytes_alone)
    assert all(one <= 0.6 * other for one, other in zip(bytes_near, bytes_alone, strict=True))
    assert sidecar.write(replace(parsed, known=(general,))) == sidecar.write(parsed) == data
    for segment in parsed.segments:
        alone = sidecar.write(replace(parsed, known=(), segments=(replace(segment, first_frame=0),)))
        rng = np.random.default_rng(0)
        lr = planes_of(rng, parsed)
        labels = rng.integers(0, len(segment.nets) + 1, (parsed.rows, parsed.columns)).astype(np.uint8)
        shown = [Upscaler(given).upscale(number, labels, lr) for given, number in
                 ((data, parsed.segments.index(segment)), (alone, 0))]
        assert all(np.array_equal(one, other) for one, other in zip(*shown, strict=True))


def planes_of(rng, header):
    sizes = [(header.lr_height, header.lr_width), *2 * [(-(-header.lr_height // 2), -(-header.lr_width // 2))]]
    return [rng.integers(0, 256, size, np.uint8) for size in sizes]


def test_dull_segments_ship_no_net_of_their_own(clip, tmp_path):
    out = tmp_path / "out.mp4"
    result = encode(clip, out, 2, replace(QUICK, mode="single", channels=(8, 8)), crf=33, segment=SEGMENT)
    data = out.with_suffix(".stdo").read_bytes()
    parsed = sidecar.read(data)
    assert sum(segment.nets == parsed.known[:1] for segment in parsed.segments) >= 3
    nets = sum(parsed.bytes_of(net) + 2 for net in parsed.known)
    maps = sum(len(segment.map_data) for segment in parsed.segments)
    assert len(data) - nets - maps <= 40 + 4 + 6 * 20, "header, the table's crc, segments of 20 bytes beside their maps"
    assert result.psnr_y > result.psnr_bicubic_y + 0.1
    assert evaluate(clip, open_video(out))["psnr_y"] == pytest.approx(result.psnr_y, abs=1e-4)


def test_segments_keep_the_net_they_share_when_the_film_is_coded_again(clip, tmp_path, monkeypatch):
    """A net for each segment is foretold, so there is more room for the lr video than was thought."""
    monkeypatch.setattr(rung, "STEPS", 60)
    monkeypatch.setattr(rung, "MORE_STEPS", 60)
    again, out = [], tmp_path / "out.mp4"
    monkeypatch.setattr(film, "assign_film", lambda *given: again.append(assign_film(*given)) or again[-1])
    result = encode(clip, out, 2, replace(QUICK, mode="single", channels=(8, 8)), segment=SEGMENT,
                    wanted=Target("size", 30_000))
    parsed = sidecar.read(out.with_suffix(".stdo").read_bytes())
    assert again and all(one.general for one in again)
    assert sum(segment.nets == parsed.known[:1] for segment in parsed.segments) >= 3
    assert evaluate(clip, open_video(out))["psnr_y"] == pytest.approx(result.psnr_y, abs=1e-4)


@pytest.mark.parametrize("segment, pays", [(1.5, False), (0.5, True)])
def test_a_general_net_is_taken_where_it_saves_more_than_it_costs(clip, tmp_path, monkeypatch, segment, pays):
    """Two segments or six: the net is tried in both films, since nets are a part of their bytes that counts."""
    answers, sharing_pays = [], film._sharing_pays
    monkeypatch.setattr(film, "_sharing_pays", lambda *given: answers.append(sharing_pays(*given)) or answers[-1])
    recipe = Recipe(mode="single", channels=(8, 8), patch=16, budget=Budget(steps=60), memory=16 << 20)
    encode(clip, tmp_path / "out.mp4", 2, recipe, crf=36, segment=segment)
    parsed = sidecar.read((tmp_path / "out.stdo").read_bytes())
    assert answers == [pays]
    alone = [segment.nets for segment in parsed.segments] == [(net,) for net in parsed.luma_nets]
    assert alone != pays


def test_sharing_is_not_tried_beside_a_large_lr_video():
    single, published = Recipe(mode="single"), Recipe(mode="stdo", refine=0)
    assert shares(single, 2, 0.005) and not shares(single, 2, 0.004)
    assert not shares(single, 1, 1.0) and not shares(published, 2, 1.0)


def test_every_segment_begins_with_a_keyframe(whole):
    from stdo_min.video.keyframes import keyframes
    from stdo_min.video.probe import probe

    numbers, frames = keyframes(probe(whole[1]))
    assert frames == 72 and {0, 12, 24, 36, 48, 60} <= set(numbers.tolist())


@pytest.mark.parametrize("jobs, threads", [(1, 2), (2, 1), (3, 2)])
def test_the_bytes_do_not_depend_on_who_works(small, small_whole, tmp_path, jobs, threads):
    seen = []

    def crew(segments):
        assert segments == 4
        seen.append(local_crew(jobs, threads))
        return seen[0]
    made(small, tmp_path / "out.mp4", crew=crew)
    assert digests(tmp_path / "out.mp4") == digests(small_whole)
    assert seen[0].here == (jobs == 1)


@pytest.fixture(scope="module")
def cluster():
    """A real scheduler and two worker processes; one that is killed is started again."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster


@pytest.mark.parametrize("shared", [False, True])
def test_the_bytes_are_the_same_on_a_cluster_whose_worker_dies(small, small_whole, tmp_path, cluster, shared):
    """One of the two is killed while it trains."""
    with cluster.get_client() as client:
        client.wait_for_workers(2)
    workers = [worker.process.pid for worker in cluster.workers.values()]
    stages = []

    def progress(stage, done, psnr):
        if "killed" not in stages and done > 0.2:
            stages.append("killed")
            os.kill(workers[0], signal.SIGKILL)
    made(small, tmp_path / "out.mp4", crew=lambda segments: dask_crew(cluster.scheduler_address, None, shared),
         progress=progress)
    assert stages == ["killed"]
    assert digests(tmp_path / "out.mp4") == digests(small_whole)


def test_no_cluster_is_named(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(film_crew, "DASK_SECONDS", 0.5)
    with pytest.raises(VideoError, match="tcp://127.0.0.1:9: no Dask scheduler"):
        dask_crew("tcp://127.0.0.1:9", None, False)


def stdo(*arguments):
    return subprocess.Popen([sys.executable, "-m", "stdo_min", *map(str, arguments)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def test_a_run_that_is_killed_twenty_times_gives_the_same_bytes(small, small_whole, tmp_path):
    rng, out, kills, left = np.random.default_rng(13), tmp_path / "out.mp4", 0, 0
    deadline = time.monotonic() + 300
    while kills < 20 or left:
        assert time.monotonic() < deadline
        run = stdo("encode", small, out, "-q", "--jobs", 1 + kills % 2, "--threads", 1, *OPTIONS)
        wait = rng.uniform(0.3, 1.5)
        try:
            _, said = run.communicate(timeout=wait if kills < 20 else None)
        except subprocess.TimeoutExpired:
            run.kill()
            run.communicate()
            kills += 1
            left = 1
            continue
        # Killed when all was done, it is told that the output is there.
        assert run.returncode == 0 or (left and "out.mp4: exists already" in said), said
        assert digests(out) == digests(small_whole)
        assert not work_path(out).exists()
        left_over = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".stdo-")}  # swept later
        assert left_over == {"out.mp4", "out.stdo"}
        for path in (out, out.with_suffix(".stdo")):
            path.unlink()
        left = 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_says_how_to_go_on(small, small_whole, tmp_path, number):
    out = tmp_path / "out.mp4"
    run = stdo("encode", small, out, *OPTIONS)
    work = work_path(out)
    first = run.stderr.readline()
    assert str(work) in first
    for _ in range(600):
        if (work / "segment-00000").exists():
            break
        time.sleep(0.05)
    run.send_signal(number)
    _, said = run.communicate()
    assert run.returncode in (130, 143)
    assert f"{work}: keeps what is finished" in said and "the same command goes on from there" in said
    assert "Traceback" not in said
    other = stdo("encode", small, out, *OPTIONS, "--patch", "20")
    assert "holds an unfinished run with other patch; give the same command as then, or add --restart" in \
        other.communicate()[1]
    again = stdo("encode", small, out, *OPTIONS)
    _, said = again.communicate()
    assert again.returncode == 0 and "goes on from there" in said
    assert digests(out) == digests(small_whole)


def test_a_changed_source_is_refused_and_restart_begins_anew(small, tmp_path):
    source, out = tmp_path / "clip.mp4", tmp_path / "out.mp4"
    source.write_bytes(small.read_bytes())

    def stop(stage, done, psnr):
        if done > 0.5:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        made(source, out, progress=stop)
    assert (work_path(out) / "segment-00000").exists()
    os.utime(source, (1, 1))
    with pytest.raises(VideoError, match="other inputs; .*--restart"):
        made(source, out)
    made(source, out, restart=True)
    assert out.exists() and not work_path(out).exists()


def test_train_is_cut_into_the_same_segments(clip, whole, tmp_path):
    """The lr video is one file here, of which each task opens its stretch."""
    out = tmp_path / "out.stdo"
    train(whole[1], clip, out, QUICK, segment=SEGMENT, crew=lambda segments: local_crew(2, 1))
    assert out.read_bytes() == whole[1].with_suffix(".stdo").read_bytes()


def test_a_film_that_cannot_be_opened_in_the_middle(small, small_whole, tmp_path):
    """An H.264 stream without a container has no times to seek by: each segment is decoded from further ahead."""
    source, out = tmp_path / "clip.h264", tmp_path / "out.mp4"
    from stdo_min.video.ffmpeg import ffmpeg_executable

    subprocess.run([ffmpeg_executable(), "-v", "error", "-i", small, "-c:v", "copy", "-an", source], check=True)
    made(source, out)
    assert out.with_suffix(".stdo").read_bytes() == small_whole.with_suffix(".stdo").read_bytes()


@pytest.mark.parametrize("seconds", [2.0, 5.0])
def test_a_budget_in_seconds_is_kept(clip, tmp_path, seconds):
    began = []

    def progress(stage, done, psnr):
        began.append(time.monotonic())
    recipe = Recipe(channels=(4,), patch=16, budget=Budget(seconds=seconds), memory=16 << 20)
    encode(clip, tmp_path / "out.mkv", 2, recipe, segment=1.0, crew=lambda segments: Crew(), progress=progress)
    assert time.monotonic() - began[0] < 1.1 * seconds + 2


def test_a_budget_smaller_than_the_passes_is_refused_before_any_work(clip, tmp_path, monkeypatch):
    from stdo_min.commands import training

    monkeypatch.setattr(training, "pass_seconds", lambda *_: 1.0)
    recipe = Recipe(budget=Budget(seconds=30))
    with pytest.raises(VideoError, match="a budget of 30 s is too small: reading and judging alone take about 72 s; "
                                         "give --budget 48x"):
        encode(clip, tmp_path / "out.mkv", 2, recipe)
    assert list(tmp_path.iterdir()) == []


def test_budgets_follow_the_length():
    assert Recipe().resolved(100).budget == Budget(seconds=520)
    from stdo_min.algorithm.recipe import Times

    assert Recipe(budget=Times(2.5)).resolved(100).budget == Budget(seconds=250)
    assert Recipe(budget=Budget(steps=7)).resolved(100).budget == Budget(steps=7)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small disk, as root")
def test_a_full_disk_ends_in_an_error_and_a_run_that_goes_on(small, small_whole, tmp_path):
    mounted = tmp_path / "small"
    mounted.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(mounted)], capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        out = mounted / "out.mp4"
        done = stdo("encode", small, out, "-q", *OPTIONS)
        said = done.communicate()[1]
        assert done.returncode == 1 and "No space left on device" in said and "Traceback" not in said
        subprocess.run(["mount", "-o", "remount,size=200m", str(mounted)], check=True)
        done = stdo("encode", small, out, *OPTIONS)
        said = done.communicate()[1]
        assert done.returncode == 0 and "goes on from there" in said
        assert digests(out) == digests(small_whole)
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_the_first_of_a_folder_is_the_work_folder_of_the_output():
    assert work_path(Path("a/film.mkv")) == Path("a/film.mkv.work")
