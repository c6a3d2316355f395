"""How many threads to use: phones have fast and slow cores. csrc/tools/cores.c has the same rule."""

from __future__ import annotations

import os
from pathlib import Path

# Slow cores of phones run at 58 to 78 % of the fastest core's highest clock, middle ones at 80 % and more (Snapdragon
# 845: 63 %, 888: 63 and 85 %, 8 Gen 3: 69, 90 and 95 %; Tensor: 64 and 80 %; Kirin 990: 68 and 83 %).
FAST_PERCENT = 80
CLOCKS = Path("/sys/devices/system/cpu")


def fast_cores(clocks: Path = CLOCKS) -> int:
    """Return how many fast cores this process may run on, 1 or more: those of at least 80 % of the highest clock.

    One thread for each is what playing and training want: the system's scheduler puts busy threads on fast cores by
    itself, and one more thread would land on a slow one. Where the system does not tell the clocks
    (cpuN/cpufreq/cpuinfo_max_freq, in kHz), all cores count.
    """
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    try:
        found = [int((clocks / f"cpu{core}/cpufreq/cpuinfo_max_freq").read_text()) for core in cores]
    except (OSError, ValueError):
        return len(cores)
    return sum(100 * clock >= FAST_PERCENT * max(found) for clock in found)
