"""Tunnels in UDP through address translators (RFC 3519 4.4), and keys of GRE (RFC 6245): asking for
them, and what is answered.

The node cannot see a translator, so a request only offers it; the home agent compares addresses.
"""

from typing import Final

from flowbind.engine.mobile_node.keepalive import Keepalive
from flowbind.engine.mobile_node.state import Interface, Sent
from flowbind.engine.refusal import Refused
from flowbind.model.binding import GreKeys, UdpEnd
from flowbind.model.config import NatTraversal
from flowbind.wire.gre_key import GreKey
from flowbind.wire.iana import ExtensionType
from flowbind.wire.message import split_at_authentication
from flowbind.wire.registration import RegistrationReply
from flowbind.wire.udp_tunnel import UdpTunnelReply, UdpTunnelRequest

DEFAULT_KEEPALIVE_S: Final = 110.0
"""K of 4.9, where the home agent leaves it to the node."""

_KIND: Final = ExtensionType.MOBILE_HOME_AUTHENTICATION


def own_end(interface: Interface) -> UdpEnd | None:
    """Return where a tunnel in UDP of an interface would end here, None if none is wanted."""
    wanted = interface.config.nat_traversal is not NatTraversal.OFF
    if not wanted or interface.address is None or not interface.port:
        return None
    return UdpEnd(interface.address, interface.port)


def offer_of(sent: Sent) -> tuple[UdpTunnelRequest, ...]:
    """Return what a request says of tunnels in UDP: the encapsulation is as its M and G say."""
    if sent.udp is None:
        return ()
    return (UdpTunnelRequest(force=sent.via.config.nat_traversal is NatTraversal.FORCE),)


def gre_key_of(sent: Sent) -> tuple[GreKey, ...]:
    """Return what a registration says of GRE keys: that the home agent assigns them."""
    return (GreKey(0),) if sent.via.config.gre_key and sent.lifetime_s else ()


def note(sent: Sent, reply: RegistrationReply) -> None:
    """Note what the reply that grants a request says. Raises Refused for what was not asked for."""
    protected, _authentication, _exposed = split_at_authentication(reply, _KIND)
    told = next((each for each in protected if isinstance(each, UdpTunnelReply)), None)
    if told and sent.udp is None:
        raise Refused("udp-tunnel-unasked")
    key = next((each.key for each in protected if isinstance(each, GreKey)), None)
    if key is not None and not gre_key_of(sent):
        raise Refused("gre-key-unasked")
    sent.gre_keys = None if key is None else GreKeys(key, key)
    sent.in_udp = told is not None and told.assents
    sent.keepalive_s = float(told.keepalive_interval_s) if told else 0.0


def pace(keepalive: Keepalive, sent: Sent, probe_interval_s: float) -> None:
    """Have a path probed no less often than its translator needs."""
    keepalive.interval_s = probe_interval_s
    if sent.in_udp:
        keepalive.interval_s = min(probe_interval_s, sent.keepalive_s or DEFAULT_KEEPALIVE_S)
