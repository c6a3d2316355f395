"""The sidecar file: write and read versions 1 to 3 of FORMAT.md.

`read` and the C library (csrc/check.c) check the same rules in the same order and refuse a file for the same cause.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from stdo_min.format import netcode
from stdo_min.format.base import SCALES
from stdo_min.format.classes import read_classes
from stdo_min.format.fields import Fields, SidecarError, limit, require, varint
from stdo_min.format.net import CHROMA_INPUTS, CHROMA_PLANES, MAX_CHANNELS, MAX_LAYERS, Net, check_net
from stdo_min.format.net_table import NetTable, read_table
from stdo_min.format.plain_net import plain_bytes, read_net, write_net

MAGIC = b"\x89STDO\r\n\x1a"
VERSION = 3  # the newest that is read
MODE_NAMES = {0: "other", 1: "single", 2: "stdo", 3: "time", 4: "stdo-quantile", 5: "jstdo"}
MAX_NETS = 63  # of a segment
MAX_FRAMES, MAX_SEGMENT_FRAMES = 2**24, 2**16 - 1

HIDDEN_LAYERS = MAX_LAYERS - 1  # of a net that is trained; the last layer gives the pixels

_HEADER = struct.Struct("<8sHBBHBBHHHHIIBHB")  # without its crc
_SEGMENT = struct.Struct("<IIIIIBB2sI")  # before version 3
_COMPACT = struct.Struct("<BII")  # of a segment of version 3, after its frames
_CRC = struct.Struct("<I")
_COMPUTED, _CHROMA = 128, 64  # bits beside the number of nets


@dataclass(frozen=True)
class Segment:
    """A run of frames with nets, which others may share; net n serves label n + 1, and `chroma` all of U and V.

    map_data: what patchmap.encode returns, or, where labels are computed, what Classes.encode does.
    """

    first_frame: int
    frames: int
    lr_first_crc: int
    lr_crc: int
    nets: tuple[Net, ...]
    map_data: bytes
    computed: bool = False
    chroma: Net | None = None

    @property
    def every_net(self) -> tuple[Net, ...]:
        """Its nets, that for chroma last."""
        return self.nets if self.chroma is None else (*self.nets, self.chroma)


@dataclass(frozen=True)
class Sidecar:
    """All that a sidecar file says; the fields are those of FORMAT.md.

    version: of the format, that it was read from or is written in. known: nets that come first in its table, whether a
    segment has them or others differ from them; of a sidecar that was read, its table.
    """

    scale: Fraction
    mode: int
    patch: int
    chroma: int
    lr_width: int
    lr_height: int
    hr_width: int
    hr_height: int
    segments: tuple[Segment, ...]
    colour: int = 0
    version: int = VERSION
    known: tuple[Net, ...] = field(default=(), compare=False)

    @property
    def net_scale(self) -> int:
        """hr pixels per net pixel; see `net_scale`."""
        return net_scale(self.scale)

    @property
    def net_width(self) -> int:
        """Width of a frame in net pixels."""
        return int(self.lr_width * self.scale) // self.net_scale

    @property
    def net_height(self) -> int:
        """Height of a frame in net pixels."""
        return int(self.lr_height * self.scale) // self.net_scale

    @property
    def net_side(self) -> int:
        """Side of a patch in net pixels."""
        return self.patch * self.scale // self.net_scale

    @property
    def planes(self) -> int:
        """Planes that a net reads and writes."""
        return 3 if self.colour else 1

    @cached_property
    def frames(self) -> int:
        """Frames of all segments."""
        return sum(segment.frames for segment in self.segments)

    @cached_property
    def nets(self) -> tuple[Net, ...]:
        """The known nets and those of all segments, those that are shared once."""
        return tuple({id(net): net for nets in (self.known, *(segment.every_net for segment in self.segments))
                      for net in nets}.values())

    @property
    def luma_nets(self) -> tuple[Net, ...]:
        """Those that do not serve chroma; of RGB all."""
        return tuple(net for net in self.nets if net.planes == self.planes)

    def bytes_of(self, net: Net) -> int:
        """Size of a net in the file that it was read from, or of one that is not read, alone in a file like this."""
        if self.version < 3:
            return plain_bytes(net.kernels, net.channels, net.planes)
        return net.nbytes if isinstance(net, netcode.CodedNet) else len(netcode.encode(net))

    @property
    def columns(self) -> int:
        """Columns of the patch grid."""
        return -(-self.lr_width // self.patch)

    @property
    def rows(self) -> int:
        """Rows of the patch grid."""
        return -(-self.lr_height // self.patch)


def net_scale(scale: Fraction | int) -> int:
    """hr pixels per net pixel: nets read lr pixels, but at scale 3/2 the pixels of the base, which has full size."""
    return 1 if scale.denominator > 1 else int(scale)


def crc_of_planes(planes: Iterable[np.ndarray], crc: int = 0) -> int:
    """The CRC-32 of the samples of planes, uint8 and contiguous, one after the other, chained after `crc`.

    A frame's planes chained frame by frame give a segment's lr_first_crc and lr_crc.
    """
    for plane in planes:
        crc = zlib.crc32(plane, crc)
    return crc


def check_channels(channels: tuple[int, ...]) -> None:
    """Raise ValueError unless a net may have hidden layers of these channels."""
    if not 1 <= len(channels) <= HIDDEN_LAYERS or not all(1 <= c <= MAX_CHANNELS for c in channels):
        raise ValueError(f"channels are {','.join(map(str, channels)) or 'none'}; a net has 1..{HIDDEN_LAYERS} hidden "
                         f"layers of 1..{MAX_CHANNELS} channels")


def of_nets(header: Sidecar, nets: Sequence[Net], chroma: Net | None = None) -> Sidecar:
    """The sidecar of one frame with these nets, for callers with labels of their own: its map says 0 everywhere.

    header: all but the segments, which are not read. chroma: a net for U and V.
    """
    return replace(header, known=(), segments=(Segment(0, 1, 0, 0, tuple(nets), b"", False, chroma),))


# ---- Write ----


def _check_segment(segment: Segment, s: Sidecar, first_frame: int) -> None:
    limit("first_frame", segment.first_frame, first_frame, first_frame)
    limit("frames of a segment", segment.frames, 1, MAX_SEGMENT_FRAMES)
    limit("lr_first_crc", segment.lr_first_crc, 0, 2**32 - 1)
    limit("lr_crc", segment.lr_crc, 0, 2**32 - 1)
    limit("nets of a segment", len(segment.nets), 0, MAX_NETS)
    if not segment.nets and segment.map_data:
        raise ValueError(f"map_data is {len(segment.map_data)} bytes; without nets it must be empty")
    for net in segment.nets:
        check_net(net, s.planes, s.planes * s.net_scale**2)
    if segment.chroma:
        limit("version of a sidecar with a net for chroma", s.version, 3, VERSION)
        limit("colour of a sidecar with a net for chroma", s.colour, 0, 0)
        check_net(segment.chroma, CHROMA_INPUTS, CHROMA_PLANES * s.net_scale**2)
    if segment.computed:
        limit("version of a sidecar with computed labels", s.version, 3, VERSION)
        read_classes(segment.map_data, len(segment.nets))


def _write_plain(segment: Segment) -> bytes:
    """A segment as versions 1 and 2 have it."""
    nets = b"".join(map(write_net, segment.nets))
    size = _SEGMENT.size + len(nets) + len(segment.map_data) + _CRC.size
    limit("bytes of a segment", size, 0, 2**32 - 1)
    data = _SEGMENT.pack(size, segment.first_frame, segment.frames, segment.lr_first_crc, segment.lr_crc,
                         len(segment.nets), 0, b"", len(segment.map_data)) + nets + segment.map_data
    return data + _CRC.pack(zlib.crc32(data))


def _write_compact(segment: Segment, table: NetTable) -> bytes:
    nets = len(segment.nets) | (_COMPUTED if segment.computed else 0) | (_CHROMA if segment.chroma else 0)
    data = (varint(segment.frames) + _COMPACT.pack(nets, segment.lr_first_crc, segment.lr_crc)
            + b"".join(varint(table.index(net)) for net in segment.every_net) + segment.map_data)
    limit("bytes of a segment", len(data) + _CRC.size, 0, 2**32 - 1)
    data = varint(len(data) + _CRC.size) + data
    return data + _CRC.pack(zlib.crc32(data))


def write(sidecar: Sidecar) -> bytes:
    """Return the sidecar as a file of its version; version 3 holds all, and nets that are equal once.

    Raises ValueError with the value and its limit for whatever FORMAT.md does not allow.
    """
    s = sidecar
    if s.scale not in SCALES:
        raise ValueError(f"scale is {s.scale}; it must be one of {', '.join(map(str, SCALES))}")
    divisor = s.scale.denominator
    limit("version", s.version, 3 if divisor > 1 else 2 if s.colour else 1, VERSION)
    limit("mode", s.mode, 0, 255)
    limit("patch", s.patch, 8, 128)
    if divisor > 1 and s.patch % 4:
        raise ValueError(f"patch is {s.patch}; at scale {s.scale} it must be a multiple of 4")
    limit("chroma", s.chroma, 0, 1)
    limit("colour", s.colour, 0, 1)
    for name, lr, hr in (("width", s.lr_width, s.hr_width), ("height", s.lr_height, s.hr_height)):
        limit(f"lr_{name}", lr, 8, 8192)
        if lr % divisor:
            raise ValueError(f"lr_{name} is {lr}; at scale {s.scale} it must be even")
        limit(f"hr_{name}", hr, int((lr - 2 * divisor) * s.scale) + 1, int(lr * s.scale))
    limit("frames", s.frames, 1, MAX_FRAMES)
    for net in s.known:
        chroma = net.planes != s.planes
        check_net(net, CHROMA_INPUTS if chroma else s.planes, (CHROMA_PLANES if chroma else s.planes) * s.net_scale**2)
    first_frame = 0
    for segment in s.segments:
        _check_segment(segment, s, first_frame)
        first_frame += segment.frames

    new = s.version >= 3
    table = NetTable(s.nets if new else ())
    header = _HEADER.pack(
        MAGIC, s.version, s.scale.numerator, s.mode, s.patch, s.chroma, s.colour, s.lr_width, s.lr_height,
        s.hr_width, s.hr_height, s.frames, len(s.segments), divisor if new else 0, len(table), 0,
    )  # fmt: skip
    segments = (_write_compact(segment, table) if new else _write_plain(segment) for segment in s.segments)
    return b"".join([header, _CRC.pack(zlib.crc32(header)), table.data, *segments])


# ---- Read ----


def _check_frames(frames: int, left: int, last: bool) -> None:
    """left: of the header's frames. last: whether no segment follows."""
    require(
        1 <= frames <= min(left, MAX_SEGMENT_FRAMES) and (not last or frames == left),
        "SEGMENT",
        f"a segment has {frames} frames; 1..{MAX_SEGMENT_FRAMES} are allowed and {left} remain of the header's",
    )


