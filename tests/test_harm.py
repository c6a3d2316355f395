"""Input that means harm: sidecars of one wrong byte, memory that ends, corpora under the sanitizers, long streams."""

import os
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_corpus import CORPUS, good_files
from make_vectors import CASES, VECTORS
from samples import CSRC, INCLUDE, LIBRARY, fix_all, fix_header, put, statuses
from test_c_player import YUV_VECTORS, y4m
from tiers import HERE

from stdo_min.format.library import StdoError, Upscaler
from stdo_min.format.patchmap import encode
from stdo_min.format.random_nets import random_net
from stdo_min.format.sidecar import Segment, Sidecar, SidecarError, read, write

TESTS = Path(__file__).parent
WRAP = [f"-Wl,--wrap={name}" for name in ("malloc", "calloc", "realloc")]
VALID = [*sorted(CORPUS.glob("ok.*.stdo")), *sorted(VECTORS.glob("*.stdo"))]
SMALL = [path.read_bytes() for path in VALID if path.stat().st_size < 1200]


def link(sanitized, program, *arguments):
    """Build a program with the sanitized library."""
    compiler, folder = sanitized
    done = subprocess.run([*compiler, *arguments, folder / "libstdo.a", "-o", program, "-lm", "-pthread"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


def opens(data):
    try:
        Upscaler(data)
    except StdoError:
        return False
    return True


# ---- The readers, in C and in Python ----


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.name)
def test_no_single_byte_may_change(path):
    """A crc of 32 bits finds every one; all 255 changes of each byte of small files, one of each byte of the others."""
    data = path.read_bytes()
    for at in range(len(data)):
        for change in range(1, 256) if len(data) < 400 else (1 + at % 255,):
            assert not opens(data[:at] + bytes([data[at] ^ change]) + data[at + 1:]), (at, change)


@pytest.mark.parametrize("data", SMALL, ids=len)
def test_readers_agree_on_every_cut_and_flip(data):
    for cut in range(len(data)):
        python, c = statuses(data[:cut])
        assert python == c != "STDO_OK", cut
    for at in range(len(data)):
        flipped = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1:]
        python, c = statuses(flipped)
        assert python == c != "STDO_OK", at


@given(st.data())
def test_readers_agree_when_fields_grow_and_checksums_fit(data):
    """The checksums made right again, so that the change gets behind them."""
    file = data.draw(st.sampled_from(SMALL))
    for _ in range(data.draw(st.integers(1, 3))):
        size = data.draw(st.sampled_from([1, 2, 4]))
        at = data.draw(st.integers(8, len(file) - size))
        old = int.from_bytes(file[at:at + size], "little")
        greatest = 256**size - 1
        new = data.draw(st.one_of(st.integers(0, greatest), st.sampled_from([0, 1, old + 1, 2 * old, greatest])))
        file = put(file, at, new % 256**size, size)
    extra = data.draw(st.binary(max_size=8))
    for mended in (file, fix_header(file), fix_all(file), fix_all(file) + extra):
        python, c = statuses(mended)
        assert python == c


@given(st.binary(max_size=200))
def test_readers_agree_on_noise(noise):
    for data in (noise, b"\x89STDO\r\n\x1a" + noise):
        python, c = statuses(data)
        assert python == c
    with pytest.raises(SidecarError):
        read(noise)


# ---- Memory that ends ----


def test_the_library_without_memory(sanitized, leaks, tmp_path):
    floats = sorted((CSRC / "float").glob("*.c"))
    program = link(sanitized, tmp_path / "check_memory", *WRAP, "-Wl,--wrap=free", "-ffp-contract=off",
                   TESTS / "check_memory.c", *floats)
    done = subprocess.run([program, *VALID], capture_output=True, text=True, env=leaks)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + len(VALID)
    assert lines[0] == "floats 1"
    for line, path in zip(lines[1:], VALID, strict=True):
        used = {id(net) for part in read(path.read_bytes()).segments for net in (*part.nets, part.chroma) if net}
        assert line == f"{path} {2 + 2 * len(used)}", "a sidecar and its map are one block each, a net being loaded two"


@pytest.fixture(scope="module")
def failing(sanitized, tmp_path_factory):
    """stdo-y4m whose allocations and threads fail as its environment says."""
    tool = sorted((sanitized[1] / "tools").glob("*.o"))
    return link(sanitized, tmp_path_factory.mktemp("failing") / "stdo-y4m", *WRAP, "-Wl,--wrap=pthread_create",
                TESTS / "fail_nth.c", *tool)


