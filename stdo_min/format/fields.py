"""Fields of a sidecar one after the other, of which no read passes the end; and the limits of what is written."""

from __future__ import annotations

import numpy as np


class SidecarError(ValueError):
    """The bytes are not a valid sidecar; `status` names the stdo_status that the C library gives for them."""

    def __init__(self, status: str, message: str):
        super().__init__(message)
        self.status = status


def require(condition: bool, status: str, message: str) -> None:
    """Raise SidecarError unless a rule is kept; status: without STDO_ERROR_."""
    if not condition:
        raise SidecarError(f"STDO_ERROR_{status}", message)


def limit(name: str, value: int, low: int, high: int) -> None:
    """Raise ValueError with the value and its limits unless it is within them."""
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; it must be {low}..{high}")


def varint(value: int) -> bytes:
    """A number as a varint."""
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


class Fields:
    """A cursor over bytes, which refuses to pass their end."""

    def __init__(self, data: bytes, start: int, end: int, status: str):
        """status: what a read past the end gives."""
        self.data, self.at, self.end, self.status = data, start, end, status

    @property
    def remain(self) -> int:
        """Bytes that are left."""
        return self.end - self.at

    def require(self, size: int) -> None:
        """Refuse the file unless so many bytes remain."""
        require(size <= self.remain, self.status, "the sidecar ends early: " * (self.status == "TRUNCATED")
                 + f"{size} bytes are needed where {self.remain} remain")

    def take(self, size: int) -> bytes:
        """The next bytes."""
        self.require(size)
        self.at += size
        return self.data[self.at - size : self.at]

    def array(self, dtype: str, count: int) -> np.ndarray:
        """The next numbers, in this machine's order of bytes."""
        stored = np.frombuffer(self.take(count * np.dtype(dtype).itemsize), dtype)
        return stored.astype(stored.dtype.newbyteorder("="))

    def varint(self, wrong: str) -> int:
        """A number; `wrong` is the status where its bytes are not the fewest or it has more than 32 bits."""
        value = 0
        for shift in (0, 7, 14, 21, 28):
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            if byte < 128:
                break
        require(byte < 128 and value < 2**32 and (byte > 0 or shift == 0), wrong,
                 "a number has more bytes than it needs, or more than 32 bits")
        return value

    def subset(self, size: int, status: str) -> Fields:
        """The next bytes, as fields of their own."""
        self.require(size)
        self.at += size
        return Fields(self.data, self.at - size, self.at, status)
