"""The ARM tiers under qemu's user emulation: `make test-arm`. Slow, so `make test` only says that it was not run."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import test_tiers
from make_vectors import CASES, VECTORS, read_frames
from samples import CSRC, INCLUDE, LIBRARY
from test_c_player import YUV_VECTORS, y4m
from tiers import NEEDS
from tiers import TIERS as ALL_TIERS

from stdo_min.format.library import Upscaler
from stdo_min.format.sidecar import read

TESTS = Path(__file__).parent
CHECKS = sorted((TESTS / "check").glob("*.c"))
NEEDED = {"qemu-aarch64": "qemu-user", "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu", "clang": "clang"}
COMPILERS = {"gcc": ["aarch64-linux-gnu-gcc"], "clang": ["clang", "--target=aarch64-linux-gnu"]}
CPUS = {"cortex-a53": "neon", "cortex-a76": "neon_dot", "max": "neon_i8mm"}  # and the best tier each has

TIERS = ["c", *NEEDS["aarch64"]]

MISSING = [package for tool, package in NEEDED.items() if not shutil.which(tool)]
if MISSING:
    REASON = f"the ARM tiers were not tested: apt install {' '.join(MISSING)}, then make test-arm"
else:
    REASON = "the ARM tiers were not tested: make test-arm does"


def test_arm_is_asked_for():
    if os.environ.get("STDO_TEST_ARM") != "1":
        pytest.skip(REASON)
    assert not MISSING, REASON


if os.environ.get("STDO_TEST_ARM") == "1" and not MISSING:

    @pytest.fixture(scope="session", params=COMPILERS)
    def programs(request, once):
        """check_kernels and check_files, statically linked."""
        flags = ["-O3", "-std=c11", "-ffp-contract=off", "-static", *INCLUDE,
                 "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]  # fmt: skip

        def build(folder):
            for name, more in (("check_kernels", CHECKS), ("check_files", [])):
                sources = [TESTS / f"{name}.c", *more, *LIBRARY]
                subprocess.run([*COMPILERS[request.param], *flags, *sources, "-lm", "-o", folder / name], check=True)

        return once(f"programs-{request.param}", build)

    def emulated(cpu, program, *arguments, tiers=""):
        """The lines on stdout, and those on stderr."""
        done = subprocess.run(["qemu-aarch64", "-cpu", cpu, program, *arguments], capture_output=True, text=True,
                              env={**os.environ, "STDO_CPU": tiers})  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines(), done.stderr.splitlines()

    @pytest.mark.parametrize("cpu", CPUS)
    def test_kernels(programs, cpu):
        lines, _ = emulated(cpu, programs / "check_kernels", "--quick")
        ran = TIERS[: TIERS.index(CPUS[cpu]) + 1]
        for line in lines:
            kernel, tier, result = line.split(None, 2)
            assert result == "ok" if tier in ran else result.startswith("skip"), line
        assert len(lines) == len(test_tiers.KERNELS) * len(ALL_TIERS)

    @pytest.mark.parametrize("cpu", CPUS)
    @pytest.mark.parametrize("compiler", COMPILERS)
    def test_crc32(compiler, cpu, tmp_path):
        """All three CPUs have the instructions, and so they must run."""
        check, sources = TESTS / "check_crc32.c", [CSRC / "crc32.c", CSRC / "arm" / "crc32_armv8.c"]
        subprocess.run([*COMPILERS[compiler], "-O2", "-std=c11", "-static", *INCLUDE, check, *sources, "-o",
                        tmp_path / "check"], check=True)  # fmt: skip
        lines, _ = emulated(cpu, tmp_path / "check")
        assert lines[:2] == ["c ok", "armv8 ok fastest"]

    @pytest.mark.parametrize("cpu", CPUS)
    def test_vectors(programs, cpu):
        expected = sorted((VECTORS / "hashes.txt").read_text().splitlines())
        for tier in TIERS[: TIERS.index(CPUS[cpu]) + 1]:
            files = sorted(VECTORS.glob("*.stdo"))
            found, ran = emulated(cpu, programs / "check_files", "--vectors", *files, tiers=tier)
            assert sorted(found) == expected, tier
            assert ran == [tier] * len(CASES)

    @pytest.fixture(scope="session", params=COMPILERS)
    def player(request, once):
        """The folder of libstdo.so and of stdo-y4m, statically linked, by the library's own Makefile."""
        def build(folder):
            make = ["make", "-C", CSRC, f"CC={' '.join(COMPILERS[request.param])}", f"BUILD={folder}"]
            subprocess.run([*make, folder / "libstdo.so"], check=True)
            subprocess.run([*make, "LDFLAGS=-static", folder / "stdo-y4m"], check=True)

        return once(f"player-{request.param}", build)

    @pytest.mark.parametrize("cpu", CPUS)
    def test_stdo_y4m(player, cpu):
        """Every tier gives the bytes of this machine, which test_c_player.py holds against `stdo pipe`."""
        for name in YUV_VECTORS:
            for tier in TIERS[: TIERS.index(CPUS[cpu]) + 1]:
                for option, wanted in (("--md5", f"{pipe_sum(name)}\n"), ("--null", f"({tier})\n")):
                    command = ["qemu-aarch64", "-cpu", cpu, player / "stdo-y4m", option, VECTORS / f"{name}.stdo"]
                    done = subprocess.run(command, input=y4m(name), capture_output=True,
                                          env={**os.environ, "STDO_CPU": tier})
                    assert done.returncode == 0, done.stderr
                    assert done.stdout.decode().endswith(wanted), (name, tier)

    def pipe_sum(name):
        """The MD5 of what the library gives on this machine."""
        sidecar = read((VECTORS / f"{name}.stdo").read_bytes())
        upscaler, planes = Upscaler((VECTORS / f"{name}.stdo").read_bytes()), hashlib.md5()
        for number, lr in enumerate(read_frames(sidecar, (VECTORS / f"{name}.lr").read_bytes())):
            for plane in upscaler.upscale(upscaler.segment_of(number), upscaler.labels(number, lr[0]), lr):
                planes.update(plane)
        return planes.hexdigest()

    def test_the_library_is_small(player, tmp_path):
        strip = shutil.which("aarch64-linux-gnu-strip")
        subprocess.run([strip, "-o", tmp_path / "stripped", player / "libstdo.so.0"], check=True)
        assert (tmp_path / "stripped").stat().st_size < 132 << 10

    def test_wrong_kernels_are_found(programs):
        lines, _ = emulated("max", programs / "check_kernels", "--quick", "--self-test")
        assert len(lines) > 20 and all(line.startswith("caught ") for line in lines)
