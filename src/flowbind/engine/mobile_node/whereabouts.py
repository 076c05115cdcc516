"""What replies tell a mobile node of its own address and of its home agent (RFC 5944 3.6)."""

from ipaddress import IPv4Address
from typing import Final

from flowbind.auth.replay import distance_s
from flowbind.effects import Effect, Log
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

    def on_accepted(self, reply: RegistrationReply) -> list[Effect]:
        """3.6: a node without a home address takes the one of the reply."""
        identity = self._registration.identity
        if identity.home_address is not None:
            return []
        identity.home_address = reply.home_address
        return [Log("info", f"the home agent gives the home address {reply.home_address}")]

    def on_denied(
        self, intent: Intent, sent: Sent, reply: RegistrationReply, now: float
    ) -> list[Effect] | None:
        """Take in a denial that tells who or where we are; None if it is about something else."""
        if reply.code == ReplyCode.UNKNOWN_HOME_AGENT_ADDRESS:
            return self._on_home_agent_told(reply.home_agent, intent, sent, reply, now)
        if reply.code == ReplyCode.ADMINISTRATIVELY_PROHIBITED and self._is_not_ours(sent):
            return self._on_home_address_lost(now)
        return None

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
        if not self._registration.identity.find(home_agent):
            return None
        self._statistics["home_agent_found"] += 1
        intent.tries = intent.silent = 0
        intent.not_before = now
        news: list[Effect] = [Log("info", f"found the home agent {home_agent}")]
        if not self._registration.uses_nonces and not is_in_time(sent, reply):
            news.append(self._registration.take_clock(reply.identification, now))
        return news
