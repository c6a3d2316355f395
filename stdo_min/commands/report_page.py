"""The page of `stdo report`: what was found, as HTML around report.html's style and script."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from stdo_min import __version__
from stdo_min.commands.info import describe
from stdo_min.commands.report_charts import (
    BASE,
    MOST_BARS,
    OURS,
    bars_chart,
    curve_chart,
    map_chart,
    net_colour,
    psnr_chart,
)
from stdo_min.commands.report_facts import Course, Facts, Look
from stdo_min.format.psnr import psnr
from stdo_min.video.png import WEBP_SIDE, webp

POINTS = 1500  # of a curve along time at the most: longer films have the mean of some frames in each
COLOURS = 8  # of nets; the style has them in both themes
# Bytes of a page, into which pictures are fitted; what they get in any case; what the numbers of their sizes may add.
PAGE, FLOOR, SPARE = 3_000_000, 300_000, 1000
QUALITIES = (95, 90, 85, 80)  # of WebP, the best that fits
THUMB = 0.04  # dB
KINDS = {"base": "bicubic", "ours": "stdo", "source": "source"}
WHAT = {"worst": "gained the least", "median": "half of the frames gained less than", "best": "gained the most"}


def page(facts: Facts) -> str:
    """The page, whole: a file of HTML that refers to nothing outside it."""
    template = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    course, found = facts.course, facts.found
    colours = colours_of(course)
    seconds = course.frames / float(facts.rate)
    size, coded = found["bytes_lr"] + found["bytes_sidecar"], describe(course.data, facts.name)
    said = {
        "script_hash": _hash(template), "name": escape(facts.name), "version": escape(__version__),
        "gain": _signed(_gain(found["psnr_y"], found["psnr_bicubic_y"])),
        "psnr": f'{_data("psnr_bicubic_y", found["psnr_bicubic_y"])}&nbsp;→ {_data("psnr_y", found["psnr_y"])}',
        "bytes": _bytes(size), "rate": f"{8 * size / seconds / 1000:,.0f} kbit/s",
        "sidecar": _data("bytes_sidecar", found["bytes_sidecar"]),
        "sidecar_share": f'{100 * found["bytes_sidecar"] / size:.1f} % of all bytes',
        "size": f'{found["width"]}×{found["height"]}', "lr": f'lr at scale {found["scale"]}',
        "length": f"{seconds:,.1f} s", "frames": f'{_data("frames", found["frames"])} frames',
        "chosen": _chosen(facts), "psnr_chart": _psnr(facts), "unerring": _unerring(course),
        "quantiles": _quantiles(course),
        "chroma": _chroma(course, found), "map_chart": _map(facts, colours), "legend": _legend(colours, course),
        "bytes_chart": _bars_of_parts(facts.parts), "parts": _parts(facts.parts),
        "nets_chart": _bars_of_nets(found, colours), "nets": _nets(found, colours), "bought": _bought(facts),
        "training": _training(facts), "command": escape(facts.command),
        "coded": "".join(f"<dt>{escape(key.replace('_', ' '))}</dt>"
                      f"<dd>{escape(f'{value:,}' if isinstance(value, int) and value > 9999 else str(value))}</dd>"
                      for key, value in coded.items() if value is not None)}

    def whole(quality, crops):
        quality, stages = _pictures(quality, crops, colours, facts)
        return Template(template).substitute(said, quality=quality, stages=stages)

    height, width = facts.looks[0].pictures[0].shape[:2]
    bare = whole(QUALITIES[-1], [((0, 0, width, height), [b""] * len(KINDS))] * len(facts.looks))
    return whole(*_fitted(facts.looks, max(FLOOR, PAGE - len(bare.encode()) - SPARE)))


def colours_of(course: Course) -> list[int]:
    """The colour of each net, 1..COLOURS, that of the base first, 0: one that its segments, then all, have least."""
    luma = course.parsed.luma_nets
    index, colours = {id(net): number for number, net in enumerate(luma, 1)}, [0] * (len(luma) + 1)
    for segment in course.parsed.segments:
        numbers = [index[id(net)] for net in segment.nets]
        for number in numbers:
            if not colours[number]:
                colours[number] = min(range(1, COLOURS + 1), key=lambda colour: (
                    sum(colours[other] == colour for other in numbers), colours.count(colour)))  # noqa: B023
    return colours


# ---- The three frames ----


# The rectangle (x, y, width, height) of a frame that is shown, and its three pictures.
Crop = tuple[tuple[int, int, int, int], list[bytes]]


def _pictures(quality: int, crops: Sequence[Crop], colours: Sequence[int], facts: Facts) -> tuple[str, str]:
    """What is said about the pictures, and their elements."""
    looks = facts.looks
    height, width = looks[0].pictures[0].shape[:2]
    (_, _, wide, high), _ = crops[0]
    said = f"They are WebP of quality {quality}"
    said += ", whole" if (wide, high) == (width, height) else f", cut to {wide}×{high} where most was gained"
    stages = "".join(_stage(number, look, crop, colours, facts)
                     for number, (look, crop) in enumerate(zip(looks, crops, strict=True)))
    return said + ".", stages


def _fitted(looks: Sequence[Look], room: int) -> tuple[int, list[Crop]]:
    """The quality of the pictures, and those of each frame, which take so many bytes in the page at the most."""
    height, width = looks[0].pictures[0].shape[:2]
    share, qualities = min(1.0, WEBP_SIDE / max(width, height)), iter(QUALITIES)
    quality = next(qualities)
    while True:
        crops = [_rectangle(look.place, width, height, share) for look in looks]
        coded = [[webp(pixels[y:y + high, x:x + wide], quality) for pixels in look.pictures]
                 for look, (x, y, wide, high) in zip(looks, crops, strict=True)]
        if _size(coded) <= room:
            return quality, list(zip(crops, coded, strict=True))
        lower = next(qualities, None)
        quality, share = lower or quality, share if lower else 0.85 * share


def _size(coded: Sequence[Sequence[bytes]]) -> int:
    """Bytes of pictures in base64."""
    return sum(4 * -(-len(picture) // 3) for pictures in coded for picture in pictures)


def _rectangle(place: tuple[int, int], width: int, height: int, share: float) -> tuple[int, int, int, int]:
    """A part of a picture around a place, moved inwards at the edges."""
    wide, high = max(1, int(width * share)), max(1, int(height * share))
    x, y = (max(0, min(at - part // 2, whole - part))
            for at, part, whole in zip(place, (wide, high), (width, height), strict=True))
    return x, y, wide, high


def _stage(number: int, look: Look, crop, colours: Sequence[int], facts: Facts) -> str:
    (x, y, wide, high), coded = crop
    pictures = "".join(
        f'<img data-is="{kind}" width="{wide}" height="{high}" alt="Frame {look.number}: {name}" '
        f'src="data:image/webp;base64,{base64.b64encode(data).decode()}">'
        for (kind, name), data in zip(KINDS.items(), coded, strict=True))
    served, patches = np.unique(look.nets, return_counts=True)
    legend = "".join(f"<li>{_swatch(colours[net])}{_net(net)} {100 * count / look.nets.size:.0f} %</li>"
                     for net, count in zip(served, patches, strict=True))
    paths = "".join(f'<path style="--c:var(--n{colours[net]})" d="{_outline(look.nets == net)}"/>'
                    for net in served if net)
    box = " ".join(f"{part / look.side:g}" for part in (x, y, wide, high))
    at = f"{look.number / float(facts.rate):.2f} s"
    ratio = f"{wide * facts.sar.numerator / facts.sar.denominator:g}/{high}"
    return f"""<figure class="look" data-frame="{number}"{' hidden' if number else ''}>
