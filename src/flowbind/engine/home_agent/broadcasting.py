"""Broadcasts of the home link, for nodes that asked for them by the B bit (RFC 5944 4.3).

A broadcast is one packet for each such node, and follows the rules of that node as a packet from
its sender to the home address would. Nothing of it is changed: the node is to see what it would see
at home, where no router has passed it on, so its TTL stays too.
"""

from collections import Counter
from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Final

from msgspec import structs

from flowbind.effects import Effect, SendThroughTunnel
from flowbind.engine.home_agent.projection import project
from flowbind.engine.refusal import Refused
from flowbind.events import BroadcastHeard
from flowbind.model.binding import Broadcasts, NodeRecord
from flowbind.model.config import HomeAgentConfig, MobileNodeEntry
from flowbind.model.decision import PROTOCOLS_WITH_PORTS, decide, paths_taken
from flowbind.model.decision import Packet as Inner
from flowbind.model.tunnel import LINK_MTU, Balance, Path, overhead
from flowbind.wire.errors import WireError
from flowbind.wire.iana import MOBILE_IP_PORT, IcmpType
from flowbind.wire.ipv4 import Packet, checksum_of, decode_packet

COPIES_A_SECOND: Final = 500
"""How many packets may be sent for broadcasts, on average and at once. A broadcast that is begun is
finished, and what it takes too much is missing from the next seconds.
"""

_EVERYBODY: Final = IPv4Address("255.255.255.255")
_ICMP: Final = 1
_IP_IN_IP: Final = 4
_UDP: Final = 17
_DISCOVERY: Final = frozenset({IcmpType.ROUTER_ADVERTISEMENT, IcmpType.ROUTER_SOLICITATION})


class Broadcasting:
    """Forwards what is broadcast on the home link."""

    def __init__(
        self,
        config: HomeAgentConfig,
        entries: Mapping[IPv4Address, MobileNodeEntry],
        records: Mapping[IPv4Address, NodeRecord],
        statistics: Counter[str],
    ) -> None:
        self._config = config
        self._entries = entries
        self._records = records
        self._statistics = statistics
        self._everybodies = {_EVERYBODY, *(net.broadcast_address for net in config.home_networks)}
        # The nodes that asked, in the order in which they did.
        self._listening: dict[IPv4Address, None] = {}
        self._allowed = float(COPIES_A_SECOND)
        self._allowed_at = float("-inf")

    def follow(self, record: NodeRecord) -> None:
        """A node's bindings have changed."""
        if any(each.broadcasts is not Broadcasts.NONE for each in record.bindings):
            self._listening[record.home_address] = None
        else:
            self._listening.pop(record.home_address, None)

    def heard(self, event: BroadcastHeard, now: float) -> list[Effect]:
        """Take in one broadcast. One that nobody asked for is no business of ours."""
        if not self._listening or event.interface != self._config.home_link:
            return []
        try:
            packet = self._checked(event.packet)
            self._check_rate(now)
        except (Refused, WireError) as refusal:
            self._refuse(refusal.reason)
            return []
        octets = event.packet[: int.from_bytes(event.packet[2:4], "big")]
        effects: list[Effect] = []
        for home_address in self._listening:
            effects += self._to_node(self._records[home_address], packet, octets)
        self._allowed -= len(effects)
        self._statistics["broadcast_forwarded"] += len(effects)
        return effects

    def _refuse(self, reason: str) -> None:
        self._statistics[f"broadcast_refused_{reason}"] += 1

    def _checked(self, octets: bytes) -> Packet:
        """Decode a broadcast that is to be forwarded. Raises Refused or WireError."""
        packet = decode_packet(octets)
        if checksum_of(octets[: (octets[0] & 0x0F) * 4]):
            raise Refused("checksum")
        if packet.destination not in self._everybodies:
            raise Refused("not-a-broadcast")
        if not packet.ttl:
            # RFC 2003 3.1: such a packet must not be encapsulated.
            raise Refused("ttl")
        away = self._records.get(packet.source)
        if packet.source == self._config.address or (away and away.bindings):
            # Our own, or it came out of a tunnel of ours.
            raise Refused("loop")
        if _is_about_the_link(packet):
            raise Refused("mobile-ip")
        return packet

    def _check_rate(self, now: float) -> None:
        gained = (now - self._allowed_at) * COPIES_A_SECOND
        self._allowed = min(self._allowed + gained, float(COPIES_A_SECOND))
        self._allowed_at = now
        if self._allowed <= 0:
            raise Refused("rate")

    def _to_node(self, record: NodeRecord, packet: Packet, octets: bytes) -> list[Effect]:
        """4.3: to the care-of address, or first within a unicast packet to the home address.

        Of several paths that asked it takes the one that the node's rules give it.
        """
        asked = [each for each in record.bindings if each.broadcasts is not Broadcasts.NONE]
        entry = self._entries[record.home_address]
        node = project(self._config, entry, structs.replace(record, bindings=tuple(asked)))
        assert node is not None  # noqa: S101 -- who listens has a binding
        # There is no choosing at random here, and no need to.
        node = structs.replace(node, balance=Balance.FLOW)
        decision = decide(node, _as_if_to(record.home_address, packet))
        if decision.verdict != "forward":
            self._refuse("rule")
            return []
        nested = {each.care_of_address for each in asked if each.broadcasts is Broadcasts.NESTED}
        effects: list[Effect] = []
        for path in paths_taken(node, decision):
            inner = self._within_unicast(record, octets) if path.remote in nested else octets
            effects += self._into(path, packet, inner)
        return effects

    def _within_unicast(self, record: NodeRecord, octets: bytes) -> bytes:
        return Packet(self._config.address, record.home_address, _IP_IN_IP, octets).encode()

    def _into(self, path: Path, packet: Packet, inner: bytes) -> list[Effect]:
        """Send into a tunnel, unless it came from its far end (RFC 2003 3.2) or does not fit."""
        if packet.source == path.remote:
            self._refuse("loop")
            return []
        if len(inner) > LINK_MTU - overhead(path):
            self._refuse("too-big")
            return []
        return [SendThroughTunnel(path, inner)]


def _is_about_the_link(packet: Packet) -> bool:
    """Tell whether a packet is Mobile IP's own: discovery and registration are about the link that
    they are heard on, and a node that is away must not take it for one of its own.
    """
    if packet.protocol == _ICMP:
        return packet.data[:1] in {bytes((each,)) for each in _DISCOVERY}
    return packet.protocol == _UDP and packet.data[2:4] == MOBILE_IP_PORT.to_bytes(2, "big")


def _as_if_to(home_address: IPv4Address, packet: Packet) -> Inner:
    ports = packet.data[:4] if packet.protocol in PROTOCOLS_WITH_PORTS else b""
    return Inner(
        remote=packet.source,
        local=home_address,
        protocol=packet.protocol,
        remote_port=int.from_bytes(ports[:2], "big"),
        local_port=int.from_bytes(ports[2:], "big"),
        dscp=packet.traffic_class >> 2,
    )
