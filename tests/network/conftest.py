"""Two engines and a fake wire: a home agent and a mobile node in simulated time."""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network

import pytest
from msgspec import structs

from flowbind.auth.association import Replay, SecurityAssociation
from flowbind.dataplane.normal import check
from flowbind.effects import (
    DeleteNode,
    Effect,
    ProgramForwarding,
    RemoveForwarding,
    SaveNode,
    SendDatagram,
    SendProbe,
)
from flowbind.engine.home_agent import HomeAgent
from flowbind.engine.mobile_node import MobileNode
from flowbind.events import (
    EffectFailed,
    Event,
    InterfaceDown,
    InterfaceUp,
    ProbeAnswered,
    Received,
    Restored,
    TimerExpired,
)
from flowbind.model.binding import NodeRecord
from flowbind.model.config import (
    HomeAgentConfig,
    InterfaceConfig,
    MobileNodeConfig,
    MobileNodeEntry,
)
from flowbind.model.flow import PolicyRule
from flowbind.model.tunnel import NodeForwarding, Path
from flowbind.wire.iana import FlowAction, RequestFlag
from flowbind.wire.message import decode
from flowbind.wire.multipath import Multipath
from flowbind.wire.registration import RegistrationReply
from flowbind.wire.traffic_selector import Span, TrafficSelector

AGENT = IPv4Address("198.51.100.1")
HOME = IPv4Address("10.9.0.5")
ADDRESSES = {
    "wlan0": IPv4Address("10.1.0.2"),
    "wwan0": IPv4Address("10.2.0.2"),
    "cdma0": IPv4Address("10.3.0.2"),
}
ASSOCIATION = SecurityAssociation(256, bytes(range(16)))
BY_NONCES = structs.replace(ASSOCIATION, replay=Replay.NONCES)
START = 1_800_000_000.0
MOST_WAKES = 5
"""An engine that is woken more often at one moment does not let time pass."""

VOICE = PolicyRule(
    "voice", (TrafficSelector(protocol=Span(17), source_port=Span(5060, 5061)),),
    FlowAction.FORWARD, (2, 1, 3),
)  # fmt: skip
WEB = PolicyRule(
    "web", (TrafficSelector(protocol=Span(6), source_port=Span(80)),), FlowAction.FORWARD, (1, 2, 3)
)
ONLY_CDMA = PolicyRule("only-cdma", (TrafficSelector(protocol=Span(47)),), FlowAction.FORWARD, (3,))
BLOCK = PolicyRule("block", (TrafficSelector(source_port=Span(9999)),), FlowAction.DROP)
POLICY = (ONLY_CDMA, VOICE, WEB)


def node_config(policy=POLICY, **changes) -> MobileNodeConfig:
    interfaces = tuple(
        InterfaceConfig(name, bid, bid, access, weight=4 - bid)
        for name, bid, access in (("wlan0", 1, 4), ("wwan0", 2, 8), ("cdma0", 3, 11))
    )
    association = BY_NONCES if changes.pop("nonces", False) else ASSOCIATION
    return MobileNodeConfig(HOME, AGENT, (association,), interfaces, policy, **changes)


def agent_config(**changes) -> HomeAgentConfig:
    association = BY_NONCES if changes.pop("nonces", False) else ASSOCIATION
    entry = MobileNodeEntry(
        HOME,
        (association,),
        multipath=changes.pop("multipath", True),
        simultaneous_bindings=changes.pop("simultaneous", False),
        ipv6_prefixes=changes.pop("prefixes", ()),
    )
    return HomeAgentConfig(AGENT, (IPv4Network("10.9.0.0/24"),), (entry,), **changes)


