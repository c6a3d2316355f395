"""The C library through cffi. The player calls C here alone; psnr.py calls what `eval` needs, and bench/_float.py adds
float nets to compare with.

Importing this module needs NumPy and the built extension only.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from stdo_min._stdo import ffi, lib

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]

MOST_MEMORY = 1 << 30  # bytes that a sidecar and its loaded nets may take
KEPT_SEGMENTS = 4  # whose nets stay loaded, so that going back and forth decodes nothing


class StdoError(ValueError):
    """A call of the C library failed; `status` is the name of its stdo_status."""

    def __init__(self, status: int, about: str = ""):
        super().__init__(about + ffi.string(lib.stdo_status_string(status)).decode())
        self.status = ffi.typeof("stdo_status").elements.get(status, str(status))


def _check(status: int, tiers: bytes = b"") -> None:
    if status == lib.STDO_ERROR_TIER:
        raise StdoError(status, f"STDO_CPU={os.fsdecode(tiers)}: ")
    if status != lib.STDO_OK:
        raise StdoError(status)


@dataclass(frozen=True)
class SegmentInfo:
    """What the sidecar says about one segment, sizes in bytes; net_bytes: of its nets, those too that others share;
    chroma: whether one of them, which `nets` does not count, serves U and V."""

    first_frame: int
    frames: int
    lr_first_crc: int
    lr_crc: int
    nets: int
    net_bytes: int
    map_bytes: int
    computed: int
    chroma: int


@dataclass
class Statistics:
    """Luma patches by what was done for them: a net, the base alone, or copied because nothing had changed."""

    net: int = 0
    base: int = 0
    reused: int = 0


def plane_shapes(width: int, height: int, colour: int = lib.STDO_COLOUR_YUV420) -> tuple[tuple[int, int], ...]:
    """Return the (height, width) of the planes Y, U and V of a 4:2:0 frame, or of R, G and B."""
    if colour == lib.STDO_COLOUR_RGB:
        return ((height, width),) * 3
    half = ((height + 1) // 2, (width + 1) // 2)
    return (height, width), half, half


class Previous(NamedTuple):
    """What an earlier call of Upscaler.upscale was given."""

    segment: int
    labels: np.ndarray
    lr: Planes


class _Rows:
    """Hands rows (begin, end) to the threads that iterate over it: each time half of a thread's share of the rest."""

    def __init__(self, rows: int, threads: int):
        self._next, self._rows, self._threads, self._lock = 0, rows, threads, threading.Lock()

    def __iter__(self):
        return self

    def __next__(self) -> tuple[int, int]:
        with self._lock:
            begin, left = self._next, self._rows - self._next
            if left == 0:
                raise StopIteration
            # A single thread takes all at once: rows of one call share the work at their borders.
            self._next += left if self._threads == 1 else -(-left // (2 * self._threads))
            return begin, self._next


class Upscaler:
    """Upscales the frames of one video with its sidecar.

    The fields of the header are attributes: scale, mode, patch, chroma, colour, lr_width, lr_height, hr_width,
    hr_height, frames, columns and rows (of the patch grid), nets and net_bytes (of the file). `segments` is a tuple of
    SegmentInfo, `tier` the name of the implementation that runs; `statistics` counts the patches of all frames. Any
    number of threads may use one object.
    """

    def __init__(self, data: bytes, tiers: str | None = None, strip: int = 0):
        """Parse the bytes of a sidecar file.

        `tiers` lists the tiers that may run, with commas; by default the environment's STDO_CPU does, or all may.
        `strip` is that of stdo_options: bytes that the rows between a net's layers may take; 0 for the default.
        Raises StdoError for a sidecar or a tier that the C library refuses, ValueError for a strip that is no size.
        """
        if not 0 <= strip < 1 << 64:
            raise ValueError(f"a strip of {strip} bytes; it can be 0, for the default, to 2^64 - 1")
        view = ffi.from_buffer("uint8_t[]", data)

        def opener(words, handle):
            named = ffi.new("char[]", words)
            options = new_struct("stdo_options", tiers=named, how=lib.STDO_LAZY, most=MOST_MEMORY,
                                 strip=strip)
            return lib.stdo_open(view, len(view), options, handle)

        self._open(opener, tiers)

    @classmethod
    def opened_by(cls, opener: Callable, tiers: str | None = None) -> Upscaler:
        """Return the upscaler of a sidecar that another function of the C library opens.

        opener(tiers, handle) calls that function and gives its status. Raises StdoError where it is not STDO_OK.
        """
        upscaler = cls.__new__(cls)
        upscaler._open(opener, tiers)
        return upscaler

    def _open(self, opener, tiers) -> None:
        handle, words = ffi.new("stdo_sidecar **"), _tiers(tiers)
        _check(opener(words, handle), words)
        self.handle = ffi.gc(handle[0], lib.stdo_close)
        self.tier = ffi.string(lib.stdo_tier(self.handle)).decode()
        self.statistics, self._statistics_lock = Statistics(), threading.Lock()
        self._loaded: dict[int, int] = {}  # users of each segment whose nets are loaded, the latest last
        self._loaded_lock = threading.Lock()
        info = new_struct("stdo_info")
        _check(lib.stdo_get_info(self.handle, info))
        self.scale, self.mode, self.patch = Fraction(info.scale, info.divisor), info.mode, info.patch
        self.chroma, self.colour = info.chroma, info.colour
        self.lr_width, self.lr_height = info.lr_width, info.lr_height
        self.hr_width, self.hr_height = info.hr_width, info.hr_height
        self.frames, self.columns, self.rows = info.frames, info.columns, info.rows
        self.nets, self.net_bytes = info.nets, info.net_bytes
        self.segments = tuple(self._segment(index) for index in range(info.segments_there))
        self._first_frames = [segment.first_frame for segment in self.segments]

        handle = ffi.new("stdo_map **")
        _check(lib.stdo_map_new(self.handle, handle))
        self._map = ffi.gc(handle[0], lib.stdo_map_free)
        self._map_lock = threading.Lock()
        self._scratch = threading.local()

    @contextmanager
    def using(self, segment: int) -> Iterator[None]:
        """Have the nets of a segment loaded for a while. A few segments stay loaded after that.

        Raises StdoError where that takes more memory than there is, or than a sidecar may take.
        """
        with self._loaded_lock:
            if segment not in self._loaded:
                self._drop_all_but(KEPT_SEGMENTS - 1)
                _check(lib.stdo_load(self.handle, segment))
            self._loaded[segment] = self._loaded.pop(segment, 0) + 1
        try:
            yield
        finally:
            with self._loaded_lock:
                self._loaded[segment] -= 1

    def _drop_all_but(self, count):
        """Drop the segments that were used least lately and are in no use, until so many are left."""
        for index in [index for index, users in self._loaded.items() if users == 0]:
            if len(self._loaded) <= count:
                break
            del self._loaded[index]
            _check(lib.stdo_drop(self.handle, index))

    def _segment(self, index: int) -> SegmentInfo:
        info = new_struct("stdo_segment_info")
        _check(lib.stdo_get_segment(self.handle, index, info))
        return SegmentInfo(*(getattr(info, name) for name in SegmentInfo.__dataclass_fields__))

    def segment_of(self, frame: int) -> int:
        """Return the index of the segment that holds a frame, 0..frames-1; IndexError beyond."""
        if not 0 <= frame < self.frames:
            raise IndexError(f"frame is {frame}; it must be 0..{self.frames - 1}")
        return bisect_right(self._first_frames, frame) - 1

    def labels(self, frame: int, lr_y: np.ndarray | None = None) -> np.ndarray:
        """Return the labels of a frame counted from the start of the video, uint8 (rows, columns).

        lr_y: its luma, uint8 (lr_height, lr_width), without which there are none in segments whose labels are computed:
        then StdoError is raised. Fast in rising order of frames; going back decodes at most a 32nd of the segment.
        IndexError beyond the last frame.
        """
        if not 0 <= frame < self.frames:
            raise IndexError(f"frame is {frame}; it must be 0..{self.frames - 1}")
        labels, image = np.empty((self.rows, self.columns), np.uint8), ffi.NULL
        if lr_y is not None:
            require_array("lr_y", lr_y, (self.lr_height, self.lr_width))
            plane = ffi.from_buffer("uint8_t[]", lr_y)
            image = ffi.new("stdo_const_image *", {"plane": [plane] * 3, "stride": [lr_y.strides[0]] * 3})
        with self._map_lock:
            _check(lib.stdo_map_read(self._map, frame, image,
                                     ffi.from_buffer("uint8_t[]", labels, require_writable=True)))
        return labels

    def upscale(
        self,
        segment: int,
        labels: np.ndarray,
        lr: Planes,
        out: Planes | None = None,
        executor: Executor | None = None,
        threads: int = 1,
        previous: Previous | None = None,
    ) -> Planes:
        """Return the hr planes of one frame, uint8: y, u and v, chroma of half the size rounded up, or r, g and b.

        labels is uint8 (rows, columns) with values 0..nets of the segment; lr holds the planes of the lr frame. `out`
        takes the result instead of new arrays. With a thread executor, `threads` threads, the calling one among them,
        share the patch rows: each takes some when it is free, so a slow core holds nobody up. `previous` says which
        frame `out` holds already: patches that did not change since are left as they are, which changes no byte of the
        result. All arrays are C-contiguous. Raises ValueError for arrays that do not fit, IndexError for a segment
        beyond the last.
        """
        if not 0 <= segment < len(self.segments):
            raise IndexError(f"segment is {segment}; it must be 0..{len(self.segments) - 1}")
        if threads < 1:
            raise ValueError(f"threads is {threads}; it must be 1 or more")
        if previous is not None and out is None:
            raise ValueError("previous is given without out; out must hold the previous frame")
        if out is None:
            out = tuple(np.empty(shape, np.uint8)
                        for shape in plane_shapes(self.hr_width, self.hr_height, self.colour))
        frame, keep = self._frame(segment, labels, lr, out, previous)
        rows = self.row_shares(threads if executor else 1)

        def upscale_rows(_alive=keep):
            done = new_struct("stdo_statistics")
            for begin, end in rows:
                _check(lib.stdo_upscale_rows(self.handle, frame, begin, end, self.thread_scratch(), done))
            return done

        with self.using(segment):
            running = [executor.submit(upscale_rows) for _ in range(min(threads, self.rows) - 1)] if executor else []
            try:
                done = [upscale_rows()]
            finally:
                wait(running)  # before an error releases the planes, which the others still use
        self._count([*done, *(others.result() for others in running)])
        return out

    def products(self, segment: int, labels: np.ndarray) -> int:
        """Return how many products of weights and pixels a frame with these labels takes where nothing is copied.

        Patches of one net are joined to rectangles, which compute some pixels around them anew. labels: as for
        `upscale`. Raises StdoError for a label or a segment that there is not.
        """
        found = ffi.new("uint64_t *")
        with self.using(segment):
            _check(lib.stdo_count_products(self.handle, segment, self._label_view("labels", labels),
                                           self.thread_scratch(), found))
        return found[0]

    def row_shares(self, threads: int) -> Iterator[tuple[int, int]]:
        """Patch rows (begin, end), one after the other, for threads that iterate over this at the same time."""
        return _Rows(self.rows, threads)

    def _frame(self, segment, labels, lr, out, previous) -> tuple:
        """The C struct of one frame, and the buffers that must outlive it: structs do not own what they point into."""
        lr_shapes = plane_shapes(self.lr_width, self.lr_height, self.colour)
        source, *keep = _image("stdo_const_image *", "lr", lr, lr_shapes)
        target, *keep_out = _image("stdo_image *", "out", out, plane_shapes(self.hr_width, self.hr_height, self.colour))
        view = self._label_view("labels", labels)
        keep += [*keep_out, view]
        before = ffi.NULL
        if previous is not None:
            old, *keep_old = _image("stdo_const_image *", "previous lr", previous.lr, lr_shapes)
            old_view = self._label_view("previous labels", previous.labels)
            before = new_struct("stdo_previous", segment=previous.segment, labels=old_view, lr=old[0])
            before.hr.plane, before.hr.stride = target.plane, target.stride
            keep += [*keep_old, old_view, before]
        frame = new_struct("stdo_frame", segment=segment, labels=view, lr=source[0], hr=target[0], previous=before)
        return frame, keep

    def _label_view(self, name, labels):
        require_array(name, labels, (self.rows, self.columns))
        return ffi.from_buffer("uint8_t[]", labels)

    def _count(self, parts) -> None:
        with self._statistics_lock:
            for part in parts:
                self.statistics.net += part.net
                self.statistics.base += part.base
                self.statistics.reused += part.reused

    def thread_scratch(self):
        """The scratch of the running thread, kept from frame to frame."""
        if not hasattr(self._scratch, "block"):
            self._scratch.block = ffi.new("uint8_t[]", lib.stdo_scratch_size(self.handle))
        return self._scratch.block


def new_struct(name: str, **fields):
    """Return a new C struct of those that begin with their size."""
    return ffi.new(f"{name} *", {"size": ffi.sizeof(name), **fields})


def _tiers(tiers: str | None) -> bytes:
    return os.fsencode(os.environ.get("STDO_CPU", "") if tiers is None else tiers)


def check_tiers() -> None:
    """Raise StdoError if the environment's STDO_CPU has an unknown word, so that it fails before long work."""
    words = _tiers(None)
    status = lib.stdo_open_memory(b"", 0, words, ffi.new("stdo_sidecar **"))
    if status == lib.STDO_ERROR_TIER:
        _check(status, words)


def require_array(name: str, array: np.ndarray, shape: tuple[int, int]) -> None:
    """Raise ValueError for an array that is not uint8, of this shape, and C-contiguous."""
    if array.dtype != np.uint8 or array.shape != shape:
        raise ValueError(f"{name} is {array.dtype} {array.shape}; it must be uint8 {shape}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} has strides {array.strides}; it must be C-contiguous")


def _image(struct: str, name: str, planes: Planes, shapes: tuple[tuple[int, int], ...]) -> tuple:
    """Return the C struct that points to the planes, and the buffers that must outlive it."""
    if len(planes) != 3:
        raise ValueError(f"{name} has {len(planes)} planes; it must have 3")
    for letter, plane, shape in zip("yuv", planes, shapes, strict=True):
        require_array(f"{name} {letter}", plane, shape)
    writable = struct == "stdo_image *"
    buffers = [ffi.from_buffer("uint8_t[]", plane, require_writable=writable) for plane in planes]
    image = ffi.new(struct, {"plane": buffers, "stride": [plane.strides[0] for plane in planes]})
    return image, buffers
