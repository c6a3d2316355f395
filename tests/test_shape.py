"""stdo_min/algorithm/shape.py and price.py: what nets cost in arithmetic and in bytes."""

import numpy as np
import pytest

from stdo_min.algorithm.price import Price
from stdo_min.algorithm.shape import SHAPES, macs, shape_for
from stdo_min.engine.net import new_net


@pytest.mark.parametrize(("channels", "net_scale", "products"), [
    ((8,), 1, 272), ((4, 4), 1, 280), ((6, 6), 1, 528), ((8, 8), 1, 848), ((16, 16), 1, 2848),
    ((8, 8), 2, 266), ((12, 12), 2, 507), ((16, 16), 2, 820), ((16, 16), 4, 313)])
def test_products_are_those_of_the_weights(channels, net_scale, products):
    assert macs(channels, net_scale) == pytest.approx(products, abs=0.5)
    weights = sum(w.size for w in new_net(channels, net_scale, np.random.default_rng(0)).weights)
    assert macs(channels, net_scale) == weights / net_scale**2


def test_more_bytes_take_wider_nets_as_far_as_a_phone_plays_them():
    assert [shape_for(size, 2) for size in (0, 10**4, 5 * 10**4, 10**6)] == [shape for _, shape in SHAPES]
    assert shape_for(10**6, 1) == (8, 8)  # 16,16 takes 2,848 products
    assert shape_for(10**6, 1, max_mac=3000) == (16, 16)
    assert shape_for(10**6, 2, max_mac=100) == (4, 4)
    assert shape_for(10**6, 1, max_mac=1) == (4,)  # some net there must be


def test_a_bit_is_worth_what_the_codec_makes_of_it():
    """At 4 dB an e-fold, 1 % more bytes are worth 0.04 dB, that is 0.92 % of the error."""
    price = Price(100_000, 10**6, 10**4, 4.0)
    assert price.of_bit(5e7) * 8 * 1000 == pytest.approx(5e7 * 0.04 * np.log(10) / 10)
    assert Price(200_000, 10**6, 10**4).of_bit(5e7) == pytest.approx(price.of_bit(5e7) / 2)
    assert price.of_bit(0) == 0
