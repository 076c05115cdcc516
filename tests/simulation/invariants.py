"""What must hold after each event of a run, and what must hold once it is quiet."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from flowbind.auth.replay import distance_s
from flowbind.dataplane.normal import normalised
from flowbind.effects import SendDatagram
from flowbind.engine.home_agent import HomeAgent
from flowbind.engine.home_agent.projection import project
from flowbind.engine.mobile_node import MobileNode
from flowbind.events import Event, ProbeAnswered, TimerExpired
from flowbind.model.binding import NodeRecord
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import NodeForwarding
from flowbind.wire.iana import FlowAction, ReplyCode
from flowbind.wire.message import decode, first
from flowbind.wire.multipath import Multipath
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from tests.simulation.hosts import Host
from tests.simulation.scenario import Scenario
from tests.simulation.wire import Link

REPAIRED_AFTER_S = 5.5
"""Both engines ask again 5 s after their data plane has refused."""
MOST_WAKES = 5
"""An engine that is woken more often in a row, at one moment, does not let time pass."""
BURST = 16
"""How many requests more than one a second an interface may send at once (RFC 5944 3.6): it may
speak for the three others too, and each is repeated after 1, 2 and 4 s."""
LOW_HALF = 0xFFFFFFFF
ACCEPTED = frozenset({ReplyCode.ACCEPTED, ReplyCode.ACCEPTED_NO_SIMULTANEOUS_BINDINGS})

Sendable = tuple[FlowAction, tuple[int, ...], object]


class ViolationError(AssertionError):
    """Something that must hold does not."""


def require(condition: object, text: str) -> None:
    if not condition:
        raise ViolationError(text)


@dataclass(slots=True)
class Bucket:
    """One request for each second, and a burst."""

    tokens: float = BURST
    at: float = 0.0

    def take(self, now: float) -> bool:
        self.tokens = min(self.tokens + 1.001 * (now - self.at), BURST) - 1.0
        self.at = now
        return self.tokens >= 0


@dataclass(slots=True)
class Invariants:
    """Watches both ends. Simulated time comes in as `at`."""

    scenario: Scenario
    agent: Host
    accepted: dict[IPv4Address, int] = field(default_factory=dict[IPv4Address, int])
    denied_at: dict[IPv4Address, float] = field(default_factory=dict[IPv4Address, float])
    asked: dict[IPv4Address, set[int]] = field(default_factory=dict[IPv4Address, set[int]])
    used: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    said_at: dict[tuple[str, object], float] = field(
        default_factory=dict[tuple[str, object], float]
    )
    buckets: dict[str, Bucket] = field(default_factory=dict[str, Bucket])
    woken: Counter[tuple[str, float]] = field(default_factory=Counter[tuple[str, float]])
    compared: dict[tuple[str, IPv4Address], tuple[object, ...]] = field(
        default_factory=dict[tuple[str, IPv4Address], tuple[object, ...]]
    )

    # ---- before and after each event

    def before(self, host: Host, events: tuple[Event, ...]) -> None:
        """Note what a host is told: it may have something new to say at once."""
        if not isinstance(events[-1], TimerExpired | ProbeAnswered):
            for key in [each for each in self.said_at if each[0] == host.name]:
                del self.said_at[key]

    def after(self, host: Host, event: Event | None) -> None:
        """Check a host whose daemon has taken in an event; None when it has started."""
        self._time_passes(host, event)
        if isinstance(host.engine, HomeAgent):
            if event is None:
                self.denied_at.clear()
            for record in host.engine.records.values():
                self._check_agent(host, host.engine, record)
        elif isinstance(host.engine, MobileNode):
            self._check_node(host, host.engine)

    def _time_passes(self, host: Host, event: Event | None) -> None:
        if not isinstance(event, TimerExpired) or host.engine is None:
            return
        deadline = host.engine.deadline()
        if deadline is None or deadline > host.now:
            return
        key = (host.name, round(host.now, 2))
        self.woken = Counter({key: self.woken[key] + 1})
        require(self.woken[key] <= MOST_WAKES, f"{host.name} wants no time to pass")

    def _check_agent(self, host: Host, engine: HomeAgent, record: NodeRecord) -> None:
        home_address = record.home_address
        held = host.plane.node(home_address)
        if self._seen(host, home_address, record.bindings, record.rules, held):
            return
        _unique("BID", [each.bid for each in record.bindings])
        _unique("care-of address", [each.care_of_address for each in record.bindings])
        _unique("selector", [(each.action, each.selector) for each in record.rules])
        plain = any(each.bid is None for each in record.bindings)
        require(not plain or len(record.bindings) == 1, "a binding without BID among others")
        entry = next(e for e in engine.config.mobile_nodes if e.home_address == home_address)
        self._projected(host, home_address, project(engine.config, entry, record), held)

    def _check_node(self, host: Host, engine: MobileNode) -> None:
        tunnels = tuple(each.tunnel for each in engine.paths if each.tunnel)
        home_address = engine.config.home_address
        held = host.plane.node(home_address)
        if self._seen(host, home_address, tunnels, engine.policy, held):
            return
        _unique("BID", [each.bid for each in tunnels])
        node = NodeForwarding(home_address, tunnels, engine.rules) if tunnels else None
        self._projected(host, home_address, node, held)

    def _seen(self, host: Host, home_address: IPv4Address, *things: object) -> bool:
        """Tell whether these very things were found in order by the last look."""
        key = (host.name, home_address)
        if self.compared.get(key) == things:
            return True
        self.compared[key] = things
        return False

    def _projected(
        self,
        host: Host,
        home_address: IPv4Address,
        table: NodeForwarding | None,
        held: NodeForwarding | None,
    ) -> None:
        if held == (normalised(table) if table else None):
            return
        del self.compared[host.name, home_address]
        since_s = host.clock.elapsed() - host.plane_failed_at
        require(since_s <= REPAIRED_AFTER_S, f"{host.name} forwards {held} instead of {table}")

    # ---- what is sent

    def agent_sends(self, datagram: SendDatagram) -> None:
        """A reply may leave: nothing is accepted twice, nothing forged is answered but by 131."""
        reply = decode(datagram.payload)
        require(isinstance(reply, RegistrationReply), "a home agent sends something else")
        assert isinstance(reply, RegistrationReply)
        home_address = reply.home_address
        if reply.code == ReplyCode.MOBILE_NODE_FAILED_AUTHENTICATION:
            since_s = self.agent.now - self.denied_at.get(home_address, float("-inf"))
            require(since_s >= 1.0, f"{home_address} is denied after {since_s} s again")
            self.denied_at[home_address] = self.agent.now
            return
        low = reply.identification & LOW_HALF
        require(low in self.asked.get(home_address, ()), "a request nobody made is answered")
        if reply.code in ACCEPTED:
            self._accepted(reply)

    def _accepted(self, reply: RegistrationReply) -> None:
        last = self.accepted.get(reply.home_address)
        later = last is None or distance_s(reply.identification, last) > 0
        require(later, f"{reply.home_address}: a replay was accepted")
        self.accepted[reply.home_address] = reply.identification
        stored = {each.home_address: each for each in self.agent.store.load()}
        record = stored.get(reply.home_address)
        durable = record and distance_s(record.identification, reply.identification) >= 0
        require(durable, f"{reply.home_address} was told what is not durable")

    def node_sends(self, host: Host, datagram: SendDatagram, at: float) -> None:
        """A request may leave: none too many of them, and none too soon (RFC 5944 3.6, 3.6.3)."""
        request = decode(datagram.payload)
        assert isinstance(request, RegistrationRequest)
        name = datagram.interface or ""
        self.asked.setdefault(request.home_address, set()).add(request.identification & LOW_HALF)
        # Of what a run has sent in vain, the next one knows nothing.
        used = (host.starts, request.identification)
        require(self.used.get(host.name) != used, "an Identification is used twice in a row")
        self.used[host.name] = used
        multipath = first(request, Multipath)
        subject = (multipath.bid, multipath.bulk) if multipath else request.care_of_address
        key = (host.name, (subject, request.lifetime_s == 0))
        since_s = host.now - self.said_at.get(key, float("-inf"))
        require(since_s > 0.999, f"{host.name} repeats a request after {since_s} s")
        self.said_at[key] = host.now
        bucket = self.buckets.setdefault(name, Bucket())
        require(bucket.take(at), f"{name} sends more than one request a second")

    def excused(self, links: Iterable[Link]) -> None:
        """These may send one request more: something happened that is to be told at once."""
        for link in links:
            self.buckets.setdefault(link.name, Bucket()).tokens += 1


def _unique(what: str, values: list[object]) -> None:
    require(len(values) == len(set(values)), f"a {what} occurs twice: {values}")


# ---- once it is quiet


def disagreement(
    agent: Host, host: Host, links: list[Link], *, orphans: bool, leftovers: frozenset[int]
) -> str:
    """Return what keeps a node and the home agent from agreeing, "" if they do.

    A node that crashes forgets what was not answered. With `orphans` the home agent may hold
    bindings of which no node knows, and rules that one of the BIDs in `leftovers` brought.
    """
    if not isinstance(agent.engine, HomeAgent) or not isinstance(host.engine, MobileNode):
        return "a daemon is down"
    node, home_address = host.engine, host.engine.config.home_address
    record = agent.engine.records.get(home_address) or NodeRecord(home_address, 0)
    entry = next(
        each for each in agent.engine.config.mobile_nodes if each.home_address == home_address
    )
    working = [each for each in links if _wanted(node, each) and not each.silent]
    if node._registration.fallback.is_plain(host.now):
        return _plain_disagreement(record, working, [each for each in links if each.silent])
    if not working:
        return ""
    if not entry.multipath:
        return "" if node.config.multipath == "require" else "152 has not made the node a plain one"
    return (
        _binding_disagreement(record, node, links, working, orphans=orphans)
        or _path_disagreement(agent, host, record, working, links)
        or ("" if orphans and leftovers else _policy_disagreement(record, node, leftovers))
    )


def _wanted(node: MobileNode, link: Link) -> bool:
    return link.address is not None and node.interfaces[link.name].wanted


def _plain_disagreement(record: NodeRecord, working: list[Link], silent: list[Link]) -> str:
    # There is no telling whether a path brings replies but to register it, again and again.
    addresses = [each.address for each in (*working, *silent)]
    held = [(each.bid, each.care_of_address) for each in record.bindings]
    if not working or (len(held) == 1 and held[0][0] is None and held[0][1] in addresses):
        return ""
    return f"a plain node has {held} registered of {addresses}"


def _binding_disagreement(
    record: NodeRecord, node: MobileNode, links: list[Link], working: list[Link], *, orphans: bool
) -> str:
    held = {each.bid: each.care_of_address for each in record.bindings}
    if len(working) == 1 and held == {None: working[0].address}:
        # A node that may be a plain one, and has but one path, turns to multipath when it renews.
        return "" if node.config.multipath == "prefer" else "a plain binding"
    for link in working:
        if held.get(link.bid) != link.address:
            return f"{link.name} with {link.address} is not registered: {held}"
    possible = {each.bid for each in links if _wanted(node, each) and (each.silent or not orphans)}
    if not working or orphans or held.keys() <= possible:
        return ""
    return f"the home agent holds {held}, but there is only {possible}"


def _path_disagreement(
    agent: Host, host: Host, record: NodeRecord, working: list[Link], links: list[Link]
) -> str:
    ours = {(each.bid, each.local) for each in host.paths(record.home_address) if each.transmit}
    theirs = {(each.bid, each.remote) for each in agent.paths(record.home_address)}
    wanted = {(each.bid, each.address) for each in working}
    if working and ours != wanted:
        return f"the node sends by {ours} and not by {wanted}"
    silent = {each.bid for each in links if each.silent}
    if not wanted <= theirs and not silent:
        return f"the home agent sends by {theirs} and not by {wanted}"
    return ""


def _policy_disagreement(record: NodeRecord, node: MobileNode, leftovers: frozenset[int]) -> str:
    exchange = node._registration.exchange
    # What the carrier sends replaces what it sent before; but there is no way to send nothing.
    owners = {rule.owner for rule in record.rules} - {exchange.carrier if exchange.held else None}
    if not record.bindings or owners & leftovers:
        return ""
    if not node.config.exchange_policy:
        return f"a policy that nobody sent: {record.rules}" if record.rules else ""
    # A binding may be there of which the node does not know: no reply comes back on its path.
    known = frozenset(each.bid for each in record.bindings if each.bid is not None)
    known &= frozenset(each.bid for each in node.record.bindings if each.bid is not None)
    ours, theirs = in_force(node.rules, known), in_force(record.rules, known)
    return "" if ours == theirs else f"policies differ: {ours} and {theirs}"


def in_force(rules: Iterable[FlowRule], bids: frozenset[int]) -> list[Sendable]:
    """Return the rules that can be followed as long as there are these BIDs."""
    return [
        (rule.action, rule.bids, rule.selector)
        for rule in rules
        if rule.action is FlowAction.DROP or not bids.isdisjoint(rule.bids)
    ]
