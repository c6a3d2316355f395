"""What programs that use libstdo rely on: its functions, its version, structs that may grow, and how it is found."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from make_vectors import CASES, VECTORS
from samples import CSRC

from stdo_min.format.library import Upscaler, ffi, lib, new_struct, plane_shapes
from stdo_min.format.random_nets import make_sidecar, random_net
from stdo_min.format.sidecar import write

TESTS = Path(__file__).parent
HEADER = (CSRC / "include" / "stdo" / "stdo.h").read_text()
# Whoever takes a line out of this list breaks programs: then STDO_ABI in stdo.h needs another number.
SYMBOLS = (TESTS / "symbols.txt").read_text().split()
GROWING = ["stdo_info", "stdo_segment_info", "stdo_previous", "stdo_frame", "stdo_statistics", "stdo_options"]
# The fields of structs, in their order. A field may be added at an end; any other change breaks programs, too.
FIELDS = """
stdo_info: size scale divisor mode patch chroma colour lr_width lr_height hr_width hr_height frames segments columns
    rows nets net_bytes segments_there frames_there
stdo_segment_info: size first_frame frames lr_first_crc lr_crc net_bytes map_bytes nets computed chroma
stdo_previous: size segment labels lr hr
stdo_frame: size segment hr_age labels lr hr previous ages
stdo_statistics: size net base reused
stdo_options: size tiers most take give context how strip
stdo_image: plane stride chroma_step
stdo_const_image: plane stride chroma_step
"""
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
def built(make_install):
    """The folder where make built all; do not change it."""
    return make_install(Path(COMPILER).name) / "build"


@needs_compiler
def test_exactly_the_listed_functions_are_exported(built):
    told = run("nm", "-D", "--defined-only", built / "libstdo.so")
    assert [line.split()[-1] for line in told.splitlines()] == SYMBOLS
    assert sorted(re.findall(r"^STDO_API .*?(stdo_\w+)\(", HEADER, re.M)) == SYMBOLS


@needs_compiler
def test_the_name_holds_the_number_of_the_abi(built):
    name = f"libstdo.so.{number_of('STDO_ABI')}"
    assert f"soname: [{name}]" in run("readelf", "-d", built / "libstdo.so")
    assert os.readlink(built / "libstdo.so") == name


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


def test_fields_keep_their_places():
    told = re.findall(r"(\w+):((?:\s+\w+(?!:)\b)+)", FIELDS)
    assert [name for name, _ in told] == [*GROWING, "stdo_image", "stdo_const_image"]
    for name, fields in told:
        assert [field for field, _ in ffi.typeof(name).fields] == fields.split(), name


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
            "stdo_options": new_struct("stdo_options"),
        }

    def statuses(given):
        frame, done, handle = given["stdo_frame"], given["stdo_statistics"], ffi.new("stdo_sidecar **")
        opening = lib.stdo_open(data, len(data), given["stdo_options"], handle)
        lib.stdo_close(handle[0])
        return {opening, lib.stdo_get_info(opened, given["stdo_info"]),
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
    flags = ["-g", "-O0", "-fsanitize=address"]  # conftest.py says why not -O1
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


# ---- Other projects: find_package and pkg-config ----

NAME = "8-8-x2"
VECTOR = [VECTORS / f"{NAME}.stdo", VECTORS / f"{NAME}.lr"]


def assert_plays(program, tmp_path, **options):
    """The example, wherever it was built, gives the planes that the vector's hashes say."""
    run(program, *VECTOR, tmp_path / "hr", **options)
    upscaler, data, found = Upscaler(VECTOR[0].read_bytes()), (tmp_path / "hr").read_bytes(), []
    for frame in range(upscaler.frames):
        for plane, (height, width) in enumerate(plane_shapes(upscaler.hr_width, upscaler.hr_height)):
            found.append(f"{NAME} {frame} {plane} {zlib.crc32(data[:height * width]):08x}")
            data = data[height * width:]
    assert not data
    assert found == [line for line in (VECTORS / "hashes.txt").read_text().splitlines() if line.split()[0] == NAME]


