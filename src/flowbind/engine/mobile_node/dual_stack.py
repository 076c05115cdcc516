"""IPv6 prefixes of the node (RFC 5454 3.5): asking for them, and what is answered.

Every registration asks for all of them, since one that it leaves out is deregistered (3.8).
"""

from collections import Counter
from ipaddress import IPv6Network
from typing import Final, Protocol

from msgspec import Struct

from flowbind.effects import Effect, Log
from flowbind.model.config import MobileNodeConfig
from flowbind.wire.dual_stack import Ipv6PrefixReply, Ipv6PrefixRequest, Ipv6TunnelingMode
from flowbind.wire.extension import Extension
from flowbind.wire.iana import ExtensionType, Ipv6PrefixCode
from flowbind.wire.message import split_at_authentication
from flowbind.wire.registration import RegistrationReply

_KIND: Final = ExtensionType.MOBILE_HOME_AUTHENTICATION


class Prefixes(Struct, frozen=True):
    """What the last reply said: the prefixes that are registered, and of the others why not."""

    registered: tuple[IPv6Network, ...] = ()
    refused: tuple[str, ...] = ()


class Holder(Protocol):
    """Who keeps what the last reply said."""

    config: MobileNodeConfig
    prefixes: Prefixes
    statistics: Counter[str]


def requests_of(config: MobileNodeConfig) -> tuple[Extension, ...]:
    """Return what a registration says of IPv6: that it may come to our care-of address (2.3)."""
    asked = tuple(map(Ipv6PrefixRequest.of, config.ipv6_prefixes))
    return (*asked, Ipv6TunnelingMode()) if asked else ()


def note(holder: Holder, reply: RegistrationReply) -> list[Effect]:
    """Keep what a reply that accepts says; tells what is something else than before."""
    before = holder.prefixes
    held = holder.prefixes = prefixes_of(holder.config, reply)
    new = [each for each in held.registered if each not in before.registered]
    refused = [each for each in held.refused if each not in before.refused]
    if refused:
        holder.statistics["prefix_refused"] += len(refused)
    return [
        *(Log("info", f"IPv6 prefix {each} registered") for each in new),
        *(Log("warning", each) for each in refused),
    ]


def prefixes_of(config: MobileNodeConfig, reply: RegistrationReply) -> Prefixes:
    """Return what a reply that accepts says of the prefixes that were asked for.

    One that it does not mention is rejected (3.5). Only the first answer about a prefix counts, for
    there must not be a second (3.3).
    """
    protected, _authentication, _exposed = split_at_authentication(reply, _KIND)
    answers: dict[IPv6Network | None, Ipv6PrefixReply] = {}
    for each in protected:
        if isinstance(each, Ipv6PrefixReply):
            answers.setdefault(each.network, each)
    if config.ipv6_prefixes and not answers:
        return Prefixes(refused=("the home agent registers no IPv6 prefixes",))
    reasons = {prefix: _why_not(answers.get(prefix)) for prefix in config.ipv6_prefixes}
    return Prefixes(
        tuple(prefix for prefix, reason in reasons.items() if reason is None),
        tuple(
            f"the IPv6 prefix {prefix} is not registered: {reason}"
            for prefix, reason in reasons.items()
            if reason is not None
        ),
    )


def _why_not(answer: Ipv6PrefixReply | None) -> str | None:
    if answer is None:
        return "the home agent says nothing of it"
    if not answer.accepts:
        return f"the home agent denies it with code {answer.code}"
    if answer.code == Ipv6PrefixCode.ACCEPTED_TO_CARE_OF_ADDRESS:
        return None
    # 3.3.2 lets a home agent pass over the wish for tunnels to the care-of address.
    return f"the home agent would tunnel it to the home address (code {answer.code})"
