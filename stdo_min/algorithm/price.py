"""The currency of every choice: J = D + lambda R, squared error of luma and bytes of the file.

Lambda is what a byte is worth to the codec itself, by the slope of its own curve of quality over bytes (Sullivan and
Wiegand, IEEE Signal Processing Magazine 15/6, 1998). So a net or a map is shipped where it saves more error than the
same bytes would in the lr video.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# dB that each e-fold of the bytes gains, where it was not measured: 1 % is worth 0.04 dB (bunny and cockatoo, x264 and
# x265: 0.03 to 0.05).
DB_PER_LOG = 4.0
MAP_BITS = 0.04  # a patch, of the map of several nets whose labels know their price; to foretell it
SHOWN = 0.5  # of what more nets gain in the end, a short trial shows about half; what does not pay is left out later


@dataclass(frozen=True)
class Price:
    """What a segment's bytes are worth.

    lr_bytes: of its lr video. pixels, patches: of luma, in all its frames. db_per_log: the codec's slope.
    """

    lr_bytes: int
    pixels: int
    patches: int
    db_per_log: float = DB_PER_LOG

    def of_bit(self, error: float) -> float:
        """Lambda for a bit: the squared error that one more bit of lr video would save, where there is `error`."""
        return error * math.log(10) / 10 * self.db_per_log / (8 * max(self.lr_bytes, 1))

    def foretold(self, mean_error: float, net_bytes: int, nets: int) -> float:
        """J, as a mean squared error, of nets that a short trial left with one; their map is not known yet."""
        bits = SHOWN * (8 * net_bytes + (MAP_BITS * self.patches if nets > 1 else 0.0))
        return mean_error + self.of_bit(mean_error * self.pixels) * bits / self.pixels
