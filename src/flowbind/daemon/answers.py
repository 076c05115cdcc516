"""What a daemon tells its operator: the engine's tables and the data plane, in words.

Both roles answer the same questions. What differs, a `Role` below knows: which nodes there are,
what they are bound to, and what an operator may change.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Any, Final, Protocol

from msgspec import structs

from flowbind.control.messages import (
    BindingRow,
    Bindings,
    BindingsRequest,
    DeregisterRequest,
    Done,
    ExplainRequest,
    Explanation,
    Failed,
    Flows,
    FlowsRequest,
    NotificationRow,
    Notifications,
    NotificationsRequest,
    NotifyRequest,
    PathRow,
    Paths,
    PathsRequest,
    Policy,
    PolicyRequest,
    PolicyRow,
    PolicySetRequest,
    RegisterRequest,
    Request,
    Response,
    Revoked,
    RevokeRequest,
    Status,
    StatusRequest,
)
from flowbind.daemon import clock
from flowbind.daemon.config_values import access_name
from flowbind.daemon.flow_answers import Before, flow_row, rule_at, rule_name, select
from flowbind.dataplane.base import DataPlane, DataPlaneError
from flowbind.engine.notifications import Notice
from flowbind.engine.tunnel_errors import TunnelState, error_word
from flowbind.model.binding import Binding
from flowbind.model.decision import Decision, Packet, is_active, paths_taken
from flowbind.model.flow import FlowRule
from flowbind.model.match import (
    MatchError,
    PacketDescription,
    compile_match,
    describe_selector,
    parse_packet,
)
from flowbind.model.tunnel import PLAIN_BID, NodeForwarding, tunnel_word
from flowbind.wire.iana import FlowAction
from flowbind.wire.strings import LONGEST_TEXT_OCTETS

Address = IPv4Address | IPv6Address

NOTIFICATIONS_OFF: Final = "notifications are off in the configuration"


class Refusal(Exception):
    """The operator asks for what cannot be; the text says why. Nothing changed."""


class Role(Protocol):
    """What the two roles tell of themselves."""

    name: str
    nai: str | None

    @property
    def message(self) -> str | None:
        """What the home agent has told a mobile node in words."""
        ...

    @property
    def home_agent(self) -> IPv4Address:
        """Where mobile nodes register."""
        ...

    @property
    def home_address(self) -> IPv4Address | None:
        """A mobile node's own address, if it has one."""
        ...

    def mobile_nodes(self) -> int:
        """How many mobile nodes there are."""
        ...

    def nai_of(self, home_address: IPv4Address) -> str | None:
        """The name of the node with this home address, if it has one."""
        ...

    def prefixes_of(self, home_address: IPv4Address) -> tuple[IPv6Network, ...]:
        """The IPv6 prefixes that the node with this home address has registered."""
        ...

    def multipath(self) -> str:
        """How RFC 7629 stands here, in a word."""
        ...

    def bindings(self) -> list[tuple[IPv4Address, Binding]]:
        """Every binding and whose it is."""
        ...

    def paths(self) -> list[PathRow]:
        """Every path."""
        ...

    def forwarding(self) -> Mapping[IPv4Address, NodeForwarding]:
        """What is forwarded by, for each node, rules with their names."""
        ...

    def node(self, home_address: IPv4Address) -> tuple[NodeForwarding, tuple[Binding, ...]]:
        """What one node is forwarded by and bound to; of a stranger nothing."""
        ...

    def counters(self) -> Mapping[str, int]:
        """What the engine counted."""
        ...

    def replace_policy(self, request: PolicySetRequest) -> None:
        """Take another flow policy. Raises Refusal."""
        ...

    def register(self, interface: str | None) -> str:
        """Register an interface, or renew all; says what was done. Raises Refusal."""
        ...

    def deregister(self, interface: str | None) -> str:
        """Deregister an interface, or all; says what was done. Raises Refusal."""
        ...

    def revoke(self, request: RevokeRequest) -> Revoked:
        """End bindings of a node. Raises Refusal."""
        ...

    def notify(self, request: NotifyRequest) -> str:
        """Say something to the other end; says what was done. Raises Refusal."""
        ...

    def notices(self) -> tuple[Notice, ...]:
        """The last notifications, oldest first."""
        ...


