"""What replies tell a mobile node of its own address and of its home agent (RFC 5944 3.6)."""

from ipaddress import IPv4Address
from typing import Final

from flowbind.auth.replay import distance_s
from flowbind.effects import Effect, Log
from flowbind.engine.mobile_node.messages import redirected_to
from flowbind.engine.mobile_node.registration import Registration
from flowbind.engine.mobile_node.state import Intent, Sent, State
from flowbind.wire.iana import ReplyCode
from flowbind.wire.registration import RegistrationReply

_IN_TIME_S: Final = 3.0
"""Any home agent tolerates timestamps that are so far from its clock (RFC 5944 5.7.1)."""


def is_in_time(sent: Sent, reply: RegistrationReply) -> bool:
    """Tell whether a request was in time by the clock of whoever denies it."""
    return abs(distance_s(reply.identification, sent.identification)) <= _IN_TIME_S


class Whereabouts:
    """Takes in the part of the replies that is about the node itself."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        self._statistics = registration.statistics

    def on_accepted(self, reply: RegistrationReply, now: float) -> list[Effect]:
        """3.6, RFC 4433 5.1.2: take the home address of the reply, and its home agent, if there is
        none yet.
        """
        identity = self._registration.identity
        if identity.is_unassigned:
            identity.assign(reply.home_agent)
            self._registration.hurry(now)
        if identity.home_address is not None:
            return []
        identity.home_address = reply.home_address
        return [Log("info", f"the home agent gives the home address {reply.home_address}")]

    def on_denied(
        self, intent: Intent, sent: Sent, reply: RegistrationReply, now: float
    ) -> list[Effect] | None:
        """Take in a denial that tells who or where we are; None if it is about something else."""
        if reply.code == ReplyCode.UNKNOWN_HOME_AGENT_ADDRESS:
            found = self._on_home_agent_told(reply.home_agent, intent, sent, reply, now)
            if found is not None:
                return found
        if reply.code == ReplyCode.ADMINISTRATIVELY_PROHIBITED and self._is_not_ours(sent):
            return self._on_home_address_lost(now)
        if reply.code == ReplyCode.SERVICE_AUTHORIZATION_FAILED:
            self._on_service_denied(now)
        if not self._registration.identity.is_unassigned:
            return None
        if reply.code == ReplyCode.REDIRECT_HOME_AGENT:
            return self._on_redirected(reply, now)
        # Another one may take us.
        self._registration.identity.ask_next()
        return None

    def _on_service_denied(self, now: float) -> None:
        """RFC 5446 4.1: the home agent has deleted the bindings that there were."""
        for interface in self._registration.interfaces.values():
            if interface.binding:
                self._registration.unbind(interface, now, confirmed=True)

    def _on_redirected(self, reply: RegistrationReply, now: float) -> list[Effect] | None:
        """RFC 4433 4.2: ask the home agent that an authentic reply names, unless it has sent us on
        itself: then somebody else, and later.
        """
        identity = self._registration.identity
        named = redirected_to(reply)
        self._statistics["redirected"] += 1
        if named is None or not identity.redirect(reply.home_agent, named):
            identity.ask_next()
            return None
        self._registration.hurry(now)
        return [Log("info", f"{reply.home_agent} redirects to the home agent {named}")]

    def _is_not_ours(self, sent: Sent) -> bool:
        """Tell whether a denial can mean that the home agent does not know us by our address.

        While another path carries packets to it, it does.
        """
        interfaces = self._registration.interfaces.values()
        others = (each for each in interfaces if each is not sent.via)
        given = self._registration.identity.is_given and sent.home_address is not None
        return given and all(each.state is not State.UP for each in others)

    def _on_home_address_lost(self, now: float) -> list[Effect]:
        """3.8.3.2: the home agent cannot support the address: it has forgotten us, and may have
        given it away.
        """
        lost = self._registration.identity.home_address
        self._registration.lose_home_address(now)
        self._statistics["home_address_lost"] += 1
        return [Log("warning", f"the home address {lost} is not ours any more, asking for another")]

    def _on_home_agent_told(
        self,
        home_agent: IPv4Address,
        intent: Intent,
        sent: Sent,
        reply: RegistrationReply,
        now: float,
    ) -> list[Effect] | None:
        """3.6.2.3: register with the home agent that was found, by its clock."""
        identity = self._registration.identity
        if identity.is_unassigned and not identity.legacy and home_agent == identity.home_agent:
            # RFC 4433 10: it knows nothing of assignment, and has to be named.
            identity.legacy = True
            intent.not_before = now
            return []
        if not identity.find(home_agent):
            return None
        self._statistics["home_agent_found"] += 1
        self._registration.hurry(now)
        news: list[Effect] = [Log("info", f"found the home agent {home_agent}")]
        if not self._registration.uses_nonces and not is_in_time(sent, reply):
            news.append(self._registration.take_clock(reply.identification, now))
        return news
