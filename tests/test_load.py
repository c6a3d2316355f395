"""Sidecars opened piece by piece: nets loaded and dropped, memory counted and bound, files that are still coming."""

import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from make_corpus import CORPUS
from make_vectors import CASES, VECTORS, hashes, read_frames
from samples import random_frame, random_labels
from stdo_min._stdo import ffi, lib

from stdo_min.format import library, patchmap, sidecar
from stdo_min.format.fields import varint
from stdo_min.format.library import StdoError, Upscaler, new_struct
from stdo_min.format.random_nets import like, make_sidecar, random_net
from stdo_min.format.sidecar import read, write

OVERHEAD = 64 << 10


class Counting:
    """Takes memory for a sidecar and counts it; the n-th time, if asked, there is none."""

    def __init__(self, fail_at=0):
        self.blocks, self.now, self.most, self.calls, self._fail_at = {}, 0, 0, 0, fail_at

        @ffi.callback("void *(void *, size_t)")
        def take(context, size):
            self.calls += 1
            if self.calls == self._fail_at:
                return ffi.NULL
            block = ffi.new("uint8_t[]", size)
            ffi.buffer(block)[:] = b"\xa5" * size  # the library must not count on zeros
            self.blocks[int(ffi.cast("uintptr_t", block))] = block
            self.now += size
            self.most = max(self.most, self.now)
            return block

        @ffi.callback("void(void *, void *)")
        def give(context, block):
            self.now -= len(self.blocks.pop(int(ffi.cast("uintptr_t", block))))

        self.take, self.give = take, give

    def open(self, data, how=lib.STDO_LAZY, most=0):
        options = new_struct("stdo_options", take=self.take, give=self.give, how=how, most=most)
        handle = ffi.new("stdo_sidecar **")
        return lib.stdo_open(data, len(data), options, handle), handle[0]


def film(segments=6, shape=((5, 8), (3, 4)), patch=12, size=(48, 40), chroma=False):
    """Segments of three frames: two nets each, of which one is everybody's, and the other is coded by differences."""
    rng = np.random.default_rng(0)
    first = random_net(rng, 2, list(shape), 3)
    parts = [((first, like(rng, first)), random_labels(rng, 3, size, patch, 2)) for _ in range(segments)]
    made = make_sidecar(2, size, patch, parts)
    return made, [random_frame(rng, *size) for _ in range(3 * segments)]


