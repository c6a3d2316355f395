"""stdo_min/format/net_table.py: nets stand in a file once, and are decoded when they are looked at."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from stdo_min.commands.info import describe
from stdo_min.format import net_table, netcode
from stdo_min.format.library import Upscaler
from stdo_min.format.net import Net
from stdo_min.format.random_nets import like, random_net
from stdo_min.format.sidecar import Segment, Sidecar, read, write


def test_nets_that_are_equal_are_stored_once_and_those_alike_by_their_differences():
    rng = np.random.default_rng(9)
    net = random_net(rng, 2, [(5, 8), (3, 8)], 3)
    equal = Net(tuple(replace(layer, weight=layer.weight.copy()) for layer in net.layers))
    segments = tuple(Segment(number, 1, 1, 2, nets, b"") for number, nets in
                     enumerate([(net, equal), (random_net(rng, 2, [], 1), like(rng, net)), (like(rng, net), net)]))
    sidecar = Sidecar(Fraction(2), 1, 8, 0, 16, 16, 32, 32, segments)
    data = write(sidecar)
    upscaler, again = Upscaler(data), read(data)
    assert upscaler.nets == len(again.nets) == 4
    assert again.segments[0].nets[0] is again.segments[0].nets[1] is again.segments[2].nets[1]
    small = again.bytes_of(again.segments[1].nets[0])
    assert upscaler.net_bytes < 2 * sidecar.bytes_of(net) + small, "two nets that differ by -2..2 take less than one"
    assert write(again) == data


def test_a_shape_stands_once_where_nets_that_follow_have_it():
    rng = np.random.default_rng(12)
    first, second, other = (random_net(rng, 1, hidden, 3) for hidden in ([(3, 4)], [(3, 4)], []))
    # Random nets have shifts of their own.
    second = Net(tuple(replace(layer, shift=of.shift) for layer, of in zip(second.layers, first.layers, strict=True)))
    segment = Segment(0, 1, 1, 2, (first, second, other, first), b"")
    again = read(write(Sidecar(Fraction(1), 1, 8, 0, 16, 16, 16, 16, (segment,))))
    for net, wanted, saved in zip(again.nets, (first, second, other), (0, 4, 0), strict=True):
        assert net.shape == wanted.shape and again.bytes_of(net) == len(netcode.encode(wanted)) - saved


def test_no_net_is_decoded_before_it_is_looked_at(monkeypatch):
    rng = np.random.default_rng(10)
    net = random_net(rng, 2, [(3, 4)], 3)
    sidecar = Sidecar(Fraction(2), 1, 8, 0, 16, 16, 32, 32, (Segment(0, 1, 1, 2, (net, like(rng, net)), b""),))
    data, decoders = write(sidecar), []

    class Counted(netcode.Decoder):
        def __init__(self, code):
            decoders.append(code)
            super().__init__(code)

    monkeypatch.setattr(netcode, "Decoder", Counted)
    again = read(data)
    assert describe(data)["net_shape"] == "3x3x4-3x3x4" and sum(map(again.bytes_of, again.nets)) > 0
    assert [found.halo for found in again.nets] == [2, 2] and not decoders
    far, near = reversed(again.nets)
    assert far.layers is far.layers and near.layers and len(decoders) == 2, "each once, its base before it"


def test_more_nets_than_a_table_holds(monkeypatch):
    monkeypatch.setattr(net_table, "MAX_TABLE", 2)
    rng = np.random.default_rng(11)
    nets = [random_net(rng, 1, [], 1) for _ in range(3)]
    assert len(net_table.NetTable(nets[:2])) == 2
    with pytest.raises(ValueError, match=r"nets of the sidecar is 3; it must be 0\.\.2"):
        net_table.NetTable(nets)


def test_a_known_net_comes_first_though_no_segment_has_it():
    rng = np.random.default_rng(13)
    known = random_net(rng, 2, [(5, 8)], 3)
    near = [like(rng, known) for _ in range(3)]
    sidecar = Sidecar(Fraction(2), 1, 8, 0, 16, 16, 32, 32,
                      tuple(Segment(number, 1, 1, 2, (net,), b"") for number, net in enumerate(near)), known=(known,))
    data = write(sidecar)
    upscaler, again = Upscaler(data), read(data)
    assert upscaler.nets == len(again.known) == 4
    assert [again.bytes_of(net) for net in again.known] == [len(netcode.encode(known)),
                                                           *(len(netcode.encode(net, known)) for net in near)]
    assert [segment.nets for segment in again.segments] == [(net,) for net in again.known[1:]]
    assert write(again) == data