<div class="scroll" tabindex="0" role="region" aria-label="The {look.name} frame"><div class="stage"
 data-width="{wide}" data-x="{(look.place[0] - x) / wide:.3f}" data-y="{(look.place[1] - y) / high:.3f}"
 style="aspect-ratio:{ratio}">{pictures}
<svg class="map" viewBox="{box}" preserveAspectRatio="none" aria-hidden="true" hidden>{paths}</svg>
<i class="line"></i><b class="tag left" aria-hidden="true"></b><b class="tag right" aria-hidden="true"></b></div></div>
<figcaption>Frame {_data(f"{look.name}_frame", look.number)} at {at}, which {WHAT[look.name]}: bicubic
{_data(f"{look.name}_base_psnr", look.base_psnr, unit="dB")}, stdo {_data(f"{look.name}_psnr", look.psnr, unit="dB")},
<strong>{_signed(_gain(look.psnr, look.base_psnr))}</strong></figcaption>
<ul class="legend map-legend" aria-label="Nets of this frame and the patches of each" hidden>{legend}</ul>
</figure>"""


def _outline(cells: np.ndarray) -> str:
    """The path of the cells of a grid that are set: a rectangle for each run of them in a row."""
    return "".join(f"M{begin} {row}h{end - begin}v1h{begin - end}z"
                   for row, line in enumerate(cells) for begin, end in _runs(line))


def _runs(line: np.ndarray) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], line, [0]]).astype(np.int8)))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _chosen(facts: Facts) -> str:
    course = facts.course
    lowest = int(course.error.argmax())
    decibel, _ = course.decibel_of(lowest)
    if decibel is None:
        return "No frame has any error."
    return f"The lowest PSNR, {decibel:.2f} dB, has frame {lowest} at {lowest / float(facts.rate):.2f} s."


# ---- Along time ----


def _psnr(facts: Facts) -> str:
    course = facts.course
    edges = np.linspace(0, course.frames, min(course.frames, POINTS) + 1).astype(int)
    counts = np.diff(edges)
    error, base_error = (np.add.reduceat(values, edges[:-1]) for values in (course.error, course.base_error))
    ours, base = (psnr(np.maximum(values, 1), counts * course.pixels) for values in (error, base_error))
    return psnr_chart(edges[:-1] / float(facts.rate), base, ours,
                      [(look.name, look.number / float(facts.rate)) for look in facts.looks])


def _unerring(course: Course) -> str:
    if course.error.all() and course.base_error.all():
        return ""
    return "A frame without any error is drawn as if a single pixel were a grey level off. "


def _quantiles(course: Course) -> str:
    ranks = [np.argsort(values, kind="stable") for values in
             (course.decibel(course.base_error), course.decibel(course.error), course.gains)]
    rows = (("lowest", 0), ("lower twentieth", 5), ("median", 50), ("upper twentieth", 95), ("highest", 100))

    def cells(share):
        base, ours, gained = (int(order[round(share / 100 * (len(order) - 1))]) for order in ranks)
        yield course.decibel_of(base)[1]
        yield course.decibel_of(ours)[0]
        yield _gain(*course.decibel_of(gained))

    return "".join(f'<tr><th scope="row">{name}</th>' + "".join(f"<td>{_number(cell)}</td>" for cell in cells(share))
                   + "</tr>" for name, share in rows)


def _base_chroma(course: Course, found: dict) -> list[float | None]:
    """PSNR of bicubic U and V."""
    samples = course.frames * -(-found["width"] // 2) * -(-found["height"] // 2)
    return [float(psnr(error, samples)) if error else None for error in course.base_chroma]


def _chroma(course: Course, found: dict) -> str:
    return "; ".join(f'{plane}: bicubic {_decibel(base)}, stdo {_data(name, found[name], unit="dB")}'
                     for plane, name, base in
                     zip("UV", ("psnr_u", "psnr_v"), _base_chroma(course, found), strict=True)) + "."


def _map(facts: Facts, colours: Sequence[int]) -> str:
    course = facts.course
    bands = len(course.shares)
    # Band b holds the frames n with n * bands // frames == b.
    edges = -(-np.arange(bands + 1) * course.frames // bands) / float(facts.rate)
    return map_chart(edges, course.shares / course.shares.sum(axis=1, keepdims=True), colours)


def _legend(colours: Sequence[int], course: Course) -> str:
    if len(colours) > 2 * COLOURS + 1:
        return "<li>Nets have the colours that the table below shows.</li>"
    used = course.shares.sum(axis=0) > 0
    return "".join(f"<li>{_swatch(colour)}{_net(net)}</li>" for net, colour in enumerate(colours) if used[net])


# ---- Bytes ----


def _bars_of_parts(parts: dict[str, int]) -> str:
    whole = sum(parts.values())
    bars = [(name, size / 1000, f"{size:,} bytes, {100 * size / whole:.1f} %",
             BASE if name.startswith("sound") else OURS) for name, size in parts.items()]
    return bars_chart("bytes", "Bytes of each part of the files", "kB", bars)


def _parts(parts: dict[str, int]) -> str:
    return "".join(f'<tr><th scope="row">{escape(name)}</th><td>{_data("bytes of " + name, size)}</td></tr>'
                   for name, size in {**parts, "all": sum(parts.values())}.items())


def _bars_of_nets(found: dict, colours: Sequence[int]) -> str:
    nets = sorted((net for net in found["nets"][1:] if net["bytes"]), key=lambda net: -net["gains"])[:MOST_BARS]
    if not nets:
        return ("<p>There is no net: plain video it is, which needs fewer bytes.</p>" if found["scale"] == 1 else
                "<p>There is no net for luma: bicubic alone upscales the lr video.</p>")
    bars = [(f"net {net['index']}", _per_kb(net), _three(_per_kb(net)), net_colour(colours[net["index"]]))
            for net in sorted(nets, key=_per_kb, reverse=True)]
    return bars_chart("nets", "What each net bought, in dB of the whole video per kB of the net", "dB per kB", bars)


def _of_planes(facts: Facts) -> str:
    found = facts.found
    gains = [(plane, _gain(found[name], base)) for plane, name, base in
             zip("UV", ("psnr_u", "psnr_v"), _base_chroma(facts.course, found), strict=True)]
    return " and ".join(f"{plane} without error" if gain is None else f"{_signed(gain)} of {plane}"
                        for plane, gain in gains)


def _per_kb(net: dict) -> float:
    return 1000 * net["gains"] / net["bytes"]


def _nets(found: dict, colours: Sequence[int]) -> str:
    patches = sum(net["patches"] for net in found["nets"])

    def row(net, number):
        there = [_number(net[name]) if net["patches"] else "" for name in ("psnr_bicubic_y", "psnr_y")]
        cells = (f'{100 * net["patches"] / patches:.1f} %', _data(f"net {number} bytes", net["bytes"]), *there,
                 _data(f"net {number} gains", net["gains"], 3), _three(_per_kb(net)) if net["bytes"] else "")
        return (f'<tr><th scope="row">{_swatch(colours[number])}{_net(number)}</th>'
                + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")

    return "".join(row(net, net["index"]) for net in found["nets"])


def _bought(facts: Facts) -> str:
    found, chroma, said = facts.found, facts.parts["net for chroma"], []
    gain = _gain(found["psnr_y"], found["psnr_bicubic_y"])
    if gain is not None and len(found["nets"]) > 1:
        size = found["bytes_sidecar"] - chroma
        said += [f"All nets for luma with their map bought {_signed(gain)} of luma for {_bytes(size)}: "
                 f"{_three(1000 * gain / size)} dB per kB.",
                 f"By the rule of thumb that one per cent more bytes buys {THUMB} dB, a kB more of lr pictures would "
                 f"buy {THUMB / 0.01 * 1000 / facts.parts['lr pictures']:.2g} dB."]
    if chroma:
        said.append(f"The net for chroma bought {_of_planes(facts)} for {chroma:,} bytes.")
    return " ".join(said)


# ---- Training ----


def _training(facts: Facts) -> str:
    curve = facts.curve
    if curve is None:
        return ("<p>Not known: a sidecar does not hold how it was trained. <code>stdo encode --report</code> draws the "
                "curves of the run that it makes.</p>")
    afar = "Segments were trained in other processes, which report no curve" if curve.afar else ""
    if not curve.lines:
        return f"<p>{afar or 'The run reported none: it trained no net anew, or there was no error to lessen'}.</p>"
    ends = {}
    for stage, points in curve.lines:
        ends.setdefault(stage, []).append(points[-1][1])
    tokens = [BASE, OURS, *(net_colour(colour) for colour in range(2, COLOURS + 1))]
    chart = curve_chart(curve.lines, {stage: tokens[min(at, COLOURS)] for at, stage in enumerate(ends)})
    said = "; ".join(f"{escape(stage)} ended at {_range(decibels)} dB" for stage, decibels in ends.items())
    anew = ", each segment anew" if max(map(len, ends.values())) > 1 else ""
    return (f'<div class="wide" tabindex="0" role="region" aria-label="Training curves">{chart}</div>'
            "<p>As the run reported it: PSNR of a sample of the patches, under nets that are not rounded yet; so it is "
            f"near that of the video, but not equal. {said[0].upper()}{said[1:]}{anew}."
            f"{f' {afar}: only the warm-up is known.' if afar else ''}</p>")


def _range(values: Sequence[float]) -> str:
    low, high = _number(min(values)), _number(max(values))
    return low if low == high else f"{low} to {high}"


# ---- Small parts ----


def _data(name: str, value: float | None, digits: int = 2, unit: str = "") -> str:
    """A number as people read it, with the whole of it for programs."""
    if value is None:
        return f'<data id="{escape(name.replace(" ", "-"))}" value="">no error</data>'
    text = f"{value:,}" if isinstance(value, int) else f"{value:.{digits}f}"
    return f'<data id="{escape(name.replace(" ", "-"))}" value="{value}">{text}</data>{unit and " " + unit}'


def _number(value: float | None) -> str:
    return "no error" if value is None else f"{value:.2f}"


def _decibel(value: float | None) -> str:
    return "no error" if value is None else f"{value:.2f} dB"


def _three(value: float) -> str:
    """Three digits that count."""
    return f"{value:#.3g}"


def _bytes(size: int) -> str:
    return f"{size / 1e6:,.2f} MB" if size >= 10**6 else f"{size / 1000:,.1f} kB"


def _gain(ours: float | None, base: float | None) -> float | None:
    return None if ours is None or base is None else ours - base


def _signed(value: float | None) -> str:
    return "no error" if value is None else f"{value:+.2f} dB".replace("-", "−")


def _net(number: int) -> str:
    return f"net {number}" if number else "base"


def _swatch(colour: int) -> str:
    return f'<i class="swatch" style="--c:var(--n{colour})"></i>'


def _hash(page: str) -> str:
    """What allows the page's own script, and no other."""
    script = re.search("<script>(.*?)</script>", page, re.S)[1]
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
