"""The CRC-32 of the library: zlib's, by each way that this CPU has for it."""

import platform
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import CSRC, INCLUDE
from stdo_min._stdo import ffi, lib
from tiers import cpu_words

CHECK = Path(__file__).with_name("check_crc32.c")
SOURCES = [CSRC / "crc32.c", CSRC / "x86" / "crc32_pclmul.c", CSRC / "arm" / "crc32_armv8.c"]
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
NEEDS = {"x86_64": ("pclmul", "pclmulqdq"), "aarch64": ("armv8", "crc32")}  # the fast way, and its word in cpuinfo


def constants():
    """The definitions X_n of crc32_pclmul.c."""
    return re.findall(r"^#define (X_\d+ 0x\w+)$", SOURCES[1].read_text(), re.M)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_way_is_right(tmp_path, compiler):
    """By the definition, on all short lengths, alignments and some megabytes; and the fast way is the one that runs."""
    subprocess.run([compiler, "-O2", "-g", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                    "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *INCLUDE, CHECK, *SOURCES,
                    "-o", tmp_path / "check"], check=True)  # fmt: skip
    said = subprocess.run([tmp_path / "check"], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    ways = [line for line in said.stdout.splitlines() if not line.startswith("X_")]
    name, word = NEEDS.get(platform.machine(), (None, ""))
    if name is None:
        assert ways == ["c ok fastest"]
    elif word in cpu_words():
        assert ways == ["c ok", f"{name} ok fastest"]
    else:
        assert ways == ["c ok fastest", f"{name} skip"]
    assert [line for line in said.stdout.splitlines() if line.startswith("X_")] == constants()


def test_the_constants_are_found():
    assert len(constants()) == 4


def crc32(data, crc=0):
    return lib.stdo_crc32(crc, ffi.from_buffer("uint8_t[]", data), len(memoryview(data)))


def test_short_and_long_data_at_every_alignment():
    data = np.random.default_rng(0).bytes(3 << 20)
    for size in (*range(300), *range((1 << 14) - 9, (1 << 14) + 80)):  # from 16 KiB on by what the CPU has
        for at in range(17):
            assert crc32(data[at:at + size]) == zlib.crc32(data[at:at + size]), (size, at)
    for at in range(64):
        assert crc32(memoryview(data)[at:]) == zlib.crc32(data[at:])


@given(st.binary(max_size=300), st.integers(1, 1000), st.integers(0, 2**32 - 1), st.integers(0, 300_000))
def test_any_data_in_two_parts(some, times, begin, cut):
    data = some * times
    cut = min(cut, len(data))
    assert crc32(data[cut:], crc32(data[:cut], begin)) == zlib.crc32(data, begin)
