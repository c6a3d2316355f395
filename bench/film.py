"""What a film costs beside training: memory, seconds for a second of video, and how soon a killed run trains again.

    python -m bench film [--minutes 10] [--steps 400] [--jobs N] [--keep FOLDER] [--json FILE]

A scene of 40 seconds at 1920x1080, 24 frames a second, is drawn by ffmpeg (gradients, cells that live and die, a test
card that moves, noise) and repeated, without coding it again. Both are encoded at scale 2 with four nets; the film is
killed once, while it trains, and goes on. Memory is the
sum of PSS over stdo and all that it starts, ffmpeg included, as Linux tells it every half second: pages that several
processes share count once. The seconds of a stage are those between two reports of its progress, so with one job only.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from stdo_min.algorithm.crew import local_crew
from stdo_min.algorithm.recipe import Recipe
from stdo_min.commands.encode import encode
from stdo_min.engine.budget import Budget
from stdo_min.video.ffmpeg import ffmpeg_process, file_url

SCENE, SIZE, RATE = 40, "1920x1080", 24  # seconds, pixels, frames a second
TRAINING = ("warm-up", "train")
CODING = "lr video"


def draw(path: Path) -> None:
    """Draw the scene."""
    mixed = (f"[2]scale={SIZE.replace('x', ':')}:flags=bicubic[cells];[0][cells]blend=all_mode=overlay:all_opacity=0.5"
             "[back];[back][1]overlay=x='mod(n*3,960)':y='270+200*sin(n/40)',noise=alls=5:allf=t:all_seed=5,"
             "format=yuv420p")
    life = f"life=s=320x180:r={RATE}:mold=10:ratio=0.3:death_color=#804020:life_color=#20c0f0:seed=3"
    inputs = [f"gradients=s={SIZE}:r={RATE}:speed=0.02:n=6:seed=7", f"testsrc2=s=960x540:r={RATE}", life]
    with ffmpeg_process([*(word for drawn in inputs for word in ("-f", "lavfi", "-i", drawn)), "-filter_complex", mixed,
                         "-t", str(SCENE), "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", file_url(path)],
                        path):
        pass


def repeat(scene: Path, path: Path, seconds: float) -> None:
    """The scene over and over, for so many seconds."""
    with ffmpeg_process(["-stream_loop", str(round(seconds / SCENE) - 1), "-i", file_url(scene), "-c", "copy",
                         file_url(path)], path):
        pass


def pss(process: int) -> int:
    """The bytes that a process and all that descend from it take."""
    members, total = [process], 0
    for member in members:
        with suppress(OSError):
            for task in Path(f"/proc/{member}/task").iterdir():
                members += map(int, (task / "children").read_text().split())
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
            total += 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return total


class Stages:
    """Adds up the seconds of each stage of an encode, in a file that others may read meanwhile."""

    def __init__(self, told: Path):
        self.told, self.seconds, self._last = told, {}, time.monotonic()

    def training(self, stage: str, done: float, psnr: float) -> None:
        """The progress of training."""
        now = time.monotonic()
        new = stage not in self.seconds
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now
        if new:
            self.write()

    def coding(self, done: int, expected: int | None) -> None:
        """The progress of the lr video."""
        self.training(CODING, 0, 0)

    def write(self) -> None:
        """Write what is known."""
        self.told.write_text(json.dumps(self.seconds))


def child(source: str, out: str, steps: str, jobs: str, threads: str, told: str) -> None:
    """One encode, in a process of its own."""
    stages = Stages(Path(told))
    recipe = Recipe(mode="stdo", chunks=4, budget=Budget(steps=int(steps)))
    encode(Path(source), Path(out), 2, recipe, force=True, crew=lambda _: local_crew(int(jobs), int(threads)),
           lr_progress=stages.coding, progress=stages.training)
    stages.write()


def run(source: Path, out: Path, steps: int, jobs: int, threads: int, kill_in: str | None = None) -> dict:
    """Encode, and watch: seconds, the most bytes, the seconds of each stage, and until it first trained.

    kill_in: SIGKILL it five seconds after this stage was first told of.
    """
    told = out.with_name("stages.json")
    told.unlink(missing_ok=True)
    began, most, trained = time.monotonic(), 0, None
    process = subprocess.Popen([sys.executable, "-m", "bench", "film", "--child", source, out, str(steps), str(jobs),
                                str(threads), told])
    while process.poll() is None:
        most = max(most, pss(process.pid))
        stages = told.read_text() if told.exists() else ""
        if trained is None and any(f'"{stage}"' in stages for stage in TRAINING):
            trained = time.monotonic() - began
        if kill_in is not None and f'"{kill_in}"' in stages:
            time.sleep(5)
            process.send_signal(signal.SIGKILL)
        time.sleep(0.1)
    if process.returncode and kill_in is None:
        raise RuntimeError(f"the encode of {source} ended with {process.returncode}")
    return {"seconds": time.monotonic() - began, "pss": most, "until_training": trained,
            "stages": json.loads(told.read_text())}


def main(argv: list[str]) -> int:
    """Measure, print a table, and write JSON where asked."""
    if argv[:1] == ["--child"]:
        child(*argv[1:])
        return 0
    parser = argparse.ArgumentParser(prog="python -m bench film", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=400, help="of training in all; default %(default)s")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each job; default %(default)s")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the films stay, to be used again")
    parser.add_argument("--json", type=Path)
    a = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        place = a.keep or Path(folder)
        scene, film, out = place / "scene.mp4", place / f"film-{a.minutes:g}.mp4", Path(folder) / "out.mkv"
        if not scene.exists():
            draw(scene)
        if not film.exists():
            repeat(scene, film, 60 * a.minutes)
        rows, again = [], None
        print(f"{SIZE}, {RATE} frames a second, x2, 4 nets, {a.steps} steps, {a.jobs} jobs, {a.threads} threads each")
        print("video        seconds   peak MiB   beside training and coding, s a second of video", flush=True)
        for name, source, length in (("40 s", scene, SCENE), (f"{a.minutes:g} min", film, 60 * a.minutes)):
            found = run(source, out, a.steps, a.jobs, a.threads, kill_in="train" if source == film else None)
            if source == film:
                found, killed = run(source, out, a.steps, a.jobs, a.threads), found
                again = found["until_training"]
                for stage, seconds in killed["stages"].items():
                    found["stages"][stage] = found["stages"].get(stage, 0) + seconds
                found["pss"], found["seconds"] = (max(found["pss"], killed["pss"]),
                                                  found["seconds"] + killed["seconds"])
            beside = sum(seconds for stage, seconds in found["stages"].items() if stage not in (*TRAINING, CODING))
            rows.append({"video": name, "beside": beside / length, **found})
            print(f"{name:10} {found['seconds']:9.1f} {found['pss'] / 2**20:10.0f} {beside / length:10.3f}   "
                  + ", ".join(f"{stage} {seconds / length:.3f}" for stage, seconds in found["stages"].items()),
                  flush=True)
        print(f"the film was killed while it trained; it trained again {again:.1f} s after it was started anew")
    if a.json:
        a.json.write_text(json.dumps({"rows": rows, "trains_again_after": again}, indent=1) + "\n")
    return 0
