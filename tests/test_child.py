"""Children end with us, whoever kills us, and not before."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from clips import ffmpeg

from stdo_min.video import child

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux kills children with us")


def running(words):
    """The command lines of the ffmpegs that name `words`."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                line = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if "ffmpeg" in Path(line[0]).name and any(words in part for part in line):
                    found.append(line)
        except OSError:
            pass  # it has just ended
    return found


def test_no_ffmpeg_survives_a_killed_encode(tmp_path):
    source = tmp_path / "long.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30:duration=30", "-c:v", "libx264", "-preset", "ultrafast",
           source)
    command = [sys.executable, "-m", "stdo_min", "encode", source, tmp_path / "out.mkv", "--codec", "x265", "--scale",
               "2", "-q"]
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 60
        while not any("libx265" in line for line in running(str(tmp_path))) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)
        assert running(str(tmp_path)), "it codes the lr video, which takes a while"
        process.send_signal(signal.SIGKILL)
    begun = time.monotonic()
    while running(str(tmp_path)) and time.monotonic() - begun < 10:
        time.sleep(0.05)
    assert time.monotonic() - begun < 2


def test_a_child_outlives_the_thread_that_asked_for_it():
    made = []
    thread = threading.Thread(target=lambda: made.append(child.start(["sleep", "60"])))
    thread.start()
    thread.join()
    time.sleep(0.3)
    assert made[0].poll() is None
    made[0].kill()
    assert made[0].wait() == -signal.SIGKILL


def test_a_child_whose_parent_died_too_early():
    """Its parent is not the one that forked: it must not run at all."""
    prepare = partial(child.die_with, child._prctl, os.getppid, os.kill, os.getpid, os.getpid() + 1)
    with subprocess.Popen(["sleep", "60"], preexec_fn=prepare) as process:
        assert process.wait(timeout=10) == -signal.SIGKILL


def test_what_cannot_be_started_is_an_error_of_the_caller(tmp_path):
    with pytest.raises(FileNotFoundError):
        child.start([str(tmp_path / "missing")])


def test_an_interrupt_while_a_child_starts_ends_it(monkeypatch):
    """Ctrl-C between the order and the answer: the child that comes of it is killed."""
    made, popen = [], subprocess.Popen
    entered, go = threading.Event(), threading.Event()

    def slow(*arguments, **options):
        entered.set()
        go.wait(10)
        made.append(popen(*arguments, **options))
        return made[0]

    monkeypatch.setattr(subprocess, "Popen", slow)

    def interrupt():
        entered.wait(10)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        child.start(["sleep", "60"])
    go.set()
    deadline = time.monotonic() + 10
    while (not made or made[0].returncode is None) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert made[0].returncode == -signal.SIGKILL


def test_a_fork_starts_its_own_children():
    """The thread that starts them is not in the fork; its own does, and in time."""
    child.start(["true"]).wait()
    code = ("import os, sys\nfrom stdo_min.video import child\nchild.start(['true']).wait()\n"
            "pid = os.fork()\nif not pid:\n    os._exit(child.start(['sh', '-c', 'exit 7']).wait())\n"
            "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))")
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 7


def test_systems_without_that_signal_start_children_all_the_same(monkeypatch):
    monkeypatch.setattr(child, "_prctl", None)
    threads = threading.active_count()
    assert child.start(["true"]).wait() == 0
    assert threading.active_count() == threads


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_the_player_is_imported_on_other_systems(platform):
    """Their lack of fcntl, prctl and the like breaks no import."""
    code = ("import sys, stdo_min.format.library, imageio_ffmpeg, tempfile, concurrent.futures\n"
            f"sys.platform = {platform!r}\n"
            "sys.modules['fcntl'] = None\nimport os\ndel os.register_at_fork, os.geteuid\n"
            "import stdo_min.player\nfrom stdo_min.video import child, output\n"
            "assert child._prctl is None and output.fcntl is None")
    subprocess.run([sys.executable, "-c", code], check=True)
