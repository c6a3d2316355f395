"""What a sidecar holds."""

from __future__ import annotations

from pathlib import Path

from stdo_min import sidecar
from stdo_min.play import open_sidecar


def describe(data: bytes, name: str | Path = "sidecar") -> dict:
    """What a sidecar holds: width, height (of the hr video), scale, patch, frames, segments, nets, net_shape,
    map_bytes, net_bytes, mode and version.

    nets counts those stored, in all segments; net_shape is kernel x kernel x channels of each layer, the different
    shapes listed once.
    """
    upscaler = open_sidecar(data, name)
    shapes = {}
    for segment in sidecar.read(data).segments:
        for net in segment.nets:
            shapes["-".join(f"{k}x{k}x{c}" for k, c in zip(net.kernels, net.channels, strict=True))] = None
    return {
        "width": upscaler.hr_width, "height": upscaler.hr_height, "scale": upscaler.scale, "patch": upscaler.patch,
        "frames": upscaler.frames, "segments": len(upscaler.segments),
        "nets": sum(segment.nets for segment in upscaler.segments), "net_shape": ", ".join(shapes) or "none",
        "map_bytes": sum(segment.map_bytes for segment in upscaler.segments),
        "net_bytes": sum(segment.net_bytes for segment in upscaler.segments),
        "mode": sidecar.MODES.get(upscaler.mode, "other"), "version": sidecar.VERSION,
    }
