"""What a valid request does to the bindings of a node (RFC 5944 3.8.2.2, RFC 7629 5.2).

Pure functions from a record to a record. The two RFCs' contradictions are decided here: the O bit
replaces all other bindings (RFC 7629 4.1 and 5.2, against 5.1) unless the operator holds with 5.1,
the B bit also registers the binding that carries it, and a request without Multipath makes the node
a plain RFC 5944 one: the S bit keeps only bindings of its own kind, and means nothing in a request
with Multipath.
"""

from ipaddress import IPv4Address
from typing import Final

from msgspec import structs

from flowbind.engine.home_agent.traversal import Traversal
from flowbind.model.binding import Binding, Broadcasts, NodeRecord, UdpEnd
from flowbind.model.config import OverwriteScope
from flowbind.wire.iana import RequestFlag
from flowbind.wire.multipath import Multipath
from flowbind.wire.registration import RegistrationRequest

Bindings = tuple[Binding, ...]

_REVERSE: Final = RequestFlag.REVERSE_TUNNELING


def _broadcasts(request: RegistrationRequest) -> Broadcasts:
    if RequestFlag.BROADCAST_DATAGRAMS not in request.flags:
        return Broadcasts.NONE
    co_located = RequestFlag.DECAPSULATION_BY_MOBILE_NODE in request.flags
    return Broadcasts.DIRECT if co_located else Broadcasts.NESTED


def deregistered(
    record: NodeRecord, request: RegistrationRequest, multipath: Multipath | None
) -> Bindings:
    """Return the bindings that a request with lifetime 0 leaves.

    The BID decides which one goes; the care-of address may have changed since (RFC 7629 5.1).
    """
    if request.care_of_address == request.home_address:
        return ()
    if multipath is None:
        gone = request.care_of_address
        return tuple(each for each in record.bindings if each.care_of_address != gone)
    if multipath.bulk:
        return ()
    return tuple(each for each in record.bindings if each.bid != multipath.bid)


def registered(
    record: NodeRecord,
    request: RegistrationRequest,
    multipath: Multipath | None,
    traversal: Traversal,
    lifetime_s: int,
    now: float,
    scope: OverwriteScope = OverwriteScope.ALL,
    *,
    simultaneous: bool = False,
    broadcasts: bool = False,
) -> Bindings:
    """Return the bindings with the one of this request made or renewed.

    `simultaneous` tells that the S bit is set and granted, `broadcasts` that there are any for who
    sets the B bit: where there are none it is ignored (3.8.2.1).
    """
    binding = Binding(
        bid=multipath.bid if multipath else None,
        care_of_address=request.care_of_address,
        encapsulation=traversal.encapsulation,
        reverse_tunnel=_REVERSE in request.flags,
        lifetime_s=lifetime_s,
        expires_at=now + lifetime_s,
        identification=request.identification,
        access_technology=multipath.access_technology if multipath else 0,
        label=multipath.label if multipath else 0,
        broadcasts=_broadcasts(request) if broadcasts else Broadcasts.NONE,
        udp=traversal.udp,
        gre_keys=traversal.gre_keys,
    )
    if multipath is None:
        return _placed(record.bindings, binding) if simultaneous else (binding,)
    if multipath.overwrite and scope is OverwriteScope.ALL:
        return (binding,)
    bindings = _placed(record.bindings, binding)
    if multipath.bulk:
        return tuple(
            structs.replace(each, lifetime_s=lifetime_s, expires_at=now + lifetime_s)
            for each in bindings
        )
    return bindings


def left_with(record: NodeRecord, bindings: Bindings) -> NodeRecord:
    """Return a record of whose bindings these are left: with the last all that they had goes."""
    if bindings:
        return structs.replace(record, bindings=bindings)
    return structs.replace(record, bindings=(), rules=(), prefixes=())


def renewed(
    record: NodeRecord, request: RegistrationRequest, multipath: Multipath | None
) -> Binding | None:
    """Return the binding that a registration renews, None if it makes a new one."""
    if multipath is None:
        same = (
            each
            for each in record.bindings
            if each.bid is None and each.care_of_address == request.care_of_address
        )
    else:
        same = (each for each in record.bindings if each.bid == multipath.bid)
    return next(same, None)


def changes_kind(record: NodeRecord, multipath: Multipath | None) -> bool:
    """Tell whether a node turns from RFC 7629 to plain RFC 5944 or back: its rules go then."""
    plain = multipath is None
    return any((each.bid is None) is not plain for each in record.bindings)


def _placed(bindings: Bindings, binding: Binding) -> Bindings:
    """Put a binding in the place of the one that it renews, or at the end.

    Bindings of the other kind go, those without BID where there is one and the other way round. One
    care-of address has one binding (RFC 7629 2.2): the later one. It does not count where a tunnel
    in UDP ends elsewhere: behind two translators a node may have it twice (RFC 3519 4.6).
    """
    plain = binding.bid is None
    placed: list[Binding] = []
    known = False
    for each in bindings:
        if _renews(binding, each):
            placed.append(binding)
            known = True
        elif (each.bid is None) is plain and _end_of(each) != _end_of(binding):
            placed.append(each)
    return tuple(placed) if known else (*placed, binding)


def _end_of(binding: Binding) -> IPv4Address | UdpEnd:
    return binding.udp or binding.care_of_address


def _renews(binding: Binding, before: Binding) -> bool:
    """What has no BID is known by its care-of address."""
    if binding.bid is None:
        return before.bid is None and before.care_of_address == binding.care_of_address
    return before.bid == binding.bid
