"""Which tiers must run on this machine: by what the system says of its CPU, not by what the library finds.

So a tier that the library should have chosen and did not is a failure, and only one that the CPU lacks is skipped.
"""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

TIERS = ["c", "avx2", "avxvnni", "avx512vnni", "neon", "neon_dot", "neon_i8mm"]
TRAINING_TIERS = ["c", "avx2", "avx512vnni", "neon"]
NEEDS = {  # words of /proc/cpuinfo
    "x86_64": {"avx2": "avx2 fma", "avxvnni": "avx2 fma avx_vnni",
               "avx512vnni": "avx2 fma avx512f avx512dq avx512bw avx512vl avx512_vnni"},
    "armv7l": {"neon": "neon"},
    "aarch64": {"neon": "asimd", "neon_dot": "asimd asimddp", "neon_i8mm": "asimd asimddp i8mm"},
}


def cpu_words(text: str | None = None) -> set[str]:
    """The features that /proc/cpuinfo lists; none where there is no such file."""
    path = Path("/proc/cpuinfo")
    lines = (path.read_text() if path.exists() else "") if text is None else text
    listed = [line.partition(":")[2] for line in lines.splitlines() if line.startswith(("flags", "Features"))]
    return set(listed[0].split()) if listed else set()


def of(machine: str, words: set[str]) -> list[str]:
    """The tiers that a CPU with these features must run, lowest first."""
    return ["c", *(tier for tier, needed in NEEDS.get(machine, {}).items() if words.issuperset(needed.split()))]


HERE = of(platform.machine(), cpu_words())


def require(found: str, wanted: str) -> None:
    """Fail unless the tier that runs is the one wanted; skip the test where this CPU lacks it."""
    if found == wanted:
        return
    assert wanted not in HERE, f"this CPU has {wanted}, and {found} ran in its place"
    pytest.skip(f"this CPU has no {wanted}")


def require_all(ran) -> None:
    """Fail unless every tier of this CPU is among those that ran."""
    assert set(ran).issuperset(HERE), f"this CPU has {', '.join(HERE)}; only {', '.join(ran)} ran"
