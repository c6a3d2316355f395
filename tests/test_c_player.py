"""The C library and stdo-y4m as they are installed, without Python: what they give, and what they refuse."""

import hashlib
import io
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from make_vectors import CASES, VECTORS
from tiers import HERE, TIERS, require

from stdo_min.algorithm.recipe import Recipe
from stdo_min.commands.demo import write_demo
from stdo_min.commands.encode import encode
from stdo_min.commands.pipe import pipe
from stdo_min.engine.budget import Budget
from stdo_min.player import open_video
from stdo_min.video.ffmpeg import ffmpeg_executable

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
YUV_VECTORS = [name for name, case in CASES.items() if not case[-1].get("colour")]
# the functions of the header
API = set(re.findall(r"^STDO_API .*?(stdo_\w+)\(", (CSRC / "include" / "stdo" / "stdo.h").read_text(), re.M))
pytestmark = pytest.mark.skipif(not COMPILERS or not shutil.which("make"), reason="no C compiler or make")


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, **options)
    assert done.returncode == 0, done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
    return done.stdout


@pytest.fixture(scope="module", params=COMPILERS)
def installed(request, make_install):
    """Folder with bin, include and lib: `make install` with one compiler, all warnings errors."""
    return make_install(request.param) / "usr"


@pytest.fixture(scope="module")
def player(installed):
    return installed / "bin" / "stdo-y4m"


def header_of(name):
    """lr width, height and frames of a vector."""
    data = (VECTORS / f"{name}.stdo").read_bytes()
    return (*struct.unpack_from("<HH", data, 16), *struct.unpack_from("<I", data, 24))


def y4m(name):
    """The lr frames of a vector as a stream."""
    width, height, frames = header_of(name)
    line = b"YUV4MPEG2 W%d H%d F25:1 Ip A1:1 C420jpeg XCOLORRANGE=LIMITED\n"
    planes = (VECTORS / f"{name}.lr").read_bytes()
    size = len(planes) // frames
    return line % (width, height) + b"".join(b"FRAME\n" + planes[i * size:(i + 1) * size] for i in range(frames))