class World:
    """Carries datagrams and probes between the two, `delay_s` late, unless a path is cut."""

    def __init__(self, agent: HomeAgent, node: MobileNode, delay_s: float = 0.02) -> None:
        self.agent, self.node, self.delay_s = agent, node, delay_s
        self.now = START
        self.node_clock_s = 0.0
        self.cut: set[str] = set()
        self.lose: Callable[[SendDatagram], bool] = lambda _datagram: False
        self.requests: list[tuple[str, object]] = []
        self.replies: list[int] = []
        self.stored: dict[str, NodeRecord] = {}
        self.forwarding: dict[str, NodeForwarding | None] = {"agent": None, "node": None}
        self.addresses: dict[str, IPv4Address] = {}
        self.fails: Callable[[str, Effect], bool] = lambda _who, _effect: False
        self._due: list[tuple[float, int, str, Event]] = []
        self._serial = itertools.count()
        self._woken = Counter[tuple[str, float]]()

    def at_node(self, event: Event) -> None:
        match event:
            case InterfaceUp(name=name, address=address):
                self.addresses[name] = address
            case InterfaceDown(name=name):
                self.addresses.pop(name, None)
            case _:
                pass
        self._give("node", event)

    def up(self, *names: str) -> None:
        for name in names:
            self.at_node(InterfaceUp(name, ADDRESSES[name]))
            self.run(2.0)

    @staticmethod
    def address_of(name: str) -> IPv4Address:
        """The address that an interface has when it comes up."""
        return ADDRESSES[name]

    def move(self, name: str, number: int) -> None:
        self.at_node(InterfaceUp(name, ADDRESSES[name] + number))

    def down(self, name: str) -> None:
        self.at_node(InterfaceDown(name))

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            moments: list[tuple[float, str, Event | None]] = [
                (at, who, None) for who in ("agent", "node") if (at := self._deadline(who))
            ]
            if self._due:
                moments.append((self._due[0][0], self._due[0][2], self._due[0][3]))
            at, who, event = min(moments, key=lambda each: each[0], default=(until + 1, "", None))
            if at > until:
                break
            assert at >= self.now - 1e-6 or event is None
            self.now = max(self.now, at)
            if event is None:
                self._wake(who)
            else:
                heapq.heappop(self._due)
                self._give(who, event)
        self.now = until

    def _deadline(self, who: str) -> float | None:
        if who == "agent":
            return self.agent.deadline()
        deadline = self.node.deadline()
        return None if deadline is None else deadline - self.node_clock_s

    def _wake(self, who: str) -> None:
        self._woken = Counter({(who, self.now): self._woken[who, self.now] + 1})
        assert self._woken[who, self.now] <= MOST_WAKES, f"the {who} wants no time to pass"
        self._give(who, TimerExpired())

    def _give(self, who: str, event: Event) -> None:
        clock_s = self.node_clock_s if who == "node" else 0.0
        engine = self.node if who == "node" else self.agent
        pending = [engine.handle(event, self.now + clock_s)]
        for _round in range(MOST_WAKES):
            if not pending:
                return
            effects = pending.pop()
            failure = self._perform_all(who, effects)
            if failure:
                pending.append(engine.handle(failure, self.now + clock_s))
        assert not pending, f"the {who} asks for the impossible again and again"

    def _perform_all(self, who: str, effects: list[Effect]) -> EffectFailed | None:
        for at, effect in enumerate(effects):
            if self.fails(who, effect):
                return EffectFailed(effect, tuple(effects[at + 1 :]), "so the test wants it")
            self._perform(who, effect)
        return None

    def _perform(self, who: str, effect: Effect) -> None:
        match effect:
            case SendDatagram():
                self._carry(who, effect)
            case SendProbe(path=path, sequence=sequence):
                if path.interface not in self.cut and self._agent_knows(path):
                    self._later("node", ProbeAnswered(path.bid, sequence), 2 * self.delay_s)
            case ProgramForwarding(node=node):
                check(node)
                self.forwarding[who] = node
            case RemoveForwarding():
                self.forwarding[who] = None
            case SaveNode(record=record):
                self.stored[who] = record
            case DeleteNode():
                self.stored.pop(who, None)
            case _:
                pass

    def _agent_knows(self, path: Path) -> bool:
        node = self.forwarding["agent"]
        # A node tells its simultaneous bindings apart by BIDs that they do not have.
        ends = [(each.bid or path.bid, each.remote) for each in node.paths] if node else []
        here = self.addresses.get(path.interface or "")
        return here == path.local and (path.bid, path.local) in ends

    def _carry(self, who: str, datagram: SendDatagram) -> None:
        if who == "node":
            request = decode(datagram.payload)
            self.requests.append((datagram.interface or "", request))
            name = datagram.interface
        else:
            reply = decode(datagram.payload)
            assert isinstance(reply, RegistrationReply)
            self.replies.append(reply.code)
            here = {address: name for name, address in self.addresses.items()}
            name = here.get(datagram.destination)
        if name is None or name in self.cut or self.lose(datagram):
            return
        received = Received(
            datagram.payload, datagram.source, datagram.source_port or 40000,
            datagram.destination, datagram.destination_port, name,
        )  # fmt: skip
        self._later("agent" if who == "node" else "node", received, self.delay_s)

    def _later(self, who: str, event: Event, delay_s: float) -> None:
        heapq.heappush(self._due, (self.now + delay_s, next(self._serial), who, event))

    # ---- what should hold

    @property
    def record(self) -> NodeRecord:
        return self.agent.records[HOME]

    @property
    def bids(self) -> list[int | None]:
        return [each.bid for each in self.record.bindings]

    @property
    def states(self) -> dict[str, str]:
        return {each.name: each.state.value for each in self.node.paths}

    def policies_agree(self) -> bool:
        known = set(self.bids)
        ours = [
            (rule.action, rule.bids, rule.selector)
            for rule in self.node.rules
            if rule.action is FlowAction.DROP or known & set(rule.bids)
        ]
        theirs = [
            (rule.action, rule.bids, rule.selector)
            for rule in self.record.rules
            if rule.action is FlowAction.DROP or known & set(rule.bids)
        ]
        return ours == theirs

    def restart_node(self, policy=POLICY, record: NodeRecord | None = None) -> None:
        record = record or self.node.record
        self.node = MobileNode(structs.replace(self.node.config, policy=policy), nonces())
        self.at_node(Restored((record,)))

    def restart_agent(self) -> None:
        self.agent = HomeAgent(self.agent.config, nonces())
        record = self.stored.get("agent")
        self._give("agent", Restored((record,) if record else ()))


def nonces() -> Callable[[], int]:
    """Return a source of numbers as they could be random; each source gives others."""
    source = random.Random(next(_SOURCES))
    return lambda: source.getrandbits(32)


_SOURCES = itertools.count()


def can_fail(effect: Effect) -> bool:
    """What a data plane or a store may refuse."""
    return isinstance(effect, ProgramForwarding | RemoveForwarding | SaveNode | DeleteNode)


def multipath_of(request) -> Multipath | None:
    return next((each for each in request.extensions if isinstance(each, Multipath)), None)


@pytest.fixture
def make_world() -> Callable[..., World]:
    def make(agent=None, **changes) -> World:
        both = {"nonces": changes.get("nonces", False)}
        home_agent = HomeAgent(agent_config(**both, **(agent or {})), nonces())
        return World(home_agent, MobileNode(node_config(**changes), nonces()))

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()


@pytest.fixture
def tools():
    class Tools:
        policy = POLICY
        voice, web, block, only_cdma = VOICE, WEB, BLOCK, ONLY_CDMA
        multipath = staticmethod(multipath_of)
        can_fail = staticmethod(can_fail)
        flags = RequestFlag

    return Tools
