"""Bytes at equal quality: what `stdo encode` makes of clips, against the plain codec at full size.

    python -m bench rd CLIP... [--codec x264|x265|av1] [--scales auto,1,1.5,2] [--budget 45s] [--points 5] [--work DIR]
                       [--json F] [--plot F.svg]

Plain is the clip at full size, coded by the very function that codes our lr video, with its preset and its segments, at
CRFs evenly spaced between those nearest to VMAF 93 and 35. Ours is what `stdo encode` writes: at a scale by number with
these CRFs less an offset, so that the curves overlap; at scale auto with `--target crf=N` for each of them. It is
decoded by the player.

Bytes are those of all packets of the video, with the sidecar's (nets, and the map of which serves which patch): no
sound, and no container, nor the parameter sets of some 50 bytes that lie in its header, alike on both sides. Quality is
of all frames at the clip's own size, paired by number with those that stdo reads of it: PSNR with squared errors pooled
over all pixels, VMAF v0.6.1 and its NEG model, XPSNR, all by ffmpeg's filters. Luma PSNR must agree with our own
arithmetic to 0.01 dB.

BD-rate is the mean of log(bytes) against plain over the quality that both curves have; "hull" is the best of plain and
all scales by number at each quality. What U and V have over plain is their PSNR less that of the plain curve at equal
luma PSNR. What is measured lies in the work folder, a file a point: a second run takes it
from there. A point of ours is measured anew when stdo's code changes, one of plain when ffmpeg does.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path

from bench import _bd, _plot
from bench._measure import check_filters, measure, picture_bytes
from stdo_min import __version__
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.segments import SEGMENT_SECONDS
from stdo_min.algorithm.siting import LEFT
from stdo_min.commands.training import lay_segments, sizes
from stdo_min.format import sidecar
from stdo_min.format.cores import fast_cores
from stdo_min.player import frames, open_video
from stdo_min.video import child
from stdo_min.video.ffmpeg import VideoError, ask, ffmpeg_executable, reason
from stdo_min.video.frame_folder import open_source
from stdo_min.video.lr_parts import encode_parts
from stdo_min.video.lr_video import CODECS, lr_size
from stdo_min.video.mux import join, read_attachment
from stdo_min.video.output import write_whole
from stdo_min.video.probe import probe
from stdo_min.video.read import Frame, read_lr
from stdo_min.video.work import Work

PLAIN, AUTO, HULL = "plain", "auto", "hull"
BEST, WORST = 93, 35  # VMAF of the ends of the plain curve
OFFSETS = {"1": 0, "1.5": -4, "2": -7, "3": -11, "4": -14}  # of the CRF, by scale
FURTHER = 2  # CRFs from one plain point to the next where the curve must go on
METRICS = {"psnr_y": "PSNR-Y", "vmaf": "VMAF", "vmaf_neg": "VMAF-NEG", "xpsnr_y": "XPSNR-Y"}
PUBLISHED = """published, other clips:
  neural wrappers, 516 MAC a pixel: -22.6 % over HEVC's HM, -9.3 % over VVC's VTM on UVG (arXiv 2407.07395)
  LCEVC over x264: -39..-47 % by VMAF (ITU Journal, 2020)
  overfitted multipliers on a VVC post-filter: -5 % (EUVIP 2022)"""


class Bench:
    """The points of one clip; what is measured is kept in the work folder."""

    def __init__(self, clip: Path, codec: str, budget: str, work: Path, say: Callable[[str], None]):
        self.clip, self.codec, self.budget, self.work, self.say = clip, codec, budget, work, say
        self.info = open_source(clip, None)
        found = clip.stat()
        self.name = f"{clip.stem}-{zlib.crc32(f'{clip.name} {found.st_size} {found.st_mtime_ns}'.encode()):08x}"
        self.starts, _ = lay_segments(self.info, sizes(1, LEFT, Recipe.patch, lr_size(self.info.width, self.info.height,
                                                                                      1), self.info), SEGMENT_SECONDS)
        self.known: dict[int, dict] = {}  # plain points by CRF

    def plain(self, crf: int) -> dict:
        """The point of the plain codec at a CRF."""
        def make(out: Path) -> None:
            parts = encode_parts(self.info, self.starts, Work(out.parent), 1, codec=self.codec, crf=crf, lossless=False)
            join([part.path for part in parts], self.info, out)

        if crf not in self.known:
            coder = zlib.crc32(f"{ffmpeg_version()} {CODECS[self.codec]}".encode())
            self.known[crf] = self._point(PLAIN, crf, f"{coder:08x}", make)
        return self.known[crf]

    def ours(self, scale: str, crf: int) -> dict:
        """The point of `stdo encode` at a scale, a number or auto, and a CRF of the lr video or, with auto, of plain.

        Raises VideoError, with the command, if it fails."""
        def make(out: Path) -> None:
            quality = ["--target", f"crf={crf}"] if scale == AUTO else ["--crf", str(crf)]
            run_stdo(["encode", str(self.clip), str(out), "--codec", self.codec, *quality, "--scale", scale, "--budget",
                      self.budget, "--quiet"])

        return self._point(scale, crf, f"{self.budget}-{code_version()}", make)

    def _point(self, curve: str, crf: int, version: str, make: Callable[[Path], None]) -> dict:
        kept = self.work / f"{self.name}-{self.codec}-{curve}-crf{crf}-{version}.json"
        if kept.exists():
            return json.loads(kept.read_text())
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            out, began = Path(folder, "out.mkv"), time.monotonic()
            make(out)
            seconds = time.monotonic() - began
            point = {"curve": curve, "crf": crf, "codec": self.codec, "budget": None if curve == PLAIN else self.budget,
                     "seconds": round(seconds, 1), **self._judge(out)}
        write_whole(kept, lambda file: file.write(json.dumps(point, indent=1).encode()))
        self.say(f"{self.clip.name}: {curve} {self.codec} crf {crf}: {point['bytes']:,} bytes, "
                 f"{_number(point['psnr_y'])} dB, VMAF {_number(point['vmaf'])}, {seconds:.1f} s")
        return point

    def _judge(self, path: Path) -> dict:
        """The bytes of a file, with its sidecar where it has one, and its quality as it plays."""
        info = probe(path)
        data = read_attachment(info)
        if data is None and (info.width < self.info.width or info.height < self.info.height):
            raise VideoError(f"{path}: smaller than {self.clip}, and without a sidecar")
        if data is None:
            bytes_map, scale = 0, 1.0
            shown = (_cropped(frame, self.info.width, self.info.height) for frame in read_lr(info))
        else:
            video = open_video(path)
            bytes_map = sum(len(segment.map_data) for segment in sidecar.read(data).segments)
            scale = float(video.upscaler.scale)
            shown = (frame.hr for frame in frames(video, fast_cores()))
        with closing(shown):
            quality = measure(self.info, shown)
        found = {"scale": scale, "plain": data is None, "bytes_lr": picture_bytes(path),
                 "bytes_nets": len(data or b"") - bytes_map, "bytes_map": bytes_map}
        found["bytes"] = found["bytes_lr"] + len(data or b"")
        return {**found, "kbps": float(found["bytes"] * self.info.rate / (125 * quality["frames"])), **quality}


def run_stdo(arguments: list[str]) -> None:
    """Run stdo as a user does. Raises VideoError, with the command and stdo's last line, if it fails."""
    command = [sys.executable, "-m", "stdo_min", *arguments]
    with tempfile.TemporaryFile() as log:
        process = child.start(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        try:
            code = process.wait()
        finally:
            process.kill()
            process.wait()
        log.seek(0)
        words = log.read().decode(errors="replace").strip().splitlines()
    if code:
        raise VideoError(f"{shlex.join(command)}\nended with {code}: {words[-1] if words else 'without a word'}")


@cache
def code_version() -> str:
    """What tells the code that is measured: the version, with the last commit of it and what is changed since, by git.
    """
    code, words = ["--", "stdo_min", "csrc"], [__version__]
    here = Path(__file__).parent.parent
    for arguments in (["log", "-1", "--format=%h", *code], ["diff", "HEAD", *code]):
        try:
            out = subprocess.run(["git", "-C", here, *arguments], capture_output=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            break
        if out:
            words.append(out.decode().strip() if arguments[0] == "log" else f"{zlib.crc32(out):08x}")
    return "-".join(words)


@cache
def ffmpeg_version() -> str:
    """The first line of what ffmpeg says of itself."""
    answer = ask(ffmpeg_executable(), ["-version"])
    if answer.code:
        raise VideoError(f"{ffmpeg_executable()}: {reason(answer.words)}")
    return answer.out.decode(errors="replace").partition(" Copyright")[0]


def nearest_crf(quality: Callable[[int], float], least: int, most: int, wanted: float) -> int:
    """The CRF within least..most whose quality, which falls as it rises, is nearest to what is wanted."""
    low, high = least, most
    while high - low > 1:
        middle = (low + high) // 2
        if quality(middle) >= wanted:
            low = middle
        else:
            high = middle
    return min(low, high, key=lambda crf: abs(quality(crf) - wanted))


def spaced(first: int, last: int, count: int) -> list[int]:
    """So many whole numbers evenly from first to last, or fewer where there are not so many."""
    return sorted({round(first + (last - first) * i / max(1, count - 1)) for i in range(count)})


def measure_clip(bench: Bench, scales: list[str], count: int) -> dict:
    """All points of a clip, its BD-rates, and the bytes of each auto point over plain's at equal PSNR-Y."""
    _, least, most = CODECS[bench.codec][0]
    crfs = spaced(*(nearest_crf(lambda crf: bench.plain(crf)["vmaf"], least, most, vmaf) for vmaf in (BEST, WORST)),
                  count)
    points = {PLAIN: [bench.plain(crf) for crf in crfs]}
    for scale in scales:
        wanted = sorted({min(max(crf + OFFSETS.get(scale, 0), least), most) for crf in crfs})
        points[scale] = [bench.ours(scale, crf) for crf in wanted]
    rows = [_never_worse(bench, point, least, most) for point in points.get(AUTO, ())]
    ratios = [row["ratio"] for row in rows if row["ratio"] is not None]
    for scale in scales:
        points[scale] = [{**point, **_over_plain(bench, point)} for point in points[scale]]
    over = [point[f"over_{plane}"] for point in points.get(AUTO, ()) for plane in "uv"]
    return {"clip": bench.clip.name, "size": [bench.info.width, bench.info.height], "rate": str(bench.info.rate),
            "points": [point for curve in points.values() for point in curve], "bd_rate": bd_rates(points),
            "never_worse": rows, "worst": max(ratios, default=None),
            "worst_chroma": min((dB for dB in over if dB is not None), default=None),
            "plain_measured": list(bench.known.values())}


def bd_rates(points: dict[str, list[dict]]) -> dict:
    """By curve, beside plain, and metric: percent by each method, and how many points were left out as beaten."""
    curves = {name: curve for name, curve in points.items() if name != PLAIN}
    if len(numbered := [name for name in curves if name != AUTO]) > 1:
        curves[HULL] = [point for name in (PLAIN, *numbered) for point in points[name]]
    found = {}
    for name, curve in curves.items():
        found[name] = {}
        for metric in METRICS:
            plain, tested = of_metric(points[PLAIN], metric), of_metric(curve, metric)
            dropped = sum(len(pairs) - len(_bd.pareto(pairs)) for pairs in (plain, tested))
            found[name][metric] = {**{method: _bd.bd_rate(plain, tested, method) for method in _bd.METHODS},
                                   "dropped": 0 if name == HULL else dropped}
    return found


def of_metric(points: list[dict], metric: str) -> list[tuple[int, float]]:
    """(bytes, quality) of the points whose quality is a finite number."""
    return [(point["bytes"], point[metric]) for point in points if point[metric] is not None]


def _never_worse(bench: Bench, point: dict, least: int, most: int) -> dict:
    """The bytes of a point over those that plain takes for its PSNR-Y, by all plain points known; None beyond them."""
    quality, wanted = point["psnr_y"], None
    if quality is not None:
        while (low := min(bench.known)) > least and _reached(bench.plain(low)) < quality:
            bench.plain(max(least, low - FURTHER))
        while (high := max(bench.known)) < most and _reached(bench.plain(high)) > quality:
            bench.plain(min(most, high + FURTHER))
        wanted = _bd.bytes_at(of_metric(list(bench.known.values()), "psnr_y"), quality)
    return {"crf": point["crf"], "scale": point["scale"], "plain": point["plain"], "psnr_y": quality,
            "bytes": point["bytes"], "plain_bytes": wanted, "ratio": wanted and point["bytes"] / wanted}


def _over_plain(bench: Bench, point: dict) -> dict:
    """PSNR of U and V less that of plain at the luma PSNR of a point, by all plain points known; None beyond them."""
    def over(plane: str) -> float | None:
        known = [(one["psnr_y"], one[plane]) for one in bench.known.values() if None not in (one["psnr_y"], one[plane])]
        wanted = None if None in (point["psnr_y"], point[plane]) else _bd.value_at(known, point["psnr_y"])
        return None if wanted is None else point[plane] - wanted

    return {"over_u": over("psnr_u"), "over_v": over("psnr_v")}


def _reached(point: dict) -> float:
    return math.inf if point["psnr_y"] is None else point["psnr_y"]


# ---- Tables ----


def tables(found: dict) -> str:
    """The points, BD-rates and, of scale auto, the bytes at equal PSNR-Y of a clip."""
    lines = [f"{found['clip']}, {found['size'][0]}x{found['size'][1]}",
             "curve scale crf   bytes lr     nets      map    PSNR-Y  PSNR-U  PSNR-V    VMAF     NEG XPSNR-Y  over U"
             "  over V  seconds"]
    for p in found["points"]:
        lines.append(f"{p['curve']:5} {p['scale']:5g} {p['crf']:3} {p['bytes_lr']:10,} {p['bytes_nets']:8,} "
                     f"{p['bytes_map']:8,}   " + " ".join(f"{_number(p.get(name)):>7}" for name in (
                         "psnr_y", "psnr_u", "psnr_v", "vmaf", "vmaf_neg", "xpsnr_y", "over_u", "over_v"))
                     + f" {p['seconds']:8.1f}")
    if found["never_worse"]:
        lines.append("auto: bytes over plain's at equal PSNR-Y")
        lines += [f"  crf {row['crf']:3} scale {row['scale']:g}{' (plain)' * row['plain']}: {_number(row['psnr_y'])} dB"
                  f", {_number(row['ratio'], 4)}" for row in found["never_worse"]]
        lines.append(f"  the worst: {_number(found['worst'], 4)}; of chroma, over plain at equal PSNR-Y: "
                     f"{_number(found['worst_chroma'])} dB")
    return "\n".join([*lines, rates_table(found["bd_rate"])])


def rates_table(rates: dict) -> str:
    """BD-rates as lines."""
    lines = ["BD-rate over plain, PCHIP / Akima; in brackets points that another of their curve beats"]
    for curve, metrics in rates.items():
        cells = [f"{METRICS[metric]} {_percent(row['pchip'])} / {_percent(row['akima'])}"
                 + (f" [{row['dropped']}]" if row["dropped"] else "") for metric, row in metrics.items()]
        lines.append(f"  {curve:5} " + ", ".join(cells))
    return "\n".join(lines)


def mean_rates(clips: list[dict]) -> dict:
    """The mean BD-rates over clips, of those that every clip has."""
    found = {}
    for curve in clips[0]["bd_rate"]:
        found[curve] = {}
        for metric in METRICS:
            rows = [clip["bd_rate"][curve][metric] for clip in clips]
            means = {method: None if any(row[method] is None for row in rows)
                     else sum(row[method] for row in rows) / len(rows) for method in _bd.METHODS}
            found[curve][metric] = {**means, "dropped": sum(row["dropped"] for row in rows)}
    return found


def plot(clips: list[dict]) -> str:
    """The curves of all clips by PSNR-Y and VMAF, as SVG."""
    panels = []
    for found in clips:
        for metric, unit in (("psnr_y", "PSNR-Y, dB"), ("vmaf", "VMAF")):
            curves: dict[str, list] = {}
            for point in found["points"]:
                if point[metric] is not None:
                    curves.setdefault(point["curve"], []).append((point["kbps"], point[metric]))
            panels.append(_plot.Panel(found["clip"], unit, {(f"scale {name}" if name[0].isdigit() else name): curve
                                                            for name, curve in curves.items()}))
    return _plot.draw(panels)


def _cropped(frame: Frame, width: int, height: int) -> Frame:
    return Frame(frame.y[:height, :width], *(plane[:-(-height // 2), :-(-width // 2)] for plane in frame[1:]))


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f} %"


def _scales(text: str) -> list[str]:
    scales = [] if text == "none" else list(dict.fromkeys(text.split(",")))
    if unknown := [scale for scale in scales if scale not in (AUTO, *OFFSETS)]:
        raise argparse.ArgumentTypeError(f"no scale {', '.join(unknown)}; there are {AUTO}, {', '.join(OFFSETS)}")
    return scales


def main(argv: list[str]) -> int:
    """Measure what is not measured yet, print tables, and write JSON and a picture where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench rd", description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--codec", choices=CODECS, default="x264")
    parser.add_argument("--scales", type=_scales, default=["auto", "1", "1.5", "2"],
        help="default auto,1,1.5,2; none: the plain curve alone")
    parser.add_argument("--budget", default="45s", help="as of stdo encode; default %(default)s")
    parser.add_argument("--points", type=int, default=5, help="of each curve; default %(default)s")
    parser.add_argument("--work", type=Path, default=Path("build/rd"), metavar="DIR",
                        help="where measured points are kept; default %(default)s")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, metavar="F.svg")
    a = parser.parse_args(argv)
    if a.points < 2:
        parser.error("a curve has two points or more")
    found = []
    try:
        check_filters()
        a.work.mkdir(parents=True, exist_ok=True)
        for clip in a.clips:
            bench = Bench(clip, a.codec, a.budget, a.work, lambda line: print(line, file=sys.stderr, flush=True))
            found.append(measure_clip(bench, a.scales, a.points))
            print(tables(found[-1]), flush=True)
    except VideoError as error:
        print(error, file=sys.stderr)
        return 1
    if len(found) > 1:
        print(f"mean of {len(found)} clips: {rates_table(mean_rates(found))}")
    print(PUBLISHED)
    if a.json:
        a.json.write_text(json.dumps({"codec": a.codec, "budget": a.budget, "version": code_version(),
                                      "ffmpeg": ffmpeg_version(), "clips": found}, indent=1) + "\n")
    if a.plot:
        a.plot.write_text(plot(found))
    return 0
