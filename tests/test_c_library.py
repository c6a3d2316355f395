"""The C library without Python: its header, its symbols, and a small program under the sanitizers."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from make_corpus import CORPUS
from samples import CSRC, INCLUDE, LIBRARY

from stdo_min.format.library import StdoError, Upscaler, plane_shapes
from stdo_min.format.sidecar import crc_of_planes

PROGRAMS = sorted(path for part in ("tools", "examples", "fuzz") for path in (CSRC / part).glob("*.c"))
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]  # conftest.py's, too
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler")


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("language", [("c", "c11"), ("c++", "c++17")], ids=" ".join)
def test_header_compiles_alone(tmp_path, compiler, language):
    source = tmp_path / "header"
    source.write_text('#include <stdo/stdo.h>\n#include "stdo/stdo.h"\n')
    if language[0] == "c++" and not shutil.which(compiler.replace("gcc", "g++")):
        pytest.skip(f"{compiler} without C++")
    run(compiler, "-x", language[0], f"-std={language[1]}", *WARNINGS, "-I", CSRC / "include", "-fsyntax-only", source)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_warnings_and_only_stdo_symbols(make_install, tmp_path, compiler):
    """Where there is make, it compiled libstdo and its programs with the same warnings."""
    built = make_install(compiler) / "build" if shutil.which("make") else tmp_path
    for source in [*LIBRARY, *PROGRAMS]:
        target = built / source.relative_to(CSRC).with_suffix(".o")
        if not target.exists():
            assert built == tmp_path or source.parent.name in ("float", "train", "measure", "fuzz")
            target = tmp_path / f"{source.stem}.o"
            run(compiler, "-std=c11", "-O1", *WARNINGS, *INCLUDE, "-c", source, "-o", target)
        if source in LIBRARY:
            lines = run("nm", "-g", "--defined-only", target).splitlines()
            names = [line.split()[-1].lstrip("_") for line in lines if line]
            assert names or source.parent != CSRC, "files of other architectures alone may be empty"
            assert all(name.startswith("stdo_") for name in names), names


def upscaled_crc(upscaler):
    """The crc of all frames upscaled from the planes that check_files.c makes."""
    lr = []
    for height, width in plane_shapes(upscaler.lr_width, upscaler.lr_height):
        i = np.arange(height * width, dtype=np.uint64)
        lr.append((i * i >> np.uint64(3)).astype(np.uint8).reshape(height, width))
    crc = 0
    for frame in range(upscaler.frames):
        crc = crc_of_planes(upscaler.upscale(upscaler.segment_of(frame), upscaler.labels(frame, lr[0]), tuple(lr)), crc)
    return crc


def test_corpus_under_the_sanitizers(sanitized, tmp_path):
    compiler, folder = sanitized
    program = tmp_path / "check_files"
    run(*compiler, Path(__file__).with_name("check_files.c"), folder / "libstdo.a", "-o", program, "-lm")
    files = sorted(CORPUS.glob("*.stdo"))
    # Leak checking needs ptrace, which sandboxes forbid; the program's few frees are plain to see.
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([program, *files], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(files)
    for path, line in zip(files, lines, strict=True):
        said, crc = line.rsplit(" ", 1)
        data = path.read_bytes()
        try:
            expected = upscaled_crc(Upscaler(data)) if path.name.startswith("ok.") else 0
        except StdoError as error:
            pytest.fail(f"{path.name}: {error}")
        assert int(crc, 16) == expected, path.name
        if expected == 0:
            with pytest.raises(StdoError) as refused:
                Upscaler(data)
            assert said == str(refused.value), path.name
