"""The clips that the tests share, and how hypothesis runs."""

import fcntl
import os
import shutil
import subprocess

import pytest
from clips import ffmpeg
from hypothesis import settings
from samples import CSRC, INCLUDE

from stdo_min.commands.demo import write_demo

# The same examples in every run; no deadline, because the first call of a Numba function compiles it.
settings.register_profile("stdo", deadline=None, derandomize=True)
settings.load_profile("stdo")

# Debian's ffprobe takes a tenth of a second to start, three times as long as ffmpeg takes to tell the same. That both
# tell the same is what test_facts.py tests; test_readme.py goes the whole road with ffprobe.
os.environ.setdefault("STDO_FFPROBE", "none")


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """Path of a drawn .mp4 with sound: 160x90, 12 frames per second, 24 frames, one cut; do not change it."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_demo(path, 160, 90, 2, 12)
    return path


@pytest.fixture(scope="session")
def smooth(tmp_path_factory):
    """A clip without fine detail, which a small lr video holds as well."""
    path = tmp_path_factory.mktemp("smooth") / "smooth.mkv"
    drawn = "mandelbrot=size=120x68:rate=12,scale=240:136:flags=bicubic,format=yuv420p,gblur=sigma=4:planes=6"
    ffmpeg("-f", "lavfi", "-i", drawn, "-frames:v", "24", "-c:v", "libx264", "-qp", "4", path)
    return path


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """once(name, make): the folder that make(folder) fills, once in a run for all of xdist's workers; do not change it.

    Where `make` fails or skips it does so in each worker that asks, because only what it finished is kept."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # each worker has its own folder in that of the run

    def get(name, make):
        folder, done = root / f"once-{name}", root / f"once-{name}.done"
        with open(root / f"once-{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return get


@pytest.fixture(scope="session")
def sanitized(once):
    """What links with the C library under the sanitizers: (compiler and flags, folder made by csrc/Makefile)."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    if not compiler or not shutil.which("make"):
        pytest.skip("no C compiler or make")
    flags = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

    def build(folder):
        empty = folder / "empty.c"
        empty.write_text("int main(void) { return 0; }\n")
        if subprocess.run([compiler, *flags, empty, "-o", folder / "empty"], capture_output=True).returncode != 0:
            pytest.skip(f"{compiler} has no sanitizers")
        make = ["make", "-C", CSRC, "-j2", f"CC={compiler}", f"CFLAGS={' '.join(flags)}", f"BUILD={folder}"]
        done = subprocess.run([*make, "replayers", folder / "stdo-y4m"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    return [compiler, "-std=c11", *flags, *INCLUDE], once("sanitized", build)
