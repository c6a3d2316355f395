"""What programs that were compiled against libstdo rely on: its functions, its version, and structs that may grow."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from make_vectors import CASES, VECTORS
from samples import CSRC

from stdo_min.format.library import ffi, lib, new_struct
from stdo_min.format.random_nets import make_sidecar, random_net
from stdo_min.format.sidecar import write

TESTS = Path(__file__).parent
HEADER = (CSRC / "include" / "stdo" / "stdo.h").read_text()
# Whoever takes a line out of this list breaks programs: then STDO_ABI in stdo.h needs another number.
SYMBOLS = (TESTS / "symbols.txt").read_text().split()
GROWING = ["stdo_info", "stdo_segment_info", "stdo_previous", "stdo_frame", "stdo_statistics"]
COMPILER = shutil.which("gcc") or shutil.which("clang")
needs_compiler = pytest.mark.skipif(not COMPILER or not shutil.which("make"), reason="no C compiler or make")


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def number_of(name):
    return int(re.search(rf"^#define {name} (\d+)", HEADER, re.M)[1])


# ---- Versions and names ----


def test_the_version_is_said_alike():
    text = ffi.string(lib.stdo_version()).decode()
    major, minor, patch = map(int, text.split("."))
    assert f'#define STDO_VERSION "{text}"\n' in HEADER
    assert lib.stdo_version_number() == number_of("STDO_VERSION_NUMBER") == 10000 * major + 100 * minor + patch


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The folder where make built the shared library."""
    folder = tmp_path_factory.mktemp("shared")
    run("make", "-C", CSRC, f"CC={COMPILER}", f"BUILD={folder}", folder / "libstdo.so")
    return folder


@needs_compiler
def test_exactly_the_listed_functions_are_exported(shared):
    told = run("nm", "-D", "--defined-only", shared / "libstdo.so")
    assert [line.split()[-1] for line in told.splitlines()] == SYMBOLS
    assert sorted(re.findall(r"^STDO_API .*?(stdo_\w+)\(", HEADER, re.M)) == SYMBOLS


@needs_compiler
def test_the_name_holds_the_number_of_the_abi(shared):
    name = f"libstdo.so.{number_of('STDO_ABI')}"
    assert f"soname: [{name}]" in run("readelf", "-d", shared / "libstdo.so")
    assert os.readlink(shared / "libstdo.so") == name


# ---- Structs that may grow ----


def test_structs_that_grow_end_without_padding():
    """A field that fits into padding would not change the size, by which the library knows that it is there."""
    for name in GROWING:
        struct = ffi.typeof(name)
        assert struct.fields[0][0] == "size", name
        last, field = struct.fields[-1]
        assert field.offset + ffi.sizeof(field.type) == ffi.sizeof(struct), (name, last)
    others = set(re.findall(r"^typedef struct (\w+) \{", HEADER, re.M)) - set(GROWING)
    assert others == {"stdo_image", "stdo_const_image"}


def test_a_size_that_never_was_is_refused():
    labels = [[[1, 1]]]
    sidecar = make_sidecar(2, (16, 8), 8, [((random_net(np.random.default_rng(0), 2, [(3, 4)], 1),),
                                            np.array(labels, np.uint8))])
    data, handle = write(sidecar), ffi.new("stdo_sidecar **")
    assert lib.stdo_open_memory(data, len(data), b"", handle) == lib.STDO_OK
    opened = ffi.gc(handle[0], lib.stdo_close)
    block = ffi.new("uint8_t[]", 1024)
    image = {"plane": [block] * 3, "stride": [0] * 3}
    scratch = ffi.new("uint8_t[]", lib.stdo_scratch_size(opened))

    def structs():
        previous = new_struct("stdo_previous", labels=block, lr=image, hr=image)
        return {
            "stdo_info": new_struct("stdo_info"),
            "stdo_segment_info": new_struct("stdo_segment_info"),
            "stdo_previous": previous,
            "stdo_frame": new_struct("stdo_frame", labels=block, lr=image, hr=image, previous=previous),
            "stdo_statistics": new_struct("stdo_statistics"),
        }

    def statuses(given):
        frame, done = given["stdo_frame"], given["stdo_statistics"]
        return {lib.stdo_get_info(opened, given["stdo_info"]),
                lib.stdo_get_segment(opened, 0, given["stdo_segment_info"]),
                lib.stdo_upscale_rows(opened, frame, 0, 0, scratch, done)}

    assert statuses(structs()) == {lib.STDO_OK}
    for name in GROWING:
        for size in (0, ffi.sizeof(name) - 1):
            given = structs()
            given[name].size = size
            assert statuses(given) == {lib.STDO_OK, lib.STDO_ERROR_ARGUMENT}, (name, size)
        given = structs()
        given[name].size = 4096  # of a newer header, whose other fields stay as the caller set them
        if name in ("stdo_info", "stdo_segment_info"):
            room = ffi.new("uint8_t[]", b"\xa5" * 4096)
            given[name] = ffi.cast(f"{name} *", room)
            given[name].size = 4096
            assert statuses(given) == {lib.STDO_OK}
            assert bytes(room)[ffi.sizeof(name):4096] == b"\xa5" * (4096 - ffi.sizeof(name))
            assert given[name].frames == sidecar.frames


def grown(folder):
    """Copy csrc, and give every struct that may grow two more fields."""
    copy = folder / "csrc"
    shutil.copytree(CSRC, copy)
    header = copy / "include" / "stdo" / "stdo.h"
    text = header.read_text()
    for name in GROWING:
        text, count = re.subn(rf"^\}} {name};", f"    uint64_t more[2];\n}} {name};", text, flags=re.M)
        assert count == 1, name
    header.write_text(text)
    return copy


@needs_compiler
def test_a_newer_library_serves_older_programs(tmp_path):
    """The program has the structs of today, the library longer ones; the sanitizer sees what it touches past them."""
    flags = ["-g", "-O1", "-fsanitize=address"]
    empty = tmp_path / "empty.c"
    empty.write_text("int main(void) { return 0; }\n")
    if subprocess.run([COMPILER, *flags, empty, "-o", tmp_path / "empty"], capture_output=True).returncode != 0:
        pytest.skip(f"{COMPILER} has no sanitizers")
    run("make", "-C", grown(tmp_path), "-j2", f"CC={COMPILER}", f"CFLAGS={' '.join(flags)}", f"BUILD={tmp_path}",
        tmp_path / "libstdo.so")
    program = tmp_path / "check_files"
    run(COMPILER, "-std=c11", *flags, "-I", CSRC / "include", TESTS / "check_files.c", f"-L{tmp_path}", "-lstdo", "-o",
        program)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "ASAN_OPTIONS": "detect_leaks=0"}
    told = run(program, "--vectors", *(VECTORS / f"{name}.stdo" for name in CASES), env=environment)
    assert told == (VECTORS / "hashes.txt").read_text()
