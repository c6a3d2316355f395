"""The net table of a file of version 3: every net once, and those alike by their differences."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

from stdo_min.format import netcode
from stdo_min.format.fields import Fields, SidecarError, limit, require, varint
from stdo_min.format.net import Net
from stdo_min.format.netcode import CodedNet
from stdo_min.format.plain_net import write_net

MAX_TABLE, MAX_CODE = 2**16 - 1, 2**24  # nets; bytes of one
_CRC = struct.Struct("<I")


class NetTable:
    """The nets of a file that is written: `data`, and the index of each by its plain bytes.

    Each is coded by its differences to the first that it fits, where that is shorter. Such nets stand right after it.
    """

    def __init__(self, nets: Iterable[Net]):
        """Raises ValueError for more nets than a table holds."""
        different = {write_net(net): net for net in sorted(nets, key=lambda net: net.planes)}  # chroma's come last
        limit("nets of the sidecar", len(different), 0, MAX_TABLE)
        families: list[list[tuple[bytes, Net, bytes]]] = []  # of the head and those coded by their differences to it
        for plain, net in different.items():
            family = next((family for family in families if netcode.fits(net, family[0][1])), None)
            alone = netcode.encode(net, None, families[-1][0][1].shape if families else None)
            code = netcode.encode(net, family[0][1]) if family else alone
            if family and len(code) < len(alone):
                family.append((plain, net, code))
            else:
                families.append([(plain, net, alone)])
        members = [member for family in families for member in family]
        self._index = {plain: index for index, (plain, _, _) in enumerate(members)}
        self.data = b"".join(varint(len(code)) + code for _, _, code in members)
        self.data += _CRC.pack(zlib.crc32(self.data)) if members else b""

    def __len__(self) -> int:
        return len(self._index)

    def index(self, net: Net) -> int:
        """The place of a net in the table."""
        return self._index[write_net(net)]


def read_table(fields: Fields, count: int, planes: int, outputs: int) -> tuple[CodedNet, ...]:
    """The table of a file of so many nets: their shapes and the crc are checked, and their numbers may be anything.

    planes, outputs: of every net but those for chroma. Raises SidecarError.
    """
    start, nets = fields.at, []
    alone = None  # the last net that is
    for _ in range(count):
        size = fields.varint("NET")
        require(1 <= size <= MAX_CODE, "NET", f"the code of a net has {size} bytes; it must have 1..{MAX_CODE}")
        code = fields.take(size)
        try:
            shape = netcode.read_shape(code, planes, outputs, alone and alone.shape)
        except ValueError as error:
            raise SidecarError("STDO_ERROR_NET", str(error)) from None
        require(not nets or shape.planes >= nets[-1].planes, "NET", "a net for luma comes after one for chroma")
        nets.append(CodedNet(code, shape, None if code[0] != netcode.DIFFERS else alone))
        alone = nets[-1] if code[0] != netcode.DIFFERS else alone
    if count:
        own = zlib.crc32(fields.data[start:fields.at])
        require(_CRC.unpack(fields.take(_CRC.size)) == (own,), "NET_CRC", "the crc of the net table is wrong")
    return tuple(nets)
