"""Steps of training a second: our engine and PyTorch on the same nets, patches, loss (L1) and Adam.

    python -m bench train [--nets D16,32-16,paper,edsr] [--seconds 4] [--rounds 2] [--threads 2] [--json FILE]

A step is everything: 64 patches of 20x20 with their halo are drawn from a pool of bytes, then loss, gradients, Adam.
The backbones of `engine/backbones.py` (espcn, srcnn, srcnn-955, vdsr, edsr, wdsr) take 16 patches of 96x96 hr pixels at
scale 4, 4 patches where they work at full size.
Every contender runs in a process of its own, one after the other, in `--rounds` rounds of alternating order. First it
makes 200 steps from equal weights on equal batches: the losses show that all compute the same. GMAC/s count three times
the forward products. Peak memory is that of the process; in brackets stands what it grew by after the pool was made.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from bench import _backbones, peak
from bench._jobs import RGB, SHAPES
from stdo_min.engine.backbones import BACKBONES

PATCH, SCALE, BATCH, POOL, EQUAL_STEPS, RATE = 20, 4, 64, 4096, 200, 1e-3
CONTENDERS = ["stdo", "torch fp32", "torch fp32 channels_last", "torch fp32 compiled",
              "torch fp32 compiled channels_last", "torch bf16", "torch bf16 channels_last", "torch bf16 compiled",
              "torch bf16 compiled channels_last"]


def problem(name: str):
    """Weights and biases in turn, the pool's lr and residuals, and batches without end; equal for all contenders."""
    colour, hidden, kernel = SHAPES[name]
    rng = np.random.default_rng(5)
    planes = 3 if colour == RGB else 1
    parameters, inputs, halo = [], planes, 0
    for outputs in (*hidden, planes * SCALE**2):
        deviation = np.sqrt(2 / (inputs * kernel**2)) * (1 if len(parameters) < 2 * len(hidden) else 0.1)
        parameters += [(rng.standard_normal((outputs, inputs, kernel, kernel)) * deviation).astype(np.float32),
                       np.zeros(outputs, np.float32)]
        inputs, kernel, halo = outputs, 3, halo + kernel // 2
    side = PATCH + 2 * halo
    smooth = np.cumsum(rng.normal(0, 3, (POOL, side, side, planes)), axis=2)
    lr = np.clip(np.rint(128 + smooth), 0, 255).astype(np.uint8)
    inner = lr[:, halo:-halo, halo:-halo].astype(np.int16)
    detail = 16 * (2 * inner - np.roll(inner, 1, 1) - np.roll(inner, 1, 2))  # something a net can learn
    residual = np.repeat(detail, SCALE**2, axis=3) + rng.integers(-40, 40, (*inner.shape[:3], planes * SCALE**2))

    def batches():
        drawn = np.random.default_rng(6)
        while True:
            yield np.sort(drawn.integers(0, POOL, BATCH))

    return parameters, lr, residual.astype(np.int16), batches()


def gmacs(name: str) -> float:
    """10^9 multiply-accumulates of a step, counted as three times the forward products."""
    parameters, lr, _, _ = problem(name)
    side, total = lr.shape[1], 0
    for weight in parameters[::2]:
        side -= weight.shape[2] - 1
        total += weight.size * side**2
    return 3 * BATCH * total / 1e9


def ours(name: str, threads: int):
    """A function that makes one step and returns its loss."""
    from stdo_min.engine.net import RESIDUAL_UNIT, Net
    from stdo_min.engine.optimiser import Adam
    from stdo_min.engine.pool import Pool
    from stdo_min.engine.train import Stepper

    parameters, lr, residual, batches = problem(name)
    pool = Pool(lr, residual, np.ones(len(lr)))
    net = Net(parameters[::2], parameters[1::2], SCALE)
    stepper, adam = Stepper(pool, threads), Adam(net.parameters)

    def step():
        loss, gradients = stepper.gradients(net, next(batches), "l1")
        adam.step(gradients, RATE)
        return loss / RESIDUAL_UNIT

    return step


def torchs(name: str, threads: int, settings: list[str]):
    """The same by PyTorch."""
    import torch

    torch.set_num_threads(threads)
    parameters, lr, residual, batches = problem(name)
    layers = []
    for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
        layer = torch.nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2])
        layer.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
        layers += [layer, torch.nn.ReLU()]
    form = torch.channels_last if "channels_last" in settings else torch.contiguous_format
    net = torch.nn.Sequential(*layers[:-1]).to(memory_format=form)
    pool = torch.from_numpy(lr).permute(0, 3, 1, 2).contiguous()
    targets = torch.from_numpy(residual).permute(0, 3, 1, 2).contiguous()
    if form == torch.channels_last:
        pool, targets = pool.to(memory_format=form), targets.to(memory_format=form)
    adam = torch.optim.Adam(net.parameters(), RATE, betas=(0.9, 0.99), foreach=True)
    forward = torch.compile(net) if "compiled" in settings else net

    def step():
        index = torch.from_numpy(next(batches))
        x = ((pool[index].float() - 128) * (1 / 128)).contiguous(memory_format=form)
        target = targets[index].float() * (1 / 2048)
        adam.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in settings):
            y = forward(x)
        loss = (y.float() - target).abs().mean()
        loss.backward()
        adam.step()
        return loss.item()

    return step