def _read_map(fields: Fields, nets: int, computed: bool) -> bytes:
    """The map: the rest of a segment."""
    map_data = fields.take(fields.remain)
    if computed:
        try:
            read_classes(map_data, nets)
        except ValueError as error:
            raise SidecarError("STDO_ERROR_SEGMENT", str(error)) from None
    return map_data


def _check_crc(data: bytes, start: int, end: int) -> None:
    (crc,) = _CRC.unpack_from(data, end)
    require(crc == zlib.crc32(data[start:end]), "SEGMENT_CRC", "the crc of a segment is wrong")


def _read_plain(file: Fields, outputs: int, planes: int, first_frame: int, left: int, last: bool) -> Segment:
    """A segment as versions 1 and 2 have it."""
    start, smallest = file.at, _SEGMENT.size + _CRC.size
    file.require(smallest)
    size, first, frames, lr_first_crc, lr_crc, nets, computed, reserved, map_size = _SEGMENT.unpack_from(
        file.data, start)
    file.require(size)
    require(size >= smallest, "SEGMENT", f"a segment's size is {size}; it must be {smallest} or more")
    require(first == first_frame, "SEGMENT", f"a segment's first_frame is {first}; it must be {first_frame}")
    _check_frames(frames, left, last)
    require(nets <= MAX_NETS, "SEGMENT", f"a segment has {nets} nets; it must be 0..{MAX_NETS}")
    reserved = bytes([computed]) + reserved
    require(reserved == bytes(3), "SEGMENT", f"a segment's reserved bytes are {reserved.hex()}; they must be 0")
    require(nets > 0 or map_size == 0, "SEGMENT", f"a map of {map_size} bytes has no nets; it must be empty")

    fields = file.subset(size, "SEGMENT")
    fields.at, fields.end = start + _SEGMENT.size, fields.end - _CRC.size
    found = tuple(read_net(fields, outputs, planes) for _ in range(nets))
    require(fields.remain == map_size, "SEGMENT",
             f"a map is said to be {map_size} bytes where the segment holds {fields.remain}")
    map_data = _read_map(fields, nets, False)
    _check_crc(file.data, start, fields.end)
    return Segment(first, frames, lr_first_crc, lr_crc, found, map_data)


