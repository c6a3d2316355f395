"""`stdo info`: what a sidecar holds."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from stdo_min.commands import options
from stdo_min.format import sidecar
from stdo_min.format.library import Upscaler
from stdo_min.format.psnr import patch_pixels
from stdo_min.player import open_sidecar, open_video, read_sidecar
from stdo_min.video.mux import ending

COUNTED = 200  # frames, spread over the film, whose arithmetic is counted


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    options.played(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(a: argparse.Namespace) -> None:
    """Print what a sidecar holds, alone or with its video."""
    data = read_sidecar(a.video) if ending(a.video) == ".stdo" else open_video(a.video, a.sidecar).data
    found = describe(data, a.video)
    width = max(map(len, found))
    print(json.dumps(found) if a.json else "\n".join(f"{name:{width}} {value}" for name, value in found.items()))


def describe(data: bytes, name: str | Path = "sidecar") -> dict:
    """What a sidecar holds: width, height (of the hr video), scale, patch, frames, segments, nets, uv_nets,
    net_shape, map_bytes, net_bytes, mode, version, and tier: the implementation of the kernels that runs here.

    nets counts those in the file, which segments may share, and uv_nets those of them that serve chroma; net_shape is
    kernel x kernel x channels of each layer, the different shapes listed once. arithmetic: products that a frame takes
    where nothing is copied, on average, and arithmetic_at_borders the share of them that more than one rectangle of
    patches makes; both None where all labels follow from the lr frame, which is not looked at.
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
        **dict(zip(("arithmetic", "arithmetic_at_borders"), arithmetic(upscaler, parsed), strict=True)),
        "mode": sidecar.MODE_NAMES.get(upscaler.mode, "other"), "version": parsed.version,
        "tier": upscaler.tier,
    }


def arithmetic(upscaler: Upscaler, parsed: sidecar.Sidecar) -> tuple[int | None, float | None]:
    """Products of a frame whose map is coded, on average, and the share of them that fragmented labels add."""
    pixels = patch_pixels(parsed.net_height, parsed.net_width, parsed.net_side, (parsed.rows, parsed.columns))
    uv_pixels, counted, alone = -(-parsed.net_height // 2) * -(-parsed.net_width // 2), [], []
    for frame in np.unique(np.linspace(0, upscaler.frames - 1, COUNTED).astype(int)):
        number = upscaler.segment_of(int(frame))
        segment = parsed.segments[number]
        if segment.computed:
            continue
        labels = upscaler.labels(int(frame))
        counted.append(upscaler.products(number, labels))
        of_luma = np.array([0, *(net.products for net in segment.nets)])[labels] * pixels
        alone.append(int(of_luma.sum()) + (segment.chroma.products * uv_pixels if segment.chroma else 0))
    if not counted:
        return None, None
    return round(sum(counted) / len(counted)), round(max(0.0, 1 - sum(alone) / max(sum(counted), 1)), 3)
