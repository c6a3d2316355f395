"""The clips that the tests share, and how hypothesis runs."""

import fcntl
import os
import shutil
import subprocess
from itertools import chain, islice

import pytest
from clips import ffmpeg
from films import film
from hypothesis import settings
from samples import CSRC, INCLUDE

from stdo_min.commands.demo import write_demo
from stdo_min.video.probe import probe

# The same examples in every run; no deadline, because the first call of a Numba function compiles it.
settings.register_profile("stdo", deadline=None, derandomize=True)
settings.load_profile("stdo")

# Debian's ffprobe takes a tenth of a second to start, three times as long as ffmpeg takes to tell the same. That both
# tell the same is what test_facts.py tests; test_readme.py goes the whole road with ffprobe.
os.environ.setdefault("STDO_FFPROBE", "none")


# The files that take longest, in groups that share what they build.
LONG = (("test_targets", "test_encode", "test_cli"), ("test_film", "test_plain_video", "test_facts", "test_network"),
        ("test_tiers", "test_harm", "test_c_library", "test_c_player", "test_embedding"))


def pytest_collection_modifyitems(config, items):
    """Begin with the longest files in each of xdist's workers, so that all end with short tests.

    Of its --dist worksteal, which gives each worker an equal slice of the list, and what is left of others' at the
    end."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers == 1:
        return
    place = {name: group for group, names in enumerate(LONG) for name in names}
    others = (item for item in items if item.path.stem not in place)
    slices = [[] for _ in range(workers)]
    for group, names in enumerate(LONG):
        long = [item for item in items if item.path.stem in names]
        slices[group % workers] += sorted(long, key=lambda item, names=names: names.index(item.path.stem))
    for part in slices:
        part.extend(islice(others, max(0, len(items) // workers - len(part))))
    items[:] = [*chain.from_iterable(slices), *others]


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


@pytest.fixture
def short_trials(monkeypatch):
    """Where scales are tried, nets train few steps, and a file that is read six times is probed once."""
    for name in ("STEPS", "MORE_STEPS"):
        monkeypatch.setattr(f"stdo_min.algorithm.rung.{name}", 24)
    known = {}

    def probe_once(path):
        found = os.stat(path)
        what = path, found.st_ino, found.st_size, found.st_mtime_ns
        if what not in known:
            known[what] = probe(path)
        return known[what]

    monkeypatch.setattr("stdo_min.algorithm.rung.probe", probe_once)


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


# Warnings are errors, and all that GCC and clang say of a program that is optimised is among them.
WARNINGS = "-O2 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"


@pytest.fixture(scope="session")
def film_of(once):
    """film_of(kind): path of a kind of film of films.py; do not change it."""
    def get(kind):
        made = once(f"film-{kind}", lambda folder: film(folder, kind))
        return film(made, kind)

    return get


@pytest.fixture(scope="session")
def make_install(once):
    """make_install(compiler): folder with usr/bin, usr/include, usr/lib, and the objects in build."""
    def made_by(compiler):
        def build(folder):
            options = [f"CC={compiler}", f"CFLAGS={WARNINGS}", f"BUILD={folder / 'build'}", "PREFIX=/usr"]
            made = ["make", "-C", CSRC, "-j2", *options, "install", "examples", f"DESTDIR={folder}"]
            done = subprocess.run(made, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            shutil.copy(folder / "build" / "upscale", folder / "usr" / "bin")

        return once(f"installed-{compiler}", build)

    return made_by


@pytest.fixture(scope="session")
def copy_build(make_install):
    """copy_build(folder): fills it with what GCC, or else clang, compiled; make then only links and installs."""
    def copy(folder):
        compiler = "gcc" if shutil.which("gcc") else "clang"
        shutil.copytree(make_install(compiler) / "build", folder)  # with its times, by which make goes

    return copy


@pytest.fixture(scope="session")
def sanitized(once):
    """What links with the C library under the sanitizers: (compiler and flags, folder made by csrc/Makefile)."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    if not compiler or not shutil.which("make"):
        pytest.skip("no C compiler or make")
    # -O0: optimising what the sanitizers add to the kernels for AVX-512 takes GCC longer than all that is run here, and
    # could only leave checks out.
    flags = ["-g", "-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

    def build(folder):
        empty = folder / "empty.c"
        empty.write_text("int main(void) { return 0; }\n")
        if subprocess.run([compiler, *flags, empty, "-o", folder / "empty"], capture_output=True).returncode != 0:
            pytest.skip(f"{compiler} has no sanitizers")
        make = ["make", "-C", CSRC, "-j2", f"CC={compiler}", f"CFLAGS={' '.join(flags)}", f"BUILD={folder}"]
        targets = ["replayers", folder / "mutate_upscale", folder / "stdo-y4m"]
        done = subprocess.run([*make, *targets], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    return [compiler, "-std=c11", *flags, *INCLUDE], once("sanitized", build)
