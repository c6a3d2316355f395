"""Small nets on one frame, lr to 1920x1080: our kernels and every framework that is installed, side by side.

    python -m bench infer [--json FILE] [--only SUBSTRING] [--rows SUBSTRING] [--seconds S] [--threads 1,2]

First come our kernels alone, at every scale and with maps in pieces (--only scales: these alone). Then every
contender is checked before it is timed, and the fastest of its settings is taken. Then all contenders of a net
take turns: a round gives each, in random order, a warm-up and a few runs.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import platform
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from time import perf_counter, process_time, sleep

import numpy as np

from bench import _jobs, _ours, _scales, peak, peers
from bench._jobs import Job
from bench.peers import NET, WHOLE, Ready, Variant

SIZES = {4: (480, 270), 2: (960, 540)}
LEAST_ROUNDS = 5  # however long they take
BLOCK = 0.01  # seconds that a turn lasts after its warm-up, which takes half as long
LONG = 0.05  # seconds; a run that takes longer is a turn by itself, without a warm-up
LEAST_PSNR = {"int8": 45.0, "bf16": 45.0, "fp16": 45.0, "fp32": 50.0}
FP32_ERROR = {WHOLE: 1.0, NET: 0.01}  # grey levels: pixels may round the other way
EXACT = {WHOLE: 95.0, NET: 110.0}  # dB that only fp32 reaches


class WrongOutput(ValueError):
    """A contender does not give the picture that its net gives."""


@dataclass
class Row:
    """One line of the table: the fastest setting of a contender, or why there is none. Times are milliseconds."""

    who: str
    dtype: str
    part: str
    settings: str = ""
    note: str = ""
    refused: str = ""
    psnr: float | None = None
    median_ms: float | None = None
    min_ms: float | None = None
    fps: float | None = None
    gmacs: float | None = None
    peak_percent: float | None = None
    peak_of: str = ""
    times_best_whole: float | None = None
    times_best_net: float | None = None
    runs: int = 0


# ---- Check ----


def check(job: Job, variant: Variant, planes: list[np.ndarray]) -> float:
    """PSNR in dB of what a variant gave against the exact net, away from the border; WrongOutput if it is too low."""
    wanted = job.wanted if variant.part == WHOLE else list(job.residual)
    shapes = [plane.shape for plane in planes]
    if shapes != [plane.shape for plane in wanted]:
        raise WrongOutput(f"gave planes of {shapes}")
    if variant.part == WHOLE and any(plane.dtype != np.uint8 for plane in planes):
        raise WrongOutput(f"gave pixels of {[str(plane.dtype) for plane in planes]}")
    border = _jobs.MARGIN * job.scale
    errors = [_jobs.interior(found, border).astype(np.float64) - _jobs.interior(exact, border)
              for found, exact in zip(planes, wanted, strict=True)]
    largest = max(float(np.abs(error).max()) for error in errors)
    square = sum(float(np.sum(error * error)) for error in errors) / sum(error.size for error in errors)
    psnr = 10 * np.log10(255**2 / max(square, 1e-10))
    if not psnr >= LEAST_PSNR[variant.dtype]:  # also true of NaN
        raise WrongOutput(f"{psnr:.1f} dB against the exact net, {LEAST_PSNR[variant.dtype]:.0f} asked")
    # FORMAT.md rounds the taps of our base to 128ths: an error of a level, and rarely of two.
    limit = FP32_ERROR[variant.part] + (1 if variant.who == _ours.WHO else 0)
    if variant.dtype == "fp32" and not largest <= limit:
        raise WrongOutput(f"wrong by {largest:.3g} grey levels, at most {limit:g} allowed")
    if variant.dtype in ("bf16", "fp16") and psnr > EXACT[variant.part]:
        raise WrongOutput(f"it ran in fp32, as {psnr:.0f} dB show: there is no {variant.dtype} path for this CPU")
    return float(psnr)


def choose(job: Job, variants: list[Variant]) -> tuple[list[Row], dict[int, Ready]]:
    """A row for each (who, dtype, part), and for the rows that can run the fastest variant that is right."""
    rows, ready, best = {}, {}, {}
    for variant in variants:
        key = (variant.who, variant.dtype, variant.part)
        row = rows.setdefault(key, Row(*key))
        try:
            built = variant.build()
            built.run()
            psnr = check(job, variant, built.planes())
            seconds = _probe(built)
        except Exception as error:  # a framework may raise anything; the row says what
            reason = f"{variant.settings}: {type(error).__name__}: {error}".replace("\n", " ")
            row.refused = "; ".join(filter(None, (row.refused, reason[:160])))
            continue
        if seconds < best.get(key, float("inf")):
            best[key], ready[key] = seconds, built
            row.settings, row.note, row.psnr = variant.settings, built.note, psnr
    listed = list(rows.values())
    return listed, {index: ready[key] for index, key in enumerate(rows) if key in ready}


def _probe(ready: Ready) -> float:
    """The least seconds of a few runs, or of one that is long."""
    _settle()
    times, end = [], perf_counter() + 0.05
    while not times or max(times) < LONG and (len(times) < 3 or perf_counter() < end):
        begun = perf_counter()
        ready.run()
        times.append(perf_counter() - begun)
    return min(times)


# ---- Time ----


def time_rounds(ready: dict[int, Ready], seconds: float, rng: np.random.Generator) -> dict[int, list[float]]:
    """Seconds of each run of each contender, taken in rounds for `seconds`, and LEAST_ROUNDS at least."""
    taken = {index: [] for index in ready}
    end, rounds = perf_counter() + seconds, 0
    gc.disable()
    try:
        while perf_counter() < end or rounds < LEAST_ROUNDS:
            for index in rng.permutation(list(ready)):
                taken[int(index)] += _block(ready[int(index)])
            rounds += 1
    finally:
        gc.enable()
    return taken


def _block(ready: Ready) -> list[float]:
    """One turn, in seconds a run: some runs that warm up, then at least two that count."""
    _settle()
    begun = perf_counter()
    ready.run()
    first = perf_counter() - begun
    if first > LONG:
        return [first]
    while perf_counter() - begun < BLOCK / 2:
        ready.run()
    times, begun = [], perf_counter()
    while len(times) < 2 or (perf_counter() - begun < BLOCK and len(times) < 10):
        start = perf_counter()
        ready.run()
        times.append(perf_counter() - start)
    return times


def _settle() -> None:
    """Wait until no thread of this process works: OpenMP's spin for some 10 ms after a run."""
    end = perf_counter() + 0.1
    while perf_counter() < end:
        before = process_time()
        sleep(0.002)
        if process_time() - before < 0.0003:
            return


