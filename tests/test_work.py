"""The work folder: what is finished is there whole, and another run's is refused."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.output import write_whole
from stdo_min.video.work import open_work, work_path


def text(words):
    return lambda file: file.write(words)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "film.mkv"


def test_what_is_finished_is_found_again(out):
    said = []
    with pytest.raises(KeyboardInterrupt), open_work(out, {"scale": 2}, note=said.append) as work:
        assert str(work_path(out)) in said[0]
        work.keep("one", text(b"1"))
        work.keep_seconds(12.5)
        work.path("two.tmp").write_bytes(b"half")
        raise KeyboardInterrupt
    assert "goes on from there" in said[-1]
    with open_work(out, {"scale": 2}, note=said.append) as work:
        assert "1 tasks are done" in said[-1]
        assert work.finished() == ["one"] and work.seconds() == 12.5
        assert not work.path("two.tmp").exists()
        with work.open("one") as file:
            assert file.read() == b"1"
        work.drop("one")
        assert not work.has("one")
    assert not work_path(out).exists()


def test_nothing_stays_where_nothing_was_finished(out):
    with pytest.raises(ValueError), open_work(out, {}, note=lambda line: None):
        raise ValueError
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("run, named", [({"scale": 4, "crf": 20}, "scale"), ({"scale": 2}, "crf")])
def test_another_run_is_refused(out, run, named):
    with pytest.raises(KeyboardInterrupt), open_work(out, {"scale": 2, "crf": 20}, note=lambda line: None) as work:
        work.keep("one", text(b"1"))
        raise KeyboardInterrupt
    with pytest.raises(VideoError, match=f"other {named}; .*--restart"), open_work(out, run, note=lambda line: None):
        pass
    with open_work(out, run, restart=True, note=lambda line: None) as work:
        assert work.finished() == []


def test_a_folder_in_use_is_refused(out):
    with open_work(out, {}, note=lambda line: None) as work:
        work.keep("one", text(b"1"))
        with pytest.raises(VideoError, match="another run works in it"), open_work(out, {}, note=lambda line: None):
            pass
        assert work.has("one")


def test_numbers_and_paths_are_the_same_run_again(out):
    run = {"rate": "24000/1001", "inputs": [("a.mp4", 12)], "crf": None}
    with pytest.raises(KeyboardInterrupt), open_work(out, run, note=lambda line: None) as work:
        work.keep("one", text(b"1"))
        raise KeyboardInterrupt
    assert json.loads(work.path("run.json").read_text())["inputs"] == [["a.mp4", 12]]
    with open_work(out, run, note=lambda line: None) as work:
        assert work.has("one")


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "array"
    write_whole(path, lambda file: np.save(file, np.arange(5)))
    assert np.load(path.open("rb")).tolist() == [0, 1, 2, 3, 4]

    def fails(file):
        file.write(b"half")
        raise OSError("no more")
    with pytest.raises(OSError):
        write_whole(path, fails)
    assert np.load(path.open("rb")).tolist() == [0, 1, 2, 3, 4]
    assert [inside.name for inside in tmp_path.iterdir()] == ["array"]


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small disk, as root")
def test_a_full_disk_is_named_and_what_was_finished_is_kept(tmp_path):
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(mounted)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        out = mounted / "film.mkv"
        with pytest.raises(VideoError, match=r"film.mkv.work: cannot be written \(No space left on device\)"), \
                open_work(out, {}, note=lambda line: None) as work:
            work.keep("one", text(b"1"))
            work.keep("two", text(bytes(1 << 20)))
        with open_work(out, {}, note=lambda line: None) as work:
            assert work.finished() == ["one"]
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_a_folder_that_is_not_ours_is_not_touched(out):
    folder = work_path(out)
    folder.mkdir()
    (folder / "notes.tmp").write_text("mine")
    with pytest.raises(VideoError, match="holds something else"), open_work(out, {}, restart=True, note=print):
        pass
    assert (folder / "notes.tmp").read_text() == "mine"
    (folder / "notes.tmp").unlink()
    (folder / "run.json.1234.tmp").touch()  # of a run that was killed when it began
    with open_work(out, {}, note=lambda line: None) as work:
        assert work.finished() == []
    work_path(out).write_text("a file")
    with pytest.raises(VideoError, match="is not a directory"), open_work(out, {}, note=print):
        pass
