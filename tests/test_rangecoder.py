"""stdo_min/format/rangecoder.py: the decoder undoes the encoder, and reads any bytes for ever."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stdo_min.format.rangecoder import HALF, Decoder, Encoder

reproducible = settings(derandomize=True, deadline=None, database=None)
SYMBOLS = st.one_of(st.tuples(st.just("bit"), st.integers(0, 2), st.integers(0, 1)),
                    st.tuples(st.just("bits"), st.integers(0, 32), st.integers(0, 2**32 - 1)))


def walk(coder: Encoder | Decoder, symbols) -> list[int]:
    """Code symbols, or decode as many of their kinds."""
    contexts = [HALF] * 3
    return [coder.code(contexts, where, value) if kind == "bit" else coder.bits(where, value)
            for kind, where, value in symbols]


@reproducible
@given(st.lists(SYMBOLS, max_size=300))
def test_the_decoder_undoes_the_encoder(symbols):
    coder = Encoder()
    given_in = walk(coder, symbols)
    assert given_in == [value if kind == "bit" else value & (1 << where) - 1 for kind, where, value in symbols]
    data = coder.finish()
    assert not data.endswith(b"\0")
    assert walk(Decoder(data), symbols) == given_in


@reproducible
@given(st.binary(max_size=20), st.lists(SYMBOLS, max_size=300))
def test_any_bytes_are_read_for_ever_and_more_zeros_change_nothing(data, symbols):
    found = walk(Decoder(data), symbols)
    assert found == walk(Decoder(data + bytes(5)), symbols)
    assert all(0 <= value < (2 if kind == "bit" else 1 << where)
               for value, (kind, where, _) in zip(found, symbols, strict=True))


def test_a_carry_runs_through_bytes_of_255():
    """The lower of two halves over and over, then the upper: all the ones before must turn."""
    symbols = [("bits", 32, 2**32 - 1)] * 9 + [("bits", 1, 1)] * 40
    coder = Encoder()
    walk(coder, symbols)
    assert walk(Decoder(coder.finish()), symbols) == [2**32 - 1] * 9 + [1] * 40


def test_a_bit_that_hardly_changes_is_cheap():
    bits = np.random.default_rng(1).random(4000) < 0.02
    coder, contexts = Encoder(), [HALF]
    for bit in bits:
        coder.code(contexts, 0, int(bit))
    assert len(coder.finish()) < 4000 * 0.17 / 8, "its entropy is 0.141 bits"
