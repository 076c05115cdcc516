"""What a home agent has to know of a node to speak first (RFC 3543 3.3, RFC 6098 4.1).

Only a home agent that may speak first keeps it.
"""

from typing import Final

from msgspec import structs

from flowbind.auth.association import SecurityAssociation
from flowbind.engine.home_agent.validation import Request
from flowbind.events import Received
from flowbind.model.binding import Binding, Contact, NodeRecord
from flowbind.model.config import MobileNodeEntry
from flowbind.wire.registration import RegistrationRequest

_NOTHING: Final = Contact()


def contact_of(record: NodeRecord) -> Contact:
    """Return what is known of a node, which may be nothing."""
    return record.contact or _NOTHING


def with_contact(
    record: NodeRecord,
    request: Request,
    event: Received,
    association: SecurityAssociation,
    revocation: int | None,
) -> NodeRecord:
    """Return the record after a granted request, with where it came from and what it agreed on.

    `revocation` is the timestamp that the reply tells, None without an agreement on revocation. The
    B bit renews all bindings in one exchange, which so counts for all of them; each is still told
    at the address that it was registered from.
    """
    message, multipath = request.message, request.multipath
    bulk = multipath is not None and multipath.bulk

    def noted(binding: Binding) -> Binding:
        if (
            binding.identification == message.identification
            and binding.care_of_address == message.care_of_address
        ):
            return structs.replace(
                binding,
                source=event.source,
                source_port=event.source_port,
                revocation=revocation,
            )
        return structs.replace(binding, revocation=revocation) if bulk else binding

    contact = structs.replace(
        contact_of(record),
        spi=association.spi,
        revoked=tuple(
            each for each in contact_of(record).revoked if not _supersedes(request, each)
        ),
    )
    if not message.lifetime_s:
        return structs.replace(record, contact=contact)
    bindings = tuple(map(noted, record.bindings))
    return structs.replace(record, bindings=bindings, contact=contact)


def _supersedes(request: Request, revoked: Binding) -> bool:
    """Tell whether a node that makes this request need not hear of a binding's end any more.

    It has registered anew what the revocation would end, or has ended it itself.
    """
    message, multipath = request.message, request.multipath
    if not message.lifetime_s and _ends_all(request, message):
        return True
    same_bid = multipath is not None and multipath.bid == revoked.bid
    return same_bid or message.care_of_address == revoked.care_of_address


def _ends_all(request: Request, message: RegistrationRequest) -> bool:
    bulk = request.multipath is not None and request.multipath.bulk
    return bulk or message.care_of_address == message.home_address


def association_with(record: NodeRecord, entry: MobileNodeEntry) -> SecurityAssociation:
    """Return the security association that a node used last, the first of its own if it is gone."""
    spi = contact_of(record).spi
    return next((each for each in entry.associations if each.spi == spi), entry.associations[0])
