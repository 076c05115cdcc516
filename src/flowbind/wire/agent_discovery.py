"""Agent Advertisements and Agent Solicitations, which are ICMP (RFC 5944 2.1, 2.2; RFC 1256).

 0                   1                   2                   3
+---------------+---------------+-------------------------------+
|    Type 9     |  Code 0, 16   |           Checksum            |
+---------------+---------------+-------------------------------+
|   Num Addrs   | Addr Entry Sz |           Lifetime            |
+---------------+---------------+-------------------------------+
|       Router Address, Preference Level, for each of them      |
+---------------+---------------+-------------------------------+
|    Type 16    | Length 6+4*N  |        Sequence Number        |
+---------------+---------------+-------------------------------+
|     Registration Lifetime     |R|B|H|F|M|G|r|T|U|X|I|reserved |
+-------------------------------+-------------------------------+
|             Care-of Address, for each of them                 |
+---------------+---------------+-------------------------------+
|    Type 19    |   Length N    | a prefix length for each router address
+---------------+---------------+-------------------------------+

A Router Advertisement without the extension of type 16 is none of ours. Contrary to RFC 1256 there
may be no router address at all.
"""

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.errors import WireError
from flowbind.wire.iana import AgentFlag, DiscoveryExtensionType, IcmpType
from flowbind.wire.ipv4 import checksum_of

ROUTES_COMMON_TRAFFIC: Final = 0
ROUTES_NO_COMMON_TRAFFIC: Final = 16
LAST_SEQUENCE: Final = 0xFFFF
NEVER_A_DEFAULT: Final = -(1 << 31)
"""RFC 1256 5.1: the preference of a router address that is for certain destinations alone."""
SEQUENCE_AFTER_LAST: Final = 256
"""2.3.2: smaller ones are those of an agent that has begun anew."""

_HEAD: Final = struct.Struct("!BBHBBH")
_ROUTER: Final = struct.Struct("!4si")
_AGENT: Final = struct.Struct("!HHH")
_WORD_OCTETS: Final = 4
_ADDRESS_OCTETS: Final = 4
_FIRST_SKIPPABLE: Final = 128
_LONGEST_PREFIX: Final = 32
_PADDING: Final = int(DiscoveryExtensionType.PADDING)
_CODES: Final = frozenset({ROUTES_COMMON_TRAFFIC, ROUTES_NO_COMMON_TRAFFIC})


class Router(Frozen, frozen=True):
    """A router address. `prefix_length` is that of the Prefix-Lengths extension, if there is one.

    The `preference` is signed; the lowest of all says that it is no default router.
    """

    address: IPv4Address
    preference: int = 0
    prefix_length: int | None = None


class AgentAdvertisement(Frozen, frozen=True):
    """An agent offers its services on a link. `lifetime_s` is how long the advertisement holds,
    `registration_lifetime_s` what registrations may ask for.

    Of the router addresses all have a prefix length or none has.
    """

    sequence: int
    lifetime_s: int
    registration_lifetime_s: int
    flags: AgentFlag
    routers: tuple[Router, ...] = ()
    care_of_addresses: tuple[IPv4Address, ...] = ()
    code: int = ROUTES_COMMON_TRAFFIC

    def encode(self) -> bytes:
        """Encode the whole ICMP message."""
        size = _ROUTER.size // _WORD_OCTETS
        head = (int(IcmpType.ROUTER_ADVERTISEMENT), self.code)
        body = b"".join(
            (
                *[_ROUTER.pack(each.address.packed, each.preference) for each in self.routers],
                self._encode_agent(),
                self._encode_prefix_lengths(),
            )
        )
        # 2.1.3: an odd length is made even.
        body += bytes((_HEAD.size + len(body)) % 2)

        def message(checksum: int) -> bytes:
            return _HEAD.pack(*head, checksum, len(self.routers), size, self.lifetime_s) + body

        return message(checksum_of(message(0)))

    def _encode_agent(self) -> bytes:
        fixed = _AGENT.pack(self.sequence, self.registration_lifetime_s, self.flags)
        data = fixed + b"".join([each.packed for each in self.care_of_addresses])
        return bytes((DiscoveryExtensionType.MOBILITY_AGENT, len(data))) + data

    def _encode_prefix_lengths(self) -> bytes:
        lengths = [each.prefix_length for each in self.routers]
        known = bytes([each for each in lengths if each is not None])
        if not known or len(known) < len(lengths):
            return b""
        return bytes((DiscoveryExtensionType.PREFIX_LENGTHS, len(known))) + known


