"""What the data plane and the store are asked for: what the tables say and those do not hold yet.

What fails is asked for again, but not at once: the reason has to go away first.
"""

from ipaddress import IPv4Address
from typing import Final

from flowbind.effects import (
    DeleteNode,
    Effect,
    ProgramForwarding,
    ProgramHomeLink,
    RemoveForwarding,
    SaveNode,
)
from flowbind.engine.mobile_node.identity import UNKNOWN
from flowbind.model.binding import NodeRecord
from flowbind.model.home_link import HomeLink
from flowbind.model.tunnel import NodeForwarding

RETRY_S: Final = 5.0


class Projection:
    """The copies of one node's tables, as far as they are known to have been made.

    There is one home address at a time, but what was done for a former one may have to be undone.
    """

    def __init__(self, *, may_be_home: bool = False) -> None:
        """With `may_be_home` it is not known where a former run has left the node."""
        self._forwarded: NodeForwarding | None = None
        self._attached: HomeLink | None = None
        self._attach_again_at: float | None = 0.0 if may_be_home else None
        self._saved: NodeRecord | None = None
        self._forwarded_for: set[IPv4Address] = set()
        self._saved_for: set[IPv4Address] = set()
        self._forward_again_at: float | None = None
        self._save_again_at: float | None = None

    def deadline(self) -> float | None:
        """When something that failed is to be asked for again."""
        moments = (self._forward_again_at, self._attach_again_at, self._save_again_at)
        return min((each for each in moments if each is not None), default=None)

    def effects(
        self,
        forwarding: NodeForwarding | None,
        home_link: HomeLink | None,
        record: NodeRecord,
        now: float,
    ) -> list[Effect]:
        """Ask for what is missing."""
        return [
            *self._attach(home_link, now),
            *self._forward(forwarding, now),
            *self._save(record, now),
        ]

    def failed(self, effects: tuple[Effect, ...], now: float) -> None:
        """These were not carried out."""
        for effect in effects:
            if isinstance(effect, ProgramForwarding | RemoveForwarding):
                self._forward_again_at = now + RETRY_S
            elif isinstance(effect, ProgramHomeLink):
                self._attach_again_at = now + RETRY_S
            elif isinstance(effect, SaveNode | DeleteNode):
                self._save_again_at = now + RETRY_S
            if isinstance(effect, RemoveForwarding):
                self._forwarded_for.add(effect.home_address)
            elif isinstance(effect, DeleteNode):
                self._saved_for.add(effect.home_address)

    def _attach(self, home_link: HomeLink | None, now: float) -> list[Effect]:
        if self._attach_again_at is not None:
            if now < self._attach_again_at:
                return []
            self._attach_again_at = None
        elif home_link == self._attached:
            return []
        self._attached = home_link
        return [ProgramHomeLink(home_link)]

    def _forward(self, forwarding: NodeForwarding | None, now: float) -> list[Effect]:
        if self._forward_again_at is not None:
            if now < self._forward_again_at:
                return []
            self._forward_again_at = None
        elif forwarding == self._forwarded:
            return []
        self._forwarded = forwarding
        wanted = {forwarding.home_address} if forwarding else set[IPv4Address]()
        gone = sorted(self._forwarded_for - wanted)
        self._forwarded_for = wanted
        return [
            *map(RemoveForwarding, gone),
            *([ProgramForwarding(forwarding)] if forwarding else []),
        ]

    def _save(self, record: NodeRecord, now: float) -> list[Effect]:
        if self._save_again_at is not None:
            if now < self._save_again_at:
                return []
            self._save_again_at = None
        elif self._saved is not None and _same(self._saved, record):
            return []
        before, self._saved = self._saved, record
        kept = {record.home_address} if _is_worth_keeping(record) else set[IPv4Address]()
        # At the start it is not known what the store holds.
        held = self._saved_for if before else {*self._saved_for, record.home_address}
        gone = sorted(held - kept)
        self._saved_for = kept
        saved = [SaveNode(record, before)] if kept else []
        return [*(DeleteNode(each, before) for each in gone), *saved]


def _same(before: NodeRecord, after: NodeRecord) -> bool:
    """Tell whether two records differ in nothing but the Identification."""
    return (
        before.home_address,
        before.bindings,
        before.rules,
        before.policy,
        before.at_home,
        before.contact,
        before.prefixes,
    ) == (
        after.home_address,
        after.bindings,
        after.rules,
        after.policy,
        after.at_home,
        after.contact,
        after.prefixes,
    )


def _is_worth_keeping(record: NodeRecord) -> bool:
    given = record.nai is not None and record.home_address != UNKNOWN
    return bool(record.bindings or record.policy or record.at_home or record.contact) or given