def fill(rows: list[Row], taken: dict[int, list[float]], job: Job, peaks: dict[str, float]) -> None:
    """Put what was measured into the rows; `peaks` are GMAC/s by arithmetic."""
    for index, times in taken.items():
        row = rows[index]
        row.median_ms, row.min_ms, row.runs = 1e3 * median(times), 1e3 * min(times), len(times)
        row.fps, row.gmacs = 1e3 / row.median_ms, job.macs / row.median_ms * 1e-6
        row.peak_of = row.dtype if row.dtype in peaks else "fp32"
        if row.peak_of in peaks:
            row.peak_percent = 100 * row.gmacs / peaks[row.peak_of]
    for row in rows:
        for part, name in ((WHOLE, "times_best_whole"), (NET, "times_best_net")):
            # fp32 is compared with fp32 only: less exact arithmetic is faster anyhow.
            best = min((peer.median_ms for peer in rows if peer.part == part and peer.who != _ours.WHO
                        and peer.median_ms and (row.dtype != "fp32" or peer.dtype == "fp32")), default=None)
            if best and row.median_ms:
                setattr(row, name, best / row.median_ms)


# ---- Report ----


def table(rows: list[Row], title: str) -> str:
    """The rows as text, each part by its median."""
    head = "{:20} {:>8} {:>8} {:>7} {:>7} {:>10} {:>8} {:>6} {:>6}  settings".format(
        "", "ms", "min", "fps", "GMAC/s", "of peak", "x whole", "x net", "dB")
    lines = [title]
    for part, words in ((WHOLE, "whole job: uint8 planes to uint8 planes"), (NET, "bare net and pixel shuffle")):
        lines += [f"  {words}", head]
        for row in sorted((row for row in rows if row.part == part), key=lambda row: row.median_ms or float("inf")):
            name = f"  {row.who} {row.dtype}"
            if row.median_ms is None:
                lines.append(f"{name:20} not timed: {row.refused}")
                continue
            of_peak = "" if row.peak_percent is None else f"{row.peak_percent:.0f}% {row.peak_of}"
            ratios = (f"{'' if ratio is None else format(ratio, '.2f')}"
                      for ratio in (row.times_best_whole, row.times_best_net))
            lines.append("{:20} {:8.2f} {:8.2f} {:7.1f} {:7.1f} {:>10} {:>8} {:>6} {:6.1f}  {}".format(
                name, row.median_ms, row.min_ms, row.fps, row.gmacs, of_peak, *ratios, row.psnr,
                ", ".join(filter(None, (row.settings, row.note)))))
    return "\n".join(lines)


