"""The pipeline of stdo-y4m: its order, frames that overlap, ThreadSanitizer, and bytes that threads do not change."""

import hashlib
import itertools
import os
import shutil
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import CSRC, random_labels

from stdo_min.format.library import Upscaler
from stdo_min.format.random_nets import make_sidecar, random_net
from stdo_min.format.sidecar import write

CHECK = Path(__file__).with_name("check_pipeline.c")
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
TSAN = ["clang", "-g", "-O0", "-fsanitize=thread"]  # compiled in half the time, and it sees every access
SIZE, PATCH, FRAMES = (75, 66), 8, 24
pytestmark = pytest.mark.skipif(not COMPILERS or not shutil.which("make"), reason="no C compiler or make")


def build_check(folder, compiler):
    subprocess.run([*compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", CHECK, CSRC / "tools" / "pipeline.c", "-o",
                    folder / "check_pipeline", "-pthread"], check=True)  # fmt: skip


@pytest.fixture(scope="module")
def plain(once, make_install):
    """Folder with stdo-y4m and check_pipeline."""
    def build(folder):
        shutil.copy(installed / "usr" / "bin" / "stdo-y4m", folder)
        build_check(folder, [COMPILERS[0], "-O2"])

    installed = make_install(COMPILERS[0])
    return once("plain", build)