def hostile(bytes_wanted, per_segment=3):
    """A file of version 3 with as many nets of the largest shape as it can say in so many bytes, in small segments."""
    base = write(make_sidecar(4, (16, 16), 8, [((), np.zeros((1, 2, 2), np.uint8))]))
    layers = [(2 << 5 | 5, 64)] * 3 + [(1 << 5 | 5, 16)]  # 5x5 of 64 channels: about 300 kB each
    counted = 1 + sum(512 + 4 + out * (6 + k * k * ins) for k, out, ins in
                      ((5, 64, 1), (5, 64, 64), (5, 64, 64), (3, 16, 64)))
    head = bytes([len(layers), *(byte for layer in layers for byte in layer)])
    code = head + bytes(-(-counted // 64) - len(head))
    count = min(bytes_wanted // (len(code) + 40), 65535)
    table = b"".join([varint(len(code)) + code] * count)
    table += zlib.crc32(table).to_bytes(4, "little")
    segments = b""
    for number in range(count // per_segment):
        body = varint(1) + bytes([per_segment]) + bytes(8) + b"".join(varint(number * per_segment + n)
                                                                      for n in range(per_segment))
        whole = varint(len(body) + 4) + body
        segments += whole + zlib.crc32(whole).to_bytes(4, "little")
    header = bytearray(base[:36])
    header[24:28] = header[28:32] = (count // per_segment).to_bytes(4, "little")
    header[33:35] = count.to_bytes(2, "little")
    return bytes(header) + zlib.crc32(bytes(header)).to_bytes(4, "little") + table + segments


# ---- Memory ----


@pytest.mark.parametrize("name", sorted(CASES))
def test_opening_takes_little_whatever_it_is(name):
    data, counting = (VECTORS / f"{name}.stdo").read_bytes(), Counting()
    status, opened = counting.open(data)
    assert status == lib.STDO_OK and counting.calls == 1
    assert counting.most == lib.stdo_memory(opened) <= 4 * len(data) + OVERHEAD
    lib.stdo_close(opened)
    assert not counting.blocks


def test_opening_takes_little_of_all_the_corpus():
    for path in CORPUS.iterdir():
        data, counting = path.read_bytes(), Counting()
        status, opened = counting.open(data)
        assert (status == lib.STDO_OK) == path.name.startswith("ok"), path
        assert counting.most <= 4 * len(data) + OVERHEAD, path
        lib.stdo_close(opened)
        assert not counting.blocks


def test_a_hostile_file_is_opened_in_little_memory_and_loaded_a_segment_at_a_time():
    data, counting = hostile(1_500_000), Counting()
    assert 1_300_000 < len(data) < 1_500_000
    status, opened = counting.open(data)
    assert status == lib.STDO_OK and counting.most <= 4 * len(data) + OVERHEAD
    at_first = counting.now
    assert lib.stdo_load(opened, 0) == lib.STDO_OK
    loaded = counting.now - at_first
    assert loaded > 3 * 200_000
    assert lib.stdo_load(opened, 1) == lib.STDO_OK and counting.now == at_first + 2 * loaded
    assert lib.stdo_drop(opened, 0) == lib.STDO_OK and counting.now == at_first + loaded
    assert lib.stdo_drop(opened, 0) == lib.STDO_ERROR_NOT_LOADED
    assert lib.stdo_memory(opened) == counting.now
    lib.stdo_close(opened)
    assert not counting.blocks


def test_more_than_is_allowed_is_refused_before_it_is_taken():
    data = hostile(1_500_000)
    counting = Counting()
    assert counting.open(data, how=0, most=8 << 20)[0] == lib.STDO_ERROR_MEMORY
    assert counting.most <= 8 << 20 and not counting.blocks
    assert counting.open(data, most=len(data))[0] == lib.STDO_ERROR_MEMORY and not counting.blocks
    counting = Counting()
    status, opened = counting.open(data, most=4 * len(data) + OVERHEAD)
    assert status == lib.STDO_OK
    number = 0
    while (status := lib.stdo_load(opened, number)) == lib.STDO_OK:
        number += 1
    assert status == lib.STDO_ERROR_MEMORY and number > 2
    assert counting.most <= 4 * len(data) + OVERHEAD
    assert lib.stdo_drop(opened, 0) == lib.STDO_OK and lib.stdo_load(opened, number) == lib.STDO_OK
    lib.stdo_close(opened)
    assert not counting.blocks


def test_by_default_a_sidecar_takes_256_mib_at_the_most():
    data, counting = hostile(20_000_000), Counting()
    assert counting.open(data, how=0)[0] == lib.STDO_ERROR_MEMORY
    assert 200 << 20 < counting.most <= 256 << 20 and not counting.blocks


def test_nets_that_segments_share_are_there_once():
    made, _ = film()
    counting = Counting()
    _, opened = counting.open(write(made))
    sizes = [counting.now]
    for number in range(3):
        assert lib.stdo_load(opened, number) == lib.STDO_OK
        sizes.append(counting.now)
    net = sizes[2] - sizes[1]
    assert [size - sizes[0] for size in sizes] == [0, 2 * net, 3 * net, 4 * net]
    for number in range(3):
        assert lib.stdo_drop(opened, number) == lib.STDO_OK
    assert counting.now == sizes[0]
    lib.stdo_close(opened)


def test_each_allocation_may_fail():
    data = write(film(3)[0])
    needed = Counting()
    status, opened = needed.open(data, how=0)
    assert status == lib.STDO_OK
    lib.stdo_close(opened)
    for at in range(1, needed.calls + 1):
        counting = Counting(at)
        status, opened = counting.open(data, how=0)
        assert status == lib.STDO_ERROR_MEMORY and opened == ffi.NULL and not counting.blocks


def test_functions_for_memory_come_together():
    options = new_struct("stdo_options", take=Counting().take)
    data = write(film(1)[0])
    assert lib.stdo_open(data, len(data), options, ffi.new("stdo_sidecar **")) == lib.STDO_ERROR_ARGUMENT


@pytest.mark.parametrize("how", [4, 1 << 40, -1 % (1 << 64)])
def test_unknown_ways_to_open_are_refused(how):
    options, data = new_struct("stdo_options", how=how), write(film(1)[0])
    assert lib.stdo_open(data, len(data), options, ffi.new("stdo_sidecar **")) == lib.STDO_ERROR_ARGUMENT


# ---- Loading ----


def test_what_is_not_loaded_is_said():
    made, frames = film(2)
    upscaler = Upscaler(write(made))
    labels = np.ones((upscaler.rows, upscaler.columns), np.uint8)
    hr = upscaler.upscale(0, labels, frames[0])
    frame, _keep = upscaler._frame(1, labels, frames[0], hr, None)
    scratch = upscaler.thread_scratch()
    assert lib.stdo_upscale_rows(upscaler.handle, frame, 0, 1, scratch, ffi.NULL) == lib.STDO_ERROR_NOT_LOADED
    assert lib.stdo_load(upscaler.handle, 2) == lib.STDO_ERROR_SEGMENT_RANGE


@pytest.mark.parametrize("name", ["shared-x2", "chroma-x2", "codes-x2", "segments-x4"])
def test_segments_in_any_order_give_the_same(name):
    data = (VECTORS / f"{name}.stdo").read_bytes()
    made = read(data)
    frames = read_frames(made, (VECTORS / f"{name}.lr").read_bytes())
    expected = hashes(made, frames, Upscaler(data).upscale)
    upscaler, order = Upscaler(data), np.random.default_rng(0)
    for _ in range(3):
        for number in order.permutation(len(made.segments)):
            segment = made.segments[number]
            grid = (segment.frames, made.rows, made.columns)
            labels = patchmap.decode(segment.map_data, *grid, len(segment.nets))
            for index in range(segment.frames):
                at = segment.first_frame + index
                hr = upscaler.upscale(int(number), labels[index], frames[at])
                found = [zlib.crc32(np.ascontiguousarray(plane)) for plane in hr]
                assert found == [crc for frame, _, crc in expected if frame == at]
        assert len(upscaler._loaded) <= library.KEPT_SEGMENTS


def test_threads_that_play_different_segments():
    made, frames = film(8)
    expected = [Upscaler(write(made)).upscale(number, np.ones((4, 4), np.uint8), frames[0])[0] for number in range(8)]
    upscaler, barrier = Upscaler(write(made)), threading.Barrier(4)

    def play(seed):
        barrier.wait()
        for number in np.random.default_rng(seed).integers(0, 8, 40):
            y = upscaler.upscale(int(number), np.ones((4, 4), np.uint8), frames[0])[0]
            np.testing.assert_array_equal(y, expected[number])

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(play, range(4)))


def test_dropping_what_was_not_loaded_takes_nothing_from_others():
    """Two segments with the same nets."""
    made, frames = film(1)
    (segment,) = made.segments
    second = replace(segment, first_frame=3)
    data = write(replace(made, segments=(segment, second)))
    upscaler, labels = Upscaler(data), np.ones((4, 4), np.uint8)
    expected = upscaler.upscale(1, labels, frames[0])
    assert lib.stdo_drop(upscaler.handle, 0) == lib.STDO_ERROR_NOT_LOADED
    assert lib.stdo_load(upscaler.handle, 0) == lib.STDO_OK == lib.stdo_drop(upscaler.handle, 0)
    for a, b in zip(upscaler.upscale(1, labels, frames[0]), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    empty = write(make_sidecar(2, (16, 8), 8, [((), np.zeros((1, 1, 2), np.uint8))]))
    assert lib.stdo_drop(Upscaler(empty).handle, 0) == lib.STDO_ERROR_NOT_LOADED


# ---- A file that is still coming ----


@pytest.mark.parametrize("name", ["shared-x2", "chroma-x3", "computed-x2", "segments-x4"])
def test_what_has_come_of_a_file_plays(name):
    data = (VECTORS / f"{name}.stdo").read_bytes()
    whole, made = Upscaler(data), read(data)
    frames, seen = read_frames(made, (VECTORS / f"{name}.lr").read_bytes()), set()
    for length in range(len(data) + 1):
        options = new_struct("stdo_options", how=lib.STDO_PARTIAL)
        handle, info = ffi.new("stdo_sidecar **"), new_struct("stdo_info")
        status = lib.stdo_open(data[:length], length, options, handle)
        if status != lib.STDO_OK:
            assert status == (lib.STDO_ERROR_TRUNCATED if length >= 8 else lib.STDO_ERROR_MAGIC) and not seen
            continue
        assert lib.stdo_get_info(handle[0], info) == lib.STDO_OK
        there = info.segments_there
        assert info.frames_there == sum(segment.frames for segment in made.segments[:there])
        if there not in seen:
            part = Upscaler.opened_by(lambda _, out, at=length, how=options: lib.stdo_open(data[:at], at, how, out))
            for frame in range(info.frames_there):
                number = whole.segment_of(frame)
                labels = part.labels(frame, frames[frame][0])
                np.testing.assert_array_equal(labels, whole.labels(frame, frames[frame][0]))
                for a, b in zip(part.upscale(number, labels, frames[frame]),
                                whole.upscale(number, labels, frames[frame]), strict=True):
                    np.testing.assert_array_equal(a, b)
            if there < len(made.segments):
                with pytest.raises(StdoError, match="ends early"):
                    part.labels(info.frames_there, frames[0][0])
                assert lib.stdo_load(part.handle, there) == lib.STDO_ERROR_TRUNCATED
        seen.add(there)
        lib.stdo_close(handle[0])
    assert seen == set(range(len(made.segments) + 1))


def test_a_part_that_is_damaged_is_refused_all_the_same():
    data = bytearray((VECTORS / "shared-x2.stdo").read_bytes())
    data[-3] ^= 1  # the crc of the last segment
    options = new_struct("stdo_options", how=lib.STDO_PARTIAL)
    handle = ffi.new("stdo_sidecar **")
    assert lib.stdo_open(bytes(data), len(data), options, handle) == lib.STDO_ERROR_SEGMENT_CRC


# ---- Going back in a map ----


@pytest.mark.parametrize(("nets", "frames"), [(1, 70), (3, 200), (63, 40)])
def test_going_back_gives_the_labels_of_reading_on(nets, frames):
    rng = np.random.default_rng(nets)
    small = tuple(random_net(rng, 2, [], 1) for _ in range(nets))
    labels = rng.integers(0, nets + 1, (frames, 3, 5)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.7] = 0
    made = make_sidecar(2, (40, 24), 8, [(small, labels), (small, labels[:9])])
    upscaler = Upscaler(write(made))
    for at in [*rng.integers(0, frames + 9, 120), frames - 1, 0, frames - 1, frames - 2]:
        expected = labels[at] if at < frames else labels[at - frames]
        np.testing.assert_array_equal(upscaler.labels(int(at)), expected)
    assert sidecar.read(write(made)).frames == frames + 9
