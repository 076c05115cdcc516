"""What was said on UDP port 434, from a capture, and a second opinion on it.

tshark misreads extension type 154 (it takes it for a short one), so it is given a copy of the
capture from which those extensions are cut, lengths and checksums made good. On what remains it
must see no malformed packet and the same fields as we do.
"""

import struct
import xml.etree.ElementTree as ET
from ipaddress import IPv4Address
from pathlib import Path

from msgspec import Struct

from flowbind.lab import topology
from flowbind.lab.capture import PcapTail
from flowbind.wire.authentication import Authentication
from flowbind.wire.errors import WireError
from flowbind.wire.message import Message, decode, first, without_type_154
from flowbind.wire.multipath import Multipath
from flowbind.wire.registration import RegistrationReply, RegistrationRequest

_PORT = 434
_UDP = 17
_UDP_HEADER = struct.Struct("!HHHH")
_UDP_OCTETS = 8
_PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
_ETHERNET_HEADER = bytes.fromhex("020000000001020000000002" + "0800")
_LOW_32_BITS = 0xFFFFFFFF


class Signal(Struct, frozen=True):
    """One datagram of the signalling. `message` is None where `refusal` says why."""

    at: float
    packet: bytes
    payload: bytes
    message: Message | None
    refusal: str = ""

    @property
    def source(self) -> str:
        """The address that it was sent from."""
        return str(IPv4Address(self.packet[12:16]))


class Exchange(Struct, frozen=True):
    """A Registration Request, the address it came from, and the reply, if there was one."""

    at: float
    source: str
    request: RegistrationRequest
    reply: RegistrationReply | None

    @property
    def multipath(self) -> Multipath | None:
        """The Multipath extension of the request."""
        return first(self.request, Multipath)

    @property
    def accepted(self) -> bool:
        """Tell whether the home agent answered with code 0."""
        return self.reply is not None and self.reply.code == 0


class SignallingTail:
    """The signalling, read while it is being captured."""

    def __init__(self, path: Path) -> None:
        self._tail = PcapTail(path)
        self.signals: list[Signal] = []

    def poll(self) -> None:
        """Take in what has been captured since the last time."""
        self.signals += [each for at, packet in self._tail.poll() if (each := _signal(at, packet))]

    def exchanges(self, since: float = 0.0) -> list[Exchange]:
        """Pair the requests sent since a moment with their replies, by Identification.

        A reply carries no BID (RFC 7629 4.1); the low 32 bits of Identification are the request's.
        """
        self.poll()
        replies = {
            each.message.identification & _LOW_32_BITS: each.message
            for each in self.signals
            if isinstance(each.message, RegistrationReply)
        }
        return [
            Exchange(
                each.at,
                each.source,
                each.message,
                replies.get(each.message.identification & _LOW_32_BITS),
            )
            for each in self.signals
            if isinstance(each.message, RegistrationRequest) and each.at >= since
        ]

    def refused(self) -> list[str]:
        """Say of each datagram that could not be decoded why not."""
        self.poll()
        return [each.refusal for each in self.signals if each.message is None]


def _signal(at: float, packet: bytes) -> Signal | None:
    start = (packet[0] & 0x0F) * 4
    if packet[9] != _UDP or len(packet) < start + _UDP_OCTETS:
        return None
    source, destination, length, _ = _UDP_HEADER.unpack_from(packet, start)
    if _PORT not in {source, destination}:
        return None
    payload = packet[start + _UDP_OCTETS : start + length]
    try:
        return Signal(at, packet, payload, decode(payload))
    except WireError as error:
        return Signal(at, packet, payload, None, str(error))


def write_without_type_154(signals: list[Signal], path: Path) -> None:
    """Write the copy for tshark: the same datagrams without the extensions of RFC 7629."""
    with path.open("wb") as file:
        file.write(_PCAP_HEADER)
        for each in signals:
            frame = _ETHERNET_HEADER + _with_payload(each.packet, without_type_154(each.payload))
            seconds, fraction = divmod(each.at, 1)
            header = struct.pack("<IIII", int(seconds), int(fraction * 1e6), len(frame), len(frame))
            file.write(header + frame)


def _with_payload(packet: bytes, payload: bytes) -> bytes:
    start = (packet[0] & 0x0F) * 4
    length = _UDP_OCTETS + len(payload)
    source, destination, _, _ = _UDP_HEADER.unpack_from(packet, start)
    pseudo_header = packet[12:20] + struct.pack("!BBH", 0, _UDP, length)
    datagram = _UDP_HEADER.pack(source, destination, length, 0) + payload
    checksum = _checksum(pseudo_header + datagram) or 0xFFFF
    datagram = _UDP_HEADER.pack(source, destination, length, checksum) + payload
    header = bytearray(packet[:start])
    header[2:4] = struct.pack("!H", start + length)
    header[10:12] = bytes(2)
    header[10:12] = struct.pack("!H", _checksum(bytes(header)))
    return bytes(header) + datagram


def _checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    words: tuple[int, ...] = struct.unpack(f"!{len(data) // 2}H", data)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def disagreements_of_tshark(signals: list[Signal], path: Path) -> list[str]:
    """Have tshark read the copy at `path`; say where it sees anything else than we do."""
    write_without_type_154(signals, path)
    root = ET.fromstring(  # noqa: S314 - the document comes from tshark on this machine
        topology.run(
            ["tshark", "-r", str(path), "-T", "pdml", "-o", "udp.check_checksum:TRUE",
             "-o", "ip.check_checksum:TRUE"]
        )
    )  # fmt: skip
    packets = root.findall("packet")
    if len(packets) != len(signals):
        return [f"tshark sees {len(packets)} packets, we see {len(signals)}"]
    found: list[str] = []
    for number, (packet, signal) in enumerate(zip(packets, signals, strict=True), start=1):
        found += [f"packet {number}: {what}" for what in _disagreements(packet, signal)]
    return found


def _disagreements(packet: ET.Element, signal: Signal) -> list[str]:
    if signal.message is None:
        return [f"we refuse it: {signal.refusal}"]
    shown = {
        name: field.get("value", "")
        for field in packet.iter("field")
        if (name := field.get("name", ""))
    }
    found = [
        f"tshark: {name}" for name in shown if name.startswith(("_ws.malformed", "_ws.expert"))
    ]
    found += [
        "tshark: malformed"
        for proto in packet.iter("proto")
        if proto.get("name") == "_ws.malformed"
    ]
    for name, ours in _fields(signal.message).items():
        theirs = shown.get(name)
        if theirs != ours:
            found.append(f"{name}: tshark {theirs}, we {ours}")
    return found


def _fields(message: Message) -> dict[str, str]:
    fields = {"mip.homeaddr": message.home_address.packed.hex()}
    if isinstance(message, RegistrationRequest | RegistrationReply):
        fields["mip.haaddr"] = message.home_agent.packed.hex()
        fields["mip.life"] = f"{message.lifetime_s:04x}"
        fields["mip.ident"] = f"{message.identification:016x}"
    if isinstance(message, RegistrationRequest):
        fields["mip.flags"] = f"{int(message.flags):02x}"
        fields["mip.coa"] = message.care_of_address.packed.hex()
    elif isinstance(message, RegistrationReply):
        fields["mip.code"] = f"{int(message.code):02x}"
    authentication = first(message, Authentication)
    if authentication is not None:
        fields["mip.auth.spi"] = f"{authentication.spi:08x}"
        fields["mip.auth.auth"] = authentication.authenticator.hex()
    return fields
