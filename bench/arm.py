"""What a frame costs on ARM cores that are not here: an estimate by llvm-mca from the instructions that really run.

    python -m bench arm [--net 16-16 8] [--scale 1 3/2 2] [--tier neon] [--compiler gcc clang] [--loops] [--json FILE]

The library is cross-built, one frame of 480x270 is upscaled under qemu, and a plugin counts how often each straight
run of instructions was executed. llvm-mca says how many cycles each run takes when it is repeated on a core;
times the count, summed over a function, that is the function's cost. It leaves out cache misses, mispredicted
branches, the cost of getting from one run to the next, memory bandwidth, and heat, and takes several cores to share a
frame without loss. A spill is a load or store of a vector register on the stack inside a hot run.

Each net's cost is held against its share: scale 4's cycles for each product of the layers and for each hr pixel of the
rest, times the products and hr pixels of the scale.

Needs qemu-user, gcc-aarch64-linux-gnu and llvm-19 (or newer).
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stdo_min.format.random_nets import random_sidecar
from stdo_min.format.sidecar import write

ROOT = Path(__file__).parent.parent
LR_WIDTH, LR_HEIGHT = 480, 270
NETS = {"16-16": [(5, 16), (3, 16)], "8-8": [(5, 8), (3, 8)], "6-6": [(5, 6), (3, 6)], "4-4": [(5, 4), (3, 4)],
        "8": [(5, 8)]}
LAST_KERNEL = 3
SCALES = tuple(map(Fraction, ("4", "3", "2", "3/2", "1")))  # 4 comes first: the others are held against it
TARGETS = {  # tier: qemu's CPU, then (llvm's CPU, clock in GHz, cores that share the frame, dot products a cycle)
    "neon": ("cortex-a53", [("cortex-a53", 1.4, 4, 0), ("cortex-a55", 1.8, 4, 0)]),
    "neon_dot": ("cortex-a76", [("neoverse-n1", 2.4, 2, 2), ("cortex-a55", 1.8, 1, 1)]),
    "neon_i8mm": ("max", [("neoverse-v1", 2.8, 1, 4)]),
}
PRODUCTS = {"neon": 16, "neon_dot": 16, "neon_i8mm": 32}  # of one dot or matrix product
FULL_HD = 1920 * 1080
LAYERS = re.compile(r"hidden|last|layer|convolve|gather|load|finish_pixels")
PAGE = 4096
HOT = 0.02  # of all instructions: loops that are shown by themselves
REPEATS = 200


class Run(NamedTuple):
    """A straight run of instructions: its address, how many, and how often a frame executes it."""

    address: int
    instructions: int
    executions: float


def _call(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def _tool(package: str, *names: str) -> str:
    found = next((name for name in names if shutil.which(name)), None)
    if not found:
        raise SystemExit(f"{names[0]} not found: apt install {package}")
    return found


def build(folder: Path, compiler: str) -> tuple[Path, Path]:
    """Build the program with a compiler, gcc or clang, and qemu's plugin, and return their paths."""
    program, plugin = folder / "arm_frame", folder / "plugin.so"
    sources = sorted(path for part in (".", "x86", "arm") for path in (ROOT / "csrc" / part).glob("*.c"))
    cross = [_tool("gcc-aarch64-linux-gnu", "aarch64-linux-gnu-gcc")]
    if compiler == "clang":
        cross = [_tool("clang", "clang"), "--target=aarch64-linux-gnu"]
    _call(*cross, "-O3", "-std=c11", "-ffp-contract=off", "-static", "-I", ROOT / "csrc" / "include",
          ROOT / "bench" / "arm_frame.c", *sources, "-lm", "-o", program)
    _call("cc", "-O2", "-shared", "-fPIC", ROOT / "bench" / "arm_plugin.c", "-o", plugin)
    return program, plugin


def count_runs(program: Path, plugin: Path, sidecar: Path, cpu: str, tier: str) -> list[Run]:
    """Return the runs of one frame: what three frames execute less what one does, halved."""
    qemu = _tool("qemu-user", "qemu-aarch64")
    counts = []
    for frames in (1, 3):
        out = sidecar.with_suffix(f".{frames}")
        said = _call(qemu, "-cpu", cpu, "-plugin", f"{plugin},out={out}", program, sidecar, frames)
        if said.split()[0] != tier:
            raise SystemExit(f"qemu -cpu {cpu} runs the tier {said.split()[0]}, not {tier}")
        found = defaultdict(int)
        for line in out.read_text().splitlines():
            address, instructions, executions = line.split()
            found[int(address, 16), int(instructions)] += int(executions)
        counts.append(found)
    once, thrice = counts
    runs = [Run(*key, (count - once.get(key, 0)) / 2) for key, count in thrice.items() if count > once.get(key, 0)]
    return joined(runs)


