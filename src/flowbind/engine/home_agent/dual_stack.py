"""IPv6 prefixes of mobile nodes (RFC 5454 3.3).

A prefix belongs to the node and not to a binding: all of its paths carry it, and the last request
says which there are, since one that it leaves out is deregistered (3.8). They go with the last
binding.

Only tunnels to the care-of address are made (code 1). A node that does not say that it takes those,
or cannot since a foreign agent decapsulates for it, would have to be sent IPv6 within IPv4 to its
home address: its prefixes are rejected with code 8, which 2.2 allows for any reason.
"""

from ipaddress import IPv6Network
from typing import Final

from flowbind.engine.home_agent.validation import KIND
from flowbind.frozen import Frozen
from flowbind.model.config import MobileNodeEntry
from flowbind.wire.dual_stack import Ipv6PrefixReply, Ipv6PrefixRequest, Ipv6TunnelingMode
from flowbind.wire.iana import Ipv6PrefixCode, RequestFlag
from flowbind.wire.message import split_at_authentication
from flowbind.wire.registration import RegistrationRequest

_CO_LOCATED: Final = RequestFlag.DECAPSULATION_BY_MOBILE_NODE


class DualStack(Frozen, frozen=True):
    """The prefixes that a node has from now on, and what the reply says of those it asked for."""

    prefixes: tuple[IPv6Network, ...] = ()
    told: tuple[Ipv6PrefixReply, ...] = ()


def dual_stack_of(request: RegistrationRequest, entry: MobileNodeEntry) -> DualStack:
    """Decide on the prefixes that a registration asks for.

    A node that has none configured is told nothing, as by a home agent that knows no RFC 5454.
    """
    if not entry.ipv6_prefixes:
        return DualStack()
    protected, _authentication, _exposed = split_at_authentication(request, KIND)
    asked = dict.fromkeys(each for each in protected if isinstance(each, Ipv6PrefixRequest))
    to_care_of_address = _CO_LOCATED in request.flags and any(
        isinstance(each, Ipv6TunnelingMode) for each in protected
    )
    told = tuple(_answer(each, entry, to_care_of_address=to_care_of_address) for each in asked)
    prefixes = tuple(each.network for each in told if each.accepts and each.network)
    return DualStack(prefixes, told)


def _answer(
    asked: Ipv6PrefixRequest, entry: MobileNodeEntry, *, to_care_of_address: bool
) -> Ipv6PrefixReply:
    """Link-local addresses, with which a node would ask for prefixes by DHCPv6, are rejected."""
    if asked.network is not None and asked.network not in entry.ipv6_prefixes:
        code = Ipv6PrefixCode.ADMINISTRATIVELY_PROHIBITED
    elif asked.network is None or not to_care_of_address:
        code = Ipv6PrefixCode.REJECTED
    else:
        code = Ipv6PrefixCode.ACCEPTED_TO_CARE_OF_ADDRESS
    return Ipv6PrefixReply(int(code), asked.prefix, asked.prefix_length)
