"""The C library through cffi; no other module calls it.

Importing this module needs NumPy and the built extension only.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from concurrent.futures import Executor, wait
from dataclasses import dataclass

import numpy as np

from stdo_min._stdo import ffi, lib

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


class StdoError(ValueError):
    """A call of the C library failed; `status` is the name of its stdo_status."""

    def __init__(self, status: int):
        super().__init__(ffi.string(lib.stdo_status_string(status)).decode())
        self.status = ffi.typeof("stdo_status").elements.get(status, str(status))


def _check(status: int) -> None:
    if status != lib.STDO_OK:
        raise StdoError(status)


@dataclass(frozen=True)
class SegmentInfo:
    """What the sidecar says about one segment, sizes in bytes."""

    first_frame: int
    frames: int
    lr_first_crc: int
    lr_crc: int
    nets: int
    net_bytes: int
    map_bytes: int


def plane_shapes(width: int, height: int) -> tuple[tuple[int, int], ...]:
    """Return the (height, width) of the planes Y, U and V of a 4:2:0 frame."""
    half = ((height + 1) // 2, (width + 1) // 2)
    return (height, width), half, half


def crc32(data: bytes | np.ndarray, crc: int = 0) -> int:
    """Return the CRC-32 of contiguous bytes, chained after `crc` as in zlib."""
    view = ffi.from_buffer("uint8_t[]", data)
    return lib.stdo_crc32(crc, view, len(view))


class Upscaler:
    """Upscales the frames of one video with its sidecar.

    The fields of the header are attributes: scale, mode, patch, chroma, lr_width, lr_height, hr_width, hr_height,
    frames, columns and rows (of the patch grid); `segments` is a tuple of SegmentInfo. Any number of threads may use
    one object.
    """

    def __init__(self, data: bytes):
        """Parse the bytes of a sidecar file; raises StdoError for one that the C library refuses."""
        view = ffi.from_buffer("uint8_t[]", data)
        handle = ffi.new("stdo_sidecar **")
        _check(lib.stdo_open_memory(view, len(view), handle))
        self._sidecar = ffi.gc(handle[0], lib.stdo_close)

        info = ffi.new("stdo_info *")
        _check(lib.stdo_get_info(self._sidecar, info))
        self.scale, self.mode, self.patch, self.chroma = info.scale, info.mode, info.patch, info.chroma
        self.lr_width, self.lr_height = info.lr_width, info.lr_height
        self.hr_width, self.hr_height = info.hr_width, info.hr_height
        self.frames, self.columns, self.rows = info.frames, info.columns, info.rows
        self.segments = tuple(self._segment(index) for index in range(info.segments))
        self._first_frames = [segment.first_frame for segment in self.segments]

        handle = ffi.new("stdo_map **")
        _check(lib.stdo_map_new(self._sidecar, handle))
        self._map = ffi.gc(handle[0], lib.stdo_map_free)
        self._map_lock = threading.Lock()
        self._scratch_size = lib.stdo_scratch_size(self._sidecar)

    def _segment(self, index: int) -> SegmentInfo:
        info = ffi.new("stdo_segment_info *")
        _check(lib.stdo_get_segment(self._sidecar, index, info))
        return SegmentInfo(*(getattr(info, name) for name in SegmentInfo.__dataclass_fields__))

    def segment_of(self, frame: int) -> int:
        """Return the index of the segment that holds a frame, 0..frames-1; IndexError beyond."""
        if not 0 <= frame < self.frames:
            raise IndexError(f"frame is {frame}; it must be 0..{self.frames - 1}")
        return bisect_right(self._first_frames, frame) - 1

    def labels(self, frame: int) -> np.ndarray:
        """Return the labels of a frame, uint8 (rows, columns).

        Fast for frames in order; going back decodes from the start of the segment. IndexError beyond the last frame.
        """
        if not 0 <= frame < self.frames:
            raise IndexError(f"frame is {frame}; it must be 0..{self.frames - 1}")
        labels = np.empty((self.rows, self.columns), np.uint8)
        with self._map_lock:
            _check(lib.stdo_map_read(self._map, frame, ffi.from_buffer("uint8_t[]", labels, require_writable=True)))
        return labels

    def upscale(
        self,
        segment: int,
        labels: np.ndarray,
        lr: Planes,
        out: Planes | None = None,
        executor: Executor | None = None,
        threads: int = 1,
    ) -> Planes:
        """Return the hr planes (y, u, v) of one frame, uint8, chroma of half the size rounded up.

        labels is uint8 (rows, columns) with values 0..nets of the segment; lr holds the planes of the lr frame. `out`
        takes the result instead of new arrays. With a thread executor the patch rows are split into `threads` tasks.
        All arrays are C-contiguous; ValueError shows what is wrong and what is wanted.
        """
        if not 0 <= segment < len(self.segments):
            raise IndexError(f"segment is {segment}; it must be 0..{len(self.segments) - 1}")
        if threads < 1:
            raise ValueError(f"threads is {threads}; it must be 1 or more")
        _require_array("labels", labels, (self.rows, self.columns))
        hr_shapes = plane_shapes(self.hr_width, self.hr_height)
        if out is None:
            out = tuple(np.empty(shape, np.uint8) for shape in hr_shapes)
        # The structs do not own what they point into; the tasks keep it alive.
        source, keep = _image("stdo_const_image *", "lr", lr, plane_shapes(self.lr_width, self.lr_height))
        target, keep_too = _image("stdo_image *", "out", out, hr_shapes)
        label_view = ffi.from_buffer("uint8_t[]", labels)

        def upscale_rows(begin: int, end: int, _alive=(keep, keep_too)) -> None:
            scratch = np.empty(self._scratch_size, np.uint8)
            view = ffi.from_buffer(scratch)
            _check(lib.stdo_upscale_rows(self._sidecar, segment, label_view, source, target, begin, end, view))

        tasks = min(threads, self.rows) if executor else 1
        cuts = [task * self.rows // tasks for task in range(tasks + 1)]
        if tasks == 1:
            upscale_rows(0, self.rows)
        else:
            running = [executor.submit(upscale_rows, *rows) for rows in zip(cuts[:-1], cuts[1:], strict=True)]
            wait(running)  # all of them, before an error of one lets go of the planes
            for rows in running:
                rows.result()
        return out


def _require_array(name: str, array: np.ndarray, shape: tuple[int, int]) -> None:
    if array.dtype != np.uint8 or array.shape != shape:
        raise ValueError(f"{name} is {array.dtype} {array.shape}; it must be uint8 {shape}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} has strides {array.strides}; it must be C-contiguous")


def _image(struct: str, name: str, planes: Planes, shapes: tuple[tuple[int, int], ...]) -> tuple:
    """Return the C struct that points to the planes, and the buffers that must outlive it."""
    if len(planes) != 3:
        raise ValueError(f"{name} has {len(planes)} planes; it must have 3: y, u, v")
    for letter, plane, shape in zip("yuv", planes, shapes, strict=True):
        _require_array(f"{name} {letter}", plane, shape)
    writable = struct == "stdo_image *"
    buffers = [ffi.from_buffer("uint8_t[]", plane, require_writable=writable) for plane in planes]
    image = ffi.new(struct, {"plane": buffers, "stride": [plane.strides[0] for plane in planes]})
    return image, buffers