class Answers:
    """Answers the operator's requests."""

    def __init__(self, role: Role, plane: DataPlane) -> None:
        self._role = role
        self._plane = plane
        self._started_at = clock.now()

    async def serve(self, request: Request) -> Response:
        """Answer one request; one that has something measured keeps nothing else waiting."""
        if not isinstance(request, FlowsRequest) or not request.interval_s:
            return self.answer(request)
        try:
            compile_match(request.match or "any")
            first = {each.packet: each for each in self._plane.flows()}
            began_at = asyncio.get_running_loop().time()
            await asyncio.sleep(request.interval_s)
            elapsed_s = asyncio.get_running_loop().time() - began_at
            return self._flows(request, Before(elapsed_s, first))
        except (DataPlaneError, MatchError) as error:
            return Failed(str(error))

    def answer(self, request: Request) -> Response:
        """Answer one request at once; what cannot be done is answered with Failed."""
        try:
            return self._answer(request)
        except (Refusal, DataPlaneError, MatchError) as error:
            return Failed(str(error))

    def _answer(self, request: Request) -> Response:
        role = self._role
        answers: dict[type[Request], Callable[[Any], Response]] = {
            StatusRequest: lambda _: self._status(),
            BindingsRequest: lambda _: self._bindings(),
            PathsRequest: lambda _: self._paths(),
            FlowsRequest: self._flows,
            PolicyRequest: lambda _: self._policy(),
            NotificationsRequest: lambda _: self._notifications(),
            ExplainRequest: lambda asked: self._explain(asked.packet),
            PolicySetRequest: self._replace_policy,
            RegisterRequest: lambda asked: Done(role.register(asked.interface)),
            DeregisterRequest: lambda asked: Done(role.deregister(asked.interface)),
            RevokeRequest: role.revoke,
            NotifyRequest: lambda asked: Done(role.notify(asked)),
        }
        return answers[type(request)](request)

    def _replace_policy(self, request: PolicySetRequest) -> Policy:
        self._role.replace_policy(request)
        return self._policy()

    def _status(self) -> Status:
        role = self._role
        return Status(
            role=role.name,
            version=version("flowbind"),
            pid=os.getpid(),
            uptime_s=round(clock.now() - self._started_at, 3),
            home_agent=str(role.home_agent),
            home_address=str(role.home_address) if role.home_address else None,
            mobile_nodes=role.mobile_nodes(),
            bindings=len(role.bindings()),
            multipath=role.multipath(),
            counters={**role.counters(), **self._plane.statistics()},
            nai=role.nai,
            message=role.message,
        )

    def _bindings(self) -> Bindings:
        now = clock.now()
        bindings = sorted(
            self._role.bindings(), key=lambda each: (each[0], each[1].bid or PLAIN_BID)
        )
        return Bindings(
            tuple(
                _binding_row(
                    address,
                    each,
                    now,
                    self._role.nai_of(address),
                    self._role.prefixes_of(address),
                )
                for address, each in bindings
            )
        )

    def _paths(self) -> Paths:
        def measured(row: PathRow) -> PathRow:
            node = IPv4Address(row.home_address) if row.home_address else None
            return structs.replace(row, mtu=self._plane.mtu(node)) if node else row

        return Paths(tuple(measured(each) for each in self._role.paths()))

    def _notifications(self) -> Notifications:
        now = clock.now()
        return Notifications(tuple(_notification_row(each, now) for each in self._role.notices()))

    def _flows(self, request: FlowsRequest, before: Before | None = None) -> Flows:
        selected = select(request, self._plane.flows(), before)
        ends = {each.record.packet.local for each in selected}
        nodes = {local: self._role.node(self._plane.home_address_of(local)) for local in ends}
        return Flows(tuple(flow_row(each, *nodes[each.record.packet.local]) for each in selected))

    def _policy(self) -> Policy:
        return Policy(
            tuple(
                _policy_row(node, position, rule)
                for node in self._role.forwarding().values()
                for position, rule in enumerate(node.rules, start=1)
            )
        )

    def _explain(self, text: str) -> Explanation:
        local, decision = self._decide(parse_packet(text))
        node, _bindings = self._role.node(self._plane.home_address_of(local))
        rule = rule_at(node, decision.rule)
        path = next((each for each in node.paths if each.bid == decision.bid), None)
        return Explanation(
            packet=text,
            verdict=decision.verdict,
            bid=decision.bid,
            interface=path.interface if path else None,
            rule=rule_name(rule, decision.rule),
            why=_why(decision, rule, node, local) + _of_copies(decision, node),
            cached_generation=decision.cached_generation,
        )

    def _decide(self, described: PacketDescription) -> tuple[Address, Decision]:
        """Decide for the end that is a home address. A stranger is left as if sent to a node."""
        for each in (described, described.reversed()):
            decision = self._plane.decide(_packet_to(each))
            if decision.verdict != "no-node":
                return each.destination, decision
        return described.destination, decision


