"""The nets that the field compares itself with, as graphs: ESPCN, SRCNN, VDSR, EDSR-baseline and WDSR.

All give a residual on the bicubic upscale. SRCNN and VDSR read that upscale, the others the lr frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stdo_min.engine.graph import INPUT, Graph


@dataclass(frozen=True)
class Backbone:
    """A graph, and what it reads: the lr frame, or where `upscaled` its bicubic upscale."""

    graph: Graph
    upscaled: bool


def espcn(scale: int, planes: int = 3) -> Backbone:
    """3-64-64-32, all 3x3: the net of the STDO paper, after Shi et al. 2016 (arXiv 1609.05158)."""
    graph, x = Graph(planes), INPUT
    for outputs in (64, 64, 32):
        x = graph.convolution(x, outputs, relu=True)
    graph.convolution(x, planes * scale**2, gain=0.1)
    return Backbone(graph, False)


def srcnn(scale: int, planes: int = 3, middle: int = 1) -> Backbone:
    """9-1-5 with 64 and 32 channels, or 9-5-5 with `middle` 5 (Dong et al. 2014 and 2016, arXiv 1501.00092)."""
    graph = Graph(planes)
    x = graph.convolution(INPUT, 64, 9, relu=True)
    x = graph.convolution(x, 32, middle, relu=True)
    graph.convolution(x, planes, 5, gain=0.1)
    return Backbone(graph, True)


def vdsr(scale: int, planes: int = 3, layers: int = 20) -> Backbone:
    """20 layers of 3x3 and 64 channels at full size (Kim et al. 2016, arXiv 1511.04587)."""
    graph, x = Graph(planes), INPUT
    for _ in range(layers - 1):
        x = graph.convolution(x, 64, relu=True)
    graph.convolution(x, planes, gain=0.1)
    return Backbone(graph, True)


def edsr(scale: int, planes: int = 3, blocks: int = 16, channels: int = 64) -> Backbone:
    """EDSR-baseline: 16 residual blocks of two convolutions within a skip over all (Lim et al. 2017, arXiv 1707.02921).

    Scale 4 is two steps of 2.
    """
    graph = Graph(planes)
    head = x = graph.convolution(INPUT, channels)
    for _ in range(blocks):
        branch = graph.convolution(x, channels, relu=True)
        x = graph.sum(x, graph.convolution(branch, channels, gain=0.1))
    x = graph.sum(head, graph.convolution(x, channels))
    for factor in (2, 2) if scale == 4 else (scale,):
        x = graph.shuffle(graph.convolution(x, channels * factor**2), factor)
    graph.convolution(x, planes, gain=0.1)
    return Backbone(graph, False)


def wdsr(scale: int, planes: int = 3, blocks: int = 16, channels: int = 32, wide: int = 128) -> Backbone:
    """WDSR-A: wide features before each ReLU, and one 5x5 from the input to the end (Yu et al. 2018, arXiv 1808.08718).

    Its weights are plain ones: normalised ones are another way to train the same net.
    """
    graph = Graph(planes)
    x = graph.convolution(INPUT, channels)
    for _ in range(blocks):
        x = graph.sum(x, graph.convolution(graph.convolution(x, wide, relu=True), channels, gain=0.1))
    x = graph.convolution(x, planes * scale**2, gain=0.1)
    graph.sum(x, graph.convolution(INPUT, planes * scale**2, 5, gain=0.1))
    return Backbone(graph, False)


BACKBONES: dict[str, Callable[[int], Backbone]] = {
    "espcn": espcn, "srcnn": srcnn, "srcnn-955": lambda scale, planes=3: srcnn(scale, planes, middle=5),
    "vdsr": vdsr, "edsr": edsr, "wdsr": wdsr,
}
