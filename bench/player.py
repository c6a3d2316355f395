"""stdo-y4m as a whole, y4m in to y4m out, beside its kernels alone and beside ffmpeg's scaling of the same frames.

    python -m bench player CLIP... [--json FILE] [--only SUBSTRING] [--threads 1,2] [--rounds N] [--frames N]
                           [--against STDO_Y4M]

Each clip is scaled to the lr size, coded by x264 and decoded again, so that as many patches stay unchanged from frame
to frame as in a film; the nets are untrained. Bytes are checked before anything is timed. Then all contenders take
turns, in random order, in every round; ratios are medians over rounds. --against names another build of stdo-y4m.

Times are wall-clock milliseconds a frame, of the whole process; of ffmpeg, less what one frame takes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

import numpy as np

from bench.infer import machine
from stdo_min.format.library import Upscaler
from stdo_min.format.random_nets import make_sidecar, random_net
from stdo_min.format.sidecar import write
from stdo_min.video.ffmpeg import ffmpeg_executable
from stdo_min.video.probe import probe
from stdo_min.video.read import read_lr

ROOT = Path(__file__).parents[1]
PATCH = 20  # what `stdo encode` takes by default
CRF = 24
SINKS = ("null", "/dev/null", "pipe", "file")
Contenders = dict[str, Callable[[], tuple[float, float]]]


class Job(NamedTuple):
    """A size and a net: lr size, scale, hidden layers as (kernel, channels)."""

    title: str
    size: tuple[int, int]
    scale: Fraction
    hidden: tuple[tuple[int, int], ...]


D16 = ((5, 16), (3, 16))
JOBS = (Job("270p -> 1080p", (480, 270), Fraction(4), D16), Job("540p -> 1080p", (960, 540), Fraction(2), D16),
        Job("1080p -> 2160p", (1920, 1080), Fraction(2), D16),
        Job("720p -> 1080p, one layer of 8", (1280, 720), Fraction(3, 2), ((5, 8),)),
        Job("1080p -> 1080p, one layer of 8", (1920, 1080), Fraction(1), ((5, 8),)))


class WrongOutput(ValueError):
    """A player does not give the bytes that the library gives."""


@dataclass
class Row:
    """One contender: milliseconds a frame, of the clock and of all cores, and its ratios in the same rounds."""

    who: str
    clock: list[float] = field(default_factory=list)
    cores: list[float] = field(default_factory=list)
    times_kernels: float | None = None
    times_other: float | None = None  # how much faster than the other build into the same sink


class Ready(NamedTuple):
    """A clip made ready for a job."""

    stream: Path
    sidecar: Path
    frames: int
    sum: str  # the MD5 of all hr planes


# ---- Make ready ----


def build(folder: Path) -> tuple[Path, Path]:
    """stdo-y4m and player_kernels of this checkout."""
    _call("make", "-s", "-C", ROOT / "csrc", f"BUILD={folder}", folder / "stdo-y4m")
    tools = [folder / "tools" / f"{name}.o" for name in ("player", "pipeline", "y4m", "md5")]
    _call(os.environ.get("CC", "cc"), "-O2", "-std=c11", "-I", ROOT / "csrc" / "include", "-pthread",
          ROOT / "bench" / "player_kernels.c", *tools, folder / "libstdo.a", "-o", folder / "player_kernels")
    return folder / "stdo-y4m", folder / "player_kernels"


def make_ready(clip: Path, job: Job, frames: int, folder: Path) -> Ready:
    """The lr stream of a clip, a sidecar for it, and what the library makes of them without reuse."""
    width, height = job.size
    video, stream, path = folder / "lr.mkv", folder / "lr.y4m", folder / "lr.stdo"
    _call(ffmpeg_executable(), "-v", "error", "-y", "-i", clip, "-frames:v", frames, "-an", "-vf",
          f"scale={width}:{height}:flags=bicubic", "-c:v", "libx264", "-crf", CRF, "-pix_fmt", "yuv420p", video)
    _call(ffmpeg_executable(), "-v", "error", "-y", "-i", video, "-f", "yuv4mpegpipe", stream)
    lr = [tuple(np.ascontiguousarray(plane) for plane in frame) for frame in read_lr(probe(video))]
    whole = first = 0
    for number, frame in enumerate(lr):
        for plane in frame:
            whole = zlib.crc32(plane, whole)
        first = first if number else whole
    net = random_net(np.random.default_rng(0), job.scale, list(job.hidden), 3, least_weight=-127)
    labels = np.ones((len(lr), -(-height // PATCH), -(-width // PATCH)), np.uint8)
    made = make_sidecar(job.scale, job.size, PATCH, [((net,), labels)], chroma=1, mode=1)
    data = write(replace(made, segments=(replace(made.segments[0], lr_first_crc=first, lr_crc=whole),)))
    path.write_bytes(data)
    upscaler, planes = Upscaler(data), hashlib.md5()
    for frame in lr:
        for plane in upscaler.upscale(0, labels[0], frame):
            planes.update(plane)
    return Ready(stream, path, len(lr), planes.hexdigest())


def check(player: Path, ready: Ready, threads: int) -> None:
    """Raise WrongOutput unless a player gives the library's planes, as video and as their MD5."""
    command = [player, "--threads", str(threads), ready.sidecar]
    with ready.stream.open("rb") as stream:
        said = subprocess.run([*command, "--md5"], stdin=stream, stdout=subprocess.PIPE, check=True).stdout
    planes = hashlib.md5()
    with ready.stream.open("rb") as stream, subprocess.Popen(command, stdin=stream, stdout=subprocess.PIPE) as process:
        words = process.stdout.readline().split()
        width, height = int(words[1][1:]), int(words[2][1:])
        while process.stdout.readline() == b"FRAME\n":
            planes.update(process.stdout.read(width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)))
    if not said.decode().strip() == planes.hexdigest() == ready.sum:
        raise WrongOutput(f"{player}, {threads} threads: its planes are not those of the library")