def test_stdo_y4m_without_memory(failing, leaks):
    path, stream = VECTORS / "8-8-x2.stdo", y4m("8-8-x2")
    wanted = subprocess.run([failing, "--threads", "1", path], input=stream, capture_output=True, check=True,
                            env=leaks).stdout
    for number in range(1, 100):
        done = subprocess.run([failing, "--threads", "1", path], input=stream, capture_output=True,
                              env={**leaks, "FAIL_AT": str(number)})
        if done.returncode == 0:
            assert done.stdout == wanted
            break
        assert done.returncode == 1 and done.stderr.startswith(b"stdo-y4m: ") and done.stderr.count(b"\n") == 1, number
    assert number > 4, "the sidecar's bytes, the sidecar, its map, frames"


@pytest.mark.parametrize("refused", range(16))
def test_stdo_y4m_without_threads(failing, leaks, refused):
    """It goes on with those it can get: a reader, a writer, and one or two that upscale beside the first thread."""
    for name in ("8-8-x2", "segments-x4"):
        path, stream = VECTORS / f"{name}.stdo", y4m(name)
        wanted = subprocess.run([failing, "--threads", "1", path], input=stream, capture_output=True, env=leaks)
        assert wanted.returncode == 0 and wanted.stderr == b"", "one thread needs no others"
        done = subprocess.run([failing, "--threads", "3", path], input=stream, capture_output=True, timeout=60,
                              env={**leaks, "FAIL_THREADS": str(refused)})
        assert done.returncode == 0 and done.stdout == wanted.stdout
        said = [f"thread {number} {'refused' if refused >> number & 1 else 'begins'}" for number in range(4)]
        assert done.stderr.decode().splitlines() == (said[:3] if refused & 4 else said)


def test_leaks_are_looked_for(leaks):
    if leaks["ASAN_OPTIONS"] == "detect_leaks=0":
        pytest.skip("leaks were not looked for: this system forbids ptrace")
    assert leaks["ASAN_OPTIONS"] == "detect_leaks=1"


def test_all_that_is_valid_is_tried():
    assert {path.name for path in VALID} == {
        *(f"ok.{name}.stdo" for name in good_files()), *(f"{name}.stdo" for name in CASES)}
    assert len(SMALL) >= 7


@pytest.fixture(scope="session")
def leaks(sanitized, tmp_path_factory):
    """The environment in which leaks are found, where the system lets them be: it takes ptrace, which some forbid."""
    folder = tmp_path_factory.mktemp("leak")
    (folder / "leak.c").write_text("#include <stdlib.h>\nint main(void) { return malloc(9) == NULL; }\n")
    found = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1"}
    done = subprocess.run([link(sanitized, folder / "leak", folder / "leak.c", "-O0")], capture_output=True, env=found)
    return found if b"detected memory leaks" in done.stderr else {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}


# ---- The corpus of the fuzzers, and long streams ----


def test_the_corpus_replayed(sanitized, leaks, tmp_path):
    """What libFuzzer began with and found, by plain programs."""
    streams = []
    for name in YUV_VECTORS:
        streams.append(tmp_path / f"{name}.y4m")
        streams[-1].write_bytes(y4m(name))
    files = [*sorted(CORPUS.glob("*.stdo")), *sorted(VECTORS.glob("*.stdo"))]
    for target, inputs in (("reader", files), ("upscale", files), ("y4m", [*streams, *files])):
        program = sanitized[1] / f"replay_fuzz_{target}"
        done = subprocess.run([program, *inputs], capture_output=True, text=True, env=leaks)
        assert done.returncode == 0 and done.stdout == f"{len(inputs)} files, nothing found\n", done.stderr


BUILDS_32 = {"x86": (["gcc", "-m32"], []), "armv7": (["arm-linux-gnueabihf-gcc"], ["qemu-arm"])}


