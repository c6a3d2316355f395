"""Curves of quality over rate as an SVG that a page can show in light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 470, 320  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 34, 48  # margins within it
LEGEND = 34
COLOURS = ("#8a8f98", "#2f7ed8", "#d9730d", "#1a9c5b", "#b455c9", "#c9a400", "#d43f52")
STYLE = """
svg { color: #24292f; background: #ffffff; font: 12px system-ui, sans-serif }
text { fill: currentColor } .frame, .grid { stroke: currentColor; fill: none }
.grid { opacity: .14 } .frame { opacity: .5 } .title { font-weight: 600; font-size: 13px }
.curve { fill: none; stroke-width: 1.8; stroke-linejoin: round }
@media (prefers-color-scheme: dark) { svg { color: #d6dae0; background: #15181d } }
"""


class Panel(NamedTuple):
    """One pair of axes: its title, the name of its quality axis, and the points (kbit/s, quality) of each curve."""

    title: str
    quality: str
    curves: dict[str, Sequence[tuple[float, float]]]


def draw(panels: Sequence[Panel], columns: int = 2) -> str:
    """The SVG of all panels, row by row, with one legend above them."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    looks = {name: (COLOURS[i % len(COLOURS)], i) for i, name in enumerate(names)}
    width, height = WIDTH * columns, LEGEND + HEIGHT * math.ceil(len(panels) / columns)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
             f'height="{height}" role="img"><style>{STYLE}</style>', _legend(looks)]
    for i, panel in enumerate(panels):
        x, y = i % columns * WIDTH, LEGEND + i // columns * HEIGHT
        parts.append(f'<g transform="translate({x} {y})">{_panel(panel, looks)}</g>')
    return "\n".join([*parts, "</svg>\n"])


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within low..high; where those are fewer than three, as `ticks` has them."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [digit * 10.0**power for power in decades for digit in (1, 2, 5) if low <= digit * 10.0**power <= high]
    return found if len(found) >= 3 else ticks(low, high)


def ticks(low: float, high: float, most: int = 7) -> list[float]:
    """At most so many round numbers within low..high, evenly apart."""
    step = next(step for power in range(-6, 9) for step in (1 * 10.0**power, 2 * 10.0**power, 5 * 10.0**power)
                if (high - low) / step <= most - 1)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _panel(panel: Panel, looks: dict) -> str:
    points = [point for curve in panel.curves.values() for point in curve]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts = [f'<text class="title" x="{middle}" y="20" text-anchor="middle">{escape(panel.title)}</text>']
    if not points:
        return parts[0]
    rates, qualities = zip(*points, strict=True)
    low, high = min(rates) / 1.15, max(rates) * 1.15
    margin = max(0.05 * (max(qualities) - min(qualities)), 0.01)
    bottom, top = min(qualities) - margin, max(qualities) + margin

    def place(rate: float, quality: float) -> tuple[float, float]:
        return (LEFT + (WIDTH - LEFT - RIGHT) * math.log(rate / low) / math.log(high / low),
                TOP + (HEIGHT - TOP - BOTTOM) * (top - quality) / (top - bottom))

    for rate in log_ticks(low, high):
        x, _ = place(rate, top)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/><text x="{x:.1f}" '
                     f'y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{rate:g}</text>')
    for quality in ticks(bottom, top):
        _, y = place(low, quality)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/><text x="{LEFT - 6}" y="{y + 4:.1f}" '
                     f'text-anchor="end">{round(quality, 6):g}</text>')
    parts.append(f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" '
                 f'height="{HEIGHT - TOP - BOTTOM}"/>'
                 f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">kbit/s, logarithmic</text>'
                 f'<text transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
                 f'{escape(panel.quality)}</text>')
    for name, curve in panel.curves.items():
        placed = [place(*point) for point in sorted(curve)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline class="curve" stroke="{looks[name][0]}" points="{line}"/>'
                     + "".join(_marker(x, y, *looks[name]) for x, y in placed))
    return "".join(parts)


def _legend(looks: dict) -> str:
    parts, x = [], LEFT
    for name, (colour, shape) in looks.items():
        parts.append(f'<path class="curve" stroke="{colour}" d="M{x} 20h24"/>{_marker(x + 12, 20, colour, shape)}'
                     f'<text x="{x + 30}" y="24">{escape(name)}</text>')
        x += 52 + 7 * len(name)
    return "".join(parts)


def _marker(x: float, y: float, colour: str, shape: int) -> str:
    path = ("M-3.5-3.5h7v7h-7z", "M0-4.6L4.6 0 0 4.6-4.6 0z", "M0-4.6L4.4 3.4H-4.4z")[shape % 3]
    return f'<path transform="translate({x:.1f} {y:.1f})" fill="{colour}" d="{path}"/>'
