"""Doing what the engine asks, in this order: forwarding, durable records, then the rest.

The replies of a batch leave after one commit that all of its records share, so that a node is told
"accepted" only once its binding forwards and is durable, and the disk is asked once for many nodes.
"""

import logging
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from typing import Final

from msgspec import Struct

from flowbind.dataplane.base import DataPlane, DataPlaneError
from flowbind.effects import (
    AnnounceAddress,
    DeleteNode,
    Effect,
    LimitTunnel,
    Log,
    ProgramForwarding,
    ProgramHomeLink,
    RemoveForwarding,
    SaveNode,
    SendDatagram,
    SendIcmp,
    SendIcmpError,
    SendProbe,
    SendThroughTunnel,
)
from flowbind.events import EffectFailed
from flowbind.store.base import BindingStore, StoreError

_log = logging.getLogger("flowbind")

Effects = list[Effect]

# Put together once, since each use of `|` makes a new object.
_FORWARDING: Final = (ProgramForwarding, RemoveForwarding, ProgramHomeLink)
_CHANGING: Final = (SaveNode, DeleteNode)


def _nowhere(_effect: SendIcmp | AnnounceAddress | SendThroughTunnel | SendIcmpError) -> None:
    """Where there is no home link, nothing is said or heard there."""


class Outlets(Struct, frozen=True):
    """Where datagrams, probes and what is said on a link go. None is told of a failure: the network
    loses some too.
    """

    send: Callable[[SendDatagram], None]
    probe: Callable[[SendProbe], None]
    send_icmp: Callable[[SendIcmp], None] = _nowhere
    announce: Callable[[AnnounceAddress], None] = _nowhere
    tunnel: Callable[[SendThroughTunnel], None] = _nowhere
    send_error: Callable[[SendIcmpError], None] = _nowhere


class Performer:
    """Carries out lists of effects. What cannot be done comes back as EffectFailed events."""

    def __init__(self, plane: DataPlane, store: BindingStore, outlets: Outlets) -> None:
        self._plane = plane
        self._store = store
        self._outlets = outlets

    def perform(self, lists: Sequence[Effects]) -> list[EffectFailed]:
        """Carry out several lists, each of one event, in their order.

        Returns the failures, the last list first, which is the order to undo them in. When a list
        fails, those behind it about the same node fail too: they were built upon it.
        """
        failures: dict[int, EffectFailed] = {}
        broken: set[IPv4Address] = set()
        for at, effects in enumerate(lists):
            failure = self._forward(effects, broken)
            if failure:
                failures[at] = failure
                broken |= _nodes(effects)
        sound = {at: effects for at, effects in enumerate(lists) if at not in failures}
        failures |= self._commit(sound)
        for at, effects in sound.items():
            if at not in failures:
                self._finish(effects)
        return [failures[at] for at in sorted(failures, reverse=True)]

    def _forward(self, effects: Effects, broken: set[IPv4Address]) -> EffectFailed | None:
        if broken and not broken.isdisjoint(_nodes(effects)):
            return EffectFailed(effects[0], tuple(effects[1:]), "the request before it failed")
        done: list[Effect] = []
        for effect in effects:
            if not isinstance(effect, _FORWARDING):
                continue
            try:
                if isinstance(effect, ProgramForwarding):
                    self._plane.program(effect.node)
                elif isinstance(effect, ProgramHomeLink):
                    self._plane.program_home_link(effect.link)
                else:
                    self._plane.remove(effect.home_address)
            except DataPlaneError as error:
                return _failed(effects, effect, done, str(error))
            done.append(effect)
        return None

    def _commit(self, lists: dict[int, Effects]) -> dict[int, EffectFailed]:
        changing = {at: change for at, effects in lists.items() if (change := _changes(effects))}
        if not changing:
            return {}
        try:
            self._store.commit([each for changes in changing.values() for each in changes])
        except StoreError as error:
            return {
                at: _failed(lists[at], changes[0], _forwarding(lists[at]), str(error))
                for at, changes in changing.items()
            }
        return {}

    def _finish(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, SendDatagram):
                self._outlets.send(effect)
            elif isinstance(effect, SendProbe):
                self._outlets.probe(effect)
            elif isinstance(effect, SendIcmp):
                self._outlets.send_icmp(effect)
            elif isinstance(effect, AnnounceAddress):
                self._outlets.announce(effect)
            elif isinstance(effect, SendThroughTunnel):
                self._outlets.tunnel(effect)
            elif isinstance(effect, SendIcmpError):
                self._outlets.send_error(effect)
            elif isinstance(effect, LimitTunnel):
                self._limit(effect)
            elif isinstance(effect, Log):
                _log.log(getattr(logging, effect.level.upper()), effect.text)

    def _limit(self, effect: LimitTunnel) -> None:
        """No reply waits for it; the next error from the tunnel asks for it again."""
        ends = effect.local, effect.remote
        try:
            self._plane.limit(effect.home_address, ends, effect.mtu)
        except DataPlaneError as error:
            _log.warning("%s: MTU: %s", effect.home_address, error)


def _failed(effects: Effects, effect: Effect, done: Sequence[Effect], reason: str) -> EffectFailed:
    """Name an effect that failed and all others of its list that were not carried out."""
    carried_out = {id(each) for each in (effect, *done)}
    return EffectFailed(effect, tuple(e for e in effects if id(e) not in carried_out), reason)


def _forwarding(effects: Effects) -> Effects:
    return [each for each in effects if isinstance(each, _FORWARDING)]


def _changes(effects: Effects) -> list[SaveNode | DeleteNode]:
    return [each for each in effects if isinstance(each, _CHANGING)]


def _nodes(effects: Effects) -> set[IPv4Address]:
    """The home addresses that a list is about."""
    found: set[IPv4Address] = set()
    for effect in effects:
        match effect:
            case ProgramForwarding(node=node):
                found.add(node.home_address)
            case SaveNode(record=record):
                found.add(record.home_address)
            case RemoveForwarding() | DeleteNode():
                found.add(effect.home_address)
            case _:
                pass
    return found
