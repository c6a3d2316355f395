"""Outputs appear whole or not at all."""

import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from stdo_min.video import output
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.output import output_file, work_folder


def test_output_appears_whole(tmp_path):
    target = tmp_path / "out.mp4"
    with output_file(target) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.suffix == ".mp4" and temporary.parent.parent == tmp_path and not target.exists()
    assert target.read_bytes() == b"new" and os.listdir(tmp_path) == ["out.mp4"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("error", [VideoError, KeyboardInterrupt, BrokenPipeError])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with pytest.raises(error), output_file(target, force=True) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert target.read_bytes() == b"old" and os.listdir(tmp_path) == ["out.mp4"]


def test_existing_output_needs_force(tmp_path):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with pytest.raises(VideoError, match="--force"), output_file(target):
        pass
    with output_file(target, force=True) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "real.mp4", tmp_path / "link.mp4"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with output_file(link, force=True) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


@pytest.mark.parametrize("name,reason", [
    ("", "a directory"), ("no/out.mp4", "no directory"), ("f/out.mp4", "no directory")])
def test_places_that_cannot_be_written(tmp_path, name, reason):
    (tmp_path / "f").touch()
    with pytest.raises(VideoError, match=reason), output_file(tmp_path / name, force=True):
        pass


def test_a_device_is_never_replaced():
    with pytest.raises(VideoError, match="not a regular file"), output_file("/dev/null", force=True):
        pass


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_refuses(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(VideoError, match="cannot be written"), output_file(tmp_path / "out.mp4"):
        pass


locks = pytest.mark.skipif(output.fcntl is None, reason="no locks here")


@contextmanager
def another_run(folder):
    """Another process with a work folder that holds a file; gives the process and its folder."""
    code = ("import sys; from pathlib import Path; from stdo_min.video.output import work_folder\n"
            "with work_folder(Path(sys.argv[1])) as folder:\n"
            "    (folder / 'lr.mkv').write_bytes(b'half'); print(folder, flush=True); sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", code, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        try:
            yield process, output.Path(process.stdout.readline().strip())
        finally:
            process.kill()


@locks
def test_what_a_killed_run_left_goes_and_a_live_runs_stays(tmp_path):
    with another_run(tmp_path) as (alive, live), another_run(tmp_path) as (killed, dead):
        killed.kill()
        killed.wait()
        assert (dead / "lr.mkv").exists()
        with output_file(tmp_path / "out.mp4") as temporary:
            assert {live, temporary.parent} == set(tmp_path.iterdir())
            temporary.write_bytes(b"new")
        assert (live / "lr.mkv").read_bytes() == b"half"
        alive.communicate()
        assert alive.returncode == 0 and os.listdir(tmp_path) == ["out.mp4"]


@locks
def test_what_a_killed_encode_leaves_is_named_to_the_next(tmp_path, clip):
    """Its work folder stays for the same command; another run names it and does not touch it."""
    quick = ["--steps", "4", "--net", "2", "--patch", "16"]
    command = [sys.executable, "-m", "stdo_min", "encode", "--scale", "2", clip]
    with another_run(tmp_path) as (alive, live):
        work = tmp_path / "out.mkv.work"
        with subprocess.Popen([*command, tmp_path / "out.mkv", "--budget", "10m", "-q"]) as process:
            deadline = time.monotonic() + 60
            while not (work / "source-00000").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
        before = set(work.iterdir())
        done = subprocess.run([*command, tmp_path / "other.mkv", *quick], check=True, capture_output=True, text=True)
        assert f"{work}: is left of a run that did not finish" in done.stderr
        assert set(tmp_path.iterdir()) == {live, tmp_path / "other.mkv", work}
        assert set(work.iterdir()) == before
        assert (live / "lr.mkv").read_bytes() == b"half"


@locks
def test_what_is_not_known_to_be_dead_is_left_alone(tmp_path, monkeypatch):
    """Another machine's, one of a disk without locks, a file, a link, other names; a folder killed at birth goes."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / output.LOCK).touch()
    (tmp_path / ".stdo-00000000").symlink_to(tmp_path / "elsewhere")
    (tmp_path / ".stdo-00000001").touch()
    for name, file in ((".stdo-00000002", "lock-of-another"), (".stdo-00000003", "no-lock"),
                       (".stdo-mine", output.LOCK)):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
    kept = set(tmp_path.rglob("*"))
    (tmp_path / ".stdo-00000004").mkdir()
    with work_folder(tmp_path):
        pass
    assert set(tmp_path.rglob("*")) == kept


@locks
def test_a_disk_without_locks(tmp_path, monkeypatch):
    """There nothing is swept, neither by this run nor, should that see locks, by another."""
    with another_run(tmp_path) as (killed, dead):
        killed.kill()
        killed.wait()

        def refuse(*_):
            raise OSError(95, "not supported")

        with monkeypatch.context() as patched:
            patched.setattr(output.fcntl, "flock", refuse)
            inside = work_folder(tmp_path)
            mine = inside.__enter__()
        assert os.listdir(mine) == ["no-lock"] and dead.exists()
        with work_folder(tmp_path):
            assert mine.exists() and not dead.exists()
        inside.__exit__(None, None, None)
        assert os.listdir(tmp_path) == []


@locks
def test_runs_that_begin_at_once_do_not_sweep_each_other(tmp_path):
    code = ("import sys; from pathlib import Path; from stdo_min.video.output import work_folder\n"
            "for _ in range(200):\n"
            "    with work_folder(Path(sys.argv[1])) as folder:\n"
            "        (folder / 'a').write_bytes(b'a'); assert (folder / 'a').exists()")
    runs = [subprocess.Popen([sys.executable, "-c", code, tmp_path]) for _ in range(4)]
    assert [run.wait() for run in runs] == [0] * 4
    assert os.listdir(tmp_path) == []


def test_a_system_without_locks(tmp_path, monkeypatch):
    """As Windows: outputs are written and cleaned up, and nothing is swept."""
    (tmp_path / ".stdo-00000000").mkdir()
    (tmp_path / ".stdo-00000000" / output.LOCK).touch()
    monkeypatch.setattr(output, "fcntl", None)
    with output_file(tmp_path / "out.mp4") as temporary:
        assert os.listdir(temporary.parent) == ["no-lock"]
        temporary.write_bytes(b"new")
    assert sorted(os.listdir(tmp_path)) == [".stdo-00000000", "out.mp4"]
