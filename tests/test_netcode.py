"""stdo_min/format/netcode.py against itself, against the C decoder, and against known bytes."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import Places, fix_all, random_frame, statuses

from stdo_min.format.library import Upscaler
from stdo_min.format.net import MAX_BIAS, Layer, Net
from stdo_min.format.netcode import START, CodedNet, encode, expected_bytes, fits, read_shape
from stdo_min.format.plain_net import plain_bytes
from stdo_min.format.random_nets import like, random_net
from stdo_min.format.reference import upscale_frame
from stdo_min.format.sidecar import Segment, Sidecar, read, write

reproducible = settings(derandomize=True, deadline=None, max_examples=80, database=None)


@st.composite
def nets(draw) -> Net:
    """Any net that the format allows, extremes and coarse numbers among them."""
    layers, planes = [], draw(st.sampled_from([1, 3]))
    inputs, rng = planes, np.random.default_rng(draw(st.integers(0, 2**32)))
    for _ in range(draw(st.integers(1, 8))):
        out, kernel = draw(st.integers(1, 12)), draw(st.sampled_from([1, 1, 3, 3, 5, 9]))
        spread, zeros = draw(st.sampled_from([0, 1, 9, 128])), draw(st.integers(0, 14))
        multiplier = rng.integers(1, (32767 >> zeros) + 1, out) << zeros
        most = draw(st.sampled_from([0, 5, 10**5, MAX_BIAS]))
        bias = rng.integers(-most, most + 1, out)
        if draw(st.booleans()):
            bias[rng.integers(out)] = draw(st.sampled_from([-MAX_BIAS, MAX_BIAS]))
        weight = np.clip(rng.integers(-spread, spread + 1, (out, kernel, kernel, inputs)), -128, 127)
        layers.append(Layer(kernel, draw(st.integers(0, 24)), multiplier.astype(np.uint16), bias.astype(np.int32),
                            weight.astype(np.int8)))
        inputs = out
    return Net(tuple(layers))


def assert_same(found: Net, wanted: Net):
    assert found.shape == wanted.shape
    for layer, other in zip(found.layers, wanted.layers, strict=True):
        for field in ("multiplier", "bias", "weight"):
            mine, its = getattr(layer, field), getattr(other, field)
            assert mine.dtype == its.dtype and mine.shape == its.shape
            np.testing.assert_array_equal(mine, its)


def again(code: bytes, net: Net, base: Net | None = None) -> Net:
    return CodedNet(code, read_shape(code, net.planes, net.channels[-1], base and base.shape), base)


@reproducible
@given(nets())
def test_decode_undoes_encode(net):
    assert_same(again(encode(net), net), net)


@reproducible
@given(nets(), st.integers(0, 2**32), st.booleans())
def test_differences_add_up(base, seed, far):
    rng = np.random.default_rng(seed)
    layers = []
    for layer in base.layers:
        bias = np.clip(layer.bias + rng.integers(-50, 51, layer.out), -MAX_BIAS, MAX_BIAS)
        weight = rng.integers(-128, 128, layer.weight.shape) if far else layer.weight
        layers.append(replace(layer, bias=bias.astype(np.int32), weight=weight.astype(np.int8)))
    net = Net(tuple(layers))
    assert fits(net, base)
    code = encode(net, base)
    assert code[0] == 0
    assert_same(again(code, net, base), net)


def one_frame(*found: Net) -> bytes:
    """A file of one frame for luma nets of scale 2."""
    return write(Sidecar(2, 0, 8, 0, 16, 12, 32, 24, (Segment(0, 1, 1, 2, found, b""),)))


def same_pixels(data: bytes) -> None:
    """C and NumPy upscale alike with every net of the file."""
    parsed, upscaler = read(data), Upscaler(data)
    lr = random_frame(np.random.default_rng(1), 16, 12)
    for label in range(1, len(parsed.segments[0].nets) + 1):
        labels = np.full((parsed.rows, parsed.columns), label, np.uint8)
        for found, wanted in zip(upscaler.upscale(0, labels, lr), upscale_frame(parsed, 0, labels, lr), strict=True):
            np.testing.assert_array_equal(found, wanted)


@reproducible
@given(st.integers(0, 2**32), st.binary(max_size=300), st.booleans())
def test_any_string_is_a_net_and_c_decodes_the_same(seed, noise, differs):
    """A code's shape kept and the rest replaced: what both make of it upscales alike, and is in the format's limits."""
    rng = np.random.default_rng(seed)
    net = random_net(rng, 2, [(3, 3)], 3)
    data = one_frame(net, like(rng, net))
    _, code, end = Places(data).nets[differs]
    head = 1 if differs else 5
    noise = noise[:end - code - head]
    data = fix_all(data[:code + head] + noise + data[code + head + len(noise):])
    assert statuses(data) == ("STDO_OK", "STDO_OK")
    parsed = read(data)
    write(parsed)  # which checks every number
    same_pixels(data)


def test_c_decodes_weights_and_biases_of_every_size():
    rng = np.random.default_rng(2)
    wide = [random_net(rng, 2, [(9, 5), (1, 7)], 3) for _ in range(2)]
    same_pixels(one_frame(*wide, like(rng, wide[0]), like(rng, wide[0]), like(rng, wide[1])))


def test_codes_that_end_early_and_are_changed_have_one_status():
    rng = np.random.default_rng(5)
    net = random_net(rng, 2, [(5, 4), (3, 4)], 3)
    data = one_frame(net, like(rng, net))
    seen = set()
    for size, code, end in Places(data).nets:
        for left in range(1, min(end - code, 127)):
            short = fix_all(data[:size] + bytes([left]) + data[code:code + left] + data[end:])
            python, c = statuses(short)
            assert python == c, left
            seen.add(c)
        for at in range(code, code + 12):
            for value in (0, 1, 2, 8, 9, 64, 65, 255):
                python, c = statuses(fix_all(data[:at] + bytes([value]) + data[at + 1:]))
                assert python == c, (at, value)
                seen.add(c)
    # A net with twice the outputs is for chroma, where the segment wants one for luma.
    assert seen == {"STDO_OK", "STDO_ERROR_NET", "STDO_ERROR_SEGMENT"}


def test_a_net_of_zeros_is_filled_up():
    net = random_net(np.random.default_rng(3), 1, [(9, 16), (9, 16)], 9)
    still = Net(tuple(replace(layer, weight=0 * layer.weight, bias=0 * layer.bias) for layer in net.layers))
    code, least = encode(still), -(-(plain_bytes(still.kernels, still.channels) + 512 * len(still.layers)) // 64)
    assert len(code) == least and code.endswith(b"\0")
    with pytest.raises(ValueError, match=f"has {least - 1} bytes; it must be {least} or more"):
        read_shape(code[:-1], 1, 1, None)
    assert_same(again(code, still), still)


def test_nets_that_do_not_fit_a_base():
    net = random_net(np.random.default_rng(4), 2, [(3, 4)], 3)
    first, last = net.layers
    assert fits(net, net)
    for layer in (replace(first, shift=first.shift + 1), replace(first, multiplier=first.multiplier + np.uint16(1)),
                  replace(first, bias=np.full(4, MAX_BIAS, np.int32))):
        other = Net((layer, last))
        below = Net((replace(first, bias=np.full(4, -MAX_BIAS, np.int32)), last))
        assert not fits(other, below)


def test_what_is_expected_is_near():
    """Weights as the quantiser leaves them, which are nearly normal; docs/nets.md has those of real nets."""
    rng = np.random.default_rng(6)
    for hidden, size in (([(5, 4)], 24), ([(5, 8), (3, 8)], 7), ([(5, 16), (3, 16)], 3)):
        layers = random_net(rng, 2, hidden, 3).layers
        layers = [replace(layer, weight=np.clip(rng.normal(0, size, layer.weight.shape), -127, 127).astype(np.int8),
                          bias=rng.integers(-200, 200, layer.out).astype(np.int32) * 16 + (1 << layer.shift >> 1),
                          multiplier=rng.integers(8, 16, layer.out).astype(np.uint16) << 6) for layer in layers]
        net = Net(tuple(layers))
        assert abs(len(encode(net)) / expected_bytes(net.kernels, net.channels) - 1) < 0.1


def test_known_bytes():
    layer = Layer(3, 1, np.array([256, 700, 32767], np.uint16), np.array([1, -31, 40961], np.int32),
                  np.arange(-13, 14).reshape(3, 3, 3, 1).astype(np.int8))
    assert encode(Net((layer,))).hex() == "012103fe6108fa3cc09fa8cf344bcc676de17bc046b8a9497d654736d2deac9564"


def test_contexts_begin_as_the_format_says():
    text = (Path(__file__).parents[1] / "FORMAT.md").read_text()
    listed = re.findall(r"^(digits|zeros|multiplier|bias|weight|first)(?:\[\d\])? +((?:\d+ ?)+)$", text, re.M)
    found = {}
    for kind, numbers in listed:
        found.setdefault("weight" if kind == "first" else kind, []).extend(map(int, numbers.split()))
    assert {kind: list(start) for kind, start in START.items()} == found
