"""Which mobile node a request is from, and the home addresses that are given out (RFC 2794).

A node is known by its NAI where the authenticator covers one that is configured, else by its home
address. One that is configured without a home address is given one of the pool, and keeps it for
good: it is taken from a node without bindings only when nobody else's is left.

Nothing here changes before a request is granted: what would be given out is only looked up.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from msgspec import structs

from flowbind.auth.association import Replay
from flowbind.auth.replay import distance_s, to_ntp
from flowbind.engine.refusal import Refused
from flowbind.model.binding import NodeRecord
from flowbind.model.config import HomeAgentConfig, MobileNodeEntry, unusable_in
from flowbind.wire.authentication import Authentication
from flowbind.wire.iana import ExtensionType, ReplyCode
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.registration import RegistrationRequest

UNKNOWN: Final = IPv4Address(0)
"""The Home Address of a node that has none yet (RFC 5944 3.6)."""

_KIND: Final = ExtensionType.MOBILE_HOME_AUTHENTICATION


def nai_of(message: RegistrationRequest) -> str | None:
    """Return the NAI of a request, which only counts in front of the authentication (section 2)."""
    for extension in message.extensions:
        if isinstance(extension, NetworkAccessIdentifier):
            return extension.nai
        if isinstance(extension, Authentication) and extension.type is _KIND:
            return None
    return None


class Identities:
    """The mobile nodes by name and by address. `entries` has those with a home address by it."""

    def __init__(self, config: HomeAgentConfig) -> None:
        nodes = config.mobile_nodes
        self.entries = {each.home_address: each for each in nodes if each.home_address is not None}
        self._by_nai = {each.nai: each for each in nodes if each.nai is not None}
        self._pool = config.address_pool
        self._ends = frozenset[IPv4Address]().union(*map(unusable_in, config.home_networks))
        self._fresh = _usable(self._pool, self._ends)
        self._next = next(self._fresh, None)
        self._given: dict[str, IPv4Address] = {}
        # Given to nodes that have no binding now, the longest idle first.
        self._idle: dict[IPv4Address, None] = {}
        self._nameless: dict[str, NodeRecord] = {}

    def find(self, message: RegistrationRequest) -> MobileNodeEntry | None:
        """Return whose request this says it is, None if nobody's; nothing is proven yet."""
        if self._by_nai:
            nai = nai_of(message)
            entry = self._by_nai.get(nai) if nai is not None else None
            if entry is not None:
                return entry
        return self.entries.get(message.home_address)

    def home_address_of(self, entry: MobileNodeEntry) -> IPv4Address | None:
        """Return the home address that a node has, None if it has been given none yet."""
        if entry.home_address is not None or entry.nai is None:
            return entry.home_address
        return self._given.get(entry.nai)

    # ---- records

    def record_of(
        self, entry: MobileNodeEntry, records: dict[IPv4Address, NodeRecord]
    ) -> NodeRecord | None:
        """Return what is kept of a node, also of one that has no home address yet."""
        home_address = self.home_address_of(entry)
        if home_address is None:
            return self._nameless.get(entry.nai or "")
        return records.get(home_address)

    @staticmethod
    def begun(
        entry: MobileNodeEntry, home_address: IPv4Address, before: NodeRecord | None
    ) -> NodeRecord:
        """Return the record that a request of a node begins with, of which `before` is kept."""
        if before is None:
            nai = entry.nai if entry.home_address is None else None
            return NodeRecord(home_address, 0, nai=nai)
        if before.home_address == UNKNOWN:
            return structs.replace(before, home_address=home_address)
        return before

    def hold(self, record: NodeRecord) -> None:
        """Keep the record of a node that has no home address yet: the nonce that it was told.

        It need not be durable: without it no nonce is taken (RFC 5944 5.7.2).
        """
        self._nameless[record.nai or ""] = record

    # ---- home addresses

    def addressed(
        self,
        message: RegistrationRequest,
        entry: MobileNodeEntry,
        records: dict[IPv4Address, NodeRecord],
        now: float,
    ) -> RegistrationRequest:
        """Return an authentic request with the home address that it is about.

        Raises Refused: 129 for an address that is not its own (RFC 5944 3.8.3.2), 130 if there is
        none left.
        """
        if entry.nai is None:
            return message
        own = self.home_address_of(entry)
        if message.home_address == UNKNOWN:
            return structs.replace(message, home_address=own or self._free(records, now))
        # Who comes with an address of the pool may have been given it before our records were lost.
        mine = message.home_address == own or (own is None and self._can_give(message.home_address))
        if not mine or nai_of(message) not in {None, entry.nai}:
            code = ReplyCode.ADMINISTRATIVELY_PROHIBITED
            raise Refused("home-address-not-its-own", code)
        return message

    def answerable(
        self, message: RegistrationRequest, entry: MobileNodeEntry
    ) -> RegistrationRequest:
        """Return a request to be denied, with the home address of its node if there is one."""
        own = self.home_address_of(entry) if message.home_address == UNKNOWN else None
        return message if own is None else structs.replace(message, home_address=own)

    def _can_give(self, home_address: IPv4Address) -> bool:
        taken = home_address in self.entries or home_address in self._ends
        return not taken and any(home_address in network for network in self._pool)

    def _free(self, records: dict[IPv4Address, NodeRecord], now: float) -> IPv4Address:
        """Return an address that nobody has, or else that of the node that is idle for longest.

        Not so while a replay of its last request could still be taken for a fresh one.
        """
        while self._next is not None and self._next in self.entries:
            self._next = next(self._fresh, None)
        if self._next is not None:
            return self._next
        idle = next(iter(self._idle), None)
        if idle is not None and _is_forgettable(self.entries[idle], records[idle], now):
            return idle
        raise Refused("address-pool-exhausted", ReplyCode.INSUFFICIENT_RESOURCES)

    def keep(self, record: NodeRecord, entry: MobileNodeEntry) -> None:
        """Take note of a record that holds from now on, and of the address given by it."""
        if record.nai is None:
            return
        home_address = record.home_address
        if self._given.get(record.nai) != home_address:
            former = self.entries.get(home_address)
            if former is not None:
                del self._given[former.nai or ""]
            self._given[record.nai] = home_address
            self.entries[home_address] = entry
            self._nameless.pop(record.nai, None)
        self._idle.pop(home_address, None)
        if not record.bindings:
            self._idle[home_address] = None

    def restored(self, record: NodeRecord) -> MobileNodeEntry | None:
        """Return whose record this is that a former run has left, None if nobody's any more."""
        if record.nai is None:
            return self.entries.get(record.home_address)
        entry = self._by_nai.get(record.nai)
        if entry is None or entry.home_address is not None or record.nai in self._given:
            return None
        return entry if self._can_give(record.home_address) else None


def _is_forgettable(entry: MobileNodeEntry, record: NodeRecord, now: float) -> bool:
    """Tell whether nothing that was accepted can be replayed once the record is gone."""
    window_s = max(
        (
            each.timestamp_tolerance_s
            for each in entry.associations
            if each.replay is Replay.TIMESTAMPS
        ),
        default=0.0,
    )
    age_s = distance_s(to_ntp(now), record.identification)
    return not record.identification or age_s > window_s


def _usable(pool: tuple[IPv4Network, ...], ends: frozenset[IPv4Address]) -> Iterator[IPv4Address]:
    """Give every address of the pool that a node can have."""
    for network in pool:
        yield from (each for each in network if each not in ends)
