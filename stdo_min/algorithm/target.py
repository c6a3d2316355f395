"""What a video is to be coded for: a quality that the plain codec has, a size, or a figure of quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Target:
    """What auto aims at.

    kind: 'crf': the quality of the plain codec at the crf `value`, in fewer bytes. 'psnr': a PSNR of luma in dB.
    'vmaf': a VMAF. 'size': bytes of the pictures, nets and map of the whole film. 'bitrate': the same in bits a second.
    Raises ValueError for a value that is not above 0, but for a crf of 0.
    """

    kind: Literal["crf", "psnr", "vmaf", "size", "bitrate"]
    value: float

    def __post_init__(self):
        if self.value < 0 or (self.value == 0 and self.kind != "crf"):
            raise ValueError(f"{self.kind} is {self.value:g}; it must be above 0")

    @property
    def of_bytes(self) -> bool:
        """Whether it says how many bytes; otherwise it says how good."""
        return self.kind in ("size", "bitrate")

    def bytes(self, seconds: float) -> float:
        """The bytes that a film of so many seconds may have."""
        return self.value if self.kind == "size" else self.value * seconds / 8