def joined(runs: list[Run]) -> list[Run]:
    """Join runs that follow each other and are executed equally often, and those that go over the border of a page.

    There qemu cuts, wherever it lies; without this the estimate would change with the addresses of functions.
    """
    rest = {run.address: run for run in runs}
    for run in sorted(runs, key=lambda r: -r.address):
        end = run.address + 4 * run.instructions
        after = rest.get(end)
        if not after or after.executions < run.executions or (end % PAGE and after.executions > run.executions):
            continue
        rest[run.address] = run._replace(instructions=run.instructions + after.instructions)
        rest[end] = after._replace(executions=after.executions - run.executions)
    return [run for run in rest.values() if run.executions > 0]


def disassemble(program: Path) -> tuple[dict[int, str], list[tuple[int, str]]]:
    """Return the text of each instruction by its address, and the functions as (address, name) in rising order."""
    objdump = _tool("binutils-aarch64-linux-gnu", "aarch64-linux-gnu-objdump")
    text, functions = {}, []
    for line in _call(objdump, "-d", "--no-show-raw-insn", program).splitlines():
        if found := re.match(r"^([0-9a-f]+) <(.+)>:$", line):
            functions.append((int(found[1], 16), found[2]))
        elif found := re.match(r"^ +([0-9a-f]+):\t(.+)$", line):
            # llvm-mca wants an offset where objdump names a place.
            plain = found[2].split("//")[0].strip()
            text[int(found[1], 16)] = re.sub(r"\b[0-9a-f]+ <[^>]+>$", "#4096", plain)
    return text, functions


def cycles(runs: list[Run], text: dict[int, str], cpu: str) -> list[float]:
    """Return llvm-mca's cycles of one execution of each run on a core, when it is repeated."""
    mca = _tool("llvm-19", *(f"llvm-mca-{version}" for version in range(25, 18, -1)), "llvm-mca")
    lines = []
    for number, run in enumerate(runs):
        body = [text[run.address + 4 * i] for i in range(run.instructions)]
        lines += [f"# LLVM-MCA-BEGIN {number}", *body, f"# LLVM-MCA-END {number}"]
    with tempfile.NamedTemporaryFile("w", suffix=".s") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        said = json.loads(_call(mca, "-march=aarch64", f"-mcpu={cpu}", "-mattr=+dotprod,+i8mm", "-json",
                                f"-iterations={REPEATS}", file.name))
    return [region["SummaryView"]["TotalCycles"] / REPEATS for region in said["CodeRegions"]]


def function_of(address: int, functions: list[tuple[int, str]]) -> str:
    """Return the name of the function that an address lies in."""
    index = int(np.searchsorted([start for start, _ in functions], address, side="right")) - 1
    return functions[index][1]


def describe_loop(run: Run, text: dict[int, str], taken: float) -> dict:
    """What one hot run is made of: instructions, dot or matrix products, products a cycle, spills to the stack."""
    body = [text[run.address + 4 * i] for i in range(run.instructions)]
    dots = sum(bool(re.match(r"[us]*(dot|mmla)\b", line)) for line in body)
    spills = sum(bool(re.match(r"(str|ldr|stp|ldp|st1|ld1)\s+[{]?[qdv].*\[sp", line)) for line in body)
    return {"instructions": len(body), "cycles": taken, "executions": run.executions, "dots": dots,
            "dots_per_cycle": dots / taken, "spills": spills}


def products_of(net: str, scale: Fraction) -> float:
    """Products of the layers for one lr pixel."""
    total, inputs, pixels = 0, 1, 1 if scale.denominator == 1 else scale**2
    last = 1 if scale.denominator > 1 else int(scale) ** 2
    for kernel, out in [*NETS[net], (LAST_KERNEL, last)]:
        total += kernel**2 * inputs * out
        inputs = out
    return float(total * pixels)


def measure(program: Path, plugin: Path, sidecar: Path, tier: str) -> list[dict]:
    """Estimate one net with one tier on each of its cores."""
    qemu_cpu, cores = TARGETS[tier]
    text, functions = disassemble(program)
    runs = count_runs(program, plugin, sidecar, qemu_cpu, tier)
    total = sum(run.instructions * run.executions for run in runs)
    pixels, results = LR_WIDTH * LR_HEIGHT, []
    for cpu, clock, shared, issue in cores:
        stages, loops = defaultdict(float), []
        for run, taken in zip(runs, cycles(runs, text, cpu), strict=True):
            name = function_of(run.address, functions)
            stages[name] += taken * run.executions / pixels
            if run.instructions * run.executions > HOT * total:
                loop = {"function": name} | describe_loop(run, text, taken)
                loops.append(loop | ({"dot_issue_share": loop["dots_per_cycle"] / issue} if issue else {}))
        all_cycles = sum(stages.values())
        results.append({"tier": tier, "cpu": cpu, "clock_ghz": clock, "cores": shared,
                        "instructions_per_frame": round(total), "cycles_per_lr_pixel": all_cycles,
                        "layers": sum(taken for name, taken in stages.items() if LAYERS.search(name)), "issue": issue,
                        "stages": dict(sorted(stages.items(), key=lambda stage: -stage[1])), "loops": loops})
    return results


