"""The ARM tiers under qemu's user emulation: `make test-arm`. Slow, so `make test` only says that it was not run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from make_vectors import VECTORS
from samples import CSRC, LIBRARY

TESTS = Path(__file__).parent
CHECKS = sorted((TESTS / "check").glob("*.c"))
NEEDED = {"qemu-aarch64": "qemu-user", "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu", "clang": "clang"}
COMPILERS = {"gcc": ["aarch64-linux-gnu-gcc"], "clang": ["clang", "--target=aarch64-linux-gnu"]}
CPUS = {"cortex-a53": "neon", "cortex-a76": "neon_dot", "max": "neon_i8mm"}  # and the best tier each has
TIERS = ["c", "neon", "neon_dot", "neon_i8mm"]

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
    def programs(request, tmp_path_factory):
        """check_kernels and check_files, statically linked."""
        folder = tmp_path_factory.mktemp(request.param)
        flags = ["-O3", "-std=c11", "-ffp-contract=off", "-static", "-I", CSRC,
                 "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]  # fmt: skip
        for name, more in (("check_kernels", CHECKS), ("check_files", [])):
            sources = [TESTS / f"{name}.c", *more, *LIBRARY]
            subprocess.run([*COMPILERS[request.param], *flags, *sources, "-lm", "-o", folder / name], check=True)
        return folder

    def emulated(cpu, program, *arguments, tiers=""):
        done = subprocess.run(["qemu-aarch64", "-cpu", cpu, program, *arguments], capture_output=True, text=True,
                              env={**os.environ, "STDO_CPU": tiers})  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    @pytest.mark.parametrize("cpu", CPUS)
    def test_kernels(programs, cpu):
        lines = emulated(cpu, programs / "check_kernels", "--quick")
        ran = TIERS[: TIERS.index(CPUS[cpu]) + 1]
        for line in lines:
            kernel, tier, result = line.split(None, 2)
            assert result == "ok" if tier in ran else result.startswith("skip"), line
        assert len(lines) == 13 * 6

    @pytest.mark.parametrize("cpu", CPUS)
    def test_vectors(programs, cpu):
        expected = sorted((VECTORS / "hashes.txt").read_text().splitlines())
        for tier in TIERS[: TIERS.index(CPUS[cpu]) + 1]:
            files = sorted(VECTORS.glob("*.stdo"))
            assert sorted(emulated(cpu, programs / "check_files", "--vectors", *files, tiers=tier)) == expected, tier

    def test_wrong_kernels_are_found(programs):
        lines = emulated("max", programs / "check_kernels", "--quick", "--self-test")
        assert len(lines) > 20 and all(line.startswith("caught ") for line in lines)
