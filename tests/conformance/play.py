"""Playing a case on an engine, and saying what it did in the words of the case.

The engine is woken whenever it wants to be. What it does then must be what the script says happens
at that very moment; so is everything else, effect by effect and in order.
"""

from collections import Counter
from collections.abc import Callable
from difflib import ndiff
from ipaddress import IPv4Address
from typing import Final, NamedTuple

from flowbind.effects import DeleteNode, Effect, SaveNode, SendDatagram
from flowbind.engine.home_agent import HomeAgent
from flowbind.engine.mobile_node import MobileNode
from flowbind.events import (
    DeregisterRequested,
    EffectFailed,
    InterfaceDown,
    InterfaceUp,
    PolicyReplaced,
    ProbeAnswered,
    Received,
    RegisterRequested,
    Restored,
    TimerExpired,
)
from flowbind.events import Event as EngineEvent
from flowbind.model.binding import NodeRecord
from flowbind.model.config import HomeAgentConfig, MobileNodeConfig
from flowbind.model.flow import PolicyRule
from flowbind.wire.iana import ReplyCode
from tests.conformance.case import HOME_AGENT, OTHERS, WAIT, Case, CaseError, Event, Table
from tests.conformance.codec import REPLY, REQUEST, Key, Keys, describe, encode, number_of_code
from tests.conformance.naming import Halves, Names
from tests.conformance.render import block, inline
from tests.conformance.words import effect_in_words, event_made_of, made_of

_MOST_WAKES: Final = 1000
_EPSILON_S: Final = 1e-3
_MOBILE_NODE_PORT: Final = 40000
_EVENTS: Final[dict[str, Callable[[Table], EngineEvent]]] = {
    "interface-up": lambda fields: InterfaceUp(fields["interface"], IPv4Address(fields["address"])),
    "interface-down": lambda fields: InterfaceDown(fields["interface"]),
    "probe-answered": lambda fields: ProbeAnswered(fields["bid"], fields["sequence"]),
    "policy-replaced": lambda fields: PolicyReplaced(
        made_of(fields["policy"], tuple[PolicyRule, ...])
    ),
    "register": lambda fields: RegisterRequested(fields.get("interface")),
    "deregister": lambda fields: DeregisterRequested(fields.get("interface")),
}


class Outcome(NamedTuple):
    """What came of one event, and the datagrams that it was about: (moment, direction, octets)."""

    event: Event
    effects: list[Table]
    counters: dict[str, int]
    datagrams: list[tuple[float, str, bytes]]


def play(case: Case) -> list[Outcome]:
    """Play a case. Raises CaseError if the engine does something between two events."""
    player = _Player(case)
    return [player.outcome(event) for event in case.events]


def complaints(outcomes: list[Outcome]) -> list[str]:
    """Say where an engine did not what the case says: a readable difference for each event."""
    return [found for each in outcomes for found in _complaints(each)]


def fitting(expected: list[Table], actual: list[Table]) -> list[Table]:
    """Return the effects of an engine, each in the words of the case where those are true of it."""
    fits = [
        wanted if _fits(wanted, found) else found
        for wanted, found in zip(expected, actual, strict=False)
    ]
    return fits + actual[len(fits) :]


def _fits(expected: Table, actual: Table) -> bool:
    if expected.get("do") != "log" or actual["do"] != "log":
        return expected == actual
    mentions = expected.get("mentions", [])
    named = expected.keys() <= {"do", "level", "mentions"}
    return named and expected.get("level") == actual["level"] and _has(actual["text"], mentions)


def _has(text: str, mentions: list[str]) -> bool:
    return all(each in text for each in mentions)


def _complaints(outcome: Outcome) -> list[str]:
    event = outcome.event
    found = fitting(event.effects, outcome.effects)
    if found == event.effects and outcome.counters == event.counters:
        return []
    difference = ndiff(_lines(event.effects, event.counters), _lines(found, outcome.counters))
    return [f"{event.place} ({event.kind} at {event.at:g}): - expected, + found", *difference]


