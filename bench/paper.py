"""What the paper says of patches, on a clip: their scores, where the error sits, and what a net for a chunk gains.

    python -m bench paper CLIP [--scale 2] [--chunks 4] [--steps 1500] [--svg FILE] [--scores FILE.npy]

One general net trains on all patches, as in section 3.1 of the paper (arXiv 2303.08331). Then it goes on for as many
steps again: on all patches, and on each chunk of k-means alone. PSNR is that of float nets, over the pixels of each
chunk. With --scores, the scores of somebody else's general model, PSNR in dB in any order, are cut beside ours.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from bench._variants import whole_pool
from stdo_min.algorithm.chunk import choose_k, kmeans, quantiles
from stdo_min.algorithm.sample import sampling
from stdo_min.algorithm.score import score
from stdo_min.engine.budget import Budget
from stdo_min.engine.net import Net, new_net
from stdo_min.engine.train import Stepper, train
from stdo_min.format.psnr import psnr

CHANNELS, THREADS = (8, 8), 2
SHARES = (1 / 2, 1 / 4, 1 / 8)  # of the patches, the hardest first


def error_shares(scores: np.ndarray) -> list[float]:
    """The share of the squared error that the hardest half, quarter and eighth of the patches hold.

    scores: PSNR in dB, float (n,).
    """
    falling = np.sort(10 ** (-scores / 10))[::-1]
    return [float(falling[:round(share * len(falling))].sum() / falling.sum()) for share in SHARES]


def cut_both_ways(scores: np.ndarray, chunks: int) -> dict[str, list[float]]:
    """The scores at which k-means and equal counts part the patches, in dB."""
    labels = {"k-means": kmeans(scores, chunks)[0], "equal counts": quantiles(scores, chunks)}
    return {name: [float(scores[label == number].min()) for number in range(2, chunks + 1)]
            for name, label in labels.items()}


def describe(scores: np.ndarray, chunks: int) -> dict:
    """What scores look like: quartiles, shares of the error, and where they are cut."""
    return {"patches": len(scores), "quartiles": [float(q) for q in np.percentile(scores, (0, 25, 50, 75, 100))],
            "error_shares": error_shares(scores), "chosen_k": choose_k(scores), "cuts": cut_both_ways(scores, chunks)}


def overfit(clip: Path, scale: int, chunks: int, steps: int, seed: int = 0) -> tuple[np.ndarray, list[dict]]:
    """Our general model's scores of a clip, and for each chunk its patches, share of the error, and PSNR in dB.

    PSNR is that of the base, of the general model, of one net that trained on, and of the chunk's own.
    """
    rng, sampled = np.random.default_rng(seed), whole_pool(clip, scale)
    pool = sampled.pool.weighing(sampling(sampled.base_errors))
    everything = np.arange(len(pool))

    def errors(net: Net) -> np.ndarray:
        with Stepper(pool, THREADS) as stepper:
            return stepper.errors(net, everything)

    general = train(new_net(CHANNELS, scale, rng), pool, Budget(steps=steps), rng, threads=THREADS)
    scored = score(sampled, general, THREADS)
    labels, _ = kmeans(scored.scores, chunks)
    all_on = errors(train(general, pool, Budget(steps=steps), rng, threads=THREADS))
    rows = []
    for number in range(1, chunks + 1):
        own = labels == number
        net = train(general, pool.weighing(pool.weight * own), Budget(steps=steps), rng, threads=THREADS)
        found = {"base": sampled.base_errors, "general": scored.errors, "one net": all_on, "own net": errors(net)}
        rows.append({"chunk": number, "patches": int(own.sum()),
                     "error_share": float(scored.errors[own].sum() / scored.errors.sum()),
                     **{name: float(psnr(error[own].mean(), 1)) for name, error in found.items()}})
    return scored.scores, rows


def main(argv: list[str]) -> int:
    """Print the tables; draw and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench paper", description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path, metavar="CLIP")
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), default=2)
    parser.add_argument("--chunks", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1500, help="of the general model, and again of each net")
    parser.add_argument("--scores", type=Path, metavar="FILE.npy", help="scores of another model, to cut beside ours")
    parser.add_argument("--svg", type=Path, help="draw the scores and the share of the error (matplotlib)")
    parser.add_argument("--json", type=Path)
    a = parser.parse_args(argv)
    scores, rows = overfit(a.clip, a.scale, a.chunks, a.steps)
    found = {a.clip.stem: scores, **({a.scores.stem: np.load(a.scores).ravel()} if a.scores else {})}
    described = {name: describe(one, a.chunks) for name, one in found.items()}
    for name, one in described.items():
        print(f"{name}: {one['patches']:,} patches, scores " + " / ".join(f"{q:.1f}" for q in one["quartiles"])
              + f" dB (least, quartiles, most); k-means alone would choose {one['chosen_k']} chunks")
        print("  squared error in the hardest half, quarter, eighth: "
              + ", ".join(f"{share:.1%}" for share in one["error_shares"]))
        for how, cuts in one["cuts"].items():
            print(f"  {how:12} cut at " + ", ".join(f"{cut:.1f}" for cut in cuts) + " dB")
    print(f"\n{'chunk':>5} {'patches':>8} {'error':>7} {'base':>7} {'general':>8} {'one net':>8} {'own net':>8}")
    for row in rows:
        print(f"{row['chunk']:5} {row['patches']:8,} {row['error_share']:7.1%} {row['base']:7.2f} "
              f"{row['general']:8.2f} {row['one net']:8.2f} {row['own net']:8.2f}")
    if a.svg:
        draw(a.svg, found, described)
    if a.json:
        a.json.write_text(json.dumps({"scores": described, "chunks": rows}, indent=1) + "\n")
    return 0


def draw(path: Path, found: dict[str, np.ndarray], described: dict[str, dict]) -> None:
    """Draw the histogram of each set of scores with the cuts of k-means, and the error over the share of patches."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    grey = "#8b8b8b"  # legible on white and on black
    plt.rcParams.update({"text.color": grey, "axes.labelcolor": grey, "axes.edgecolor": grey, "xtick.color": grey,
                         "ytick.color": grey, "svg.hashsalt": "stdo", "svg.fonttype": "none"})
    figure, axes = plt.subplots(1, 1 + len(found), figsize=(4 * (1 + len(found)), 3), layout="constrained")
    for (name, scores), one, colour in zip(found.items(), axes, ("#2f7ed8", "#d9730d"), strict=False):
        one.hist(scores, bins=80, color=colour)
        for cut in described[name]["cuts"]["k-means"]:
            one.axvline(cut, color=grey, linestyle="--", linewidth=1)
        one.set(title=name, xlabel="score, dB", ylabel="patches")
        falling = np.cumsum(np.sort(10 ** (-scores / 10))[::-1])
        axes[-1].plot(np.linspace(0, 1, len(falling)), falling / falling[-1], color=colour, label=name)
    axes[-1].plot([0, 1], [0, 1], color=grey, linewidth=1, linestyle=":")
    axes[-1].set(title="where the error sits", xlabel="share of patches, the hardest first", ylabel="of squared error")
    axes[-1].legend(frameon=False)
    figure.savefig(path, transparent=True, metadata={"Date": None})