def piped(tmp_path, name):
    """The stream that `stdo pipe` gives for a vector, coded without loss."""
    width, height, _ = header_of(name)
    video = tmp_path / "lr.mkv"
    run(ffmpeg_executable(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{width}x{height}",
        "-i", VECTORS / f"{name}.lr", "-c:v", "ffv1", "-vf", "setparams=range=tv", "-y", video)
    stream = io.BytesIO()
    pipe(open_video(video, VECTORS / f"{name}.stdo"), stream)
    return stream.getvalue()


@pytest.mark.parametrize("name", YUV_VECTORS)
def test_bytes_are_those_of_stdo_pipe(player, tmp_path, name):
    wanted = piped(tmp_path, name)
    for threads in ("1", "3", "auto"):
        assert run(player, "--threads", threads, VECTORS / f"{name}.stdo", input=y4m(name)) == wanted
    head, _, rest = wanted.partition(b"\n")
    size = len(rest) // header_of(name)[2] - len(b"FRAME\n")
    planes = b"".join(rest[i + 6:i + 6 + size] for i in range(0, len(rest), size + 6))
    assert run(player, "--md5", VECTORS / f"{name}.stdo", input=y4m(name)).split() == [
        hashlib.md5(planes).hexdigest().encode()]


@pytest.mark.parametrize("tier", TIERS)
def test_every_tier_gives_the_same(player, tier):
    """What --null says ran, for every vector; the best tier gives the bytes of `stdo pipe`, by the test above."""
    for name in YUV_VECTORS:
        def told(words, *options, name=name):
            tiers = {**os.environ, "STDO_CPU": words}
            return run(player, *options, VECTORS / f"{name}.stdo", input=y4m(name), env=tiers)

        require(told(tier, "--null").decode().rpartition("(")[2].rstrip(")\n"), tier)
        assert told("", "--null").endswith(f"({HERE[-1]})\n".encode())
        assert told(tier, "--md5") == told("", "--md5"), name
        assert told(tier, "--strip", "8", "--md5") == told("", "--md5"), name


def test_a_real_video(player, tmp_path):
    """ffmpeg writes the stream; its own header goes through."""
    write_demo(tmp_path / "source.mp4", 160, 90, 2, 12)
    encode(tmp_path / "source.mp4", tmp_path / "lr.mp4", 2, Recipe(budget=Budget(steps=20), channels=(4,), patch=16))
    stream = run(ffmpeg_executable(), "-v", "error", "-i", tmp_path / "lr.mp4", "-f", "yuv4mpegpipe", "-")
    wanted = io.BytesIO()
    pipe(open_video(tmp_path / "lr.mp4"), wanted)
    found = run(player, tmp_path / "lr.stdo", input=stream)
    assert found == wanted.getvalue()
    line = run(player, "--null", tmp_path / "lr.stdo", input=stream).decode()
    assert line.startswith("24 frames of 160x90 in ") and " fps (" in line


def test_what_a_stream_does_not_state(player, tmp_path):
    """Pixel shape, range and field order as `stdo pipe` states them, where ffmpeg says nothing or "unknown"."""
    name = "8-8-x2"
    width, height, _ = header_of(name)
    video = tmp_path / "lr.mkv"
    run(ffmpeg_executable(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{width}x{height}",
        "-i", VECTORS / f"{name}.lr", "-c:v", "ffv1", video)
    stream = run(ffmpeg_executable(), "-v", "error", "-i", video, "-f", "yuv4mpegpipe", "-")
    wanted = io.BytesIO()
    pipe(open_video(video, VECTORS / f"{name}.stdo"), wanted)
    assert run(player, VECTORS / f"{name}.stdo", input=stream) == wanted.getvalue()
    bare = b"YUV4MPEG2 W61 H34" + stream[stream.index(b"\n"):]
    assert run(player, VECTORS / f"{name}.stdo", input=bare) == wanted.getvalue()


def test_start(player):
    """From the middle of a segment, from another segment, and from the wrong frame."""
    name, path = "segments-x4", VECTORS / "segments-x4.stdo"
    whole, (_, _, frames) = run(player, path, input=y4m(name)), header_of(name)
    stream = y4m(name)
    head, hr_head = stream.index(b"\n") + 1, whole.index(b"\n") + 1
    size, hr_size = (len(stream) - head) // frames, (len(whole) - hr_head) // frames
    for start in range(frames):
        late = stream[:head] + stream[head + start * size:]
        assert run(player, "--start", str(start), path, input=late) == (
            whole[:hr_head] + whole[hr_head + start * hr_size:]), start
    refused(player, "right --start", "--start", "2", path, input=stream)
    refused(player, "has 5 frames", "--start", "5", path, input=stream)


def refused(player, words, *arguments, code=1, **options):
    done = subprocess.run([player, *map(str, arguments)], capture_output=True, **options)
    said = done.stderr.decode(errors="replace")
    assert done.returncode == code and words in said, (done.returncode, said)
    assert said.startswith("stdo-y4m: ") and said.count("\n") == 1


GOOD = y4m("8-8-x2")
LINE = GOOD[:GOOD.index(b"\n")]


@pytest.mark.parametrize(("stream", "words"), [
    (b"", "there is no stream"),
    (b"RIFF" * 50 + b"\n", "not y4m"),
    (b"YUV", "not y4m"),
    (b"YUV4MPEG2", "not ended"),
    (b"YUV4MPEG2" + b" " * 2000, "longer than"),
    (b"YUV4MPEG2X W61 H34\n", "not y4m"),
    (GOOD.replace(b"W61", b"W62"), "made for a video of 61x34, the stream has 62x34"),
    (GOOD.replace(b"W61", b"W0"), "no width and height"),
    (GOOD.replace(b"W61", b"W99999999999999999999"), "no width and height"),
    (GOOD.replace(b"W61 ", b""), "no width and height"),
    (GOOD.replace(b"C420jpeg", b"C422"), "-pix_fmt yuv420p"),
    (GOOD.replace(b"C420jpeg", b"C420p10"), "-pix_fmt yuv420p"),
    (GOOD.replace(b"F25:1", b"F" + b"1" * 40), "malformed"),
    (GOOD.replace(b"Ip", b"It"), "ffmpeg -vf yadif, or bwdif"),
    (GOOD.replace(b"Ip", b"Ib"), "ffmpeg -vf yadif, or bwdif"),
    (GOOD.replace(b"Ip", b"Im"), "ffmpeg -vf yadif, or bwdif"),
    (GOOD.replace(b"Ip", b"I\0"), "not y4m"),
    (GOOD[:-1], "ends within a frame"),
    (GOOD[:len(LINE) + 1], "ends after frame 0 of 3"),
    (GOOD + b"FRAME\n" + bytes(9384 // 3), "more frames than the 3"),
    (GOOD + b"noise", "no frame where one should begin"),
    (GOOD.replace(b"FRAME\n", b"FRAME\nx", 1), "not those that"),
    (GOOD.replace(b"FRAME", b"frame"), "no frame where one should begin"),
])
def test_a_stream_that_does_not_fit(player, stream, words):
    refused(player, words, VECTORS / "8-8-x2.stdo", input=stream)


def test_what_a_y4m_reader_passes_over(player):
    path = VECTORS / "8-8-x2.stdo"
    odd = GOOD.replace(LINE, LINE + b" Zanything XYSCSS=420MPEG2 ").replace(b"FRAME\n", b"FRAME Ip\n")
    for stream in (odd, GOOD.replace(b"Ip", b"I?"), GOOD.replace(b" Ip", b"")):
        assert run(player, "--md5", path, input=stream) == run(player, "--md5", path, input=GOOD)


@pytest.mark.parametrize(("arguments", "words", "code"), [
    ([], "which sidecar", 2),
    (["--frobnicate"], "no such option", 2),
    (["--threads", "0", "a"], "1..256", 2),
    (["--threads"], "1..256", 2),
    (["--start", "-1", "a"], "a frame of", 2),
    (["--strip", "7", "a"], "KiB of 8..65536", 2),
    (["--strip", "", "a"], "KiB of 8..65536", 2),
    (["a", "b"], "one sidecar only", 2),
    (["no.stdo"], "cannot be opened", 1),
    ([VECTORS], "cannot be read", 1),
    ([VECTORS / "hashes.txt"], "not a sidecar", 1),
    ([VECTORS / "rgb-x2.stdo"], "RGB", 1),
    (["--", "--help"], "cannot be opened", 1),
])
def test_wrong_arguments(player, arguments, words, code):
    refused(player, words, *arguments, code=code, input=b"")


def test_help_and_a_wrong_tier(player):
    assert b"stdo-y4m low.stdo | mpv -" in run(player, "--help")
    assert run(player, "--version").startswith(b"stdo-y4m 0.")
    refused(player, "STDO_CPU=sse: unknown tier", VECTORS / "8-8-x2.stdo", input=GOOD,
            env={**os.environ, "STDO_CPU": "sse"})


def test_a_full_disk(player):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([player, VECTORS / "d16-x4.stdo"], input=y4m("d16-x4"), stdout=full,
                              stderr=subprocess.PIPE)
        assert done.returncode == 1 and b"stdout takes no more" in done.stderr
        assert subprocess.run([player, "--help"], stdout=full).returncode == 1


def test_the_example(installed, tmp_path):
    for name in YUV_VECTORS:
        run(installed / "bin" / "upscale", VECTORS / f"{name}.stdo", VECTORS / f"{name}.lr", tmp_path / "hr")
        wanted = run(installed / "bin" / "stdo-y4m", "--md5", VECTORS / f"{name}.stdo", input=y4m(name)).split()[0]
        assert hashlib.md5((tmp_path / "hr").read_bytes()).hexdigest() == wanted.decode()


def test_another_libc(installed, once):
    """Android's is not glibc; musl is not either."""
    if not shutil.which("musl-gcc"):
        pytest.skip("no musl-gcc: apt install musl-tools")

    def build(folder):
        run("make", "-C", CSRC, "-j2", "CC=musl-gcc", "LDFLAGS=-static", "CFLAGS=-O2 -Wall -Werror", f"BUILD={folder}",
            folder / "stdo-y4m")

    program = once("musl", build) / "stdo-y4m"
    for name in YUV_VECTORS:
        path = VECTORS / f"{name}.stdo"
        wanted = run(installed / "bin" / "stdo-y4m", "--md5", path, input=y4m(name))
        assert run(program, "--md5", path, input=y4m(name)) == wanted


def test_windows(tmp_path):
    """The DLL has the API alone, stdo-y4m builds, and no vector is moved to a stack as if it were aligned."""
    tools = "x86_64-w64-mingw32-"
    if not shutil.which(f"{tools}gcc"):
        pytest.skip("no compiler for Windows: apt install gcc-mingw-w64-x86-64")
    run("make", "-C", CSRC, f"CC={tools}gcc", "CFLAGS=-O2 -Wall -Werror", f"BUILD={tmp_path}", "all", "examples")
    assert (tmp_path / "stdo-y4m.exe").exists() and (tmp_path / "libstdo.dll.a").exists()
    told = run(f"{tools}objdump", "-p", tmp_path / "libstdo-0.dll").decode()
    assert set(re.findall(r"^\s*\[ *\d+\] (?:.* )?([a-z_]\w+)$", told.partition("Name Pointer] Table")[2], re.M)) == API
    moves = run(f"{tools}objdump", "-d", "--no-show-raw-insn", tmp_path / "libstdo-0.dll").decode()
    assert "%zmm" in moves and not re.search(r"vmov(dqa|ap)\w*\s[^\n]*%[yz]mm[^\n]*\(", moves)


def test_names_on_macos(tmp_path):
    """What make would do: there is no linker for it here."""
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho arm64-apple-darwin23.1.0\n")
    compiler.chmod(0o755)
    told = run("make", "-n", "-C", CSRC, f"CC={compiler}", f"BUILD={tmp_path}", "LIBDIR=/opt/lib", "all", "install")
    assert b"-pthread" in told and b"-lpthread" not in told  # bionic, too, has no libpthread
    assert b"-dynamiclib -install_name /opt/lib/libstdo.0.dylib" in told and b"soname" not in told
    assert b"ln -sf libstdo.0.dylib /opt/lib/libstdo.dylib" in told


def test_installed_files(installed):
    library = installed / "lib" / "libstdo.so.0"
    names = [line.split()[-1] for line in run("nm", "-D", "--defined-only", library).decode().splitlines()]
    assert "stdo_open_memory" in names and set(names) == API
    for line in run("nm", "-g", "--defined-only", installed / "lib" / "libstdo.a").decode().splitlines():
        assert len(line.split()) < 3 or line.split()[-1].startswith("stdo_"), line
    for file in (library, installed / "lib" / "libstdo.a"):  # players need neither training nor nets in floats
        assert not re.search(r"float|train|squared", run("nm", file).decode())
    stripped = library.with_suffix(".stripped")
    run("strip", "-o", stripped, library)
    assert stripped.stat().st_size < 144 << 10
    assert (installed / "lib" / "libstdo.so").is_symlink() and (installed / "include" / "stdo" / "stdo.h").exists()


def test_pkg_config_and_cplusplus(installed, tmp_path):
    """A C++17 program against the shared library, found by stdo.pc."""
    if not shutil.which("g++"):
        pytest.skip("no g++")
    text = (installed / "lib" / "pkgconfig" / "stdo.pc").read_text()
    assert "prefix=/usr\n" in text and "Libs: -L${libdir} -lstdo" in text and "Version: 0." in text
    source = tmp_path / "a.cpp"
    source.write_text('#include <stdo/stdo.h>\n#include <cstdio>\n'
                      'int main() { std::puts(stdo_status_string(STDO_ERROR_MAGIC)); }\n')
    run("g++", "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{installed / 'include'}", source,
        f"-L{installed / 'lib'}", "-lstdo", "-o", tmp_path / "a")
    said = run(tmp_path / "a", env={**os.environ, "LD_LIBRARY_PATH": str(installed / "lib")})
    assert said.startswith(b"not a sidecar")


def test_cmake_subdirectory(tmp_path):
    if not shutil.which("cmake"):
        pytest.skip("no cmake")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(player C)\n"
        f'add_subdirectory("{CSRC}" stdo)\nadd_executable(player "{CSRC}/examples/upscale.c")\n'
        "target_link_libraries(player stdo::stdo)\n")
    run("cmake", "-S", tmp_path, "-B", tmp_path / "out", "-DCMAKE_BUILD_TYPE=Release",
        "-DCMAKE_C_FLAGS_RELEASE=-O0", "-DSTDO_TOOLS=ON")  # -O3 takes longer, and test_tiers.py has it
    run("cmake", "--build", tmp_path / "out", "-j2")
    run(tmp_path / "out" / "player", VECTORS / "8-8-x2.stdo", VECTORS / "8-8-x2.lr", tmp_path / "hr")
    said = run(tmp_path / "out" / "stdo" / "stdo-y4m", "--md5", VECTORS / "8-8-x2.stdo", input=GOOD)
    assert said.split()[0].decode() == hashlib.md5((tmp_path / "hr").read_bytes()).hexdigest()

