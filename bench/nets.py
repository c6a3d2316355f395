"""What the code of FORMAT.md makes of nets: bytes beside their plain form, xz, order-0 entropy, and NNCodec.

    python -m bench nets FILE ... [--json FILE]

FILE is a sidecar, or a video that has one; each line is a net. Entropy: of each layer's weights by how often each
value is in it, the table not counted, and the other numbers as our code has them. Our code has to learn that table on
its way, so it takes more for nets of 8 bits; it takes less for coarse ones, of whose weights it foretells the size.
NNCodec (ISO/IEC 15938-17), where it is installed, gets the same integers and gives them back: nnc is its file, coder
what is left without the headers of its units. Ours has no header to leave out but the 2 bytes of a net's size. The last
line of a file tells what it takes in version 3, and how long C takes to open it.
"""

from __future__ import annotations

import argparse
import json
import lzma
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np

from bench import _nncodec
from stdo_min.format import netcode, sidecar
from stdo_min.format.library import Upscaler
from stdo_min.format.plain_net import plain_bytes
from stdo_min.player import open_video, read_sidecar

XZ = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]  # raw: without a header


def measure(net: sidecar.Net) -> dict:
    """Bytes of one net in each form, and bits that our code takes for each weight."""
    count = sum(layer.weight.size for layer in net.layers)
    plain = b"".join(array.tobytes() for layer in net.layers for array in (layer.multiplier, layer.bias, layer.weight))
    still = sidecar.Net(tuple(replace(layer, weight=0 * layer.weight) for layer in net.layers))
    code, others = len(netcode.encode(net)), len(netcode.encode(still).rstrip(b"\0"))
    weights = sum(_entropy(layer.weight) for layer in net.layers) / 8
    return {"kernels": net.kernels, "channels": net.channels, "weights": count,
            "plain": plain_bytes(net.kernels, net.channels, net.planes), "code": code,
            "expected": netcode.expected_bytes(net.kernels, net.channels, net.planes),
            "xz": len(lzma.compress(plain, lzma.FORMAT_RAW, filters=XZ)), "entropy": round(others + weights),
            "bits_per_weight": round(8 * (code - others) / count, 3),
            **(_nncodec.measure(net) if _nncodec.installed() else {})}


def _entropy(weight: np.ndarray) -> float:
    """Bits of order 0 of all values."""
    counts = np.unique(weight, return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum())


def opening(data: bytes, times: int = 5) -> float:
    """Milliseconds in which C opens a sidecar, at best."""
    taken = []
    for _ in range(times):
        began = perf_counter()
        Upscaler(data)
        taken.append(perf_counter() - began)
    return 1000 * min(taken)


def _columns(row: dict, keys: list[str]) -> str:
    return " ".join(f"{row[key]:9}" for key in keys)


def main(argv: list[str]) -> int:
    """Measure the nets of each file, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench nets", description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--json", type=Path)
    a = parser.parse_args(argv)
    rows, peers = [], ["nnc", "nnc_coder"] if _nncodec.installed() else []
    keys = ["weights", "plain", "code", "expected", "xz", "entropy", *peers]
    print(f"{'file':24} {'channels':12} " + " ".join(f"{key:>9}" for key in keys) + " bits/weight")
    for path in a.files:
        data = read_sidecar(path) if path.suffix == ".stdo" else open_video(path).data
        parsed = sidecar.read(data)
        for net in parsed.nets:
            row = {"file": path.name, **measure(net)}
            rows.append(row)
            print(f"{row['file'][:24]:24} {','.join(map(str, row['channels'])):12} {_columns(row, keys)} "
                  f"{row['bits_per_weight']:11.2f}", flush=True)
        newest = sidecar.write(replace(parsed, version=sidecar.VERSION))
        print(f"{path.name}: {len(data):,} bytes, {len(newest):,} in version 3, opened in {opening(newest):.1f} ms")
    if rows:
        total = {key: sum(row[key] for row in rows) for key in keys}
        print(f"{'all':37} {_columns(total, keys)}")
        for key in peers:
            print(f"code / {key}: {total['code'] / total[key]:.3f}")
    if not peers:
        print(f"without NNCodec's bytes: {_nncodec.INSTALL}")
    if a.json:
        a.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0
