"""Writes tests/corpus: `python tests/make_corpus.py`.

A file's name is the status that both readers must give for it, a dot, and the one thing that is wrong (or special).
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from samples import Places, fix_all, fix_header, fix_segment, put, random_labels

from stdo_min.format.classes import Classes
from stdo_min.format.random_nets import like, make_sidecar, random_chroma_net, random_net
from stdo_min.format.sidecar import VERSION, Net, Sidecar, write

CORPUS = Path(__file__).parent / "corpus"
SEGMENT, NET = 40, 68  # where the first segment and its first net begin


def small_sidecar(seed: int = 1, version: int = VERSION) -> Sidecar:
    """Two segments of a 20x12 video at scale 2, each with two nets; those of the first have two layers."""
    rng = np.random.default_rng(seed)
    size, patch = (20, 12), 8
    segments = []
    for hidden, frames in (([(3, 2)], 3), ([], 2)):
        nets = tuple(random_net(rng, 2, hidden, 1) for _ in range(2))
        segments.append((nets, random_labels(rng, frames, size, patch, 2)))
    return make_sidecar(2, size, patch, segments, crop=(1, 3), version=version)


def shared_nets() -> Sidecar:
    """Three segments with nets of each other, and some that differ a little from them."""
    rng = np.random.default_rng(3)
    a, b = (random_net(rng, 2, [(3, 3)], 1) for _ in range(2))
    near = [like(rng, a) for _ in range(2)]
    segments = [(a, b), (near[0], a), (b, near[1], near[0])]
    size, patch = (20, 12), 8
    return make_sidecar(2, size, patch, [(nets, random_labels(rng, 2, size, patch, len(nets))) for nets in segments])


def of_zeros() -> Sidecar:
    """One net with weights of zero alone, whose code must be filled up."""
    net = random_net(np.random.default_rng(4), 1, [(9, 16), (5, 8)], 1)
    layers = (replace(layer, weight=0 * layer.weight, bias=0 * layer.bias) for layer in net.layers)
    return make_sidecar(1, (8, 8), 8, [((Net(tuple(layers)),), np.ones((1, 1, 1), np.uint8))])


def with_chroma() -> Sidecar:
    """Three segments: with nets for luma and chroma, for chroma alone, and for luma alone."""
    rng = np.random.default_rng(5)
    size, patch = (20, 12), 8
    luma, (u, v) = random_net(rng, 2, [(3, 2)], 1), (random_chroma_net(rng, 2, [(3, 2)], 1) for _ in range(2))
    made = make_sidecar(2, size, patch, [(nets, random_labels(rng, 2, size, patch, len(nets)))
                                         for nets in ((luma,), (), (luma,))])
    return replace(made, segments=tuple(replace(segment, chroma=net)
                                        for segment, net in zip(made.segments, (u, v, None), strict=True)))


def with_classes(sidecar: Sidecar, thresholds: list[int], labels: list[int]) -> bytes:
    """The file with the labels of the first segment computed by these classes."""
    classes = Classes(np.array(thresholds, np.uint16), np.array(labels, np.uint8))
    first, *others = sidecar.segments
    return write(replace(sidecar, segments=(replace(first, map_data=classes.encode(), computed=True), *others)))


def good_files() -> dict[str, bytes]:
    rng = np.random.default_rng(2)

    def one(scale: int, size: tuple[int, int], patch: int, nets: int, hidden: list, last_kernel: int, **more) -> bytes:
        found = tuple(random_net(rng, scale, hidden, last_kernel) for _ in range(nets))
        labels = random_labels(rng, 3, size, patch, nets)
        return write(make_sidecar(scale, size, patch, [(found, labels)], **more))

    small = small_sidecar()
    last = Places(write(small)).nets[-1]
    return {
        "two-segments": write(small_sidecar(version=1)),
        "no-nets": one(4, (8, 8), 8, 0, [], 1, version=1),
        "one-net-no-crop": one(1, (9, 17), 8, 1, [(3, 3)], 3, version=1),
        "patch-greater-than-frame": one(3, (11, 8), 128, 2, [(5, 4), (1, 2)], 3, chroma=1, version=1),
        "greatest-crop": one(4, (17, 9), 8, 1, [(3, 5)], 1, crop=(7, 7), chroma=1, version=1),
        "most-nets": one(1, (64, 64), 8, 63, [], 1, version=1),
        "most-layers": one(2, (8, 8), 8, 1, [(9, 2)] * 7, 9, version=1),
        "three-halves": one(Fraction(3, 2), (20, 12), 8, 2, [(5, 2)], 3, crop=(1, 5), chroma=1),
        "computed-labels": with_classes(small_sidecar(), [7, 900], [2, 0, 1]),
        "computed-labels-all-alike": with_classes(small_sidecar(), [], [2]),
        "unknown-mode": one(2, (8, 8), 9, 0, [], 1, mode=255, version=1),
        "two-segments-version-2": write(small_sidecar(version=2)),
        "two-segments-version-3": write(small),
        "shared-nets": write(shared_nets()),
        "no-nets-version-3": one(4, (8, 8), 8, 0, [], 1),
        "most-nets-version-3": one(1, (64, 64), 8, 63, [], 1),
        "most-layers-version-3": one(2, (8, 8), 8, 1, [(9, 2)] * 7, 9),
        "nets-for-chroma": write(with_chroma()),
        "net-of-zeros": write(of_zeros()),
        "net-that-decodes-to-the-limits": fix_all(put(write(small), last[1] + 3, -1, last[2] - last[1] - 3)),
        "net-that-no-segment-has": fix_all(put(write(small), Places(write(small)).segments[0][1] + 10, 1, 1)),
    }


def bad_files() -> dict[str, bytes]:
    """Those of versions 1 and 2, and of the header of all."""
    good = write(small_sidecar(version=1))
    second = SEGMENT + int.from_bytes(good[SEGMENT : SEGMENT + 4], "little")
    files = {
        "magic.empty": b"",
        "magic.short": good[:5],
        "magic.text-mode-copy": good.replace(b"\r\n", b"\n"),
        "header_crc.wrong": put(good, 36, 0, 4),
        "truncated.header": good[:39],
        "truncated.after-header": good[:40],
        "truncated.segment-fields": good[: second + 31],
        "truncated.segment": good[:-1],
        "truncated.16-million-segments": fix_header(put(put(good[:60], 24, 2**24, 4), 28, 2**24, 4)),
        "segment_crc.wrong": put(good, second - 4, 0, 4),
        "trailing.byte": good + b"\0",
    }
    header = {
        "version.four": (8, 4, 2), "header.version-3-without-divisor": (8, 3, 2),
        "header.version-0": (8, 0, 2), "header.scale-0": (10, 0, 1),
        "header.scale-5": (10, 5, 1), "header.patch-7": (12, 7, 2), "header.patch-129": (12, 129, 2),
        "header.chroma-2": (14, 2, 1), "header.colour-1-in-version-1": (15, 1, 1), "header.lr-width-7": (16, 7, 2),
        "header.lr-height-8193": (18, 8193, 2), "header.hr-width-small": (20, 36, 2),
        "header.hr-width-great": (20, 41, 2), "header.hr-height-small": (22, 20, 2),
        "header.hr-height-great": (22, 25, 2), "header.frames-0": (24, 0, 4), "header.frames-many": (24, 2**24 + 1, 4),
        "header.segments-0": (28, 0, 4), "header.segments-more-than-frames": (28, 6, 4),
        "header.reserved-word": (32, 1, 4), "segment.frames-fewer-than-header": (24, 6, 4),
        "segment.frames-more-than-header": (24, 4, 4), "trailing.segment": (28, 1, 4),
    }  # fmt: skip
    thirds = write(make_sidecar(Fraction(3, 2), (20, 12), 8, [((), np.zeros((3, 2, 3), np.uint8))]))
    three_halves = {
        "header.divisor-1-with-hr-size-of-2": (32, 1, 1),
        "header.three-halves-in-version-2": (8, 2, 2), "header.three-halves-of-odd-width": (16, 21, 2),
        "header.three-halves-patch-10": (12, 10, 2), "header.three-halves-hr-great": (20, 31, 2),
        "header.three-halves-hr-small": (22, 12, 2), "header.reserved-byte": (35, 1, 1),
    }  # fmt: skip
    for name, (at, value, size) in three_halves.items():
        files[name] = fix_header(put(thirds, at, value, size))
    for name, numerator, divisor, (width, height) in (("3", 3, 3, (18, 12)), ("2-by-2", 2, 2, (20, 12)),
                                                      ("1-by-2", 1, 2, (10, 6)), ("4-by-2", 4, 2, (40, 24))):
        other = put(put(put(put(thirds, 10, numerator, 1), 32, divisor, 1), 20, width, 2), 22, height, 2)
        if divisor == 3:
            other = put(other, 16, 18, 2)  # so that the sizes fit, and nothing else is wrong
        files[f"header.{'divisor' if divisor == 3 else 'scale'}-{name}"] = fix_header(other)
    for name, (at, value, size) in header.items():
        files[name] = fix_header(put(good, at, value, size))
    # One segment less needs the frames of the other, or they would be the first thing wrong.
    files["trailing.segment"] = fix_header(put(files["trailing.segment"], 24, 3, 4))

    first_layer, bias = NET + 1, NET + 5 + 2 * 2
    second_layer = NET + 5 + 2 * 6 + 2 * 9
    segment = {
        "segment.first-frame": (SEGMENT + 4, 1, 4), "segment.frames-0": (SEGMENT + 8, 0, 4),
        "segment.frames-65536": (SEGMENT + 8, 65536, 4), "segment.nets-64": (SEGMENT + 20, 64, 1),
        "segment.reserved": (SEGMENT + 22, 1, 1), "segment.map-short": (SEGMENT + 24, 1, 4),
        "segment.map-huge": (SEGMENT + 24, 2**32 - 1, 4), "segment.map-without-nets": (SEGMENT + 20, 0, 1),
        "net.layers-0": (NET, 0, 1), "net.layers-9": (NET, 9, 1), "net.kernel-0": (first_layer, 0, 1),
        "net.kernel-2": (first_layer, 2, 1), "net.kernel-11": (first_layer, 11, 1),
        "net.channels-0": (first_layer + 1, 0, 1), "net.channels-65": (first_layer + 1, 65, 1),
        "net.last-channels-3": (second_layer + 1, 3, 1), "net.shift-25": (first_layer + 2, 25, 1),
        "net.reserved": (first_layer + 3, 1, 1), "net.multiplier-0": (first_layer + 4, 0, 2),
        "net.multiplier-32768": (first_layer + 4, 32768, 2), "net.bias-great": (bias, 2**30 + 1, 4),
        "net.bias-small": (bias, -(2**30) - 1, 4), "segment.net-past-end": (first_layer, 9, 1),
        "segment.net-missing": (SEGMENT + 20, 3, 1),
    }  # fmt: skip
    for name, (at, value, size) in segment.items():
        files[name] = fix_segment(put(good, at, value, size))
    # A third net would be looked for in the map, so there must be none.
    no_map = make_sidecar(2, (20, 12), 8, [(small_sidecar().segments[0].nets, np.zeros((3, 2, 3), np.uint8))],
                          version=1)
    files["segment.net-missing"] = fix_segment(put(write(no_map), SEGMENT + 20, 3, 1))
    files["segment.size-31"] = put(good, SEGMENT, 31, 4)
    files["truncated.size-huge"] = put(good, SEGMENT, 2**32 - 1, 4)
    return files


def bad_files_3() -> dict[str, bytes]:
    """Those of version 3, behind the header."""
    good = write(small_sidecar())
    at = Places(good)
    (size, code, end), (_, second, _), *_ = at.nets
    start, fields, crc = at.segments[0]
    sized, grown = good[:start], good[fields:]
    files = {
        "header.nets-in-version-2": fix_header(put(write(small_sidecar(version=2)), 33, 1, 2)),
        "header.reserved-byte-beside-nets": fix_header(put(good, 35, 1, 1)),
        "truncated.net-size": good[:40], "truncated.net": good[:end - 1], "truncated.net-crc": good[:at.table_crc + 3],
        "truncated.net-size-huge": good[:size] + bytes([128, 128, 128, 8]) + good[code:],
        "truncated.nets-65535": fix_header(put(good[:40], 33, 65535, 2)),
        "truncated.no-segment": good[:start], "truncated.segment-3": good[:crc + 3],
        "truncated.segment-size": sized + b"\x80",
        "truncated.segment-size-huge": sized + b"\xff\xff\xff\xff\x0f" + grown,
        "net_crc.wrong": put(good, at.table_crc, 0, 4), "segment_crc.wrong-3": put(good, crc, 0, 4),
        "trailing.byte-3": good + b"\0",
        "net.size-0": put(good, size, 0, 1),
        "net.size-too-great": good[:size] + bytes([129, 128, 128, 8]) + good[code:],
        "net.size-of-33-bits": good[:size] + b"\xff\xff\xff\xff\x1f" + good[code:],
        "net.size-of-six-bytes": good[:size] + b"\xff\xff\xff\xff\x8f\0" + good[code:],
        "net.size-not-shortest": good[:size] + bytes([good[size] | 128, 0]) + good[code:],
        "net.ends-within-layers": put(put(good, size, 4, 1), code, 2, 1),
        "net.claims-much": put(put(good, code + 1, 4 << 5, 1), code + 2, 64, 1),
        "segment.size-13": put(good, start, 13, 1),
        "segment.size-not-shortest": sized + bytes([good[start] | 128, 0]) + grown,
        "segment.size-of-33-bits": sized + b"\xff\xff\xff\xff\x10" + grown,
        "segment.frames-of-33-bits": put(good, fields, 0x1FFFFFFFFF, 5),
        "segment.frames-not-shortest": put(put(good, fields, 0x83, 1), fields + 1, 0, 1),
        "segment.fields-missing": fix_header(put(put(put(good, start, 14, 1), fields, 0x2AC, 2), 24, 300, 4)),
        "segment.net-not-shortest": put(good, fields + 10, 128, 2),
    }
    for name, (place, value) in {
        "net.channels-twice-and-one": (code + 4, 9), "net.for-chroma-before-luma": (code + 4, 8),
        "net.first-differs": (code, 0), "net.layers-10-coded": (code, 10),
        "net.first-like-before": (code, 9), "net.kernel-11-coded": (code + 1, 5 << 5),
        "net.shift-25-coded": (code + 1, 25), "net.channels-0-coded": (code + 2, 0),
        "net.channels-65-coded": (code + 2, 65), "net.last-channels-3-coded": (code + 4, 3),
        "net.second-layers-255": (second, 255),
        "segment.frames-0-coded": (fields, 0), "segment.frames-more": (fields, 6),
        "segment.luma-net-for-chroma": (fields + 1, 65),
        "segment.nets-0-with-map": (fields + 1, 0), "segment.computed-without-nets": (fields + 1, 128),
        "segment.computed-without-classes": (fields + 1, 130), "segment.net-4": (fields + 10, 4),
    }.items():
        files[name] = fix_all(put(good, place, value, 1))
    chroma = write(with_chroma())
    (_, first, _), (_, second, _), _ = Places(chroma).segments
    for name, (place, value) in {
        "segment.chroma-net-for-luma": (first + 10, 1), "segment.net-for-chroma-3": (first + 11, 3),
        "segment.second-luma-net-for-chroma": (second + 10, 0),
        "segment.chroma-and-computed-without-nets": (second + 1, 128 + 64),
    }.items():
        files[name] = fix_all(put(chroma, place, value, 1))
    rng, size = np.random.default_rng(6), (20, 12)
    nets = tuple(random_net(rng, 2, [(3, 2)], 1, 3) for _ in range(2))
    rgb = write(make_sidecar(2, size, 8, [(nets, random_labels(rng, 2, size, 8, 2))], colour=1))
    files["segment.rgb-net-for-chroma"] = fix_all(put(rgb, Places(rgb).segments[0][1] + 1, 65, 1))
    computed = with_classes(small_sidecar(), [7, 900], [2, 0, 1])
    classes = Places(computed).segments[0][2] - 8
    for name, (place, value, size) in {
        "segment.computed-classes-many": (classes, 3, 1),
        "segment.computed-classes-few": (classes, 1, 1), "segment.computed-thresholds-fall": (classes + 1, 901, 2),
        "segment.computed-thresholds-equal": (classes + 1, 900, 2), "segment.computed-label-3": (classes + 6, 3, 1),
    }.items():
        files[name] = fix_all(put(computed, place, value, size))
    return files


def corpus() -> dict[str, bytes]:
    """Return file name -> bytes."""
    files = {f"ok.{name}.stdo": data for name, data in good_files().items()}
    files.update({f"{name}.stdo": data for name, data in {**bad_files(), **bad_files_3()}.items()})
    return files


if __name__ == "__main__":
    CORPUS.mkdir(exist_ok=True)
    for old in CORPUS.glob("*.stdo"):
        old.unlink()
    for name, data in corpus().items():
        (CORPUS / name).write_bytes(data)