def mutated(program, before=()):
    """Runs of mutate_upscale: {tier: frames compared}."""
    files = sorted(CORPUS.glob("ok.*.stdo"))
    done = subprocess.run([*before, program, "1", "300", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, *lines = done.stdout.splitlines()
    assert said == "300 runs, nothing found; frames compared:"
    return {tier: int(frames) for tier, frames in map(str.split, lines)}


def test_every_tier_upscales_mutations_alike(sanitized):
    compared = mutated(sanitized[1] / "mutate_upscale")
    assert set(compared) == set(HERE) and len(set(compared.values())) == 1 and compared["c"] > 50


@pytest.mark.parametrize("machine", BUILDS_32)
def test_32_bits(machine, tmp_path):
    """The vectors, and mutations, on 32-bit processors; x86 under the sanitizers."""
    compiler, before = BUILDS_32[machine]
    empty = tmp_path / "empty.c"
    empty.write_text("#include <stdlib.h>\nint main(void) { return sizeof(void *) != 4; }\n")
    if any(not shutil.which(tool) for tool in (compiler[0], *before)) or subprocess.run(
            [*compiler, empty, "-o", tmp_path / "empty"], capture_output=True).returncode != 0:
        packages = "libc6-dev-i386 lib32gcc-12-dev" if machine == "x86" else "gcc-arm-linux-gnueabihf qemu-user"
        pytest.skip(f"no 32-bit {machine}: apt install {packages}")
    flags = "-O2 -static" if before else "-g -O0 -fsanitize=address,undefined -fno-sanitize-recover=all"
    made = subprocess.run(["make", "-C", CSRC, "-j2", "mutate", f"CC={' '.join(compiler)}", f"CFLAGS={flags}",
                           f"BUILD={tmp_path}"], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    program, folder = tmp_path / "check_files", tmp_path / "mutate"
    # These must compile at least; the test below compiles them for ARM.
    others = [path for path in LIBRARY if path.parent.name in ("float", "train", "measure") and machine == "x86"]
    subprocess.run([*compiler, *flags.split(), "-std=c11", "-ffp-contract=off", *INCLUDE,
                    TESTS / "check_files.c", *others, folder / "libstdo.a", "-lm", "-o", program], check=True)
    files = sorted(VECTORS.glob("*.stdo"))
    done = subprocess.run([*before, program, "--vectors", *files], capture_output=True, text=True,
                          env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    assert sorted(done.stdout.splitlines()) == sorted((VECTORS / "hashes.txt").read_text().splitlines())
    assert set(mutated(folder / "mutate_upscale", before)) == ({"c"} if machine == "x86" else {"c", "neon"})


@pytest.mark.skipif(not shutil.which("arm-linux-gnueabihf-gcc") or not shutil.which("qemu-arm"),
                    reason="no 32-bit armv7: apt install gcc-arm-linux-gnueabihf qemu-user")
def test_kernels_of_32_bit_arm(tmp_path):
    """Each against plain C; on a CPU without NEON the library finds that out."""
    program = tmp_path / "check_kernels"
    subprocess.run(["arm-linux-gnueabihf-gcc", "-O3", "-std=c11", "-static", "-ffp-contract=off", *INCLUDE,
                    TESTS / "check_kernels.c", *TESTS.glob("check/*.c"),
                    *(path for part in ("", "x86", "arm", "float", "train", "measure")
                      for path in (CSRC / part).glob("*.c")), "-lm", "-o", program], check=True)

    def run(cpu, *arguments):
        done = subprocess.run(["qemu-arm", "-cpu", cpu, program, *arguments], capture_output=True, text=True)
        return done.returncode, done.stdout

    for kernel in ("int8_load", "int8_hidden", "int8_last", "base_vertical", "hr_row", "hr_row_3_2", "int8_frame"):
        assert run("cortex-a15", "--quick", kernel, "neon") == (0, f"{kernel:14} neon        ok\n")
    assert run("cortex-a15,neon=off", "int8_last", "neon") == (2, "skip: this CPU has no neon\n")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read memory from")
def test_a_long_stream_in_flat_memory(sanitized, leaks, tmp_path):
    """STDO_TEST_FRAMES=100000 for the whole length; every fourth frame changes."""
    frames = int(os.environ.get("STDO_TEST_FRAMES", 5000))
    rng = np.random.default_rng(0)
    pictures = [rng.bytes(16 * 16 * 3 // 2) for _ in range(2)]
    stream = [pictures[number // 4 % 2] for number in range(frames)]
    segments, nets = [], (random_net(rng, 2, [(3, 4)], 3),)
    for first in range(0, frames, 50_000):
        own = stream[first:first + 50_000]
        segments.append(Segment(first, len(own), zlib.crc32(own[0]), zlib.crc32(b"".join(own)), nets,
                                encode(np.ones((len(own), 2, 2), np.uint8), 1)))
    path = tmp_path / "long.stdo"
    path.write_bytes(write(Sidecar(2, 2, 8, 0, 16, 16, 32, 32, tuple(segments))))
    process = subprocess.Popen([sanitized[1] / "stdo-y4m", "--null", "--threads", "2", path], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, env=leaks)
    peaks = []
    process.stdin.write(b"YUV4MPEG2 W16 H16 F25:1 C420jpeg\n")
    for number, picture in enumerate(stream, 1):
        process.stdin.write(b"FRAME\n" + picture)
        if number in (1000, frames):
            process.stdin.flush()
            status = Path(f"/proc/{process.pid}/status").read_text()
            peaks.append(int(status.partition("VmHWM:")[2].split()[0]))
    assert process.communicate()[0].startswith(b"%d frames" % frames) and process.returncode == 0
    print(f"KiB at 1000 frames and at {frames}: {peaks}")
    assert peaks[1] <= peaks[0] + 256
