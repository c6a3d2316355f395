"""The charts of `stdo report`: static SVG by Matplotlib, in the colours of the page, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# What Matplotlib takes for colours, and what the page has in their place, which follows its theme.
INK, LINE, BASE, OURS = "#000001", "#000002", "#000003", "#000004"
_PAGE = {INK: "currentColor", LINE: "var(--line)", BASE: "var(--n0)", OURS: "var(--n1)"}
_NET = 16  # the first of the nets' colours

WIDTH, HEIGHT = 7.4, 2.5  # inches, of a chart of one part
MOST_BARS = 24

_STYLE = {
    "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "axes.axisbelow": True, "axes.edgecolor": LINE, "axes.labelcolor": INK, "grid.color": LINE, "grid.linewidth": 0.6,
    "text.color": INK, "xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "legend.frameon": False, "figure.facecolor": "none", "axes.facecolor": "none",
    "axes.formatter.useoffset": False,
}


def net_colour(colour: int) -> str:
    """What Matplotlib takes for a net of a colour of the page, 0 for the base."""
    return f"#{_NET + colour:06x}"


def psnr_chart(seconds: np.ndarray, base: np.ndarray, ours: np.ndarray, marks: Sequence[tuple[str, float]]) -> str:
    """PSNR along time of base and stdo, and below it what was gained; marks: names and times of frames to look at."""
    def draw(figure):
        above, below = figure.subplots(2, sharex=True, height_ratios=(3, 2))
        width = 1.4 if len(seconds) < 500 else 0.8
        above.plot(seconds, base, color=BASE, label="bicubic", linewidth=width)
        above.plot(seconds, ours, color=OURS, label="stdo", linewidth=width)
        above.set_ylabel("luma PSNR, dB")
        figure.legend(ncols=2, loc="outside upper right")
        below.fill_between(seconds, ours - base, color=OURS, alpha=0.35, linewidth=0)
        below.plot(seconds, ours - base, color=OURS, linewidth=width)
        below.axhline(0, color=INK, linewidth=0.8)
        below.set_ylabel("gained, dB")
        line, before = 0, -seconds[-1]
        for name, at in sorted(marks, key=lambda mark: mark[1]):
            for axes in (above, below):
                axes.axvline(at, color=INK, linewidth=0.8, linestyle=":")
            # Names stand inwards, and one above the other where two would meet.
            line, before, late = line + 1 if at - before < 0.2 * seconds[-1] else 0, at, at > seconds[len(seconds) // 2]
            above.annotate(name, (at, 1), xycoords=("data", "axes fraction"), xytext=(-3 if late else 3, 3 + 10 * line),
                           textcoords="offset points", fontsize=8, ha="right" if late else "left")
        _times(below, seconds)

    return _svg("psnr", "PSNR of luma along time, of bicubic and of stdo, and what was gained", draw, 1.5)


def map_chart(edges: np.ndarray, shares: np.ndarray, colours: Sequence[int]) -> str:
    """The share of patches that each net serves along time; edges: seconds (bands + 1,), shares: (bands, 1 + nets)."""
    def draw(figure):
        axes = figure.subplots()
        tops = np.cumsum(100 * shares, axis=1)
        for net, colour in enumerate(colours):
            served = np.flatnonzero(shares[:, net])
            if len(served):
                band = slice(served[0], served[-1] + 1)  # a net of one segment is drawn there alone
                axes.stairs(tops[band, net], edges[band.start:band.stop + 1], color=net_colour(colour), fill=True,
                            baseline=tops[band, net] - 100 * shares[band, net])
        axes.set_ylabel("patches, %")
        axes.set_ylim(0, 100)
        _times(axes, edges)

    return _svg("map", "The share of the patches that each net serves, along time", draw)


def bars_chart(name: str, title: str, unit: str, bars: Sequence[tuple[str, float, str, str]]) -> str:
    """Bars from left to right, the first at the top: (name, value, what is written beside it, colour)."""
    def draw(figure):
        axes = figure.subplots()
        names, values, texts, colours = zip(*bars, strict=True)
        drawn = axes.barh(range(len(bars)), values, color=colours, height=0.7)
        axes.bar_label(drawn, texts, padding=4)
        axes.set_yticks(range(len(bars)), names)
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.3)  # for what is written beside the longest
        axes.set_xlim(left=min(0.0, *values) * 1.3)
        axes.set_xlabel(unit)

    return _svg(name, title, draw, 0.3 + 0.09 * len(bars))


def curve_chart(lines: Sequence[tuple[str, Sequence[tuple[float, float]]]], colours: dict[str, str]) -> str:
    """What training reported on its way: of each line its stage and points (seconds, dB); colours: of stages."""
    def draw(figure):
        axes, told = figure.subplots(), set()
        for stage, points in lines:
            seconds, decibels = zip(*points, strict=True)
            axes.plot(seconds, decibels, color=colours[stage], label=None if stage in told else stage,
                      marker="." if len(points) == 1 else None)
            told.add(stage)
        axes.set_xlabel("time of the run after the lr video, s")
        axes.set_ylabel("PSNR, dB")
        figure.legend(ncols=4, loc="outside upper right")

    return _svg("training", "PSNR of the patches that are trained on, along the run", draw)


def _times(axes: Axes, seconds: np.ndarray) -> None:
    axes.set_xlabel("time, s")
    axes.set_xlim(seconds[0], max(seconds[-1], seconds[0] + 0.01))


def _svg(name: str, title: str, draw, height: float = 1.0) -> str:
    """What draw(figure) draws, as an element of a page: its numbers short, its ids its own, its colours the page's."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH, HEIGHT * height), layout="constrained")
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = file.getvalue()
    # The style is for all elements of a page, not of the chart alone, so the page has it.
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text[text.index("<svg"):], flags=re.S)
    text = re.sub(r' (?:d|x|y|width|height|transform)="[^"]*"',
                  lambda found: re.sub(r"(\d+\.\d)\d+", r"\1", found[0]).replace(" \n", " "), text)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"#0000[0-9a-f]{2}\b", lambda found: _PAGE.get(found[0]) or f"var(--n{int(found[0][1:], 16) - _NET})",
                  text)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", text)
    view = re.search('viewBox="[^"]*"', text)[0]
    return f'<svg class="chart" role="img" aria-label="{escape(title)}" {view}>' + text[text.index(">") + 1:]