def links_shared(program):
    return f"[libstdo.so.{number_of('STDO_ABI')}]" in run("readelf", "-d", program)


def compile_by_pkg_config(prefix, program, *flags):
    environment = {**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig")}
    told = run("pkg-config", "--cflags", "--libs", "stdo", env=environment).split()
    run(COMPILER, CSRC / "examples" / "upscale.c", *flags, *told, "-Wl,-Bdynamic", "-o", program)


@needs_compiler
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "static"])
def test_a_cmake_project_finds_the_package(tmp_path, shared):
    if not shutil.which("cmake"):
        pytest.skip("no cmake")
    prefix, project = tmp_path / "prefix", tmp_path / "project"
    run("cmake", "-S", CSRC, "-B", tmp_path / "build", f"-DCMAKE_INSTALL_PREFIX={prefix}", "-DCMAKE_INSTALL_LIBDIR=lib",
        f"-DBUILD_SHARED_LIBS={'ON' if shared else 'OFF'}", "-DSTDO_TOOLS=OFF", "-DCMAKE_BUILD_TYPE=Debug")
    run("cmake", "--build", tmp_path / "build", "-j2", "--target", "install")
    project.mkdir()
    (project / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(player C)\nfind_package(stdo ${WANTED} REQUIRED)\n"
        f'add_executable(player "{CSRC}/examples/upscale.c")\ntarget_link_libraries(player stdo::stdo)\n')
    configure = ["cmake", "-S", project, "-B", project / "out", f"-DCMAKE_PREFIX_PATH={prefix}"]
    run(*configure, f"-DWANTED={re.search('STDO_VERSION .([0-9]+[.][0-9]+)', HEADER)[1]}")
    run("cmake", "--build", project / "out")
    assert links_shared(project / "out" / "player") == shared
    assert_plays(project / "out" / "player", tmp_path)
    refused = subprocess.run([*configure, "-DWANTED=99.0"], capture_output=True, text=True)
    assert refused.returncode != 0 and "stdo" in refused.stderr
    if shutil.which("pkg-config"):
        compile_by_pkg_config(prefix, tmp_path / "player")
        assert_plays(tmp_path / "player", tmp_path, env={**os.environ, "LD_LIBRARY_PATH": str(prefix / "lib")})


@needs_compiler
def test_pkg_config_finds_what_make_installed(copy_build, tmp_path):
    if not shutil.which("pkg-config"):
        pytest.skip("no pkg-config")
    copy_build(tmp_path / "build")
    run("make", "-C", CSRC, f"CC={COMPILER}", f"BUILD={tmp_path / 'build'}", f"PREFIX={tmp_path / 'prefix'}", "install")
    for flags, shared in (([], True), (["-Wl,-Bstatic"], False)):
        compile_by_pkg_config(tmp_path / "prefix", tmp_path / "player", *flags)
        assert links_shared(tmp_path / "player") == shared
        assert_plays(tmp_path / "player", tmp_path,
                     env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path / "prefix" / "lib") if shared else ""})


# ---- Systems that are not here: compiled, not run ----


@needs_compiler
@pytest.mark.parametrize(("target", "library", "asks"), [
    ("aarch64-macos", "libstdo.dylib", b"hw.optional.arm.FEAT_DotProd"),
    ("aarch64-windows-gnu", "libstdo.dll.a", b"IsProcessorFeaturePresent"),
])
def test_systems_that_are_only_compiled_for(tmp_path, target, library, asks):
    """Zig's clang has their headers. Each has a way of its own to tell which tiers the CPU runs."""
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("no compiler for them: pip install ziglang")
    zig = f"{sys.executable} -m ziglang"
    run("make", "-C", CSRC, "-j2", f"CC={zig} cc -target {target}", f"AR={zig} ar", "CFLAGS=-O1 -Wall -Werror",
        f"BUILD={tmp_path}", tmp_path / library)
    assert asks in (tmp_path / "cpu.o").read_bytes()
    for tier in ("neon_dot", "neon_i8mm"):
        assert f"stdo_int8_{tier}".encode() in (tmp_path / "arm" / f"{tier[5:]}_int8.o").read_bytes()
