"""ICMP errors from within the tunnels (RFC 2003 4), and what is kept of each tunnel (RFC 2003 5).

Whoever sent a packet is told what happened to it in a tunnel that he knows nothing of. An error is
not authenticated; so it is believed only if it quotes a packet that this end may have sent into
that very tunnel, and it may only make packets smaller, never below what every link carries.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from typing import Final

from msgspec import Struct, structs

from flowbind.effects import Effect, LimitTunnel, Log, SendIcmpError
from flowbind.engine.deadlines import Deadlines
from flowbind.events import TunnelErrorHeard
from flowbind.model.binding import Encapsulation
from flowbind.model.tunnel import SMALLEST_LINK_MTU, NodeForwarding, Path, overhead
from flowbind.wire.errors import WireError
from flowbind.wire.iana import IcmpType
from flowbind.wire.icmp_error import (
    GRE,
    IP_IN_IP,
    LEAST_QUOTED,
    MINIMAL,
    IcmpError,
    QuotedTunnel,
)

STATE_LIFE_S: Final = 600.0
"""How long something is believed of a tunnel. Then more is tried again (RFC 1191 6.3)."""
ERRORS_A_SECOND: Final = 100
"""How many errors are heeded, on average and at once."""

_UNREACHABLE: Final = IcmpType.DESTINATION_UNREACHABLE
_TOO_BIG: Final = 4
_RELAYED: Final[dict[tuple[int, int], tuple[int, int]]] = {
    # RFC 2003 4.1. The sender has not heard of the protocol of the tunnel (code 2).
    (_UNREACHABLE, 0): (_UNREACHABLE, 0),
    (_UNREACHABLE, 1): (_UNREACHABLE, 1),
    (_UNREACHABLE, 2): (_UNREACHABLE, 0),
    (_UNREACHABLE, _TOO_BIG): (_UNREACHABLE, _TOO_BIG),
    # Codes of RFC 1122 and RFC 1812, each by whether it is about a network or about a host.
    (_UNREACHABLE, 6): (_UNREACHABLE, 0),
    (_UNREACHABLE, 7): (_UNREACHABLE, 1),
    (_UNREACHABLE, 9): (_UNREACHABLE, 0),
    (_UNREACHABLE, 10): (_UNREACHABLE, 1),
    (_UNREACHABLE, 11): (_UNREACHABLE, 0),
    (_UNREACHABLE, 12): (_UNREACHABLE, 1),
    (_UNREACHABLE, 13): (_UNREACHABLE, 0),
    # RFC 2003 4.4. Code 1 is of the far end, which lacked a fragment.
    (IcmpType.TIME_EXCEEDED, 0): (_UNREACHABLE, 1),
}
"""What the sender of a packet is told. Port unreachable, a failed source route, source quench and
redirects are never relayed (4.1 to 4.3), nor is a problem of the outer header (4.5)."""

_WORDS: Final = {
    0: "network unreachable",
    1: "host unreachable",
    2: "protocol unreachable",
    9: "prohibited",
    10: "prohibited",
    13: "prohibited",
}
_PLATEAUS: Final = (32000, 17914, 8166, 4352, 2002, 1492, 1006, SMALLEST_LINK_MTU)
"""RFC 1191 7: what a router takes that does not say."""
_ENCAPSULATIONS: Final = {
    IP_IN_IP: (Encapsulation.IP_IN_IP, Encapsulation.MINIMAL),
    GRE: (Encapsulation.GRE,),
    MINIMAL: (Encapsulation.MINIMAL,),
}
_ICMP: Final = 1
_ICMP_ERRORS: Final = frozenset({3, 4, 5, 11, 12})
_OFFSET: Final = 0x1FFF
_IPV4: Final = 4
_HEADER_OCTETS: Final = 20
_SOURCE: Final = slice(12, 16)
_DESTINATION: Final = slice(16, 20)
_SEARCH_INTERVAL_S: Final = 10.0

Tunnel = tuple[IPv4Address, IPv4Address, IPv4Address]
"""The home address, and the outer addresses, the near one first."""


class TunnelState(Struct, frozen=True):
    """What is believed of a tunnel: until `mtu_until` that it takes no more than `mtu` octets, and
    what was wrong last, by type and code of the error, and when.
    """

    mtu: int | None = None
    mtu_until: float = 0.0
    error: tuple[int, int] | None = None
    error_at: float = float("-inf")


_NOTHING: Final = TunnelState()


class TunnelErrors:
    """Hears the errors of all tunnels of one end.

    `forwarding` returns what is forwarded for a home address, `all_forwarding` that of every node.
    `of_node` tells that this is the node's own end, whose packets come from the home address;
    those of a home agent go there.
    """

    def __init__(
        self,
        forwarding: Callable[[IPv4Address], NodeForwarding | None],
        all_forwarding: Callable[[], Iterable[NodeForwarding]],
        statistics: Counter[str],
        *,
        of_node: bool,
    ) -> None:
        self._forwarding = forwarding
        self._all_forwarding = all_forwarding
        self._statistics = statistics
        self._of_node = of_node
        self._states: dict[Tunnel, TunnelState] = {}
        self._ends: Deadlines[Tunnel] = Deadlines()
        self._allowed: float = ERRORS_A_SECOND
        self._allowed_at = float("-inf")
        self._searched_at = float("-inf")

    def state(self, home_address: IPv4Address, path: Path) -> TunnelState:
        """Return what is believed of a tunnel."""
        return self._states.get((home_address, path.local, path.remote), _NOTHING)

    def heard(self, event: TunnelErrorHeard, now: float) -> list[Effect]:
        """Take in one ICMP error."""
        try:
            error = IcmpError.decode(event.message)
            quoted = QuotedTunnel.decode(error.quoted)
        except WireError as wrong:
            self._statistics[f"discarded_{wrong.reason}"] += 1
            return []
        told = _RELAYED.get((error.type, error.code))
        found = self._find(quoted, now) if told else None
        reason = self._why_not(error, quoted, now) if found else "tunnel_error_elsewhere"
        if told is None or found is None or reason:
            self._statistics["tunnel_error_ignored" if told is None else reason] += 1
            return []
        self._statistics["tunnel_error"] += 1
        home_address, path = found
        mtu = _mtu_of(error, quoted)
        noted = self._note(home_address, path, error, mtu, now)
        return [*noted, *self._relayed(told, quoted, path, mtu)]

    def _why_not(self, error: IcmpError, quoted: QuotedTunnel, now: float) -> str:
        """Return the counter of why an error about one of our tunnels is not heeded, else ""."""
        too_big = error.code == _TOO_BIG
        # A router cuts up what may be cut up, and complains of nothing that fits.
        if too_big and (not quoted.whole or error.mtu >= quoted.length):
            return "tunnel_error_untrue"
        passed_s = now - self._allowed_at
        allowed: float = min(ERRORS_A_SECOND, self._allowed + passed_s * ERRORS_A_SECOND)
        self._allowed, self._allowed_at = allowed, now
        if allowed < 1:
            return "tunnel_error_too_many"
        self._allowed -= 1
        return ""

    def _find(self, quoted: QuotedTunnel, now: float) -> tuple[IPv4Address, Path] | None:
        """Find the tunnel that a packet was in, and whose it is."""
        for node in self._nodes(quoted, now):
            for path in node.paths:
                ends = path.local, path.remote, path.local_port, path.remote_port
                if (
                    ends == (quoted.local, quoted.remote, quoted.local_port, quoted.remote_port)
                    and path.encapsulation in _ENCAPSULATIONS[quoted.protocol]
                ):
                    return node.home_address, path
        return None

    def _nodes(self, quoted: QuotedTunnel, now: float) -> Iterable[NodeForwarding]:
        """Return the node that a packet is from or to. Where it is not quoted, that may be any."""
        if len(quoted.inner) >= _HEADER_OCTETS:
            at = _SOURCE if self._of_node else _DESTINATION
            node = self._forwarding(IPv4Address(quoted.inner[at]))
            return (node,) if node else ()
        # Routers quote more since RFC 1812. So it need not be fast, only not too often.
        if not self._of_node and now - self._searched_at < _SEARCH_INTERVAL_S:
            return ()
        self._searched_at = now
        return self._all_forwarding()

    def _note(
        self, home_address: IPv4Address, path: Path, error: IcmpError, mtu: int, now: float
    ) -> list[Effect]:
        tunnel = home_address, path.local, path.remote
        before = self._states.get(tunnel, _NOTHING)
        after = structs.replace(before, error=(error.type, error.code), error_at=now)
        effects: list[Effect] = []
        if mtu and (before.mtu is None or mtu <= before.mtu):
            after = structs.replace(after, mtu=mtu, mtu_until=now + STATE_LIFE_S)
            effects.append(LimitTunnel(home_address, path.local, path.remote, mtu))
            if mtu != before.mtu:
                text = f"{home_address}: the tunnel to {path.remote} takes {mtu} octets"
                effects.append(Log("info", text))
        self._states[tunnel] = after
        self._ends.set(tunnel, _end_of(after))
        return effects

    def _relayed(
        self, told: tuple[int, int], quoted: QuotedTunnel, path: Path, mtu: int
    ) -> list[Effect]:
        """Tell the sender of the packet in the tunnel, if enough of it is quoted (RFC 2003 4)."""
        inner = quoted.inner
        if not _may_be_told_of(inner):
            return []
        self._statistics["tunnel_error_relayed"] += 1
        room = max(mtu - overhead(path), 0)
        message = IcmpError(*told, inner, room).encode()
        sender = IPv4Address(inner[_SOURCE])
        return [SendIcmpError(message, sender if self._of_node else path.local, sender)]

    def deadline(self) -> float | None:
        """When something is believed no longer, or None."""
        return self._ends.next()

    def due(self, now: float) -> list[Effect]:
        """Believe no longer what is too old."""
        effects: list[Effect] = []
        for tunnel in self._ends.expired(now):
            state = self._states.pop(tunnel)
            if state.mtu is not None and state.mtu_until <= now:
                effects.append(LimitTunnel(*tunnel, None))
                state = structs.replace(state, mtu=None)
            if _end_of(state) > now:
                self._states[tunnel] = state
                self._ends.set(tunnel, _end_of(state))
        return effects


def error_word(error: tuple[int, int]) -> str:
    """Say in words what an error says, by its type and code."""
    if error == (_UNREACHABLE, _TOO_BIG):
        return "too big"
    if error[0] == IcmpType.TIME_EXCEEDED:
        return "too far"
    return _WORDS.get(error[1], "unreachable")


def _end_of(state: TunnelState) -> float:
    """When some of this is believed no longer."""
    error_until = state.error_at + STATE_LIFE_S
    return error_until if state.mtu is None else min(state.mtu_until, error_until)


def _mtu_of(error: IcmpError, quoted: QuotedTunnel) -> int:
    """What a router says that it takes, 0 if the error is another."""
    if error.type != _UNREACHABLE or error.code != _TOO_BIG:
        return 0
    plateau = next((each for each in _PLATEAUS if each < quoted.length), SMALLEST_LINK_MTU)
    return max(error.mtu or plateau, SMALLEST_LINK_MTU)


def _may_be_told_of(inner: bytes) -> bool:
    """RFC 1122 3.2.2: no error about an error, a later fragment, or what is from no host."""
    if len(inner) < LEAST_QUOTED or inner[0] >> 4 != _IPV4:
        return False
    header = (inner[0] & 0x0F) * 4
    if header < _HEADER_OCTETS or len(inner) < header + LEAST_QUOTED - _HEADER_OCTETS:
        return False
    if int.from_bytes(inner[6:8], "big") & _OFFSET:
        return False
    if inner[9] == _ICMP and inner[header] in _ICMP_ERRORS:
        return False
    sender = IPv4Address(inner[_SOURCE])
    return not (
        sender.is_multicast or sender.is_unspecified or sender.is_loopback or sender.is_reserved
    )
