"""What the data plane and the store are asked for: what the tables say and those do not hold yet.

What fails is asked for again, but not at once: the reason has to go away first.
"""

from typing import Final

from flowbind.effects import (
    DeleteNode,
    Effect,
    ProgramForwarding,
    RemoveForwarding,
    SaveNode,
)
from flowbind.model.binding import NodeRecord
from flowbind.model.tunnel import NodeForwarding

RETRY_S: Final = 5.0


class Projection:
    """The copies of one node's tables, as far as they are known to have been made."""

    def __init__(self) -> None:
        self._forwarded: NodeForwarding | None = None
        self._saved: NodeRecord | None = None
        self._forward_again_at: float | None = None
        self._save_again_at: float | None = None

    def deadline(self) -> float | None:
        """When something that failed is to be asked for again."""
        moments = (self._forward_again_at, self._save_again_at)
        return min((each for each in moments if each is not None), default=None)

    def effects(
        self, forwarding: NodeForwarding | None, record: NodeRecord, now: float
    ) -> list[Effect]:
        """Ask for what is missing."""
        return [*self._forward(forwarding, record, now), *self._save(record, now)]

    def failed(self, effects: tuple[Effect, ...], now: float) -> None:
        """These were not carried out."""
        for effect in effects:
            if isinstance(effect, ProgramForwarding | RemoveForwarding):
                self._forward_again_at = now + RETRY_S
            elif isinstance(effect, SaveNode | DeleteNode):
                self._save_again_at = now + RETRY_S

    def _forward(
        self, forwarding: NodeForwarding | None, record: NodeRecord, now: float
    ) -> list[Effect]:
        if self._forward_again_at is not None:
            if now < self._forward_again_at:
                return []
            self._forward_again_at = None
        elif forwarding == self._forwarded:
            return []
        self._forwarded = forwarding
        return [
            ProgramForwarding(forwarding) if forwarding else RemoveForwarding(record.home_address)
        ]

    def _save(self, record: NodeRecord, now: float) -> list[Effect]:
        if self._save_again_at is not None:
            if now < self._save_again_at:
                return []
            self._save_again_at = None
        elif self._saved is not None and _same(self._saved, record):
            return []
        before, self._saved = self._saved, record
        if record.bindings or record.policy:
            return [SaveNode(record, before)]
        return [DeleteNode(record.home_address, before)]


def _same(before: NodeRecord, after: NodeRecord) -> bool:
    """Tell whether two records differ in nothing but the Identification."""
    return (before.bindings, before.rules, before.policy) == (
        after.bindings,
        after.rules,
        after.policy,
    )