def _call(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")


# ---- Time ----


def timed(command: list[object], stream: Path, sink: str, folder: Path) -> tuple[float, float]:
    """Seconds of the clock and of all cores that a command takes with a stream, into one of SINKS."""
    reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) if sink == "pipe" else None
    target = folder / "hr.y4m" if sink == "file" else Path(os.devnull)
    with stream.open("rb") as source, target.open("wb") as file:
        out = reader.stdin if reader else file
        begun = perf_counter()
        process = subprocess.Popen([str(part) for part in command], stdin=source, stdout=out)
        if reader:
            reader.stdin.close()
            reader.wait()
        _, status, used = os.wait4(process.pid, 0)
        took = perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return took, used.ru_utime + used.ru_stime


def contenders(a: argparse.Namespace, job: Job, ready: Ready, threads: int, programs: tuple[Path, Path],
               folder: Path) -> Contenders:
    """What is timed, by name: each gives milliseconds a frame, of the clock and of all cores."""
    player, kernels = programs

    def alone():
        with ready.stream.open("rb") as stream:
            told = subprocess.run([kernels, ready.sidecar, str(threads), "1"], stdin=stream, check=True,
                                  stdout=subprocess.PIPE)
        return float(told.stdout), float("nan")

    def played(program, sink):
        null = ["--null"] if sink == "null" else []
        took = timed([program, "--threads", threads, *null, ready.sidecar], ready.stream, sink, folder)
        return tuple(1e3 * seconds / ready.frames for seconds in took)

    def scaled(flags):
        width, height = (int(side * job.scale) for side in job.size)
        command = [ffmpeg_executable(), "-v", "error", "-filter_threads", threads, "-i", ready.stream, "-vf",
                   f"scale={width}:{height}:flags={flags}", "-f", "yuv4mpegpipe"]
        whole, one = (timed([*command, *few, "-y", os.devnull], ready.stream, "/dev/null", folder)
                      for few in ([], ["-frames:v", "1"]))
        return tuple(1e3 * (all_ - first) / (ready.frames - 1) for all_, first in zip(whole, one, strict=True))

    found = {"kernels alone": alone}
    for sink in SINKS:
        found[f"stdo-y4m, {sink}"] = lambda sink=sink: played(player, sink)
        if a.against:
            found[f"other build, {sink}"] = lambda sink=sink: played(a.against, sink)
    for flags in ("bicubic", "lanczos"):
        found[f"ffmpeg {flags}, /dev/null"] = lambda flags=flags: scaled(flags)
    return found