def complete(result: dict, wide: dict | None) -> dict:
    """Add what follows from the products and the size of a frame, and from the same net's cost at scale 4."""
    r, scale = dict(result), Fraction(result["scale"])
    hr, products = float(scale**2), products_of(r["net"], scale)
    r |= {"products_per_lr_pixel": products, "cycles_per_hr_pixel": r["cycles_per_lr_pixel"] / hr,
          "products_per_cycle": products / r["layers"],
          "fps_1080p": r["clock_ghz"] * 1e9 * r["cores"] / (r["cycles_per_lr_pixel"] / hr * FULL_HD)}
    if r["issue"]:
        r["share_of_peak"] = r["products_per_cycle"] / (r["issue"] * PRODUCTS[r["tier"]])
    if wide:
        rest = (wide["cycles_per_lr_pixel"] - wide["layers"]) / float(SCALES[0] ** 2)
        share = wide["layers"] / products_of(r["net"], SCALES[0]) * products + rest * hr
        r["of_its_share"] = r["cycles_per_lr_pixel"] / share
    return r


def show(r: dict, loops: bool) -> None:
    """Print one estimate."""
    peak = f" ({r['share_of_peak']:3.0%} of peak)" if r["issue"] else ""
    share = f", {r['of_its_share']:.2f} of its share" if "of_its_share" in r else ""
    print(f"{r['net']:5} x{r['scale']:3} {r['compiler']:5} {r['tier']:9} {r['cores']} x {r['cpu']} at "
          f"{r['clock_ghz']} GHz: "
          f"{r['cycles_per_lr_pixel']:6.1f} cycles per lr pixel, {r['cycles_per_hr_pixel']:5.1f} per hr pixel{share}; "
          f"layers {r['layers']:6.1f}, {r['products_per_cycle']:5.1f} products a cycle{peak}; "
          f"{r['fps_1080p']:.0f} fps of 1080p", flush=True)
    if not loops:
        return
    for name, taken in r["stages"].items():
        if taken > 0.005 * r["cycles_per_lr_pixel"]:
            print(f"    {name:28} {taken:8.1f} cycles per lr pixel")
    for loop in r["loops"]:
        share = loop.get("dot_issue_share")
        issue = f", {share:.0%} of their issue rate" if share else ""
        dots = f"; {loop['dots']} products, {loop['dots_per_cycle']:.2f} a cycle{issue}" if loop["dots"] else ""
        print(f"      hot: {loop['function']}: {loop['instructions']} instructions in {loop['cycles']:.1f} cycles, "
              f"{loop['executions'] / LR_WIDTH / LR_HEIGHT:.2f} times per lr pixel{dots}; {loop['spills']} spills")


def main(argv: list[str]) -> int:
    """Estimate every net with every tier, print tables, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench arm", description=__doc__.splitlines()[0])
    parser.add_argument("--net", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--tier", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--compiler", nargs="+", choices=("gcc", "clang"), default=["gcc", "clang"])
    parser.add_argument("--scale", nargs="+", type=Fraction, choices=SCALES, default=list(SCALES))
    parser.add_argument("--loops", action="store_true", help="print functions and hot loops, too")
    parser.add_argument("--json", type=Path)
    a = parser.parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        built = {}
        for compiler in a.compiler:
            (Path(folder) / compiler).mkdir()
            built[compiler] = build(Path(folder) / compiler, compiler)
        for compiler, net, tier in product(a.compiler, a.net, a.tier):
            program, plugin = built[compiler]
            wide = {}
            for scale in (scale for scale in SCALES if scale in a.scale):
                path = Path(folder) / f"{net}.stdo"
                made = random_sidecar(np.random.default_rng(0), scale, NETS[net], (LR_WIDTH, LR_HEIGHT), 20)
                path.write_bytes(write(made))
                for result in measure(program, plugin, path, tier):
                    result = {"net": net, "scale": str(scale), "compiler": compiler} | result
                    if scale == SCALES[0]:
                        wide[result["cpu"]] = result
                    result = complete(result, wide.get(result["cpu"]))
                    show(result, a.loops)
                    rows.append(result)
    if a.json:
        a.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0
