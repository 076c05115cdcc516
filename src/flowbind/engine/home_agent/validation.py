"""Whether a request is to be answered at all, and with what (RFC 5944 3.8.2.1, RFC 7629 5.2).

The order of the checks is the order of section 3.8.2.1, because the reply code that a mobile node
sees, or the silence that it hears, depends on it.
"""

from ipaddress import IPv4Address
from typing import Final

from flowbind.auth.association import Replay, SecurityAssociation
from flowbind.auth.authenticator import AuthenticationError, verify
from flowbind.auth.nonces import check_nonce
from flowbind.auth.replay import ReplayError, check_timestamp
from flowbind.engine.home_agent.around import check_service, check_vendors
from flowbind.engine.home_agent.assignment import check_home_agent
from flowbind.engine.refusal import Refused
from flowbind.events import Received
from flowbind.frozen import Frozen
from flowbind.model.binding import NodeRecord
from flowbind.model.config import HomeAgentConfig, MobileNodeEntry
from flowbind.wire.extension import Extension, MalformedExtension
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import ExtensionType, MultipathSubtype, ReplyCode, RequestFlag
from flowbind.wire.message import Message, authentication_of, split_at_authentication
from flowbind.wire.multipath import Multipath
from flowbind.wire.registration import RegistrationRequest

KIND: Final = ExtensionType.MOBILE_HOME_AUTHENTICATION

_RESERVED: Final = RequestFlag.RESERVED_R | RequestFlag.RESERVED_X
_THIS_NETWORK: Final = 0
_LOOPBACK: Final = 127
_FIRST_MULTICAST: Final = 224

Extensions = tuple[Extension, ...]


class Request(Frozen, frozen=True):
    """A request whose form is sound: its extensions of RFC 7629, all authenticated."""

    message: RegistrationRequest
    multipath: Multipath | None
    flow_bindings: tuple[FlowBinding, ...]


def association_of(message: Message, entry: MobileNodeEntry) -> SecurityAssociation:
    """3.8.2.1 a: the security association whose SPI is named; without one there is only silence."""
    authentication = authentication_of(message, KIND)
    if authentication is None:
        raise Refused("no-authentication-extension")
    for association in entry.associations:
        if association.spi == authentication.spi:
            return association
    raise Refused("no-security-association")


def check_authenticator(payload: bytes, association: SecurityAssociation) -> None:
    """3.8.2.1 a: a wrong authenticator is answered with 131."""
    try:
        verify(payload, KIND, association)
    except AuthenticationError as error:
        code = ReplyCode.MOBILE_NODE_FAILED_AUTHENTICATION
        raise Refused(error.reason, code) from error


def check_identification(
    message: RegistrationRequest,
    association: SecurityAssociation,
    before: NodeRecord | None,
    now: float,
) -> None:
    """3.8.2.1 b: a timestamp of now, later than any accepted before (5.7.1), or the nonce that was
    told last (5.7.2). Otherwise 133.
    """
    try:
        if association.replay is Replay.NONCES:
            check_nonce(message.identification, before.nonce if before else None)
        else:
            _check_timestamp(message.identification, association, before, now)
    except ReplayError as error:
        raise Refused(error.reason, ReplyCode.IDENTIFICATION_MISMATCH) from error


def _check_timestamp(
    identification: int, association: SecurityAssociation, before: NodeRecord | None, now: float
) -> None:
    # In a record 0 stands for none yet. As a timestamp it is one instant in 136 years, of which
    # every replay would be accepted.
    if identification == 0:
        raise ReplayError("timestamp-out-of-tolerance")
    last = (before.identification or None) if before else None
    check_timestamp(identification, last, now, association.timestamp_tolerance_s)


def check_form(
    event: Received,
    message: RegistrationRequest,
    config: HomeAgentConfig,
    entry: MobileNodeEntry,
    before: NodeRecord | None,
    nodes: int,
) -> Request:
    """What else 3.8.2.1 asks, then the authorisation and the syntax of RFC 7629.

    `before` is what is kept of the node, `nodes` how many have a binding.
    """
    protected, _authentication, exposed = split_at_authentication(message, KIND)
    _check_exposed(exposed)
    # 3.8.2.3 wants such a request denied, 3.3 has the bits ignored: the operator decides.
    if config.strict_reserved and message.flags & _RESERVED:
        raise Refused("reserved-bits", ReplyCode.POORLY_FORMED_REQUEST)
    check_home_agent(event, message, config, entry, before, nodes)
    check_vendors(protected, exposed)
    check_service(protected, entry)
    if not entry.multipath and any(_is_multipath(each) for each in protected):
        raise Refused("multipath-not-allowed", ReplyCode.MULTIPATH_NOT_ALLOWED)
    multipaths, flow_bindings = _sorted(protected)
    if message.lifetime_s:
        check_tunnel_end(message.care_of_address, message, config)
    return Request(message, _only(multipaths), flow_bindings)


def _sorted(protected: Extensions) -> tuple[list[Multipath], tuple[FlowBinding, ...]]:
    """Return the extensions of RFC 7629, by class. Raises Refused at the first malformed one."""
    multipaths: list[Multipath] = []
    flow_bindings: list[FlowBinding] = []
    for extension in protected:
        if isinstance(extension, Multipath):
            multipaths.append(extension)
        elif isinstance(extension, FlowBinding):
            flow_bindings.append(extension)
        elif isinstance(extension, MalformedExtension):
            raise Refused(extension.reason, extension.code)
    return multipaths, tuple(flow_bindings)


def _check_exposed(exposed: Extensions) -> None:
    """What stands behind the Mobile-Home Authentication Extension is not protected by it."""
    for extension in exposed:
        if _is_rfc7629(extension):
            # A foreign agent, or somebody on the way, may have added it.
            raise Refused("multipath-unauthenticated", ReplyCode.POORLY_FORMED_REQUEST)


def check_tunnel_end(
    care_of_address: IPv4Address, message: RegistrationRequest, config: HomeAgentConfig
) -> None:
    """Refuse an address that no tunnel can end at, or whose tunnel would lead back to us."""
    first_octet = int(care_of_address) >> 24
    # A tuple, since to look an address up in a set takes longer than to compare it with a few.
    unusable = (
        config.address,
        message.home_address,
        *[network.broadcast_address for network in config.home_networks],
    )
    if (
        first_octet in {_THIS_NETWORK, _LOOPBACK}
        or first_octet >= _FIRST_MULTICAST
        or care_of_address in unusable
    ):
        raise Refused("care-of-address-unusable", ReplyCode.POORLY_FORMED_REQUEST)


def _is_rfc7629(extension: Extension) -> bool:
    if isinstance(extension, MalformedExtension):
        return extension.type == ExtensionType.MULTIPATH
    return isinstance(extension, Multipath | FlowBinding)


def _is_multipath(extension: Extension) -> bool:
    if isinstance(extension, MalformedExtension):
        return _is_rfc7629(extension) and extension.subtype == MultipathSubtype.MULTIPATH
    return isinstance(extension, Multipath)


def _only(found: list[Multipath]) -> Multipath | None:
    if len(found) > 1:
        raise Refused("multipath-repeated", ReplyCode.POORLY_FORMED_REQUEST)
    if found and found[0].bulk and found[0].overwrite:
        raise Refused("multipath-bulk-and-overwrite", ReplyCode.POORLY_FORMED_REQUEST)
    return found[0] if found else None