def time_rounds(found: Contenders, rounds: int, rng: np.random.Generator) -> list[Row]:
    """All contenders, each once a round, in random order."""
    rows = {who: Row(who) for who in found}
    for _ in range(rounds):
        for who in rng.permutation(list(found)):
            clock, cores = found[who]()
            rows[who].clock.append(clock)
            rows[who].cores.append(cores)
    for row in rows.values():
        row.times_kernels = _ratio(row, rows["kernels alone"])
        if other := rows.get(row.who.replace("stdo-y4m", "other build")):
            row.times_other = _ratio(other, row)
    return list(rows.values())


def _ratio(a: Row, b: Row) -> float:
    return median(x / y for x, y in zip(a.clock, b.clock, strict=True))


# ---- Report ----


def table(rows: list[Row], title: str) -> str:
    """The rows as text, in the order in which they were listed."""
    lines = [title, f"{'':28} {'ms':>8} {'min':>8} {'cores':>8} {'x kernels':>10} {'faster':>8}"]
    for row in rows:
        cores = "" if np.isnan(row.cores).any() else f"{median(row.cores):.2f}"
        faster = f"{row.times_other:.2f}" if row.times_other and row.who.startswith("stdo") else ""
        lines.append(f"  {row.who:26} {median(row.clock):8.2f} {min(row.clock):8.2f} {cores:>8} "
                     f"{row.times_kernels:10.2f} {faster:>8}")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Time every job asked for with every clip; print a table for each, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench player", description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--only", default="", metavar="SUBSTRING", help='jobs to time, as in "270p"')
    parser.add_argument("--threads", type=lambda text: tuple(map(int, text.split(","))), default=(1, 2))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frames", type=int, default=60, help="of each clip, at the most")
    parser.add_argument("--against", type=Path, metavar="STDO_Y4M", help="another build, timed in turn with this one")
    a = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    record = {**machine(), "jobs": []}
    print(f"{record['cpu']}, commit {record['commit']}, load {record['load_average']:.1f} before the start\n")
    with tempfile.TemporaryDirectory(prefix="stdo-") as name:
        folder = Path(name)
        programs = build(folder)
        for clip in a.clips:
            for job in (job for job in JOBS if a.only in job.title):
                ready = make_ready(clip, job, a.frames, folder)
                for threads in a.threads:
                    for program in filter(None, (programs[0], a.against)):
                        check(program, ready, threads)
                    rows = time_rounds(contenders(a, job, ready, threads, programs, folder), a.rounds, rng)
                    title = f"{clip.stem}, {job.title}, {ready.frames} frames, {threads} thread(s)"
                    print(table(rows, title) + "\n", flush=True)
                    record["jobs"].append({"clip": clip.name, "job": job.title, "frames": ready.frames,
                                           "threads": threads, "rows": [asdict(row) for row in rows]})
                    if a.json:  # after each table, so that a run cut short leaves what it has
                        a.json.write_text(json.dumps(record, indent=1) + "\n")
    if not record["jobs"]:
        print(f"no job is called {a.only!r}", file=sys.stderr)
        return 2
    return 0