def _read_compact(file: Fields, table: tuple[Net, ...], planes: int, first_frame: int, left: int,
                  last: bool) -> Segment:
    """A segment of version 3."""
    start, size, smallest = file.at, file.varint("SEGMENT"), 1 + _COMPACT.size + _CRC.size
    file.require(size)
    require(size >= smallest, "SEGMENT", f"a segment's size is {size}; it must be {smallest} or more")
    fields = file.subset(size, "SEGMENT")
    fields.end -= _CRC.size
    frames = fields.varint("SEGMENT")
    _check_frames(frames, left, last)
    nets, lr_first_crc, lr_crc = _COMPACT.unpack(fields.take(_COMPACT.size))
    computed, chroma, nets = nets >= _COMPUTED, nets & _CHROMA > 0, nets % _CHROMA
    require(nets > 0 or not computed, "SEGMENT", "a segment without nets has computed labels")
    require(planes == 1 or not chroma, "SEGMENT", "a segment of RGB has a net for chroma")
    found = []
    for number in range(nets + chroma):
        index = fields.varint("SEGMENT")
        require(index < len(table), "SEGMENT", f"a segment has net {index} of a table of {len(table)}")
        found.append(table[index])
        serves = "chroma" if number == nets else "luma"
        require(found[-1].planes == (CHROMA_INPUTS if number == nets else planes), "SEGMENT",
                f"net {index} does not serve {serves}, which a segment has it for")
    require(nets > 0 or fields.remain == 0, "SEGMENT",
             f"a map of {fields.remain} bytes has no nets; it must be empty")
    map_data = _read_map(fields, nets, computed)
    _check_crc(file.data, start, fields.end)
    return Segment(first_frame, frames, lr_first_crc, lr_crc, tuple(found[:nets]), map_data, computed,
                   found[nets] if chroma else None)


