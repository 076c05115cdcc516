"""The UDP Tunnel Request and Reply extensions (RFC 3519 sections 3.1 and 3.2).

Request  Type 144, Length 6, Sub-Type, Reserved 1, F R Reserved 2, Encapsulation, Reserved 3 (2)
Reply    Type 44, Length 6, Sub-Type, Reply Code, F Reserved (2), Keepalive Interval (2)

A request whose Reserved 3 is not 0 is one that nobody understands yet, and skipped: that is a MUST
of 3.1.3, against a SHOULD of 4.6.1, by which it would be denied.
"""

import struct
from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.errors import WireError
from flowbind.wire.iana import ExtensionType

SUBTYPE: Final = 0
ASSENTING: Final = range(64)
"""The Reply Codes by which a home agent says that it will tunnel in UDP."""
WILL_DO_TUNNELLING: Final = 0
TUNNELLING_DECLINED: Final = 64

_REQUEST: Final = struct.Struct("!BxBBH")
_REPLY: Final = struct.Struct("!BBHH")
_FORCE: Final = 0x80
_THROUGH_FOREIGN_AGENT: Final = 0x40
_FORCED: Final = 0x8000
_UNKNOWN: Final = "unknown-udp-tunnel-extension"


class UdpTunnelRequest(Frozen, frozen=True):
    """The sender takes tunnels in UDP. `encapsulation` is an IP protocol, 0 as M and G say.

    `force` (F) asks for one with or without a NAT, `through_foreign_agent` (R) tells that the
    request comes by a foreign agent and the tunnel will not.
    """

    encapsulation: int = 0
    force: bool = False
    through_foreign_agent: bool = False

    @staticmethod
    def decode(data: bytes) -> "UdpTunnelRequest":
        """Decode the octets behind Length. Raises WireError for what is to be skipped."""
        if len(data) != _REQUEST.size:
            raise WireError(_UNKNOWN, f"{len(data)} octets instead of {_REQUEST.size}")
        subtype, flags, encapsulation, reserved = _REQUEST.unpack(data)
        if subtype != SUBTYPE or reserved:
            raise WireError(_UNKNOWN, f"subtype {subtype}, Reserved 3 {reserved}")
        return UdpTunnelRequest(
            encapsulation, bool(flags & _FORCE), bool(flags & _THROUGH_FOREIGN_AGENT)
        )

    def encode(self) -> bytes:
        """Encode the whole extension."""
        flags = (_FORCE if self.force else 0) | (
            _THROUGH_FOREIGN_AGENT if self.through_foreign_agent else 0
        )
        data = _REQUEST.pack(SUBTYPE, flags, self.encapsulation, 0)
        return bytes((int(ExtensionType.UDP_TUNNEL_REQUEST), len(data))) + data


class UdpTunnelReply(Frozen, frozen=True):
    """Whether the home agent will tunnel in UDP. `keepalive_interval_s` 0: the node's own default.

    `forced` (F): because the request wanted it, NAT or not.
    """

    code: int
    keepalive_interval_s: int = 0
    forced: bool = False

    @property
    def assents(self) -> bool:
        """Whether there will be a tunnel in UDP (3.2.1)."""
        return self.code in ASSENTING

    @staticmethod
    def decode(data: bytes) -> "UdpTunnelReply":
        """Decode the octets behind Length. Raises WireError: it may not be skipped."""
        if len(data) != _REPLY.size:
            raise WireError(_UNKNOWN, f"{len(data)} octets instead of {_REPLY.size}")
        subtype, code, flags, interval_s = _REPLY.unpack(data)
        if subtype != SUBTYPE:
            raise WireError(_UNKNOWN, f"subtype {subtype}")
        return UdpTunnelReply(code, interval_s, bool(flags & _FORCED))

    def encode(self) -> bytes:
        """Encode the whole extension."""
        flags = _FORCED if self.forced else 0
        data = _REPLY.pack(SUBTYPE, self.code, flags, self.keepalive_interval_s)
        return bytes((int(ExtensionType.UDP_TUNNEL_REPLY), len(data))) + data