def _lines(effects: list[Table], counters: dict[str, int]) -> list[str]:
    lines = [f"counters = {inline(dict(sorted(counters.items())))}"]
    for effect in effects:
        lines += block(effect)
    return lines


class _Player:
    def __init__(self, case: Case) -> None:
        self._case = case
        self._start = float(case.defaults["start"])
        self._now = self._start
        self._names = Names()
        self._keys = _keys_of(case)
        self._nonces = _uses_nonces(case)
        self._engine = self._started()
        self._stopped = False
        self._store: dict[IPv4Address, NodeRecord] = {}
        self._stored_before = dict(self._store)
        self._last: list[Effect] = []
        self._received: list[Received] = []
        self._sent: list[SendDatagram] = []
        self._datagrams: list[tuple[float, str, bytes]] = []

    def _started(self) -> HomeAgent | MobileNode:
        if self._case.engine == HOME_AGENT:
            return HomeAgent(made_of(self._case.settings, HomeAgentConfig), self._names.draw)
        return MobileNode(made_of(self._case.settings, MobileNodeConfig), self._names.draw)

    def outcome(self, event: Event) -> Outcome:
        """Let time pass and the event happen."""
        before = Counter(self._engine.statistics)
        self._datagrams = []
        moment = self._start + event.at
        effects = self._wake(event, moment)
        if event.kind == "restart":
            self._engine, before, self._stopped = self._started(), Counter(), False
        if event.kind == "stop":
            self._stopped = True
        elif event.kind != WAIT:
            effects = self._handle(self._event(event, moment), moment)
        counters = {
            name: count - before[name]
            for name, count in self._engine.statistics.items()
            if count != before[name]
        }
        self._carry_out(effects)
        return Outcome(event, self._described(effects), counters, self._datagrams)

    # ---- time

    def _wake(self, event: Event, moment: float) -> list[Effect]:
        """Wake the engine up to a moment, and at it if the event is to wait for that."""
        effects: list[Effect] = []
        for _ in range(_MOST_WAKES):
            deadline = self._engine.deadline()
            last = moment + _EPSILON_S if event.kind == WAIT else moment - _EPSILON_S
            if deadline is None or deadline > last or self._stopped:
                return effects
            woken = max(deadline, self._now)
            if abs(woken - moment) < _EPSILON_S:
                woken = max(woken, moment)
            found = self._handle(TimerExpired(), woken)
            if found and woken < moment - _EPSILON_S:
                self._carry_out(found)
                said = "\n".join(line for each in self._described(found) for line in block(each))
                raise CaseError(f"{event.place}: {woken - self._start:g} comes before:\n{said}")
            effects += found
        raise CaseError(f"{event.place}: the engine wants to be woken again and again")

    def _handle(self, event: EngineEvent, now: float) -> list[Effect]:
        self._now = now
        return self._engine.handle(event, now)

    # ---- what happens

    def _event(self, event: Event, moment: float) -> EngineEvent:
        if event.kind == "receive":
            return self._datagram(event.fields, moment)
        if event.kind == "restart":
            return Restored(tuple(self._store.values()))
        if event.kind == "effect-failed":
            return self._effect_failed(event.fields["effect"] - 1, event.fields["reason"])
        if event.kind in OTHERS:
            other: EngineEvent = event_made_of(event.fields, OTHERS[event.kind])
            return other
        return _EVENTS[event.kind](event.fields)

    def _effect_failed(self, at: int, reason: str) -> EffectFailed:
        effects = self._last
        self._store = self._stored_before
        self._carry_out(effects[:at])
        return EffectFailed(effects[at], tuple(effects[at + 1 :]), reason)

    def _datagram(self, own: Table, moment: float) -> Received:
        message = REQUEST if self._case.engine == HOME_AGENT else REPLY
        message = own.get("message", message)
        defaults = self._case.defaults["request" if message == REQUEST else "reply"]
        fields = defaults | {"message": message} | own
        if message == REPLY:
            fields |= self._addressed(own)
        if "repeat" in own:
            payload = self._received[own["repeat"] - 1].payload
        elif "octets" in own:
            payload = bytes.fromhex(own["octets"])
        else:
            identification = self._names.number(fields["identification"], moment)
            payload = encode(fields | {"identification": identification}, self._keys)
            self._note(fields, identification)
        self._datagrams.append((moment - self._start, "in", payload))
        source, source_port = _end(fields["from"])
        destination, destination_port = _end(fields["to"])
        interface = fields.get("interface")
        received = Received(payload, source, source_port, destination, destination_port, interface)
        self._received.append(received)
        return received

    def _note(self, fields: Table, identification: int) -> None:
        if fields["message"] == REQUEST:
            self._names.requests.append(identification)
        else:
            self._names.told.add(identification >> 32)

    def _addressed(self, own: Table) -> Table:
        """A reply goes to where the request came from that it answers."""
        answered = own.get("answers", len(self._sent))
        if not self._sent:
            return {"identification": "now", "to": "0.0.0.0:0"} | own
        request = self._sent[answered - 1]
        found = {"identification": f"request {answered}", "interface": request.interface}
        return found | {"to": f"{request.source}:{_MOBILE_NODE_PORT}"} | own

    # ---- what comes of it

    def _carry_out(self, effects: list[Effect]) -> None:
        self._last = effects
        self._stored_before = dict(self._store)
        for effect in effects:
            if isinstance(effect, SaveNode):
                self._store[effect.record.home_address] = effect.record
            elif isinstance(effect, DeleteNode):
                self._store.pop(effect.home_address, None)

    def _described(self, effects: list[Effect]) -> list[Table]:
        # A record may name a request that leaves behind it.
        sent = {
            id(each): self._sent_in_words(each)
            for each in effects
            if isinstance(each, SendDatagram)
        }
        return [
            sent.get(id(each)) or effect_in_words(each, self._names, self._start, self._now)
            for each in effects
        ]

    def _sent_in_words(self, effect: SendDatagram) -> Table:
        fields = describe(effect.payload, self._keys)
        identification = fields.get("identification", 0)
        named: str | Halves = ""
        if fields.get("message") == REQUEST:
            named = self._names.of_a_request(identification, self._now, nonces=self._nonces)
            self._names.requests.append(identification)
            self._sent.append(effect)
        elif "code" in fields:
            # 133 tells the high half anew, which may be the same.
            whole = number_of_code(fields["code"]) != ReplyCode.IDENTIFICATION_MISMATCH
            named = self._names.of(identification, self._now, whole=whole)
        self._datagrams.append((self._now - self._start, "out", effect.payload))
        source = f"{effect.source}:{effect.source_port}" if effect.source_port else effect.source
        found = {"from": str(source), "to": f"{effect.destination}:{effect.destination_port}"}
        found |= {"interface": effect.interface} if effect.interface else {}
        return {"do": "send"} | fields | ({"identification": named} if named else {}) | found


def _end(text: str) -> tuple[IPv4Address, int]:
    address, _, port = text.partition(":")
    return IPv4Address(address), int(port)


# ---- settings


def _associations(case: Case) -> list[Table]:
    if case.engine != HOME_AGENT:
        return list(case.settings["associations"])
    return [each for node in case.settings["mobile_nodes"] for each in node["associations"]]


def _keys_of(case: Case) -> Keys:
    return {
        each["spi"]: Key(bytes.fromhex(each["key"]), each.get("algorithm", "hmac-md5"))
        for each in _associations(case)
    }


def _uses_nonces(case: Case) -> bool:
    return any(each.get("replay") == "nonces" for each in _associations(case))
