"""What happened in a run: the last of it to read, all of it as one hash."""

import hashlib
from collections import deque
from typing import NamedTuple

from flowbind.effects import Effect, ProgramForwarding, SaveNode, SendDatagram, SendProbe
from flowbind.events import EffectFailed, Event, ProbeAnswered, Received, Restored, TimerExpired
from flowbind.model.binding import NodeRecord
from flowbind.model.tunnel import Path
from flowbind.wire.errors import WireError
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.message import decode
from flowbind.wire.multipath import Multipath
from flowbind.wire.registration import RegistrationReply, RegistrationRequest

KEPT = 4000
WIDEST = 300


class Entry(NamedTuple):
    """One event of a host, or a deed of the world."""

    at: float
    name: str
    now: float
    event: Event | str
    effects: list[Effect]


class Journal:
    """Takes down every event. `at` is the simulated time in seconds since the start."""

    def __init__(self) -> None:
        self.at = 0.0
        self.events = 0
        self._last: deque[Entry] = deque(maxlen=KEPT)
        self._hash = hashlib.sha256()

    def note(self, name: str, now: float, event: Event | str, effects: list[Effect]) -> None:
        """Write down what a host was told and what it wants done."""
        self.events += 1
        self._last.append(Entry(self.at, name, now, event, effects))
        kinds = ",".join(type(each).__name__ for each in effects)
        what = event if isinstance(event, str) else type(event).__name__
        self._hash.update(f"{self.at!r} {name} {now!r} {what} {kinds}\n".encode())
        for each in (event, *effects):
            if isinstance(each, Received | SendDatagram):
                self._hash.update(each.payload)

    def tell(self, text: str) -> None:
        """Write down what the world does."""
        self.note("world", 0.0, text, [])

    @property
    def digest(self) -> str:
        """The hash of all that happened so far."""
        return self._hash.hexdigest()

    def last(self, number: int, about: str = "") -> list[str]:
        """Return the last entries but for keepalives, to read; those that name something."""
        texts = [_text(entry) for entry in self._last if not _is_keepalive(entry)]
        return [text for text in texts if about in text][-number:] if number else []


def _is_keepalive(entry: Entry) -> bool:
    timed = isinstance(entry.event, TimerExpired | ProbeAnswered)
    return timed and all(isinstance(each, SendProbe) for each in entry.effects)


def _text(entry: Entry) -> str:
    lines = [f"{entry.at:14.6f} {entry.name:6} {_readable(entry.event)}"]
    lines += [f"{'':21}-> {_readable(each)}" for each in entry.effects]
    return "\n".join(each[:WIDEST] for each in lines)


def _readable(what: Event | Effect | str) -> str:
    match what:
        case str():
            text = what
        case Received() | SendDatagram():
            text = _datagram(what)
        case ProgramForwarding(node=node):
            rules = " ".join(f"{rule.action.name}{list(rule.bids)}" for rule in node.rules)
            paths = " ".join(map(_path, node.paths))
            text = f"ProgramForwarding {node.home_address} by {paths}, rules {rules}"
        case SaveNode(record=record):
            text = f"SaveNode {_record(record)}"
        case Restored(records=records):
            text = f"Restored {', '.join(map(_record, records))}"
        case EffectFailed(effect=effect, unperformed=unperformed):
            kinds = ", ".join(type(each).__name__ for each in unperformed)
            text = f"EffectFailed {type(effect).__name__}, and not performed: {kinds}"
        case SendProbe(path=path, sequence=sequence):
            text = f"SendProbe {_path(path)}: {sequence}"
        case _:
            text = repr(what)
    return text


def _path(path: Path) -> str:
    ends = f"{path.bid}@{path.local}>{path.remote}"
    return ends if path.transmit else f"({ends})"


def _record(record: NodeRecord) -> str:
    bindings = [f"{each.bid}@{each.care_of_address}" for each in record.bindings]
    return f"{record.home_address} {record.identification:x} {' '.join(bindings)}"


def _datagram(what: Received | SendDatagram) -> str:
    route = f"{type(what).__name__} {what.source} > {what.destination}"
    try:
        message = decode(what.payload)
    except WireError as error:
        return f"{route}: {error}"
    kept = [each for each in message.extensions if isinstance(each, Multipath | FlowBinding)]
    extensions = " ".join(map(_extension, kept))
    if isinstance(message, RegistrationReply):
        text = f"{what.interface or '-'} reply {message.code}"
    elif isinstance(message, RegistrationRequest):
        text = f"{what.interface or '-'} request for {message.care_of_address}"
    else:
        return f"{route} {type(message).__name__}"
    return f"{route} {text}, {message.lifetime_s} s, {message.identification:x} {extensions}"


def _extension(extension: Multipath | FlowBinding) -> str:
    if isinstance(extension, Multipath):
        return f"BID {extension.bid} {extension.flags!r}"
    return f"{extension.action.name}{list(extension.bids)}"
