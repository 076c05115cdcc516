"""How packets are to travel to a care-of address: the encapsulation, and whether it is in UDP.

RFC 3519 4.6: an address translator is there if a request does not come from its care-of address.
Then the tunnel ends where the request came from, if the node has asked for that.
"""

from typing import Final

from msgspec import structs

from flowbind.engine.home_agent.validation import KIND, check_tunnel_end
from flowbind.engine.refusal import Refused
from flowbind.events import Received
from flowbind.frozen import Frozen
from flowbind.model.binding import Encapsulation, GreKeys, UdpEnd
from flowbind.model.config import HomeAgentConfig
from flowbind.wire.gre_key import GreKey
from flowbind.wire.iana import ReplyCode, RequestFlag
from flowbind.wire.message import first, split_at_authentication
from flowbind.wire.registration import RegistrationRequest
from flowbind.wire.udp_tunnel import (
    TUNNELLING_DECLINED,
    WILL_DO_TUNNELLING,
    UdpTunnelReply,
    UdpTunnelRequest,
)

_CO_LOCATED: Final = RequestFlag.DECAPSULATION_BY_MOBILE_NODE
_BY_FLAG: Final = {
    Encapsulation.GRE: RequestFlag.GRE_ENCAPSULATION,
    Encapsulation.MINIMAL: RequestFlag.MINIMAL_ENCAPSULATION,
}
_BY_PROTOCOL: Final = {
    4: Encapsulation.IP_IN_IP,
    47: Encapsulation.GRE,
    55: Encapsulation.MINIMAL,
}


class Traversal(Frozen, frozen=True):
    """How packets travel, `udp` if it is in UDP to there, and what the reply says of that.

    `asked_gre_key` is what a request for a GRE tunnel with keys says; who assigns them fills in
    `gre_keys`.
    """

    encapsulation: Encapsulation
    udp: UdpEnd | None = None
    told: tuple[UdpTunnelReply | GreKey, ...] = ()
    asked_gre_key: int | None = None
    gre_keys: GreKeys | None = None


def encapsulation_of(request: RegistrationRequest, config: HomeAgentConfig) -> Encapsulation:
    """Return the encapsulation that the M and G bits ask for. Raises Refused (139).

    Of a node that takes both GRE is for all of its packets, the other for some. A GRE Key extension
    asks for GRE, whatever the bits say (RFC 6245 4.2).
    """
    asked = [each for each, flag in _BY_FLAG.items() if flag in request.flags]
    if first(request, GreKey):
        asked = [Encapsulation.GRE]
    if not asked:
        return Encapsulation.IP_IN_IP
    granted = [each for each in asked if each in config.encapsulations]
    if not granted:
        raise Refused("encapsulation-unavailable", ReplyCode.ENCAPSULATION_UNAVAILABLE)
    return granted[0]


def traversal_of(
    request: RegistrationRequest, event: Received, config: HomeAgentConfig
) -> Traversal:
    """Decide for a registration that is sound otherwise. Raises Refused."""
    asked_key = _gre_key(request)
    traversal = _traversal(request, event, config)
    if traversal.encapsulation is not Encapsulation.GRE:
        return traversal
    return structs.replace(traversal, asked_gre_key=asked_key)


def _gre_key(request: RegistrationRequest) -> int | None:
    """Return the key that is asked with. Raises Refused (134).

    RFC 6245 4.1: a foreign agent puts it behind what the node has authenticated, for its own
    care-of address. For a co-located one only the node may.
    """
    protected, _authentication, exposed = split_at_authentication(request, KIND)
    own, others = (
        next((each.key for each in part if isinstance(each, GreKey)), None)
        for part in (protected, exposed)
    )
    wanted, misplaced = (own, others) if _CO_LOCATED in request.flags else (others, own)
    if misplaced is not None:
        raise Refused("gre-key-misplaced", ReplyCode.POORLY_FORMED_REQUEST)
    return wanted


def _traversal(request: RegistrationRequest, event: Received, config: HomeAgentConfig) -> Traversal:
    asked = _asked(request) if config.nat_traversal else None
    translated = event.source != request.care_of_address
    if asked is None or asked.through_foreign_agent:
        # Packets to a node whose requests go by a foreign agent and whose tunnel does not (R) would
        # have to wait for its first keepalive: such a tunnel is declined.
        if translated and config.deny_source_mismatch:
            raise Refused("source-mismatch", ReplyCode.ADMINISTRATIVELY_PROHIBITED)
        return Traversal(encapsulation_of(request, config), told=_declined(asked))
    if not translated and not asked.force:
        return Traversal(encapsulation_of(request, config), told=_declined(asked))
    if not translated and not config.udp_forced:
        raise Refused("udp-tunnel-forced", ReplyCode.ADMINISTRATIVELY_PROHIBITED)
    encapsulation = _encapsulation_in_udp(asked, request, config)
    check_tunnel_end(event.source, request, config)
    if not event.source_port:
        raise Refused("udp-tunnel-without-port", ReplyCode.POORLY_FORMED_REQUEST)
    told = UdpTunnelReply(WILL_DO_TUNNELLING, config.keepalive_interval_s, asked.force)
    return Traversal(encapsulation, UdpEnd(event.source, event.source_port), (told,))


def _asked(request: RegistrationRequest) -> UdpTunnelRequest | None:
    """Return what the node asks for; nobody else may (4.6.1). Raises Refused (134)."""
    protected, _authentication, exposed = split_at_authentication(request, KIND)
    co_located = _CO_LOCATED in request.flags
    if co_located and any(isinstance(each, UdpTunnelRequest) for each in exposed):
        raise Refused("udp-tunnel-unauthenticated", ReplyCode.POORLY_FORMED_REQUEST)
    asked = [each for each in protected if isinstance(each, UdpTunnelRequest)]
    if asked and not co_located:
        raise Refused("udp-tunnel-without-d", ReplyCode.POORLY_FORMED_REQUEST)
    return asked[0] if asked else None


def _declined(asked: UdpTunnelRequest | None) -> tuple[UdpTunnelReply, ...]:
    return (UdpTunnelReply(TUNNELLING_DECLINED),) if asked else ()


def _encapsulation_in_udp(
    asked: UdpTunnelRequest, request: RegistrationRequest, config: HomeAgentConfig
) -> Encapsulation:
    """3.1.4: what the extension says, or else M and G. Raises Refused (142)."""
    try:
        if not asked.encapsulation:
            return encapsulation_of(request, config)
        encapsulation = _BY_PROTOCOL.get(asked.encapsulation)
    except Refused:
        encapsulation = None
    if encapsulation is None or encapsulation not in config.encapsulations:
        code = ReplyCode.UDP_ENCAPSULATION_UNAVAILABLE
        raise Refused("udp-encapsulation-unavailable", code)
    return encapsulation
