"""The sidecar file: write and read versions 1 to 3 of FORMAT.md.

`read` and the C library (csrc/sidecar.c) check the same rules in the same order and refuse a file for the same cause.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from stdo_min.format.base import SCALES
from stdo_min.format.classes import read_classes

MAGIC = b"\x89STDO\r\n\x1a"
VERSION = 3  # the newest that is read
MODE_NAMES = {0: "other", 1: "single", 2: "stdo", 3: "time", 4: "stdo-quantile", 5: "jstdo"}
MAX_NETS, MAX_LAYERS, MAX_KERNEL, MAX_CHANNELS, MAX_SHIFT = 63, 8, 9, 64, 24
MAX_MULTIPLIER, MAX_BIAS = 2**15 - 1, 2**30
MAX_FRAMES, MAX_SEGMENT_FRAMES = 2**24, 2**16 - 1

HIDDEN_LAYERS = MAX_LAYERS - 1  # of a net that is trained; the last layer gives the pixels

_HEADER = struct.Struct("<8sHBBHBBHHHHIIB3s")  # without its crc
_SEGMENT = struct.Struct("<IIIIIBB2sI")
_LAYER = struct.Struct("<BBBB")
_CRC = struct.Struct("<I")


class SidecarError(ValueError):
    """The bytes are not a valid sidecar; `status` names the stdo_status that the C library gives for them."""

    def __init__(self, status: str, message: str):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, eq=False)
class Layer:
    """One convolution with its requantisation.

    multiplier is uint16 (out,) with 1..32767, bias int32 (out,) with -2^30..2^30, and weight int8 (out, kernel,
    kernel, in).
    """

    kernel: int
    shift: int
    multiplier: np.ndarray
    bias: np.ndarray
    weight: np.ndarray

    @property
    def out(self) -> int:
        """Output channels."""
        return self.weight.shape[0]


@dataclass(frozen=True)
class Net:
    """The layers of one net, first to last."""

    layers: tuple[Layer, ...]

    @property
    def halo(self) -> int:
        """The net pixels that the net reads on each side of a patch."""
        return sum(layer.kernel // 2 for layer in self.layers)

    @property
    def channels(self) -> tuple[int, ...]:
        """Output channels of each layer."""
        return tuple(layer.out for layer in self.layers)

    @property
    def kernels(self) -> tuple[int, ...]:
        """Kernel side of each layer."""
        return tuple(layer.kernel for layer in self.layers)

    @property
    def nbytes(self) -> int:
        """Size in the file."""
        return net_bytes(self.kernels, self.channels, self.layers[0].weight.shape[3])


@dataclass(frozen=True)
class Segment:
    """A run of frames with its own nets; net n serves label n + 1.

    map_data: what patchmap.encode returns, or, where labels are computed, what Classes.encode does.
    """

    first_frame: int
    frames: int
    lr_first_crc: int
    lr_crc: int
    nets: tuple[Net, ...]
    map_data: bytes
    computed: bool = False


@dataclass(frozen=True)
class Sidecar:
    """All that a sidecar file says; the fields are those of FORMAT.md."""

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

    @property
    def version(self) -> int:
        """The oldest version of the format that can hold this."""
        new = self.scale.denominator > 1 or any(segment.computed for segment in self.segments)
        return 3 if new else 1 if self.colour == 0 else 2

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

    @property
    def columns(self) -> int:
        """Columns of the patch grid."""
        return -(-self.lr_width // self.patch)

    @property
    def rows(self) -> int:
        """Rows of the patch grid."""
        return -(-self.lr_height // self.patch)


def net_bytes(kernels: Sequence[int], channels: Sequence[int], planes: int = 1) -> int:
    """The size in the file of a net: kernel side and output channels of each layer."""
    inputs = (planes, *channels)
    return 1 + sum(_LAYER.size + 6 * out + k * k * last * out
                   for k, last, out in zip(kernels, inputs, channels, strict=False))


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


def of_nets(header: Sidecar, nets: Sequence[Net]) -> Sidecar:
    """The sidecar of one frame with these nets, for callers with labels of their own: its map says 0 everywhere.

    header: all but the segments, which are not read.
    """
    return replace(header, segments=(Segment(0, 1, 0, 0, tuple(nets), b""),))


# ---- Write ----


def _limit(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; it must be {low}..{high}")


def _write_layer(layer: Layer, inputs: int) -> bytes:
    out = layer.out
    _limit("out channels", out, 1, MAX_CHANNELS)
    _limit("kernel", layer.kernel, 1, MAX_KERNEL)
    if layer.kernel % 2 == 0:
        raise ValueError(f"kernel is {layer.kernel}; it must be odd")
    _limit("shift", layer.shift, 0, MAX_SHIFT)
    for name, array, dtype, shape in (
        ("multiplier", layer.multiplier, np.uint16, (out,)),
        ("bias", layer.bias, np.int32, (out,)),
        ("weight", layer.weight, np.int8, (out, layer.kernel, layer.kernel, inputs)),
    ):
        if array.dtype != dtype or array.shape != shape:
            raise ValueError(f"{name} is {array.dtype} {array.shape}; it must be {np.dtype(dtype)} {shape}")
    for extreme in (layer.multiplier.min(), layer.multiplier.max()):
        _limit("multiplier", int(extreme), 1, MAX_MULTIPLIER)
    for extreme in (layer.bias.min(), layer.bias.max()):
        _limit("bias", int(extreme), -MAX_BIAS, MAX_BIAS)
    return (
        _LAYER.pack(layer.kernel, out, layer.shift, 0)
        + layer.multiplier.astype("<u2").tobytes()
        + layer.bias.astype("<i4").tobytes()
        + layer.weight.tobytes()
    )


def _write_net(net: Net, s: Sidecar) -> bytes:
    _limit("layers of a net", len(net.layers), 1, MAX_LAYERS)
    wanted = s.planes * s.net_scale * s.net_scale
    if net.channels[-1] != wanted:
        raise ValueError(f"the last layer has {net.channels[-1]} channels; at scale {s.scale} it must be {wanted}")
    inputs = (s.planes, *net.channels)
    return bytes([len(net.layers)]) + b"".join(map(_write_layer, net.layers, inputs))


def _write_segment(segment: Segment, sidecar: Sidecar, first_frame: int) -> bytes:
    _limit("first_frame", segment.first_frame, first_frame, first_frame)
    _limit("frames of a segment", segment.frames, 1, MAX_SEGMENT_FRAMES)
    _limit("lr_first_crc", segment.lr_first_crc, 0, 2**32 - 1)
    _limit("lr_crc", segment.lr_crc, 0, 2**32 - 1)
    _limit("nets of a segment", len(segment.nets), 0, MAX_NETS)
    if not segment.nets and segment.map_data:
        raise ValueError(f"map_data is {len(segment.map_data)} bytes; without nets it must be empty")
    nets = b"".join(_write_net(net, sidecar) for net in segment.nets)
    if segment.computed:
        read_classes(segment.map_data, len(segment.nets))
    size = _SEGMENT.size + len(nets) + len(segment.map_data) + _CRC.size
    _limit("bytes of a segment", size, 0, 2**32 - 1)
    crcs = segment.lr_first_crc, segment.lr_crc
    fields = (size, first_frame, segment.frames, *crcs, len(segment.nets), segment.computed, b"")
    data = _SEGMENT.pack(*fields, len(segment.map_data)) + nets + segment.map_data
    return data + _CRC.pack(zlib.crc32(data))


def write(sidecar: Sidecar) -> bytes:
    """Return the sidecar as a file.

    Raises ValueError with the value and its limit for whatever FORMAT.md does not allow.
    """
    s = sidecar
    if s.scale not in SCALES:
        raise ValueError(f"scale is {s.scale}; it must be one of {', '.join(map(str, SCALES))}")
    _limit("mode", s.mode, 0, 255)
    _limit("patch", s.patch, 8, 128)
    divisor = s.scale.denominator
    if divisor > 1 and s.patch % 4:
        raise ValueError(f"patch is {s.patch}; at scale {s.scale} it must be a multiple of 4")
    _limit("chroma", s.chroma, 0, 1)
    _limit("colour", s.colour, 0, 1)
    for name, lr, hr in (("width", s.lr_width, s.hr_width), ("height", s.lr_height, s.hr_height)):
        _limit(f"lr_{name}", lr, 8, 8192)
        if lr % divisor:
            raise ValueError(f"lr_{name} is {lr}; at scale {s.scale} it must be even")
        _limit(f"hr_{name}", hr, int((lr - 2 * divisor) * s.scale) + 1, int(lr * s.scale))
    _limit("frames", s.frames, 1, MAX_FRAMES)
    header = _HEADER.pack(
        MAGIC, s.version, s.scale.numerator, s.mode, s.patch, s.chroma, s.colour, s.lr_width, s.lr_height,
        s.hr_width, s.hr_height, s.frames, len(s.segments), divisor if s.version >= 3 else 0, b"",
    )  # fmt: skip
    parts = [header, _CRC.pack(zlib.crc32(header))]
    first_frame = 0
    for segment in s.segments:
        parts.append(_write_segment(segment, s, first_frame))
        first_frame += segment.frames
    return b"".join(parts)


# ---- Read ----


def _require(condition: bool, status: str, message: str) -> None:
    if not condition:
        raise SidecarError(f"STDO_ERROR_{status}", message)


class _Fields:
    """A cursor over the nets of one segment, which refuses to pass its end."""

    def __init__(self, data: bytes, start: int, end: int):
        self.data, self.at, self.end = data, start, end

    def require(self, size: int) -> None:
        _require(size <= self.end - self.at, "SEGMENT", f"a net needs {size} bytes where {self.end - self.at} remain")

    def take(self, size: int) -> bytes:
        self.require(size)
        self.at += size
        return self.data[self.at - size : self.at]

    def array(self, dtype: str, count: int) -> np.ndarray:
        stored = np.frombuffer(self.take(count * np.dtype(dtype).itemsize), dtype)
        return stored.astype(stored.dtype.newbyteorder("="))


def _read_layer(fields: _Fields, inputs: int, last_out: int | None) -> Layer:
    kernel, out, shift, reserved = _LAYER.unpack(fields.take(_LAYER.size))
    _require(kernel % 2 == 1 and kernel <= MAX_KERNEL, "NET", f"a kernel is {kernel}; it must be 1, 3, 5, 7 or 9")
    _require(1 <= out <= MAX_CHANNELS, "NET", f"a layer has {out} channels; it must be 1..{MAX_CHANNELS}")
    _require(shift <= MAX_SHIFT, "NET", f"a shift is {shift}; it must be 0..{MAX_SHIFT}")
    _require(reserved == 0, "NET", f"a layer's reserved byte is {reserved}; it must be 0")
    _require(last_out in (None, out), "NET", f"a last layer has {out} channels; it must be {last_out}")

    fields.require(out * (2 + 4 + kernel * kernel * inputs))
    multiplier, bias = fields.array("<u2", out), fields.array("<i4", out)
    _require(
        multiplier.min() >= 1 and multiplier.max() <= MAX_MULTIPLIER, "NET", f"a multiplier is not 1..{MAX_MULTIPLIER}"
    )
    _require(bias.min() >= -MAX_BIAS and bias.max() <= MAX_BIAS, "NET", f"a bias is not -{MAX_BIAS}..{MAX_BIAS}")
    weight = fields.array("i1", out * kernel * kernel * inputs).reshape(out, kernel, kernel, inputs)
    return Layer(kernel, shift, multiplier, bias, weight)


def _read_net(fields: _Fields, outputs: int, planes: int) -> Net:
    (count,) = fields.take(1)
    _require(1 <= count <= MAX_LAYERS, "NET", f"a net has {count} layers; it must be 1..{MAX_LAYERS}")
    layers: list[Layer] = []
    for number in range(count):
        inputs = layers[-1].out if layers else planes
        layers.append(_read_layer(fields, inputs, outputs if number == count - 1 else None))
    return Net(tuple(layers))


def _read_segment(
    data: bytes, start: int, outputs: int, planes: int, first_frame: int, left: int, last: bool, version: int
) -> tuple[Segment, int]:
    remain = len(data) - start
    smallest = _SEGMENT.size + _CRC.size
    _require(remain >= smallest, "TRUNCATED", f"the sidecar ends early: a segment needs {smallest} bytes, not {remain}")
    size, first, frames, lr_first_crc, lr_crc, nets, computed, reserved, map_size = _SEGMENT.unpack_from(data, start)
    _require(size <= remain, "TRUNCATED", f"the sidecar ends early: a segment of {size} bytes has {remain}")
    _require(size >= smallest, "SEGMENT", f"a segment's size is {size}; it must be {smallest} or more")
    _require(first == first_frame, "SEGMENT", f"a segment's first_frame is {first}; it must be {first_frame}")
    _require(
        1 <= frames <= min(left, MAX_SEGMENT_FRAMES) and (not last or frames == left),
        "SEGMENT",
        f"a segment has {frames} frames; 1..{MAX_SEGMENT_FRAMES} are allowed and {left} remain of the header's",
    )
    _require(nets <= MAX_NETS, "SEGMENT", f"a segment has {nets} nets; it must be 0..{MAX_NETS}")
    most = 1 if version >= 3 and nets else 0
    _require(computed <= most, "SEGMENT",
             f"a segment's computed is {computed}; in version {version} with {nets} nets it must be 0..{most}")
    _require(reserved == bytes(2), "SEGMENT", f"a segment's reserved bytes are {reserved.hex()}; they must be 0")
    _require(nets > 0 or map_size == 0, "SEGMENT", f"a map of {map_size} bytes has no nets; it must be empty")

    end = start + size - _CRC.size
    fields = _Fields(data, start + _SEGMENT.size, end)
    found = tuple(_read_net(fields, outputs, planes) for _ in range(nets))
    rest = end - fields.at
    _require(rest == map_size, "SEGMENT", f"a map is said to be {map_size} bytes where the segment holds {rest}")
    map_data = fields.take(map_size)
    if computed:
        try:
            read_classes(map_data, nets)
        except ValueError as error:
            raise SidecarError("STDO_ERROR_SEGMENT", str(error)) from None
    (crc,) = _CRC.unpack_from(data, end)
    _require(crc == zlib.crc32(data[start:end]), "SEGMENT_CRC", "the crc of a segment is wrong")
    return Segment(first, frames, lr_first_crc, lr_crc, found, map_data, bool(computed)), start + size


def read(data: bytes) -> Sidecar:
    """Parse the bytes of a sidecar file.

    Raises SidecarError, whose `status` is that of the C library, at the first field that breaks a rule of FORMAT.md.
    """
    data = bytes(data)
    _require(data[: len(MAGIC)] == MAGIC, "MAGIC", f"not a sidecar: it begins with {data[:8]!r}, not {MAGIC!r}")
    header_size = _HEADER.size + _CRC.size
    _require(len(data) >= header_size, "TRUNCATED", f"the sidecar ends early: {len(data)} bytes of {header_size}")
    (_, version, scale, mode, patch, chroma, colour, lr_width, lr_height, hr_width, hr_height, frames, segments,
     divisor, reserved) = _HEADER.unpack_from(data)  # fmt: skip
    _require(version <= VERSION, "VERSION", f"the sidecar's version is {version}; this program reads {VERSION}")
    _require(version >= 1, "HEADER", f"the sidecar's version is {version}; it must be 1..{VERSION}")
    if version < 3:
        divisor, reserved = 1, bytes([divisor]) + reserved
    _require(divisor in (1, 2), "HEADER", f"the scale's divisor is {divisor}; it must be 1 or 2")
    scale = Fraction(scale, divisor)
    _require(scale in SCALES and scale.denominator == divisor, "HEADER",
             f"scale is {scale}; it must be one of {', '.join(map(str, SCALES))}, in lowest terms")
    _require(divisor == 1 or patch % 4 == 0, "HEADER", f"patch is {patch}; at scale {scale} it must be a multiple of 4")
    _require(8 <= patch <= 128, "HEADER", f"patch is {patch}; it must be 8..128")
    _require(chroma <= 1, "HEADER", f"chroma is {chroma}; it must be 0 or 1")
    most = min(version, 2) - 1
    _require(colour <= most, "HEADER", f"colour is {colour}; in version {version} it must be 0..{most}")
    for name, size in (("lr_width", lr_width), ("lr_height", lr_height)):
        _require(8 <= size <= 8192 and size % divisor == 0, "HEADER",
                 f"{name} is {size}; it must be 8..8192{', and even' if divisor == 2 else ''}")
    for name, lr, hr in (("hr_width", lr_width, hr_width), ("hr_height", lr_height, hr_height)):
        low, high = int((lr - 2 * divisor) * scale) + 1, int(lr * scale)
        _require(low <= hr <= high, "HEADER", f"{name} is {hr}; it must be {low}..{high}")
    _require(1 <= frames <= MAX_FRAMES, "HEADER", f"frames is {frames}; it must be 1..{MAX_FRAMES}")
    _require(1 <= segments <= frames, "HEADER", f"segments is {segments}; it must be 1..{frames}")
    _require(not any(reserved), "HEADER", f"a reserved field of the header is {reserved.hex()}; it must be 0")
    (crc,) = _CRC.unpack_from(data, _HEADER.size)
    _require(crc == zlib.crc32(data[: _HEADER.size]), "HEADER_CRC", "the crc of the sidecar's header is wrong")

    found: list[Segment] = []
    first_frame, at = 0, header_size
    planes = 3 if colour else 1
    outputs = planes * (1 if divisor > 1 else int(scale) ** 2)
    for number in range(segments):
        left, last = frames - first_frame, number == segments - 1
        segment, at = _read_segment(data, at, outputs, planes, first_frame, left, last, version)
        found.append(segment)
        first_frame += segment.frames
    _require(at == len(data), "TRAILING", f"{len(data) - at} bytes follow the sidecar's last segment")
    return Sidecar(scale, mode, patch, chroma, lr_width, lr_height, hr_width, hr_height, tuple(found), colour)
