"""Settings, effects and records in the words of the cases, and back (cases/README.md).

What has its default is left out, so a field that is new changes no case that has no use for it.
"""

import base64
import json
import re
from ipaddress import IPv4Address
from typing import Any, Final, TypeVar

from msgspec import Struct, structs

from flowbind.effects import (
    DeleteNode,
    Effect,
    ProgramForwarding,
    SaveNode,
    SendProbe,
)
from flowbind.model.binding import NodeRecord
from flowbind.model.encoding import from_json, to_json
from flowbind.model.tunnel import PLAIN_BID, NodeForwarding
from flowbind.wire.iana import FlowAction
from tests.conformance.naming import Names

Table = dict[str, Any]
T = TypeVar("T")

_ADDRESSES: Final = frozenset({"source", "destination"})
_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")


# ---- words to what the engine takes


def made_of(words: Any, wanted: type[T]) -> T:
    """Make settings, or a policy, of what a case says. Raises ValueError."""
    return from_json(json.dumps(_plain(words)), wanted)


def event_made_of(words: Table, wanted: type[Struct]) -> Any:
    """Make an event of fields that are called as the engine calls them. Raises ValueError."""
    octets = {each.name for each in structs.fields(wanted) if each.type is bytes}
    found = {
        name: base64.b64encode(bytes.fromhex(each)).decode() if name in octets else each
        for name, each in words.items()
    }
    return from_json(json.dumps(found), wanted)


def _plain(words: Any) -> Any:
    if isinstance(words, list):
        return [_plain(each) for each in words]
    if not isinstance(words, dict):
        return words
    found = {name: _plain(each) for name, each in words.items()}
    if "key" in words:
        found["key"] = base64.b64encode(bytes.fromhex(words["key"])).decode()
    if "action" in words:
        found["action"] = int(FlowAction[words["action"]])
    if "selectors" in words:
        found["selectors"] = [_spans(each) for each in words["selectors"]]
    return found


def _spans(selector: Table) -> Table:
    spans: Table = {}
    for name, value in selector.items():
        ends = value if isinstance(value, list) else [value]
        numbers = [int(IPv4Address(each)) for each in ends] if name in _ADDRESSES else ends
        spans[name] = dict(zip(("start", "end"), numbers, strict=False))
    return spans


# ---- what the engine gives to words


def effect_in_words(effect: Effect | Struct, names: Names, start: float, now: float) -> Table:
    """Say what an engine asks for. Datagrams are the affair of the codec."""
    match effect:
        case ProgramForwarding(node=node):
            return {"do": "forward"} | _forwarding_in_words(node)
        case SaveNode(record=record):
            return {"do": "save"} | _record_in_words(record, names, start, now)
        case DeleteNode(home_address=home_address):
            return {"do": "delete", "home_address": str(home_address)}
        case SendProbe(path=path, sequence=sequence):
            return {"do": "probe", "bid": path.bid, "sequence": sequence}
        case _:
            return {"do": name_of_struct(type(effect))} | _fields_in_words(effect)


def name_of_struct(kind: type[Struct]) -> str:
    """Return what the cases call an event or an effect that they have no words of their own for."""
    return _CAPITAL.sub("-", kind.__name__).lower()


def _fields_in_words(effect: Struct) -> Table:
    table: Table = json.loads(to_json(effect))
    del table["type"]
    octets = [each.name for each in structs.fields(effect) if each.type is bytes]
    return table | {name: getattr(effect, name).hex() for name in octets}


def _forwarding_in_words(node: NodeForwarding) -> Table:
    words = _as_table(node)
    for path in words["paths"]:
        if path["bid"] == PLAIN_BID:
            del path["bid"]
    for rule in words.get("rules", ()):
        _rule_in_words(rule)
    return words


def _record_in_words(record: NodeRecord, names: Names, start: float, now: float) -> Table:
    words = _as_table(record)
    if not record.identification:
        del words["identification"]
    if record.nonce is not None:
        words["nonce"] = names.nonce(record.nonce, now)
    bindings = words.get("bindings", [])
    for each in (words, *bindings):
        if "identification" in each:
            each["identification"] = names.of(each["identification"], now)
    for binding in bindings:
        if binding["bid"] is None:
            del binding["bid"]
        binding["ends_at"] = round(binding.pop("expires_at") - start, 3)
    policy = words.get("policy", {})
    rules = (words.get("rules", ()), policy.get("configured", ()), policy.get("running", ()))
    for rule in (each for some in rules for each in some):
        _rule_in_words(rule)
    return words


def _as_table(value: NodeForwarding | NodeRecord) -> Table:
    table: Table = json.loads(to_json(value))
    return table


def _rule_in_words(rule: Table) -> None:
    rule["action"] = FlowAction(rule["action"]).name
    if "selector" in rule:
        rule["selector"] = _selector_in_words(rule["selector"])
    if "selectors" in rule:
        rule["selectors"] = [_selector_in_words(each) for each in rule["selectors"]]


def _selector_in_words(selector: Table) -> Table:
    return {
        name: _span_in_words(name, span) if isinstance(span, dict) else span
        for name, span in selector.items()
    }


def _span_in_words(name: str, span: Table) -> Any:
    ends = [span["start"], span["end"]] if "end" in span else [span["start"]]
    found = [str(IPv4Address(each)) for each in ends] if name in _ADDRESSES else ends
    return found if len(found) > 1 else found[0]
