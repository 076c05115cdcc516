"""Reading the cases below `cases/`, whose README.md explains the format.

What a case does not say comes from `cases/defaults.toml`. A case that could not fail is refused.
"""

import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

from msgspec import Struct

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
from tests.conformance.words import name_of_struct

CASES: Final = Path(__file__).with_name("cases")
_DEFAULTS: Final = CASES / "defaults.toml"

HOME_AGENT: Final = "home-agent"
MOBILE_NODE: Final = "mobile-node"
RECEIVE: Final = "receive"
WAIT: Final = "wait"

_DATAGRAM: Final = (
    "message flags code lifetime home_address home_agent care_of_address identification extensions"
    " authenticated octets repeat from to interface answers"
)
WORDS: Final = {
    RECEIVE: frozenset(_DATAGRAM.split()),
    WAIT: frozenset(),
    "stop": frozenset(),
    "restart": frozenset(),
    "effect-failed": frozenset({"effect", "reason"}),
    "interface-up": frozenset({"interface", "address"}),
    "interface-down": frozenset({"interface"}),
    "probe-answered": frozenset({"bid", "sequence"}),
    "policy-replaced": frozenset({"policy"}),
    "register": frozenset({"interface"}),
    "deregister": frozenset({"interface"}),
}
"""Events that the cases have words of their own for, and their fields."""
_IN_WORDS: Final = frozenset(
    {
        Received,
        TimerExpired,
        Restored,
        EffectFailed,
        InterfaceUp,
        InterfaceDown,
        ProbeAnswered,
        PolicyReplaced,
        RegisterRequested,
        DeregisterRequested,
    }
)
OTHERS: Final[dict[str, type[Struct]]] = {
    name_of_struct(each): each for each in get_args(EngineEvent) if each not in _IN_WORDS
}
"""All others are called as the engine calls them, and so are their fields."""
EVENTS: Final = WORDS | {name: frozenset(each.__struct_fields__) for name, each in OTHERS.items()}
_OF_EVERY_EVENT: Final = frozenset({"at", "event", "effects", "counters"})
_KEYS: Final = frozenset({"about", "engine", "given", "also", HOME_AGENT, MOBILE_NODE, "event"})

Table = dict[str, Any]


class CaseError(ValueError):
    """A case that is not whole, or that could not fail."""


class Event(NamedTuple):
    """What happens `at` seconds after the start, and all that must come of it."""

    place: str
    at: float
    kind: str
    fields: Table
    effects: list[Table]
    counters: dict[str, int]


class Case(NamedTuple):
    """A script for one engine, those events in front that it is given by other cases.

    `own` counts the events that are its own. `also` are further clauses that it holds to.
    """

    name: str
    about: str
    engine: str
    also: tuple[str, ...]
    settings: Table
    events: tuple[Event, ...]
    own: int
    defaults: Table


def case_files() -> list[Path]:
    """Every case, in the order of RFC, clause and name."""
    return sorted(CASES.glob("*/*/*.toml"))


def name_of(file: Path) -> str:
    """RFC, clause and case, as in `5944/HA-9/unknown-node`."""
    return str(file.relative_to(CASES).with_suffix(""))


def read_case(file: Path, *, whole: bool = True) -> Case:
    """Read one case; one that is not whole is still to be recorded. Raises CaseError."""
    return case_of(tomllib.loads(file.read_text()), name_of(file), whole=whole)


def case_of(table: Table, name: str, *, whole: bool = True) -> Case:
    """Make a case of a table. Raises CaseError."""
    _refuse_unknown(name, table, _KEYS)
    if not table.get("about") or not table.get("event"):
        raise CaseError(f"{name}: a case says what it is about, and has events")
    defaults = tomllib.loads(_DEFAULTS.read_text())
    given = read_case(CASES / f"{table['given']}.toml") if "given" in table else None
    engine = given.engine if given else str(table.get("engine"))
    if engine not in {HOME_AGENT, MOBILE_NODE}:
        raise CaseError(f"{name}: engine {engine!r}")
    before = given.settings if given else defaults[engine]
    own = [_event(f"{name}, event {at}", each) for at, each in enumerate(table["event"], 1)]
    for event, each in zip(own, table["event"], strict=True):
        if whole:
            _refuse_without_expectation(event, each)
    events = (*(given.events if given else ()), *own)
    _refuse_disorder(events)
    settings = before | table.get(engine, {})
    also = tuple(table.get("also", ()))
    return Case(name, table["about"], engine, also, settings, events, len(own), defaults)


def _event(place: str, table: Table) -> Event:
    kind = table.get("event", RECEIVE)
    if kind not in EVENTS:
        raise CaseError(f"{place}: event {kind!r}")
    _refuse_unknown(place, table, EVENTS[kind] | _OF_EVERY_EVENT)
    if "at" not in table:
        raise CaseError(f"{place}: when does it happen?")
    effects, counters = table.get("effects", []), table.get("counters", {})
    fields = {key: table[key] for key in table.keys() & EVENTS[kind]}
    return Event(place, float(table["at"]), kind, fields, effects, counters)


def _refuse_without_expectation(event: Event, table: Table) -> None:
    if "effects" not in table:
        raise CaseError(f"{event.place}: what comes of it? `effects = []` for silence")
    if event.kind == RECEIVE and not event.effects and not event.counters:
        raise CaseError(f"{event.place}: silence has a counter that names its reason")


def _refuse_unknown(place: str, table: Table, known: frozenset[str]) -> None:
    if unknown := table.keys() - known:
        raise CaseError(f"{place}: {', '.join(sorted(unknown))} means nothing here")


def _refuse_disorder(events: tuple[Event, ...]) -> None:
    at = 0.0
    for event in events:
        if event.at < at:
            raise CaseError(f"{event.place}: time runs forward")
        at = event.at