def machine() -> dict:
    """What the numbers depend on: CPU, versions, compiler, commit, date."""
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        named = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                 if line.startswith(("model name", "Hardware", "CPU part"))]
        cpu = named[0] if named else cpu
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True,
                         text=True, check=False)
    return {"cpu": cpu, "machine": platform.machine(), "system": platform.platform(),
            "python": platform.python_version(), "numpy": np.__version__, "versions": peers.versions(),
            "missing": {name: list(packages) for name, packages in peers.missing().items()},
            "compiler": peak.compiler()[1], "commit": git.stdout.strip() or "unknown",
            "load_average": os.getloadavg()[0], "date": datetime.now(timezone.utc).isoformat(timespec="seconds")}


def keep_pages() -> None:
    """Let glibc keep freed memory: frameworks that allocate per run would fault in every page each time."""
    trim_threshold, mmap_max = -1, -4
    _libc("mallopt", trim_threshold, 2**31 - 1)
    _libc("mallopt", mmap_max, 0)


def _give_back() -> None:
    """Give back the memory of a net's contenders: for the largest net gigabytes, which lie in pieces."""
    gc.collect()
    _libc("malloc_trim", 0)


def _libc(function: str, *arguments: int) -> None:
    """Call a function of glibc; do nothing where the C library is another one."""
    with suppress(OSError, AttributeError):
        getattr(ctypes.CDLL(None), function)(*arguments)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench infer", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--only", default="", metavar="SUBSTRING", help='nets to time, as in "D16 x4"')
    parser.add_argument("--rows", default="", metavar="SUBSTRING", help='contenders to time, as in "OpenVINO int8 net"')
    parser.add_argument("--seconds", type=float, default=10.0, help="of timing for each net and number of threads")
    parser.add_argument("--threads", type=lambda text: tuple(map(int, text.split(","))), default=(1, 2))
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Time every net asked for; print a table for each, and write JSON where asked."""
    a = _arguments(argv)
    keep_pages()
    rng = np.random.default_rng(0)
    record = {**machine(), "peak": {threads: peak.measure(threads) for threads in a.threads}, "nets": []}
    print(f"{record['cpu']}, commit {record['commit']}, load {record['load_average']:.1f} before the start")
    for threads, rates in record["peak"].items():
        told = ", ".join(f"{kind} {rate:.0f}" for kind, rate in rates.items())
        print(f"peak, {threads} thread(s), GMAC/s: {told}")
    for name, packages in record["missing"].items():
        print(f'missing: {name} ({", ".join(packages)}); pip install ".[bench]"')
    print("x whole, x net: times faster than the best whole job and bare net of a peer; of fp32 in rows of fp32\n",
          flush=True)
    if a.only in ("", "scales"):
        record["scales"], record["maps"] = _scales.scales(a.seconds / 10), _scales.maps(a.seconds / 10)
        record["strips"] = _scales.strips(a.seconds / 10)
        print(f"{record['scales']}\n\n{record['maps']}\n\n{record['strips']}\n", flush=True)
    names = [name for name in peers.FILES if name not in record["missing"]]
    for scale, name in ((scale, name) for scale in SIZES for name in _jobs.SHAPES):
        if a.only not in f"{name} x{scale}":
            continue
        job = _jobs.create(name, scale, *SIZES[scale])
        for threads in a.threads:
            offered = _ours.variants(job, threads)
            offered += [variant for peer in names for variant in peers.variants(peer, job, threads)]
            offered = [v for v in offered if a.rows in f"{v.who} {v.dtype} {v.part}"]
            rows, ready = choose(job, offered)
            fill(rows, time_rounds(ready, a.seconds, rng), job, record["peak"][threads])
            print(table(rows, f"{job.title}, {job.macs * 1e-9:.2f} GMAC, {threads} thread(s)") + "\n", flush=True)
            record["nets"].append({"net": name, "scale": scale, "title": job.title, "macs": job.macs,
                                   "threads": threads, "rows": [asdict(row) for row in rows]})
            if a.json:  # after each net, so that a run cut short leaves what it has
                a.json.write_text(json.dumps(record, indent=1) + "\n")
            ready.clear()
            _give_back()
    if not record["nets"] and a.only != "scales":
        print(f"no net is called {a.only!r}", file=sys.stderr)
        return 2
    return 0
