"""`stdo info`: what a sidecar holds."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from stdo_min.commands import options
from stdo_min.format import sidecar
from stdo_min.player import open_sidecar, open_video, read_sidecar
from stdo_min.video.mux import ending


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    options.played(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(a: argparse.Namespace) -> None:
    """Print what a sidecar holds, alone or with its video."""
    data = read_sidecar(a.video) if ending(a.video) == ".stdo" else open_video(a.video, a.sidecar).data
    found = describe(data, a.video)
    print(json.dumps(found) if a.json else "\n".join(f"{name:10} {value}" for name, value in found.items()))


def describe(data: bytes, name: str | Path = "sidecar") -> dict:
    """What a sidecar holds: width, height (of the hr video), scale, patch, frames, segments, nets, uv_nets,
    net_shape, map_bytes, net_bytes, mode, version, and tier: the implementation of the kernels that runs here.

    nets counts those in the file, which segments may share, and uv_nets those of them that serve chroma; net_shape is
    kernel x kernel x channels of each layer, the different shapes listed once.
    """
    upscaler, parsed = open_sidecar(data, name), sidecar.read(data)
    shapes = {"-".join(f"{k}x{k}x{c}" for k, c in zip(net.kernels, net.channels, strict=True)): None
              for net in parsed.nets}
    return {
        "width": upscaler.hr_width, "height": upscaler.hr_height, "scale": options.plain(upscaler.scale),
        "patch": upscaler.patch, "frames": upscaler.frames, "segments": len(upscaler.segments),
        "nets": upscaler.nets, "uv_nets": upscaler.nets - len(parsed.luma_nets),
        "net_shape": ", ".join(shapes) or "none",
        "map_bytes": sum(segment.map_bytes for segment in upscaler.segments),
        "net_bytes": upscaler.net_bytes,
        "mode": sidecar.MODE_NAMES.get(upscaler.mode, "other"), "version": parsed.version,
        "tier": upscaler.tier,
    }
