"""Mobile nodes by the thousand: their addresses, their keys, their requests.

Written from the RFCs with nothing but `struct` and `hmac`, so that the home agent is measured
against octets that its own code has not made (RFC 5944 3.3 and 3.5.2, RFC 7629 4.1).
"""

import hashlib
import hmac
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from msgspec import Struct

from bench.network import HOME_AGENT

HOME_NETWORK = IPv4Network("10.64.0.0/12")
SPI = 256
LIFETIME_S = 600

CARE_OF_NETWORK = IPv4Network("100.64.0.0/10")
_FIRST_HOST = 16
_REQUEST = struct.Struct("!BBH4s4s4sQ")
_REPLY = struct.Struct("!BBH4s4sQ")
_SIMULTANEOUS, _DECAPSULATES_ITSELF, _REVERSE_TUNNEL = 0x80, 0x20, 0x02
_FLAGS = _SIMULTANEOUS | _DECAPSULATES_ITSELF | _REVERSE_TUNNEL
_WLAN, _LABEL = 4, 1
_AUTHENTICATION = struct.pack("!BBI", 32, 20, SPI)
_AUTHENTICATOR_OCTETS = 16
_REPLY_OCTETS = _REPLY.size + len(_AUTHENTICATION) + _AUTHENTICATOR_OCTETS
_NTP_UNIX_OFFSET_S = 2_208_988_800
_STEP_S = 1e-6
_AGENT = IPv4Address(HOME_AGENT).packed


class Request(Struct, frozen=True):
    """A request ready to be sent. `answer` is what the reply to it has at its octets 4 to 20."""

    payload: bytes
    answer: bytes


def home_address(node: int) -> bytes:
    """Return the home address of a node, by its number."""
    return (HOME_NETWORK[_FIRST_HOST + node]).packed


def key(node: int) -> bytes:
    """Return the key of a node, no secret of anyone's."""
    return hashlib.md5(b"mobile node %d" % node, usedforsecurity=False).digest()


def keys(nodes: int) -> dict[bytes, bytes]:
    """Return the key of each home address."""
    return {home_address(node): key(node) for node in range(nodes)}


def configuration(nodes: int) -> str:
    """Return the tables of a home agent's configuration that name these nodes."""
    return "".join(
        f'\n[[mobile-node]]\nhome-address = "{IPv4Address(home_address(node))}"\n'
        f'spi = {SPI}\nkey = "{key(node).hex()}"\ntimestamp-tolerance = "1m"\n'
        for node in range(nodes)
    )


def requests(nodes: Iterable[int], now: float, count: int, bid: int = 1) -> list[Request]:
    """Return `count` requests of these nodes in turn, each stamped later than the one before.

    Each BID has a care-of address of its own.
    """
    multipath = bytes((154, 1, 0, 4, _WLAN, _LABEL, bid, 0))
    senders = [(home_address(node), care_of_address(node, bid).packed, key(node)) for node in nodes]
    return [
        _request(*senders[at % len(senders)], multipath, _timestamp(now + at * _STEP_S))
        for at in range(count)
    ]


def care_of_address(node: int, bid: int) -> IPv4Address:
    """Return the care-of address of a path of a node, by the numbers of both."""
    of_bid = (bid - 1) * HOME_NETWORK.num_addresses
    return CARE_OF_NETWORK[_FIRST_HOST + node + of_bid]


def _timestamp(moment_s: float) -> int:
    return int((moment_s + _NTP_UNIX_OFFSET_S) * (1 << 32))


def _request(
    home: bytes, care_of: bytes, secret: bytes, multipath: bytes, identification: int
) -> Request:
    fixed = _REQUEST.pack(1, _FLAGS, LIFETIME_S, home, _AGENT, care_of, identification)
    covered = fixed + multipath + _AUTHENTICATION
    answer = home + _AGENT + identification.to_bytes(8, "big")
    return Request(covered + hmac.digest(secret, covered, "md5"), answer)


def reply_to(payload: bytes, secret: bytes) -> bytes | None:
    """Return the reply that accepts a request, None if it is not authentic."""
    covered, authenticator = payload[:-_AUTHENTICATOR_OCTETS], payload[-_AUTHENTICATOR_OCTETS:]
    if not hmac.compare_digest(hmac.digest(secret, covered, "md5"), authenticator):
        return None
    _, _, lifetime, home, agent, _, identification = _REQUEST.unpack_from(payload)
    reply = _REPLY.pack(3, 0, lifetime, home, agent, identification) + _AUTHENTICATION
    return reply + hmac.digest(secret, reply, "md5")


def accepts(reply: bytes) -> bool:
    """Tell whether a reply has the form of an acceptance (code 0) and nothing else."""
    return reply[:2] == b"\x03\x00" and len(reply) == _REPLY_OCTETS


def is_authentic(reply: bytes, secret: bytes) -> bool:
    """Tell whether the home agent of this node has made the reply."""
    expected = hmac.digest(secret, reply[:-_AUTHENTICATOR_OCTETS], "md5")
    return hmac.compare_digest(expected, reply[-_AUTHENTICATOR_OCTETS:])
