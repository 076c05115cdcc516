"""Packets, as scapy builds them: an independent eye on what the programs write."""

from scapy.fields import BitField, ByteField, ConditionalField, IPField, XShortField
from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import checksum

from flowbind.model.binding import Encapsulation
from tests.dataplane.nodes import AGENT, CORRESPONDENT, HOME

CARE_OF = "192.0.2.1"
# The loopback, where test packets come in, has this address.
TO_US = "00:00:00:00:00:00"


class Forwarding(Packet):  # type: ignore[misc]
    """The forwarding header of RFC 2004 3, which scapy does not know."""

    fields_desc = (
        ByteField("proto", 0),
        BitField("s", 1, 1),
        BitField("reserved", 0, 7),
        XShortField("chksum", None),
        IPField("dst", CARE_OF),
        ConditionalField(IPField("src", CARE_OF), lambda packet: packet.s),
    )

    def post_build(self, packet, payload):
        if self.chksum is None:
            packet = packet[:2] + checksum(packet).to_bytes(2, "big") + packet[4:]
        return packet + payload


def minimal(inner: Packet, src: str, dst: str, **changes) -> Packet:
    """Build what RFC 2004 makes of a packet: the header stays, but for the addresses."""
    inner = IP(bytes(inner))
    outer = inner.copy()
    outer.remove_payload()
    outer.src, outer.dst, outer.proto, outer.len, outer.chksum = src, dst, 55, None, None
    fields = {"proto": inner.proto, "dst": inner.dst} | changes
    fields |= {"s": 0} if inner.src == src else {"src": inner.src}
    return outer / Forwarding(**fields) / Raw(bytes(inner)[20:])


def goes_whole(inner: Packet) -> bool:
    """Tell what may not have a forwarding header, or has none here."""
    return bool(inner.options or inner.frag or inner.flags.MF)


def frame(packet: Packet) -> Packet:
    return Ether(dst=TO_US, src="02:00:00:00:00:01", type=0x0800) / packet


def down(payload: Packet | None = None, **changes) -> Packet:
    """Build a packet from the correspondent to the home address."""
    fields = {"src": str(CORRESPONDENT), "dst": str(HOME), "ttl": 63, "flags": "DF", "id": 7}
    payload = payload or UDP(sport=5004, dport=40000) / Raw(b"downlink, of a length")
    return IP(**(fields | changes)) / payload


def up(payload: Packet | None = None, **changes) -> Packet:
    """Build a packet from the home address to the correspondent."""
    changes = {"src": str(HOME), "dst": str(CORRESPONDENT), "ttl": 64} | changes
    return down(payload or UDP(sport=40000, dport=5004) / Raw(b"uplink"), **changes)


def tunnelled(inner: Packet, encapsulation: Encapsulation, **changes) -> Packet:
    """Build the outer packet around an inner one as the home agent shall send it."""
    fields = {"src": str(AGENT), "dst": CARE_OF, "ttl": 64, "flags": "DF", "id": 0}
    fields |= changes
    if encapsulation is Encapsulation.MINIMAL and not goes_whole(inner):
        return minimal(inner, str(fields["src"]), str(fields["dst"]))
    outer = IP(**fields)
    if encapsulation is Encapsulation.GRE:
        return outer / GRE(proto=0x0800) / inner
    outer.proto = 4
    return outer / inner


def to_agent(inner: Packet, encapsulation: Encapsulation = Encapsulation.IP_IN_IP, **changes):
    """Build what a mobile node sends through its tunnel."""
    return tunnelled(inner, encapsulation, **({"src": CARE_OF, "dst": str(AGENT)} | changes))


def ping(**changes) -> Packet:
    """Build a keepalive: an echo request from the home address to the home agent."""
    return up(ICMP(id=9, seq=3) / Raw(b"keepalive"), dst=str(AGENT), **changes)


def tcp(payload: int = 100, **changes) -> Packet:
    return down(TCP(sport=80, dport=50000, flags="A", seq=1) / Raw(bytes(payload)), **changes)


def reread(data: bytes) -> Packet:
    """Read a frame again, with every checksum left for scapy to compute."""
    return Ether(data)