def read(data: bytes) -> Sidecar:
    """Parse the bytes of a sidecar file.

    Raises SidecarError, whose `status` is that of the C library, at the first field that breaks a rule of FORMAT.md.
    """
    data = bytes(data)
    require(data[: len(MAGIC)] == MAGIC, "MAGIC", f"not a sidecar: it begins with {data[:8]!r}, not {MAGIC!r}")
    header_size = _HEADER.size + _CRC.size
    require(len(data) >= header_size, "TRUNCATED", f"the sidecar ends early: {len(data)} bytes of {header_size}")
    (_, version, scale, mode, patch, chroma, colour, lr_width, lr_height, hr_width, hr_height, frames, segments,
     divisor, nets, reserved) = _HEADER.unpack_from(data)  # fmt: skip
    require(version <= VERSION, "VERSION", f"the sidecar's version is {version}; this program reads {VERSION}")
    require(version >= 1, "HEADER", f"the sidecar's version is {version}; it must be 1..{VERSION}")
    if version < 3:
        divisor, nets, reserved = 1, 0, divisor | nets | reserved
    require(divisor in (1, 2), "HEADER", f"the scale's divisor is {divisor}; it must be 1 or 2")
    scale = Fraction(scale, divisor)
    require(scale in SCALES and scale.denominator == divisor, "HEADER",
             f"scale is {scale}; it must be one of {', '.join(map(str, SCALES))}, in lowest terms")
    require(divisor == 1 or patch % 4 == 0, "HEADER", f"patch is {patch}; at scale {scale} it must be a multiple of 4")
    require(8 <= patch <= 128, "HEADER", f"patch is {patch}; it must be 8..128")
    require(chroma <= 1, "HEADER", f"chroma is {chroma}; it must be 0 or 1")
    most = min(version, 2) - 1
    require(colour <= most, "HEADER", f"colour is {colour}; in version {version} it must be 0..{most}")
    for name, size in (("lr_width", lr_width), ("lr_height", lr_height)):
        require(8 <= size <= 8192 and size % divisor == 0, "HEADER",
                 f"{name} is {size}; it must be 8..8192{', and even' if divisor == 2 else ''}")
    for name, lr, hr in (("hr_width", lr_width, hr_width), ("hr_height", lr_height, hr_height)):
        low, high = int((lr - 2 * divisor) * scale) + 1, int(lr * scale)
        require(low <= hr <= high, "HEADER", f"{name} is {hr}; it must be {low}..{high}")
    require(1 <= frames <= MAX_FRAMES, "HEADER", f"frames is {frames}; it must be 1..{MAX_FRAMES}")
    require(1 <= segments <= frames, "HEADER", f"segments is {segments}; it must be 1..{frames}")
    require(reserved == 0, "HEADER", f"a reserved field of the header is {reserved}; it must be 0")
    (crc,) = _CRC.unpack_from(data, _HEADER.size)
    require(crc == zlib.crc32(data[: _HEADER.size]), "HEADER_CRC", "the crc of the sidecar's header is wrong")

    found: list[Segment] = []
    planes = 3 if colour else 1
    outputs = planes * (1 if divisor > 1 else int(scale) ** 2)
    file, first_frame = Fields(data, header_size, len(data), "TRUNCATED"), 0
    table = read_table(file, nets, planes, outputs)
    for number in range(segments):
        left, last = frames - first_frame, number == segments - 1
        found.append(_read_plain(file, outputs, planes, first_frame, left, last) if version < 3 else
                     _read_compact(file, table, planes, first_frame, left, last))
        first_frame += found[-1].frames
    require(file.remain == 0, "TRAILING", f"{file.remain} bytes follow the sidecar's last segment")
    return Sidecar(scale, mode, patch, chroma, lr_width, lr_height, hr_width, hr_height, tuple(found), colour, version,
                   table)
