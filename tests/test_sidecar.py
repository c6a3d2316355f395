"""stdo_min/format/sidecar.py, and that the C reader agrees with it on every file and every cause."""

import zlib
from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_corpus import CORPUS, corpus, small_sidecar
from samples import fix_all, random_frame, random_labels, statuses

from stdo_min import cli
from stdo_min.algorithm.recipe import Recipe
from stdo_min.engine.net import new_net
from stdo_min.format.library import Upscaler
from stdo_min.format.net import Layer
from stdo_min.format.netcode import encode
from stdo_min.format.patchmap import decode
from stdo_min.format.plain_net import plain_bytes
from stdo_min.format.random_nets import like, make_sidecar, random_net, random_sidecar
from stdo_min.format.reference import upscale_frame
from stdo_min.format.sidecar import (
    Net,
    Segment,
    Sidecar,
    SidecarError,
    check_channels,
    crc_of_planes,
    of_nets,
    read,
    write,
)

SMALL, SMALL_PLAIN = (write(small_sidecar(version=version)) for version in (3, 1))
FILES = sorted(path.name for path in CORPUS.glob("*.stdo"))
reproducible = settings(derandomize=True, deadline=None, max_examples=60, database=None)


@st.composite
def sidecars(draw) -> Sidecar:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale, patch = draw(st.integers(1, 4)), draw(st.integers(8, 128))
    size = (draw(st.integers(8, 60)), draw(st.integers(8, 60)))
    segments, known = [], []
    for _ in range(draw(st.integers(1, 3))):
        nets = []
        for _ in range(draw(st.integers(0, 3))):
            kind = draw(st.sampled_from(["new", "shared", "like"] if known else ["new"]))
            if kind != "new":
                other = draw(st.sampled_from(known))
                nets.append(other if kind == "shared" else like(rng, other))
                continue
            hidden = draw(st.lists(st.tuples(st.sampled_from([1, 3, 5, 7, 9]), st.integers(1, 8)), max_size=3))
            nets.append(random_net(rng, scale, hidden, draw(st.sampled_from([1, 3]))))
        known += nets
        segments.append((tuple(nets), random_labels(rng, draw(st.integers(1, 4)), size, patch, len(nets))))
    crop = draw(st.integers(0, 2 * scale - 1)), draw(st.integers(0, 2 * scale - 1))
    chroma, mode, version = draw(st.integers(0, 1)), draw(st.integers(0, 255)), draw(st.integers(1, 3))
    return make_sidecar(scale, size, patch, segments, crop=crop, chroma=chroma, mode=mode, version=version)


@reproducible
@given(sidecars())
def test_what_is_written_is_read_again(sidecar):
    data = write(sidecar)
    again = read(data)
    assert write(again) == data
    assert replace(again, segments=()) == replace(sidecar, segments=())
    for segment, wanted in zip(again.segments, sidecar.segments, strict=True):
        assert replace(segment, nets=()) == replace(wanted, nets=())
        for net, wanted_net in zip(segment.nets, wanted.nets, strict=True):
            for layer, wanted_layer in zip(net.layers, wanted_net.layers, strict=True):
                assert (layer.kernel, layer.shift) == (wanted_layer.kernel, wanted_layer.shift)
                for field in ("multiplier", "bias", "weight"):
                    found, expected = getattr(layer, field), getattr(wanted_layer, field)
                    assert found.dtype == expected.dtype
                    np.testing.assert_array_equal(found, expected)


@reproducible
@given(sidecars())
def test_c_reads_the_same_fields(sidecar):
    upscaler = Upscaler(write(sidecar))
    for name in ("scale", "mode", "patch", "chroma", "lr_width", "lr_height", "hr_width", "hr_height", "frames",
                 "columns", "rows"):  # fmt: skip
        assert getattr(upscaler, name) == getattr(sidecar, name), name
    for info, segment in zip(upscaler.segments, sidecar.segments, strict=True):
        for name in ("first_frame", "frames", "lr_first_crc", "lr_crc"):
            assert getattr(info, name) == getattr(segment, name), name
        assert info.nets == len(segment.nets)
        if sidecar.version < 3:
            assert info.net_bytes == sum(map(sidecar.bytes_of, segment.nets))
        assert info.map_bytes == len(segment.map_data)


