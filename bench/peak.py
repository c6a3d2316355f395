"""This machine's arithmetic peak: multiply-accumulates a second in int8, fp32 and bf16, on some threads at once.

    python -m bench peak [--threads 1,2] [--json FILE]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shlex
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from time import perf_counter

KINDS = ("int8", "fp32", "bf16")


class PeakError(RuntimeError):
    """The loops could not be compiled."""


def compiler() -> tuple[list[str], str]:
    """The command of the C compiler (CC, or cc) and the first line that it says about its version."""
    command = shlex.split(os.environ.get("CC", "cc"))
    try:
        told = subprocess.run([*command, "--version"], capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PeakError(f"the C compiler {command[0]} does not run: {error}") from error
    return command, told.stdout.partition("\n")[0]


def measure(threads: int, seconds: float = 1.0) -> dict[str, float]:
    """GMAC/s of each of KINDS that this CPU has instructions for, all `threads` at work, the best of several runs."""
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "peak.so"
        built = subprocess.run([*compiler()[0], "-O2", "-shared", "-fPIC", "-o", str(binary),
                                str(Path(__file__).with_name("peak.c"))], capture_output=True, text=True, check=False)
        if built.returncode:
            raise PeakError(f"peak.c does not compile: {built.stderr.strip()}")
        loops = ctypes.CDLL(str(binary))  # CDLL lets go of the interpreter lock while a loop runs
        found = {}
        for kind in KINDS:
            loop = getattr(loops, f"peak_{kind}")
            loop.argtypes, loop.restype = [ctypes.c_int64], ctypes.c_int64
            if loop(1):
                found[kind] = _rate(loop, threads, seconds)
    return found


def _rate(loop, threads: int, seconds: float) -> float:
    """The most GMAC/s that `threads` copies of a loop reach together in runs that last `seconds` in all."""
    barrier = Barrier(threads)
    repeats = 20  # short ones: on a shared machine some of them are undisturbed

    def run(turns: int) -> float:
        barrier.wait()
        begun = perf_counter()
        done = loop(turns)
        return done / (perf_counter() - begun)

    with ThreadPoolExecutor(threads) as executor:
        turns = 100_000
        speed = min(executor.map(run, [turns] * threads))
        turns = max(1, int(turns * speed / loop(turns) * seconds / repeats)) if speed else turns
        return max(sum(executor.map(run, [turns] * threads)) for _ in range(repeats)) * 1e-9


def main(argv: list[str]) -> int:
    """Print the peak for each number of threads, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench peak", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=lambda text: tuple(map(int, text.split(","))), default=(1, 2))
    parser.add_argument("--json", type=Path)
    a = parser.parse_args(argv)
    rows = [{"threads": threads, **measure(threads)} for threads in a.threads]
    print("threads " + " ".join(f"{kind:>8}" for kind in KINDS) + "   (GMAC/s)")
    for row in rows:
        print(f"{row['threads']:7} " + " ".join(f"{row[kind]:8.1f}" if kind in row else f"{'-':>8}" for kind in KINDS))
    if a.json:
        a.json.write_text(json.dumps({"compiler": compiler()[1], "rows": rows}, indent=1) + "\n")
    return 0