def memory(field: str) -> float:
    """MiB of this process: VmRSS now, or VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def worker(name: str, who: str, threads: int, seconds: float, steps: int) -> dict:
    """Time one contender in this process: its losses, times and memory."""
    of = _backbones if name in BACKBONES else sys.modules[__name__]
    step = of.ours(name, threads) if who == "stdo" else of.torchs(name, threads, who.split()[1:])
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins again
    losses = [step() for _ in range(steps)]
    times, began = [], perf_counter()
    while perf_counter() - began < seconds:
        start = perf_counter()
        step()
        times.append(perf_counter() - start)
    after = memory("VmHWM")
    return {"losses": losses[::max(1, steps // 10)] + losses[-1:], "last_20": float(np.mean(losses[-20:])),
            "times": times,
            "peak_mib": after, "grown_mib": after - before}


def main(argv: list[str]) -> int:
    """Run all contenders, print a table a net, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench train", description=__doc__.splitlines()[0])
    parser.add_argument("--nets", type=lambda text: text.split(","), default=["D16", "32-16", "paper"])
    parser.add_argument("--only", type=lambda text: text.split(","), default=CONTENDERS,
                        help="only these contenders, with commas between, and stdo: " + ", ".join(CONTENDERS[1:]))
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--equal-steps", type=int, default=EQUAL_STEPS, help="before the timed ones")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    a = parser.parse_args(argv)
    if a.worker:
        print(json.dumps(worker(*a.worker, a.threads, a.seconds, a.equal_steps)))
        return 0
    top = peak.measure(a.threads).get("fp32", float("nan"))
    print(f"{platform.machine()}, {a.threads} threads, peak {top:.0f} GMAC/s in fp32")
    if unknown := [who for who in a.only if who not in CONTENDERS]:
        parser.error(f"no contender {', '.join(unknown)}; there are {', '.join(CONTENDERS)}")
    contenders = [who for who in CONTENDERS if who == "stdo" or who in a.only]
    tables = {}
    for name in a.nets:
        found = {who: [] for who in contenders}
        for turn in range(a.rounds):
            for who in contenders[::-1] if turn % 2 else contenders:
                command = [sys.executable, "-m", "bench", "train", "--worker", name, who, "--threads", str(a.threads),
                           "--seconds", str(a.seconds), "--equal-steps", str(a.equal_steps)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"{who}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                    continue
                found[who].append(json.loads(done.stdout.splitlines()[-1]))
        tables[name] = table(name, found, top, a.equal_steps)
    if a.json:
        a.json.write_text(json.dumps({"threads": a.threads, "peak_fp32_gmacs": top, "nets": tables}, indent=1) + "\n")
    return 0


def table(name: str, found: dict, top: float, steps: int) -> list[dict]:
    """Print the rows of one net; the ratio is their time over ours, by median, then by the fastest step."""
    cost, rows = _backbones.gmacs(name) if name in BACKBONES else gmacs(name), []
    print(f"\n{name}: {cost:.2f} GMAC a step\n{'':36}ms/step (min)   steps/s  GMAC/s  of peak   MiB (grown)"
          f"   loss after {steps:3}   stdo is faster by (min)")
    for who, runs in found.items():
        if not runs:
            continue
        times = [t for run in runs for t in run["times"]]
        mid, least = median(times), min(times)
        row = {"who": who, "ms": mid * 1e3, "min_ms": least * 1e3, "steps_per_s": 1 / mid,
               "gmacs": cost / mid, "of_peak": cost / mid / top,
               "peak_mib": max(r["peak_mib"] for r in runs), "grown_mib": max(r["grown_mib"] for r in runs),
               "loss": runs[0]["last_20"], "losses": runs[0]["losses"]}
        rows.append(row)
        row["ratio"], row["min_ratio"] = row["ms"] / rows[0]["ms"], row["min_ms"] / rows[0]["min_ms"]
        print(f"{who:36}{row['ms']:6.2f} ({row['min_ms']:6.2f}) {row['steps_per_s']:9.1f} "
              f"{row['gmacs']:7.1f} {row['of_peak']:7.0%} {row['peak_mib']:7.0f} ({row['grown_mib']:4.0f}) "
              f"{row['loss']:15.6f} {row['ratio']:12.2f}x ({row['min_ratio']:.2f}x)", flush=True)
    return rows