def test_corpus_is_what_its_script_writes():
    assert {name: (CORPUS / name).read_bytes() for name in FILES} == corpus()


@pytest.mark.parametrize("name", FILES)
def test_both_readers_give_the_status_in_the_name(name):
    expected = name.split(".")[0].upper()
    expected = "STDO_OK" if expected == "OK" else f"STDO_ERROR_{expected}"
    assert statuses((CORPUS / name).read_bytes()) == (expected, expected)


@pytest.mark.parametrize("small", [SMALL, SMALL_PLAIN])
def test_every_truncation_is_refused(small):
    for size in range(len(small)):
        python, c = statuses(small[:size])
        assert python == c and python in ("STDO_ERROR_MAGIC", "STDO_ERROR_TRUNCATED"), size


@pytest.mark.parametrize("small", [SMALL, SMALL_PLAIN])
def test_every_flipped_bit_is_refused(small):
    for at in range(len(small)):
        for bit in range(8):
            python, c = statuses(small[:at] + bytes([small[at] ^ 1 << bit]) + small[at + 1 :])
            assert python == c != "STDO_OK", (at, bit)


@pytest.mark.parametrize("small", [SMALL, SMALL_PLAIN])
def test_readers_agree_on_random_changes_with_right_crcs(small):
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(2000):
        data = bytearray(small)
        for at in rng.integers(0, len(data) if rng.random() < 0.5 else 100, rng.integers(1, 4)):
            data[at] = rng.choice([0, 1, 2, 9, 127, 128, 255, int(rng.integers(256))])
        data = fix_all(bytes(data))
        python, c = statuses(data)
        assert python == c, data.hex()
        seen.add(c)
    assert {"STDO_OK", "STDO_ERROR_SEGMENT", "STDO_ERROR_NET", "STDO_ERROR_HEADER"} <= seen


def test_properties_of_a_net():
    rng = np.random.default_rng(4)
    net = random_net(rng, 4, [(5, 16), (3, 16)], 3)
    assert (net.halo, net.kernels, net.channels) == (4, (5, 3, 3), (16, 16, 16))
    sidecar = make_sidecar(4, (16, 8), 8, [((net,), np.zeros((1, 1, 2), np.uint8))])
    assert len(write(replace(sidecar, version=1))) == 40 + 32 + plain_bytes(net.kernels, net.channels)
    assert len(write(sidecar)) == 40 + 2 + len(encode(net)) + 4 + 16
    assert (sidecar.columns, sidecar.rows, sidecar.frames) == (2, 1, 1)


def layer(**changes) -> Layer:
    fields = {
        "kernel": 1, "shift": 0, "multiplier": np.ones(4, np.uint16), "bias": np.zeros(4, np.int32),
        "weight": np.zeros((4, 1, 1, 1), np.int8),
    }  # fmt: skip
    return Layer(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shift": 25}, "shift is 25; it must be 0..24"),
        ({"kernel": 2}, "kernel is 2; it must be odd"),
        ({"kernel": 11}, "kernel is 11; it must be 1..9"),
        ({"multiplier": np.zeros(4, np.uint16)}, "multiplier is 0; it must be 1..32767"),
        ({"multiplier": np.full(4, 32768, np.uint16)}, "multiplier is 32768"),
        ({"bias": np.full(4, 2**30 + 1, np.int32)}, "bias is 1073741825"),
        ({"bias": np.zeros(4, np.int64)}, "bias is int64"),
        ({"weight": np.zeros((4, 3, 3, 1), np.int8)}, "weight is int8"),
    ],
)
def test_write_refuses_layers(changes, message):
    sidecar = small_sidecar()
    segment = replace(sidecar.segments[0], nets=(Net((layer(**changes),)),))
    with pytest.raises(ValueError, match=message):
        write(replace(sidecar, segments=(segment,)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": 5}, "scale is 5; it must be one of 1, 3/2, 2, 3, 4"),
        ({"scale": Fraction(3, 2), "version": 2}, "version is 2; it must be 3..3"),
        ({"version": 4}, "version is 4; it must be 1..3"),
        ({"scale": Fraction(3, 2), "patch": 10}, "patch is 10; at scale 3/2 it must be a multiple of 4"),
        ({"patch": 7}, "patch is 7; it must be 8..128"),
        ({"hr_width": 41}, "hr_width is 41; it must be 37..40"),
        ({"segments": ()}, "frames is 0"),
    ],
)
def test_write_refuses_headers(changes, message):
    with pytest.raises(ValueError, match=message):
        write(replace(small_sidecar(), **changes))