class AgentSolicitation(Frozen, frozen=True):
    """A node asks agents to advertise themselves: the very message that asks for routers."""

    def encode(self) -> bytes:
        """Encode the whole ICMP message."""
        message = bytes((IcmpType.ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0))
        return message[:2] + checksum_of(message).to_bytes(2, "big") + message[4:]


def decode_discovery(message: bytes) -> AgentAdvertisement | AgentSolicitation:
    """Decode an ICMP message. Raises WireError and nothing else."""
    if len(message) < _HEAD.size:
        raise WireError("truncated", f"{len(message)} octets are no Agent Advertisement")
    if checksum_of(message):
        raise WireError("icmp-checksum")
    if message[0] == IcmpType.ROUTER_SOLICITATION:
        if message[1]:
            raise WireError("icmp-code", str(message[1]))
        return AgentSolicitation()
    if message[0] != IcmpType.ROUTER_ADVERTISEMENT:
        raise WireError("icmp-type", str(message[0]))
    return _decode_advertisement(message)


def _decode_advertisement(message: bytes) -> AgentAdvertisement:
    _type, code, _checksum, count, size, lifetime_s = _HEAD.unpack_from(message)
    if code not in _CODES:
        raise WireError("icmp-code", str(code))
    entry_octets = size * _WORD_OCTETS
    start = _HEAD.size + count * entry_octets
    if (count and entry_octets < _ROUTER.size) or start > len(message):
        raise WireError("router-addresses", f"{count} of {size} words")
    found = dict(_extensions(message, start))
    agent = found.get(DiscoveryExtensionType.MOBILITY_AGENT)
    if agent is None:
        raise WireError("not-an-agent")
    if len(agent) < _AGENT.size or (len(agent) - _AGENT.size) % _ADDRESS_OCTETS:
        raise WireError("agent-extension-length", f"{len(agent)} octets")
    sequence, registration_lifetime_s, flags = _AGENT.unpack_from(agent)
    return AgentAdvertisement(
        sequence,
        lifetime_s,
        registration_lifetime_s,
        # 2.4: reserved bits are ignored.
        AgentFlag(flags & sum(AgentFlag)),
        _routers(message, count, entry_octets, found.get(DiscoveryExtensionType.PREFIX_LENGTHS)),
        tuple(_addresses(agent[_AGENT.size :])),
        code,
    )


def _extensions(message: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Yield type and data of each extension. Raises WireError.

    The numbers are a space of their own, with the range of those that may be skipped where that of
    the control messages is (1.8).
    """
    seen: set[int] = set()
    while at < len(message):
        kind = message[at]
        if kind == _PADDING:
            at += 1
            continue
        data = message[at + 2 : at + 2 + message[at + 1]] if at + 1 < len(message) else None
        if data is None or len(data) < message[at + 1]:
            raise WireError("truncated", f"extension {kind}")
        at += 2 + len(data)
        if kind in _KNOWN:
            if kind in seen:
                raise WireError("extension-repeated", str(kind))
            seen.add(kind)
            yield kind, data
        elif kind < _FIRST_SKIPPABLE:
            raise WireError("unknown-extension", str(kind))


_KNOWN: Final = frozenset(int(each) for each in DiscoveryExtensionType)


def _routers(
    message: bytes, count: int, entry_octets: int, prefix_lengths: bytes | None
) -> tuple[Router, ...]:
    if prefix_lengths is not None and (
        len(prefix_lengths) != count or any(each > _LONGEST_PREFIX for each in prefix_lengths)
    ):
        raise WireError("prefix-lengths", f"{prefix_lengths.hex()} for {count} addresses")
    routers: list[Router] = []
    for number in range(count):
        address, preference = _ROUTER.unpack_from(message, _HEAD.size + number * entry_octets)
        length = prefix_lengths[number] if prefix_lengths else None
        routers.append(Router(IPv4Address(address), preference, length))
    return tuple(routers)


def _addresses(data: bytes) -> Iterator[IPv4Address]:
    for at in range(0, len(data), _ADDRESS_OCTETS):
        yield IPv4Address(data[at : at + _ADDRESS_OCTETS])


def next_sequence(sequence: int) -> int:
    """Return the sequence number of the advertisement after this one (2.3.2)."""
    return SEQUENCE_AFTER_LAST if sequence == LAST_SEQUENCE else sequence + 1
