"""stdo_min/format/plain_net.py: nets in versions 1 and 2."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_netcode import assert_same, nets

from stdo_min.format.fields import Fields, SidecarError
from stdo_min.format.net import Layer, Net
from stdo_min.format.plain_net import plain_bytes, read_net, write_net

reproducible = settings(derandomize=True, deadline=None, database=None, max_examples=40)
ONE = Net((Layer(1, 3, np.array([258], np.uint16), np.array([-2], np.int32), np.array([[[[-1]]]], np.int8)),))


def read(data: bytes, outputs: int, planes: int = 1) -> Net:
    fields = Fields(data, 0, len(data), "SEGMENT")
    net = read_net(fields, outputs, planes)
    assert fields.remain == 0
    return net


@reproducible
@given(nets())
def test_what_is_written_is_read_again(net):
    data = write_net(net)
    assert len(data) == plain_bytes(net.kernels, net.channels, net.planes)
    assert_same(read(data, net.channels[-1], net.planes), net)


def test_known_bytes():
    assert write_net(ONE).hex() == "01" "01010300" "0201" "feffffff" "ff"


@reproducible
@given(st.integers(0, 11), st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(at, value):
    data = bytearray(write_net(ONE))
    data[at] = value
    try:
        assert write_net(read(bytes(data), 1)) == data
    except SidecarError as error:
        assert error.status in ("STDO_ERROR_NET", "STDO_ERROR_SEGMENT")


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [(0, 0, "0 layers"), (1, 2, "a kernel is 2"), (2, 65, "65 channels"), (2, 2, "2 channels; it must be 1"),
     (3, 25, "a shift is 25"), (4, 1, "reserved byte is 1"), (6, 128, "a multiplier is not"),
     (10, 128, "a bias is not")],
)
def test_what_is_refused(at, value, message):
    data = bytearray(write_net(ONE))
    data[at] = value
    with pytest.raises(SidecarError, match=message):
        read(bytes(data), 1)