def film(count: int) -> Sidecar:
    """A film of segments of 480 frames that all have the same net."""
    net = random_net(np.random.default_rng(8), 2, [(5, 4)], 3)
    segments = tuple(Segment(480 * number, 480, 1, 2, (net,), bytes(50)) for number in range(count))
    return Sidecar(Fraction(2), 1, 8, 0, 16, 16, 32, 32, segments)


def test_a_segment_that_has_a_known_net_takes_17_bytes_beside_its_map():
    one, two = film(1), film(2)
    assert len(write(one)) == 40 + 2 + len(encode(one.nets[0])) + 4 + 17 + 50
    assert len(write(two)) - len(write(one)) == 17 + 50
    again = read(write(two))
    assert again.segments[0].nets[0] is again.segments[1].nets[0] and len(again.nets) == 1
    upscaler = Upscaler(write(two))
    assert (upscaler.nets, upscaler.net_bytes) == (1, len(encode(one.nets[0])))
    assert [segment.net_bytes for segment in upscaler.segments] == [len(encode(one.nets[0]))] * 2


def test_read_error_is_one_line():
    with pytest.raises(SidecarError, match="not a sidecar") as caught:
        read(b"RIFF....AVI ")
    assert "\n" not in str(caught.value)


def test_a_sidecar_of_nets_in_hand():
    """Its map says 0 everywhere, as the readers in C and in NumPy find; labels of one's own reach every net."""
    rng = np.random.default_rng(5)
    nets = [random_net(rng, 2, [(3, 4)], 3) for _ in range(3)]
    made = of_nets(Sidecar(2, 0, 8, 0, 24, 16, 48, 32, ()), nets)
    upscaler = Upscaler(write(made))
    assert not upscaler.labels(0).any()
    assert not decode(made.segments[0].map_data, 1, made.rows, made.columns, 3).any()
    labels, lr = np.array([[0, 1, 2], [3, 3, 1]], np.uint8), random_frame(rng, 24, 16)
    for found, wanted in zip(upscaler.upscale(0, labels, lr), upscale_frame(made, 0, labels, lr), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert (upscaler.statistics.net, upscaler.statistics.base) == (5, 1)


def test_a_random_sidecar_is_served_by_one_net_as_the_quantiser_makes_them():
    rng = np.random.default_rng(6)
    made = random_sidecar(rng, 3, [(5, 8), (3, 8)], (640, 360), 20, (0, 0))
    (net,) = made.segments[0].nets
    assert net.kernels == (5, 3, 3) and net.channels == (8, 8, 9)
    assert min(layer.weight.min() for layer in net.layers) == -127
    assert (Upscaler(write(made)).labels(0) == 1).all()
    assert min(layer.weight.min() for layer in random_net(rng, 3, [(5, 8)], 3).layers) == -128


def test_the_crc_of_planes_is_that_of_their_bytes():
    planes = random_frame(np.random.default_rng(7), 9, 7)
    together = b"".join(plane.tobytes() for plane in planes)
    assert crc_of_planes(planes) == zlib.crc32(together)
    assert crc_of_planes(planes, crc_of_planes(planes)) == zlib.crc32(together + together)


@pytest.mark.parametrize(("channels", "allowed"), [((1,), True), ((64,) * 7, True), ((), False), ((0,), False),
                                                   ((65,), False), ((4,) * 8, False)])
def test_channels_have_one_rule(channels, allowed, capsys):
    """The format's, the net's, the recipe's and the command line's."""
    text = ",".join(map(str, channels))
    for ask in (lambda: check_channels(channels), lambda: Recipe(channels=channels),
                lambda: new_net(channels, 2, np.random.default_rng(0))):
        with nullcontext() if allowed else pytest.raises(ValueError, match=r"1\.\.7 hidden layers of 1\.\.64 channels"):
            ask()
    with pytest.raises(SystemExit) as left:  # in both cases: what follows --net is no option
        cli.main(["encode", "a", "b", "--net", text, "--fly"])
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert ("--fly" in said) if allowed else ("1..7 hidden layers of 1..64" in said or "list of channels" in said), said