@pytest.fixture(scope="module")
def watched(once, tmp_path_factory):
    """The same under ThreadSanitizer."""
    folder = tmp_path_factory.mktemp("tsan")
    if not shutil.which("clang"):
        pytest.skip("no clang")
    (folder / "a.c").write_text("int main(void) { return 0; }\n")
    if subprocess.run([*TSAN, folder / "a.c", "-o", folder / "a"], capture_output=True).returncode:
        pytest.skip("clang has no ThreadSanitizer: apt install libclang-rt-14-dev")

    def build(folder):
        make = ["make", "-s", "-C", CSRC, "-j2", f"BUILD={folder}", f"CC={TSAN[0]}", f"CFLAGS={' '.join(TSAN[1:])}"]
        done = subprocess.run([*make, folder / "stdo-y4m"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        build_check(folder, TSAN)

    return once("watched", build)


def watch(program, *arguments, **options):
    """Run a program under ThreadSanitizer, which ends it with 66 where it finds a race."""
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, timeout=300,
                          env={**os.environ, "TSAN_OPTIONS": "exitcode=66"}, **options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A sidecar of two segments, its lr stream and the MD5 of its hr planes, made without reuse.

    Patches of every age: in most frames a few patches move, some frames repeat the one before, some the one before
    that, and there are cuts."""
    rng = np.random.default_rng(7)
    width, height = SIZE
    shapes = [(height, width), *[(-(-height // 2), -(-width // 2))] * 2]
    frames = [tuple(rng.integers(0, 256, shape).astype(np.uint8) for shape in shapes)]
    for number in range(1, FRAMES):
        planes = tuple(plane.copy() for plane in frames[-1 if number % 5 or number < 2 else -2])
        for plane in planes if number % 3 else ():
            y, x = rng.integers(0, plane.shape[0] - 9), rng.integers(0, plane.shape[1] - 9)
            plane[y:y + 9, x:x + 9] = rng.integers(0, 256, (9, 9))
        if number % 11 == 0:
            planes = tuple(rng.integers(0, 256, shape).astype(np.uint8) for shape in shapes)
        frames.append(planes)
    nets = tuple(random_net(rng, 2, [(3, 4)], 3) for _ in range(2))
    labels = random_labels(rng, FRAMES, SIZE, PATCH, 2)
    half = FRAMES // 2
    made = make_sidecar(2, SIZE, PATCH, [(nets, labels[:half]), (nets[::-1], labels[half:])])
    coded = [b"".join(plane.tobytes() for plane in frame) for frame in frames]
    segments = []
    for segment in made.segments:
        own = coded[segment.first_frame:segment.first_frame + segment.frames]
        segments.append(replace(segment, lr_first_crc=zlib.crc32(own[0]), lr_crc=zlib.crc32(b"".join(own))))
    data = write(replace(made, segments=tuple(segments)))
    path = tmp_path_factory.mktemp("video") / "a.stdo"
    path.write_bytes(data)
    stream = b"YUV4MPEG2 W%d H%d F25:1 C420jpeg\n" % SIZE + b"".join(b"FRAME\n" + frame for frame in coded)
    upscaler, planes = Upscaler(data), hashlib.md5()
    for number, lr in enumerate(frames):
        for plane in upscaler.upscale(upscaler.segment_of(number), upscaler.labels(number, lr[0]), lr):
            planes.update(plane)
    return path, stream, planes.hexdigest().encode()


def planes_of(stream):
    """The MD5 of the planes of a y4m stream."""
    rest = stream[stream.index(b"\n") + 1:]
    size = len(rest) // FRAMES
    return hashlib.md5(b"".join(rest[i + 6:i + size] for i in range(0, len(rest), size))).hexdigest().encode()


@pytest.mark.parametrize(("threads", "bands"), [(1, 1), (1, 4), (2, 1), (2, 2), (2, 3), (3, 4), (8, 9)])
def test_the_order(plain, threads, bands):
    for lr, hr, writes in itertools.product((2, 3, 4), (1, 2, 3), (0, 1)):
        said = subprocess.run([plain / "check_pipeline", *map(str, (threads, bands, lr, hr, writes))], text=True,
                              capture_output=True, timeout=60)
        overlaps = threads > 1 and bands > 1 and lr > 3 and hr > 2
        assert said.stdout == ("held and overlapped\n" if overlaps else "held\n"), (lr, hr, writes)


@pytest.mark.parametrize("threads", [1, 2, 3, 5, 200])
def test_threads_change_no_byte(plain, video, threads):
    path, stream, wanted = video
    for option in ("--md5", None):
        command = [plain / "stdo-y4m", "--threads", str(threads), *([option] if option else []), path]
        said = subprocess.run(command, input=stream, capture_output=True, check=True).stdout
        assert (said.split()[0] if option else planes_of(said)) == wanted


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_no_races(watched, video, threads):
    path, stream, wanted = video
    assert watch(watched / "stdo-y4m", "--md5", "--threads", threads, path, input=stream).split()[0] == wanted
    assert planes_of(watch(watched / "stdo-y4m", "--threads", threads, path, input=stream)) == wanted
    assert watch(watched / "stdo-y4m", "--null", "--threads", threads, path, input=stream).startswith(b"24 frames")
    assert watch(watched / "check_pipeline", threads, threads + 1, 4, 3, 1) in (b"held\n", b"held and overlapped\n")


def test_races_are_found(watched, tmp_path):
    """The watching works: two threads that count without a lock."""
    (tmp_path / "a.c").write_text(
        "#include <pthread.h>\nstatic int n;\nstatic void *f(void *p) { (void)p; n++; return 0; }\n"
        "int main(void) { pthread_t a, b; pthread_create(&a, 0, f, 0); pthread_create(&b, 0, f, 0);\n"
        "pthread_join(a, 0); pthread_join(b, 0); return 0; }\n")
    subprocess.run([*TSAN, tmp_path / "a.c", "-o", tmp_path / "a", "-pthread"], check=True)
    done = subprocess.run([tmp_path / "a"], env={**os.environ, "TSAN_OPTIONS": "exitcode=66"}, capture_output=True)
    assert done.returncode == 66 and b"data race" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_full_disk_ends_it_while_the_next_frame_does_not_come(plain, video, threads):
    path, stream, _ = video
    with open("/dev/full", "wb") as full:
        process = subprocess.Popen([plain / "stdo-y4m", "--threads", threads, path], stdin=subprocess.PIPE, stdout=full,
                                   stderr=subprocess.PIPE)  # fmt: skip
        process.stdin.write(stream[:stream.index(b"FRAME", 100)])  # one frame
        process.stdin.flush()
        assert process.wait(timeout=60) == 1
        assert process.stderr.read().startswith(b"stdo-y4m: stdout takes no more")
        process.stdin.close()