def _packet_to(described: PacketDescription) -> Packet:
    """Say of a packet that its destination is the home address."""
    return Packet(
        remote=described.source,
        local=described.destination,
        protocol=described.protocol,
        remote_port=described.source_port,
        local_port=described.destination_port,
        dscp=described.dscp,
        spi=described.spi,
        fragment=described.fragment,
        identification=described.identification,
        flow_label=described.flow_label,
    )


def _binding_row(
    home_address: IPv4Address,
    binding: Binding,
    now: float,
    nai: str | None,
    prefixes: tuple[IPv6Network, ...],
) -> BindingRow:
    return BindingRow(
        home_address=str(home_address),
        bid=binding.bid,
        care_of_address=str(binding.care_of_address),
        interface=binding.interface,
        access=access_name(binding.access_technology),
        label=binding.label,
        encapsulation=tunnel_word(
            binding.encapsulation,
            in_udp=binding.udp is not None,
            keyed=binding.gre_keys is not None,
        ),
        gre_send_key=binding.gre_keys.send if binding.gre_keys else None,
        gre_receive_key=binding.gre_keys.receive if binding.gre_keys else None,
        lifetime_s=binding.lifetime_s,
        remaining_s=round(max(0.0, binding.expires_at - now), 3),
        nai=nai,
        ipv6_prefixes=tuple(map(str, prefixes)),
    )


def with_state(row: PathRow, state: TunnelState) -> PathRow:
    """Add what is believed of a tunnel (RFC 2003 5)."""
    if state.error is None:
        return structs.replace(row, path_mtu=state.mtu)
    return structs.replace(
        row,
        path_mtu=state.mtu,
        error=error_word(state.error),
        error_ago_s=round(max(0.0, clock.now() - state.error_at), 3),
    )


def _notification_row(notice: Notice, now: float) -> NotificationRow:
    return NotificationRow(
        home_address=str(notice.home_address),
        direction="sent" if notice.sent else "received",
        state=notice.state,
        text=notice.text,
        ago_s=round(max(0.0, now - notice.at), 3),
    )


def check_text(text: str) -> None:
    """Raise Refusal for a text that is no notification (RFC 4917 2)."""
    octets = len(text.encode("utf-8", "replace"))
    if not 1 <= octets <= LONGEST_TEXT_OCTETS:
        what = f"{octets} octets instead of 1 to {LONGEST_TEXT_OCTETS}"
        raise Refusal(f"the text of a notification: {what}")


def _policy_row(node: NodeForwarding, position: int, rule: FlowRule) -> PolicyRow:
    return PolicyRow(
        home_address=str(node.home_address),
        position=position,
        name=rule.name,
        match=describe_selector(rule.selector),
        action=rule.action.name.lower(),
        bids=rule.bids,
        active=is_active(rule, node.paths),
    )


def _of_copies(decision: Decision, node: NodeForwarding) -> str:
    taken = paths_taken(node, decision)
    return f"; a copy goes to each of {len(taken)} care-of addresses" if len(taken) > 1 else ""


def _why(decision: Decision, rule: FlowRule | None, node: NodeForwarding, local: Address) -> str:
    if decision.verdict == "no-node":
        return f"{local} has no binding here"
    if decision.verdict == "no-path":
        return "no rule that can be carried out matches, and there is no path to send by"
    if decision.rule is None or rule is None:
        spread = "each packet is spread" if decision.by_packet else "spread"
        return f"no rule that can be carried out matches: {spread} over the paths by weight"
    selector = describe_selector(rule.selector)
    said = f"rule {rule_name(rule, decision.rule)} ({selector})"
    if rule.action is FlowAction.DROP:
        return f"{said} drops it"
    passed = rule.bids[: rule.bids.index(decision.bid)] if decision.bid in rule.bids else ()
    if not passed:
        return f"{said} prefers BID {decision.bid}"
    unusable = ", ".join(str(bid) for bid in passed)
    return f"{said} comes to BID {decision.bid}: BID {unusable} cannot be used now"
