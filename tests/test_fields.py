"""stdo_min/format/fields.py: no read passes the end, and a number has one form."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdo_min.format.fields import Fields, SidecarError, limit, varint

reproducible = settings(derandomize=True, deadline=None, database=None)


def fields(data: bytes) -> Fields:
    return Fields(data, 0, len(data), "TRUNCATED")


@reproducible
@given(st.lists(st.integers(0, 2**32 - 1)))
def test_numbers_are_read_as_they_were_written(numbers):
    found = fields(b"".join(map(varint, numbers)))
    assert [found.varint("NET") for _ in numbers] == numbers and found.remain == 0


@reproducible
@given(st.binary(max_size=6))
def test_a_number_that_is_read_has_the_bytes_that_are_written(data):
    found = fields(data)
    try:
        number = found.varint("NET")
    except SidecarError as error:
        assert error.status in ("STDO_ERROR_NET", "STDO_ERROR_TRUNCATED")
    else:
        assert varint(number) == data[:found.at] and number < 2**32


def test_reads_end_at_the_end():
    whole = fields(bytes(range(10)))
    part = whole.subset(6, "SEGMENT")
    assert part.take(2) == b"\0\1" and part.array("<u2", 2).tolist() == [0x302, 0x504]
    for read in (lambda: part.take(1), lambda: part.array("u1", 1), lambda: part.varint("NET")):
        with pytest.raises(SidecarError) as caught:
            read()
        assert caught.value.status == "STDO_ERROR_SEGMENT"
    assert whole.take(4) == bytes([6, 7, 8, 9])
    with pytest.raises(SidecarError, match="ends early: 5 bytes are needed where 0 remain"):
        whole.subset(5, "SEGMENT")


def test_a_limit_names_the_value():
    limit("height", 8, 8, 9)
    with pytest.raises(ValueError, match=r"^height is 10; it must be 8\.\.9$"):
        limit("height", 10, 8, 9)
